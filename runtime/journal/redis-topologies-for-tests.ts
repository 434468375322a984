/**
 * Stores of several servers for tests, all on loopback, each server with its own folder and ports from the kernel: a
 * primary with a replica, three boxes with a Redis and a Sentinel each, a Redis Cluster of three primaries. The caller
 * removes them; servers that a test forgets end with its process. Never used outside of tests.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { durableServer, freeListenPort, TestRedis, until } from './redis-for-tests.ts';

const masterName = 'main';
const clusterSlots = 16_384;
/** Replicas sync at once, and a dead peer is noticed after seconds instead of a minute. */
const replicating = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1', '--repl-timeout', '5'];
const downAfterMs = 1_000;
/**
 * Sentinels poll servers every 10 s and each other every 2 s, and wait four times as long before they demote an old
 * primary. These periods shorten the wait of a test from 10 s to 2 s.
 */
const sentinelPeriods = ['SENTINEL', 'DEBUG', 'INFO-PERIOD', '1000', 'PUBLISH-PERIOD', '500'];

async function removeAll(servers: readonly TestRedis[]): Promise<void> {
  await Promise.all(servers.map((server) => server.remove()));
}

/** Starts servers one after the other; when one fails, the others are removed. */
async function startAll(starts: readonly (() => Promise<TestRedis>)[]): Promise<TestRedis[]> {
  const servers: TestRedis[] = [];
  try {
    for (const start of starts) servers.push(await start());
  } catch (error) {
    await removeAll(servers);
    throw error;
  }
  return servers;
}

const replicaOf = (primary: TestRedis): string[] => ['--replicaof', '127.0.0.1', String(primary.listenPort)];

async function infoOf(server: TestRedis, field: string): Promise<string | undefined> {
  const text = String(await server.ask('INFO').catch(() => ''));
  return new RegExp(`^${field}:(.*?)\\r?$`, 'm').exec(text)?.[1];
}

/** Resolves when this many replicas have acknowledged all writes of the primary. */
const inStep = (primary: () => TestRedis | Promise<TestRedis>, replicas: number): Promise<void> =>
  until(
    `${replicas} replicas are in step`,
    // The primary may have changed meanwhile, so it is looked up at each try.
    async () => (await (await primary()).ask('WAIT', '9', '1').catch(() => undefined)) === replicas,
    30_000,
  );

export interface ReplicatedStore {
  readonly primary: TestRedis;
  readonly replica: TestRedis;
  remove(): Promise<void>;
}

export async function startReplicated(extra: readonly string[] = []): Promise<ReplicatedStore> {
  const primary = await TestRedis.start([...replicating, ...extra]);
  const servers = [primary];
  const remove = (): Promise<void> => removeAll(servers);
  try {
    const replica = await TestRedis.start([...replicating, ...replicaOf(primary), ...extra]);
    servers.push(replica);
    await inStep(() => primary, 1);
    return { primary, replica, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

export interface SentinelBoxes {
  /** `redis+sentinel://` with all three Sentinels. */
  readonly url: string;
  readonly boxes: readonly TestRedis[];
  readonly sentinels: readonly TestRedis[];
  /** The box that a majority of the Sentinels names as primary. @throws Error after 30 s */
  primary(): Promise<TestRedis>;
  /**
   * Cuts the replicas off the primary, runs `meanwhile`, and kills the primary with SIGKILL: its writes of that time
   * are lost. (A replica in step would have all writes, so the test would prove nothing.)
   * @returns the killed box and the promoted one, which has a replica in step again
   */
  failOver(
    meanwhile?: (primary: TestRedis) => Promise<void>,
  ): Promise<{ readonly killed: TestRedis; readonly promoted: TestRedis }>;
  /** Makes the Sentinels promote another box while the primary runs, as an operator does before maintenance. */
  switchOver(): Promise<void>;
  /** Starts a killed box as a replica of the present primary and waits until it is in step. */
  rejoin(box: TestRedis): Promise<void>;
  remove(): Promise<void>;
}

function sentinelArguments(primary: TestRedis) {
  return (listenPort: number, folder: string): readonly string[] => {
    const path = join(folder, 'sentinel.conf');
    const lines = [
      `port ${listenPort}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor ${masterName} 127.0.0.1 ${primary.listenPort} 2`,
      `sentinel down-after-milliseconds ${masterName} ${downAfterMs}`,
      `sentinel failover-timeout ${masterName} 4000`,
      `sentinel parallel-syncs ${masterName} 1`,
    ];
    writeFileSync(path, `${lines.join('\n')}\n`);
    return [path, '--sentinel'];
  };
}

/** Three boxes, quorum 2, and no writes without a replica. */
export async function startSentinelBoxes(extra: readonly string[] = []): Promise<SentinelBoxes> {
  const options = [...replicating, '--min-replicas-to-write', '1', '--min-replicas-max-lag', '3', ...extra];
  const first = await TestRedis.start(options);
  const servers = [first];
  const remove = (): Promise<void> => removeAll(servers);
  try {
    servers.push(...(await startAll([1, 2].map(() => () => TestRedis.start([...options, ...replicaOf(first)])))));
    await inStep(() => first, 2);
    const watch = sentinelArguments(first);
    servers.push(...(await startAll([1, 2, 3].map(() => () => TestRedis.startWith(watch)))));
    for (const sentinel of servers.slice(3)) await sentinel.ask(...sentinelPeriods);
    return await watchBoxes(servers.slice(0, 3), servers.slice(3), remove);
  } catch (error) {
    await remove();
    throw error;
  }
}

async function watchBoxes(
  boxes: readonly TestRedis[],
  sentinels: readonly TestRedis[],
  remove: () => Promise<void>,
): Promise<SentinelBoxes> {
  const named = async (sentinel: TestRedis): Promise<string> =>
    String(((await sentinel.ask('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', masterName)) as string[])[1]);
  const knowsAll = async (sentinel: TestRedis): Promise<boolean> =>
    ((await infoOf(sentinel, 'master0')) ?? '').endsWith('slaves=2,sentinels=3');
  await until(
    'every Sentinel knows the others and both replicas',
    async () => (await Promise.all(sentinels.map(knowsAll))).every(Boolean),
    30_000,
  );
  const primary = async (): Promise<TestRedis> => {
    let found: TestRedis | undefined;
    await until(
      'a majority of the Sentinels names one primary',
      async () => {
        const votes = await Promise.all(sentinels.map(named));
        found = boxes.find((box) => votes.filter((vote) => vote === String(box.listenPort)).length >= 2);
        return found !== undefined && (await infoOf(found, 'role')) === 'master';
      },
      30_000,
    );
    return found as TestRedis;
  };
  return {
    url: `redis+sentinel://${sentinels.map((one) => `127.0.0.1:${one.listenPort}`).join(',')}/${masterName}`,
    boxes,
    sentinels,
    primary,
    async failOver(meanwhile) {
      const killed = await primary();
      const others = boxes.filter((box) => box !== killed);
      if (meanwhile !== undefined) {
        for (const box of others) box.signal('SIGSTOP');
        await killed.ask('CLIENT', 'KILL', 'TYPE', 'replica');
        try {
          await meanwhile(killed);
        } finally {
          await killed.kill();
          for (const box of others) box.signal('SIGCONT');
        }
      }
      await killed.kill();
      await until('another box is promoted', async () => (await primary().catch(() => killed)) !== killed);
      await inStep(primary, 1);
      return { killed, promoted: await primary() };
    },
    async switchOver() {
      const before = await primary();
      await sentinels[0]?.ask('SENTINEL', 'FAILOVER', masterName);
      await until('another box is promoted', async () => (await primary().catch(() => before)) !== before);
      await inStep(primary, 2);
    },
    async rejoin(box) {
      const now = await primary();
      await box.launch(replicaOf(now));
      await until('the box is in step', async () => (await infoOf(box, 'master_link_status')) === 'up');
      await inStep(primary, 2);
    },
    remove,
  };
}

export interface TestCluster {
  /** `redis+cluster://` with all three primaries. */
  readonly url: string;
  readonly nodes: readonly TestRedis[];
  /** Runs one command on every primary, in the order of `nodes`. */
  askAll(...command: readonly string[]): Promise<readonly unknown[]>;
  /** The primary that serves the slot now, by what the cluster says. */
  ownerOf(slot: number): Promise<TestRedis>;
  /** Moves one slot with its keys to another primary, in the steps of redis-cli --cluster reshard. */
  moveSlot(slot: number, to: TestRedis): Promise<void>;
  remove(): Promise<void>;
}

async function clusterServer(extra: readonly string[]): Promise<TestRedis> {
  const busListenPort = String(await freeListenPort());
  const options = ['--cluster-enabled', 'yes', '--cluster-port', busListenPort, '--cluster-node-timeout', '3000'];
  return TestRedis.startWith(durableServer([...options, ...extra]));
}

export async function startCluster(extra: readonly string[] = []): Promise<TestCluster> {
  const nodes = await startAll([1, 2, 3].map(() => () => clusterServer(extra)));
  const [first] = nodes as [TestRedis, TestRedis, TestRedis];
  const askAll = (...command: readonly string[]): Promise<readonly unknown[]> =>
    Promise.all(nodes.map((node) => node.ask(...command)));
  try {
    const third = Math.ceil(clusterSlots / nodes.length);
    for (const [index, node] of nodes.entries()) {
      const last = Math.min(clusterSlots, (index + 1) * third) - 1;
      await node.ask('CLUSTER', 'ADDSLOTSRANGE', String(index * third), String(last));
      await node.ask('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
      const bus = await busPortOf(node);
      if (node !== first) await first.ask('CLUSTER', 'MEET', '127.0.0.1', String(node.listenPort), bus);
    }
    await until(
      'the cluster is whole',
      async () => {
        const infos = (await askAll('CLUSTER', 'INFO')) as string[];
        return infos.every((info) => /cluster_state:ok/.test(info) && /cluster_known_nodes:3/.test(info));
      },
      20_000,
    );
  } catch (error) {
    await removeAll(nodes);
    throw error;
  }
  const ownerOf = (slot: number): Promise<TestRedis> => slotOwner(nodes, slot);
  return {
    url: `redis+cluster://${nodes.map((node) => `127.0.0.1:${node.listenPort}`).join(',')}`,
    nodes,
    askAll,
    ownerOf,
    moveSlot: async (slot, to) => moveSlot(nodes, await ownerOf(slot), to, slot),
    remove: () => removeAll(nodes),
  };
}

/** `CLUSTER NODES` names a node's addresses as `ip:port@bus`. */
async function busPortOf(node: TestRedis): Promise<string> {
  const text = String(await node.ask('CLUSTER', 'NODES'));
  return /@(\d+)/.exec(text)?.[1] ?? '';
}

async function slotOwner(nodes: readonly TestRedis[], slot: number): Promise<TestRedis> {
  for (const node of nodes) {
    const ranges = (await node.ask('CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
    const range = ranges.find(([first, last]) => first <= slot && slot <= last);
    const owner = nodes.find((each) => each.listenPort === range?.[2][1]);
    if (owner !== undefined) return owner;
  }
  throw new Error(`no primary serves slot ${slot}`);
}

async function moveSlot(nodes: readonly TestRedis[], from: TestRedis, to: TestRedis, slot: number): Promise<void> {
  const [fromId, toId] = [String(await from.ask('CLUSTER', 'MYID')), String(await to.ask('CLUSTER', 'MYID'))];
  await to.ask('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', fromId);
  await from.ask('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', toId);
  const client: Redis = from.client();
  try {
    for (;;) {
      const keys = (await client.call('CLUSTER', 'GETKEYSINSLOT', String(slot), '10')) as string[];
      if (keys.length === 0) break;
      await client.call('MIGRATE', '127.0.0.1', String(to.listenPort), '', '0', '5000', 'KEYS', ...keys);
    }
  } finally {
    client.disconnect();
  }
  for (const node of [to, from, ...nodes]) await node.ask('CLUSTER', 'SETSLOT', String(slot), 'NODE', toId);
}
