// needs: kernel
// time limit: 420 s
// test limit: 200 s
/**
 * Bindings whose port is gone, on real processes and the real kernel: one port vanishes from the store while everything
 * runs, and another one with a rollback of the store. Tap, routes on both hosts and elements in the firewall go within
 * 10 s, and the ports beside it keep their taps.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ActorObject } from '@photoncloud/runtime/client/client';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launchCluster, startNode, type PhotonCluster } from './cluster-launch.ts';
import { sightOf, wordsFor, type SeenTap } from './crash-sight.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { findProgram } from './node-program.ts';
import type { PlannedNode } from './photon-commands.ts';
import { isAlive, signal, until } from './process-identity.ts';
import { copyStore } from './store-copy.ts';

const test = suite('lost ports');
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
  { name: 'w2', role: 'worker' },
];

let cluster: PhotonCluster;
let acme: CrashTenant;

test.before(async () => {
  cluster = await launchCluster({ stem: 'stray', nodes });
  acme = await CrashTenant.open(cluster);
  await acme.ask('tenant.create', tenant);
  await acme.reachState(`vpc/${tenant}/main`, /^ready$/);
  await acme.ask('network.create', 'front', { subnets: [{ name: 'web', cidr: '10.20.0.0/24' }] });
  await acme.directPort('beside', 'w1');
  await acme.directPort('far', 'w2');
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop(0);
});

async function redis(...words: readonly string[]): Promise<string> {
  const { topology } = cluster;
  const password = readFileSync(join(topology.node('c1').folder, 'store.password'), 'utf8').trim();
  const login = ['--user', 'c1', '--pass', password, '--no-auth-warning'];
  return await topology.exec('s1', ['redis-cli', '-h', topology.node('s1').address, ...login, ...words]);
}

/** The store forgets an actor: its record, its history, and that it is live. */
async function forget(id: string): Promise<void> {
  const shard = `ph:${cluster.topology.prefix}:{${shardOf(actorId(id))}}`;
  assert.is((await redis('del', `${shard}:a:${id}`)).trim(), '1');
  await redis('del', `${shard}:h:${id}`);
  await redis('srem', `${shard}:i`, id);
}

const addressOf = async (name: string): Promise<string> => {
  const { status } = await acme.reachState(`port/${tenant}/${name}`, /^active$/);
  return (status as { readonly address: string }).address;
};

async function tapOf(name: string, node: string): Promise<SeenTap | undefined> {
  const { taps } = await sightOf(cluster.topology, node);
  return taps.find(({ owner }) => owner === `binding/${tenant}/${name}@${node}`);
}

/** Everything in the VPC's namespace of a worker that names the address: routes, neighbours, elements of sets. */
async function tracesOf(address: string, node: string): Promise<string[]> {
  const { taps } = await sightOf(cluster.topology, node);
  const namespace = taps.find((tap) => tap.namespace !== '')?.namespace ?? '';
  const script = '{ ip route; ip route show table all; ip neigh; nft list ruleset; } | grep -wF "$0" || true';
  const inside = ['nsenter', `--net=/run/netns/${namespace}`, 'sh', '-c', script, address];
  return (await cluster.topology.exec(node, inside)).split('\n').filter((line) => line.trim() !== '');
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/**
 * Waits until neither its tap nor what `read` finds is left. The promise is 10 s; the deadline is for a busy machine,
 * and less than the minute between two sweeps. @returns ms since `startedMs`
 */
async function untilGone(name: string, startedMs: number, read: () => Promise<string[]>): Promise<number> {
  let left: string[] = [];
  const isGone = async (): Promise<boolean> => {
    const tap = await tapOf(name, 'w1');
    left = [...(tap === undefined ? [] : [`tap ${tap.name}`]), ...(await read())];
    return left.length === 0;
  };
  await until(`nothing of ${name} is left`, isGone, 50_000).catch(async (error: unknown) => {
    throw new Error(`${String(error)}: ${left.join('; ')}; ${wordsFor(await sightOf(cluster.topology, 'w1'))}`);
  });
  return performance.now() - startedMs;
}

async function vanish(name: string, restart: boolean): Promise<void> {
  await acme.directPort(name, 'w1');
  const address = await addressOf(name);
  const before = [await tapOf('beside', 'w1'), await tapOf('far', 'w2')];
  assert.ok((await tapOf(name, 'w1')) !== undefined && (await tracesOf(address, 'w2')).length > 0);
  let startedMs = performance.now();
  await forget(`port/${tenant}/${name}`);
  if (restart) {
    const program = findProgram(cluster.topology, 'c1', 'controller');
    signal(program, 'SIGKILL');
    await until('the controller is gone', () => !isAlive(program));
    await startNode(cluster.topology, { name: 'c1', role: 'controller' });
    // Answered by an actor: the controller has its shards again.
    await acme.ask('port.unbind', 'far');
    await acme.ask('port.delete', 'far');
    await acme.directPort('far', 'w2');
    before[1] = await tapOf('far', 'w2');
    startedMs = performance.now();
  }
  const tookMs = await untilGone(name, startedMs, async () => [
    ...(await tracesOf(address, 'w1')),
    ...(await tracesOf(address, 'w2')),
  ]);
  console.log(`${name}: nothing is left ${seconds(tookMs)} after ${restart ? 'the controller is back' : 'the loss'}`);
  assert.equal([await tapOf('beside', 'w1'), await tapOf('far', 'w2')], before, 'ports beside it keep their taps');
  // Its name can be used again.
  await acme.directPort(name, 'w2');
}

test('the record of a port vanishes while its controller has it in memory', () => vanish('held', false));
test('the record of a port vanishes, and its controller starts again', () => vanish('lost', true));

test('a port made after the copy of a store is lost: its tap goes once the barrier is released', async () => {
  const rollBack = copyStore(cluster.topology);
  await acme.directPort('after', 'w1');
  const address = await addressOf('after');
  const tap = (await tapOf('after', 'w1'))?.name ?? '';
  const before = [await tapOf('beside', 'w1'), await tapOf('far', 'w2')];
  const hasDhcp = async () =>
    (await sightOf(cluster.topology, 'w1')).dhcpHosts.some((host) => host.address === address);
  // What its VPC had told the hosts about it goes with the next change of it: docs/decisions/0007-era-and-barrier.md.
  const left = async (): Promise<string[]> => [
    ...(await tracesOf(tap, 'w1')),
    ...(await tracesOf(address, 'w1')).filter((line) => !/[{},]/.test(line)),
    ...((await hasDhcp()) ? ['a DHCP host'] : []),
  ];
  assert.ok((await left()).length >= 4, (await left()).join());
  await rollBack();
  const startedMs = performance.now();
  const isOpen = (actor: ActorObject | undefined): boolean =>
    actor?.stateName === 'open' && (actor.status as { readonly era: number }).era === 2;
  await acme.reach('cluster/system/main', 'open in its second era', isOpen, 60_000);
  const openMs = performance.now();
  const tookMs = await untilGone('after', openMs, left);
  console.log(
    `open ${seconds(openMs - startedMs)} after the rollback; after: nothing is left ${seconds(tookMs)} later`,
  );
  assert.equal([await tapOf('beside', 'w1'), await tapOf('far', 'w2')], before, 'ports of the copy keep their taps');
});

test.run();
