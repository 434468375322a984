// needs: kernel
// runs: alone
// time limit: 900 s
// test limit: 850 s
/**
 * Three controllers under load from sessions to each; the one that owns the busiest shard is killed with SIGKILL,
 * PHOTON_TAKEOVERS times (5 by default). The others take over within 3 s, every answered command is applied once, and a
 * repeated key gets the same answer. The judged time is the 99th percentile of at least 100 samples, else the median.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { clusterId } from '@photoncloud/machines/values/identifiers';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { sharedShards, shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { parseGrant } from '@photoncloud/runtime/journal/store-keys';
import { launchCluster, startNode, type PhotonCluster } from './cluster-launch.ts';
import { findProgram } from './node-program.ts';
import type { PlannedNode } from './photon-commands.ts';
import { isAlive, signal, until } from './process-identity.ts';
import { TakeoverLoad } from './takeover-load.ts';

const test = suite('crash-takeover');
const takeovers = Number(process.env['PHOTON_TAKEOVERS'] ?? 5);
const controllers = ['c1', 'c2', 'c3'];
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  ...controllers.map((name): PlannedNode => ({ name, role: 'controller' })),
  { name: 'w1', role: 'worker' },
];
const lanes = 6;
const probes = 4;
const takeoverLimitMs = 3_000;
/** With fewer samples the 99th percentile would be the worst sample. */
const enoughTimes = 100;

let cluster: PhotonCluster;
let load: TakeoverLoad;

test.before(async () => {
  cluster = await launchCluster({ stem: 'takeo', nodes });
  await until('every controller owns a part', async () => new Set((await owners()).values()).size === 3);
  load = await TakeoverLoad.open(cluster, controllers);
});

test.after(async () => {
  load?.close();
  await cluster?.topology.stop(0);
});

/** Shard -> node, read from the store. */
async function owners(): Promise<Map<string, string>> {
  const { topology } = cluster;
  const password = readFileSync(join(topology.node('c1').folder, 'store.password'), 'utf8').trim();
  const login = ['--user', 'c1', '--pass', password, '--no-auth-warning'];
  const argv = ['redis-cli', '-h', topology.node('s1').address, ...login, '--json'];
  const map = JSON.parse(await topology.exec('s1', [...argv, 'hgetall', `ph:${topology.prefix}:map`])) as object;
  const lines = Object.entries(map as Record<string, string>).filter(([shard]) =>
    sharedShards.includes(shard as never),
  );
  return new Map(lines.map(([shard, grant]) => [shard, parseGrant(grant).node]));
}

/** Names of tenants whose tenant actors are in shards of this node. */
function namesOwnedBy(node: string, round: number, map: ReadonlyMap<string, string>): string[] {
  const names: string[] = [];
  for (let index = 0; names.length < probes; index += 1) {
    const name = `p${round}-${index}`;
    if (map.get(shardOf(actorId(`tenant/${name}/${name}`))) === node) names.push(name);
  }
  return names;
}

/** @returns how long each command to an actor of the killed node took from the kill to its answer, ms */
async function killBusiest(round: number): Promise<number[]> {
  const map = await owners();
  const victim = map.get(shardOf(actorId(clusterId))) ?? '';
  const names = namesOwnedBy(victim, round, map);
  const program = findProgram(cluster.topology, victim, 'controller');
  const killedAt = performance.now();
  signal(program, 'SIGKILL');
  await until(`${victim} is gone`, () => !isAlive(program));
  const survivor = (controllers.indexOf(victim) + 1) % controllers.length;
  const took = await Promise.all(
    names.map(async (name) => {
      await load.create(name, survivor);
      return performance.now() - killedAt;
    }),
  );
  await startNode(cluster.topology, { name: victim, role: 'controller' });
  const back = async (): Promise<boolean> => [...(await owners()).values()].includes(victim);
  await until(`${victim} owns shards again`, back);
  console.log(`round ${round}: ${victim} killed; answered after ${took.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  return took;
}

const percentile = (values: readonly number[], part: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.ceil(values.length * part) - 1)] ?? Number.NaN;

test('a killed controller is replaced within 3 s; every command is applied once, no key has two answers', async () => {
  load.start(lanes);
  const took: number[] = [];
  for (let round = 1; round <= takeovers; round += 1) took.push(...(await killBusiest(round)));
  await load.stop();
  const [half, most] = [percentile(took, 0.5), percentile(took, 0.99)];
  console.log(
    `${takeovers} takeovers: p50 ${half.toFixed(0)} ms, p99 ${most.toFixed(0)} ms; ` +
      `${load.answered.length} commands answered, asked again ${load.askedAgain} times`,
  );
  assert.ok(load.answered.length > takeovers * probes * 2, 'the load was answered all the time');
  const numbers = new Set<number>();
  for (const [at, { name, key, result }] of load.answered.entries()) {
    const again = await load.ask(name, key, at);
    assert.equal(again, result, `the key of ${name} has two answers`);
    assert.is(await load.timesApplied(`tenant/${name}/${name}`, key), 1, `the creation of ${name} is applied once`);
    const vpc = await load.read(`vpc/${name}/main`);
    assert.is(vpc.stateName, 'ready');
    numbers.add((vpc.status as { vni: number }).vni);
  }
  assert.is(numbers.size, load.answered.length, 'no VNI was given twice');
  const judged = took.length >= enoughTimes ? most : half;
  assert.ok(judged < takeoverLimitMs, `the takeovers took p50 ${half.toFixed(0)}, p99 ${most.toFixed(0)} ms`);
});

test.run();
