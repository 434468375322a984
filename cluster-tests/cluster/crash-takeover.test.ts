// needs: kernel
// runs: alone
// time limit: 900 s
// test limit: 850 s
/**
 * Three controllers under load from sessions to each; the one that owns the busiest shard is killed with SIGKILL, again
 * and again (PHOTON_TAKEOVERS, 5). Others take over within 3 s, every answered command stands once, and every key asked
 * again has the same answer. The time is the 99th percentile where there are enough of them to have one, and the median
 * of a few.
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
/** Below so many times the 99th percentile is but the worst of them. */
const enoughTimes = 100;

let cluster: PhotonCluster;
let load: TakeoverLoad;

test.before(async () => {
  cluster = await launchCluster({ stem: 'takeo', nodes });
  await until('every controller owns a part', async () => new Set((await owners()).values()).size === 3, 60_000);
  load = await TakeoverLoad.open(cluster, controllers);
});

test.after(async () => {
  load?.close();
  await cluster?.topology.stop(0);
});

/** Shard -> node, from the store itself. */
async function owners(): Promise<Map<string, string>> {
  const { topology } = cluster;
  const password = readFileSync(join(topology.node('c1').folder, 'store.password'), 'utf8').trim();
  const login = ['--user', 'photon', '--pass', password, '--no-auth-warning'];
  const argv = ['redis-cli', '-h', topology.node('s1').address, ...login, '--json'];
  const map = JSON.parse(await topology.exec('s1', [...argv, 'hgetall', `ph:${topology.prefix}:map`])) as object;
  const lines = Object.entries(map as Record<string, string>).filter(([shard]) =>
    sharedShards.includes(shard as never),
  );
  return new Map(lines.map(([shard, grant]) => [shard, parseGrant(grant).node]));
}

/** Names of tenants whose actors live in shards of this node. */
function namesOwnedBy(node: string, round: number, map: ReadonlyMap<string, string>): string[] {
  const names: string[] = [];
  for (let index = 0; names.length < probes; index += 1) {
    const name = `p${round}-${index}`;
    if (map.get(shardOf(actorId(`tenant/${name}/${name}`))) === node) names.push(name);
  }
  return names;
}

/** @returns after how long each command to an actor of the killed node was answered */
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
  await until(`${victim} owns shards again`, back, 60_000);
  console.log(`round ${round}: ${victim} killed; answered after ${took.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  return took;
}

const percentile = (values: readonly number[], part: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.ceil(values.length * part) - 1)] ?? Number.NaN;

test('killed under load: taken over within 3 s, every command stands once, every key has one answer', async () => {
  load.start(lanes);
  const took: number[] = [];
  for (let round = 1; round <= takeovers; round += 1) took.push(...(await killBusiest(round)));
  await load.stop();
  const [half, most] = [percentile(took, 0.5), percentile(took, 0.99)];
  console.log(
    `${takeovers} takeovers: p50 ${half.toFixed(0)} ms, p99 ${most.toFixed(0)} ms; ` +
      `${load.answered.length} commands answered, asked again ${load.askedAgain} times`,
  );
  assert.ok(load.answered.length > takeovers * probes * 2, 'the load went on');
  const numbers = new Set<number>();
  for (const [at, { name, key, result }] of load.answered.entries()) {
    const again = await load.ask(name, key, at);
    assert.equal(again, result, `the key of ${name} has two answers`);
    assert.is(await load.standing(`tenant/${name}/${name}`, key), 1, `the creation of ${name} stands once`);
    const vpc = await load.read(`vpc/${name}/main`);
    assert.is(vpc.stateName, 'ready');
    numbers.add((vpc.status as { vni: number }).vni);
  }
  assert.is(numbers.size, load.answered.length, 'no VPC number was given twice');
  const judged = took.length >= enoughTimes ? most : half;
  assert.ok(judged < takeoverLimitMs, `the takeovers took p50 ${half.toFixed(0)}, p99 ${most.toFixed(0)} ms`);
});

test.run();
