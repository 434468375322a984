// test limit: 100 s
/**
 * A controller and a worker on a real Redis Cluster of three primaries, each with host, journal and archive. With
 * actors on every primary, and one pinned to the worker: history is archived and read back, operator verbs work, a slot
 * is moved under a busy actor, and restoring an older copy of one primary begins a new era. Killed controllers are in
 * fleet-on-cluster.test.ts; API and peer server are not tested here.
 */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createHistorian } from '../archive/archived-history.ts';
import { HistoryArchiver } from '../archive/history-archiver.ts';
import { readRunLine } from '../archive/chunk-reader.ts';
import { ChunkWriter } from '../archive/chunk-writer.ts';
import type { Commit } from '../contract/journal.ts';
import type { Historian } from '../contract/historian.ts';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import { ask, Net, said } from '../hosting/host-for-tests.ts';
import { createHost, type Host } from '../hosting/host.ts';
import { plainRegistry } from '../hosting/kinds-for-tests.ts';
import { createSystemRandom } from '../hosting/system-random.ts';
import { OrdinalMemory } from '../journal/ordinal-memory.ts';
import { processClock as clock, recordedLog, TestRedis, until } from '../journal/redis-for-tests.ts';
import { createJournal, type RedisJournal } from '../journal/redis-journal.ts';
import { startCluster, type TestCluster } from '../journal/redis-topologies-for-tests.ts';
import { shardCount, shardOf, slotOfTag } from '../journal/shard-placement.ts';
import { connectStore, type Store } from '../journal/store-connection.ts';
import { ClusterClock } from './cluster-clock.ts';
import { joinCluster, type Membership, type NodeRecord } from './cluster-membership.ts';

const historyCap = 400;

interface ClusterNode {
  readonly store: Store;
  readonly journal: RedisJournal;
  readonly host: Host;
  readonly membership: Membership;
  readonly historian: Historian;
  readonly eras: number[];
  end(): Promise<void>;
}

/** What the nodes of a test share. */
interface Scene {
  readonly cluster: TestCluster;
  readonly net: Net;
  readonly folder: string;
}

/** Composed like member-node.ts, but links are direct calls and archives of peers are read from their folders. */
async function startNode(scene: Scene, name: string, role: NodeRecord['role']): Promise<ClusterNode> {
  const { cluster, net } = scene;
  const log = recordedLog();
  const folder = join(scene.folder, name, 'archive');
  const store = await connectStore({ url: cluster.url, clock, log });
  const memory = new OrdinalMemory({ path: join(scene.folder, `${name}.json`), clock, log });
  const writer = new ChunkWriter({ folder, node: name });
  const archiver = new HistoryArchiver({ store, writer, clock, log, historyCap });
  const archive = { historyCap, note: (commit: Commit) => archiver.note(commit) };
  const journal = createJournal({ store, clock, log, memory, archive });
  const joined: { membership?: Membership } = {};
  const verify: Membership['verify'] = async (shard) => await joined.membership?.verify(shard);
  const changes: (() => void)[] = [];
  const host = createHost({
    registry: plainRegistry(),
    journal,
    directory: {
      ownerOf: (id) => joined.membership?.directory.ownerOf(id),
      refresh: async () => await joined.membership?.directory.refresh(),
      onChange: (listener) => void changes.push(listener),
    },
    outlet: net.outlet,
    nodeName: name,
    clock,
    random: createSystemRandom(),
    log,
    onFenced: ({ shard }) => void verify(shard),
    onStranger: (shard) => void verify(shard),
  });
  net.nodes.set(name, host);
  journal.onFenced((shard) => void verify(shard));
  journal.onRolledBack((rollback) => joined.membership?.rolledBack(rollback));
  const eras: number[] = [];
  const membership = await joinCluster({
    store,
    node: { name, role, peerUrl: '', boot: `${name}-1` },
    clock: new ClusterClock(clock),
    log,
    onGrant: (grant) => {
      journal.adopt(grant);
      void host.grant(grant);
    },
    onLost: (shard) => {
      journal.drop(shard);
      host.revoke(shard);
    },
    onHandover: (shards) => host.retire(shards),
    onNode: () => {},
    onEra: (era) => eras.push(era),
    knownEra: memory.era,
    beatMs: 50,
    silenceMs: 1_500,
  });
  joined.membership = membership;
  for (const listener of changes) membership.directory.onChange?.(listener);
  const fetchRun = (place: Parameters<typeof readRunLine>[1]): Promise<string> =>
    readRunLine(join(scene.folder, place.node, 'archive'), place);
  const historian = createHistorian({ store, node: name, folder, fetchRun, status: () => archiver.figures() });
  return {
    store,
    journal,
    host,
    membership,
    historian,
    eras,
    async end() {
      const stopped = archiver.stop();
      journal.close();
      store.close();
      await stopped;
    },
  };
}

/** A counter actor per primary, then one that is pinned to the worker. */
async function countersOf(cluster: TestCluster): Promise<readonly ActorId[]> {
  const found = new Map<TestRedis, ActorId>();
  for (let at = 0; found.size < cluster.nodes.length; at += 1) {
    const id = actorId(`counter/t/c${at}`);
    const primary = await cluster.ownerOf(slotOfTag(shardOf(id)));
    if (!found.has(primary)) found.set(primary, id);
  }
  return [...cluster.nodes.map((node) => found.get(node) as ActorId), actorId('counter/t/pinned@w1')];
}

async function add(node: ClusterNode, id: string, times: number): Promise<void> {
  const replies = await Promise.all(Array.from({ length: times }, () => ask(node.host, id, { type: 'counter.add' })));
  for (const reply of replies) assert.ok(reply.ok, JSON.stringify(reply));
}

const total = async (node: ClusterNode, id: string): Promise<unknown> => {
  const reply = await ask(node.host, id, { type: 'counter.read' });
  return (said(reply) as { total?: number }).total ?? said(reply);
};

const archived = (node: ClusterNode, id: ActorId): Promise<void> => {
  const key = node.store.keys.inShard(shardOf(id), `h:${id}`);
  const hot = (): Promise<number> => node.store.shared.run((redis) => redis.xlen(key));
  return until(`the older history of ${id} is archived`, async () => (await hot()) <= 64);
};

/** The whole history is read back, from the store and from the archives of both nodes. */
async function provedArchived(node: ClusterNode, id: ActorId): Promise<void> {
  await archived(node, id);
  const entries = await node.historian.history(id, { after: 0, limit: 10_000 });
  assert.equal(
    entries.map(({ version }) => version),
    Array.from({ length: entries.length }, (_, at) => at + 1),
  );
  assert.ok(entries.length > 100, `${entries.length} entries`);
  assert.is(((await node.historian.at(id, 17)).context as { total: number }).total, 17);
}

async function provedOperable(node: ClusterNode, id: ActorId): Promise<void> {
  const verb = async (name: string, more: object = {}): Promise<unknown> =>
    said(await ask(node.host, id, { type: `actor.${name}`, reason: 'test', ...more }));
  const before = await total(node, id);
  await verb('pause');
  assert.is(await total(node, id), 'paused');
  await verb('resume');
  assert.is(await total(node, id), before);
  assert.is(said(await ask(node.host, id, { type: 'counter.crash' })), 'chart_failed');
  assert.is(await total(node, id), 'quarantined');
  const plan = (await verb('reset', { to: 'counting', patch: { total: 5 }, dryRun: true })) as { to: string };
  assert.is(plan.to, 'counting');
  assert.is(await total(node, id), 'quarantined', 'a dry run changes nothing');
  await verb('reset', { to: 'counting', patch: { total: 5 } });
  assert.is(await total(node, id), 5);
}

/** Messages to an actor that does not exist become dead letters: one is skipped, the other redriven. */
async function provedRedriven(node: ClusterNode, id: string): Promise<void> {
  const send = { type: 'relay.send', to: id, as: 'counter.add' };
  await ask(node.host, 'relay/t/r', send);
  await ask(node.host, 'relay/t/r', send);
  const deadLetters = () => node.journal.deadLetters(actorId(id));
  await until('both are dead letters', async () => (await deadLetters()).length === 2);
  await ask(node.host, id, { type: 'counter.create', by: 40 });
  const [first] = await deadLetters();
  const asked = (name: string, more: object) => ask(node.host, id, { type: `actor.${name}`, reason: 'test', ...more });
  assert.ok((await asked('skip', { deadLetters: [first?.deadLetterId] })).ok);
  assert.ok((await asked('redrive', {})).ok);
  assert.is(await total(node, id), 41);
  assert.is((await deadLetters()).length, 0);
}

/** Sends commands one after the other during the work. @returns ms that the slowest of them took */
async function slowestDuring(node: ClusterNode, id: string, work: () => Promise<void>): Promise<number> {
  let [over, slowestMs] = [false, 0];
  const asking = (async () => {
    while (!over) {
      const startedMs = performance.now();
      assert.ok((await ask(node.host, id, { type: 'counter.add' })).ok);
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
    }
  })();
  asking.catch(() => undefined); // awaited below
  await work();
  over = true;
  await asking;
  return slowestMs;
}

async function withNodes(work: (scene: Scene, nodes: readonly [ClusterNode, ClusterNode]) => Promise<void>) {
  const cluster = await startCluster();
  const folder = await mkdtemp(join(tmpdir(), 'photon-cluster-nodes-test-'));
  const nodes: ClusterNode[] = [];
  try {
    const scene = { cluster, folder, net: new Net() };
    const c1 = await startNode(scene, 'c1', 'controller');
    nodes.push(c1);
    const w1 = await startNode(scene, 'w1', 'worker');
    nodes.push(w1);
    const owns = ({ membership }: ClusterNode): number => membership.grants().length;
    await until('each has its shards', () => owns(c1) === shardCount && owns(w1) === 1);
    await work(scene, [c1, w1]);
  } finally {
    for (const node of nodes) await node.end();
    await cluster.remove();
    await rm(folder, { recursive: true, force: true });
  }
}

test('archive and operator verbs work on three primaries while a slot is moved', async () => {
  await withNodes(async ({ cluster }, [c1]) => {
    const ids = await countersOf(cluster);
    for (const id of ids) assert.ok((await ask(c1.host, id, { type: 'counter.create' })).ok, id);
    for (const id of ids) for (let round = 0; round < 5; round += 1) await add(c1, id, 30);

    const id = ids[0] as ActorId;
    const slot = slotOfTag(shardOf(id));
    const calmMs = await slowestDuring(c1, id, () => add(c1, ids[1] as ActorId, 20));
    const movedMs = await slowestDuring(c1, id, () => cluster.moveSlot(slot, cluster.nodes[1] as TestRedis));
    console.log(`a slot moves: slowest command ${movedMs.toFixed(0)} ms (${calmMs.toFixed(0)} ms before)`);

    for (const each of ids) await provedArchived(c1, each);
    for (const each of ids) await provedOperable(c1, each);
    for (const each of ids) await provedRedriven(c1, each.replace('counter/t/', 'counter/t/new-'));
  });
});

test('restoring an older copy of one primary of three begins a new era, and all actors go on', async () => {
  await withNodes(async ({ cluster, folder }, [c1, w1]) => {
    const ids = await countersOf(cluster);
    for (const id of ids) assert.ok((await ask(c1.host, id, { type: 'counter.create', by: 1 })).ok, id);
    for (const id of ids) await add(c1, id, 3);
    const [primary] = cluster.nodes as [TestRedis];
    const [files, copy] = [join(primary.folder, 'appendonlydir'), join(folder, 'copy')];
    await cp(files, copy, { recursive: true });
    for (const id of ids) await add(c1, id, 3);
    await primary.kill();
    await rm(files, { recursive: true });
    await cp(copy, files, { recursive: true });
    await primary.launch();
    await until('both are in the new era', () => c1.eras.length > 0 && w1.eras.length > 0);
    const current = (): number =>
      [c1, w1].flatMap(({ membership }) => membership.grants()).filter(({ era }) => era === 2).length;
    await until('every shard is owned in it', () => current() === shardCount + 1);
    assert.equal([c1.eras, w1.eras], [[2], [2]]);

    const totals = await Promise.all(ids.map((id) => total(c1, id)));
    const pinnedThere = (await cluster.ownerOf(slotOfTag(shardOf(ids[3] as ActorId)))) === primary;
    assert.equal(totals, [4, 7, 7, pinnedThere ? 4 : 7], 'only actors on the restored primary were rolled back');
    for (const id of ids) await add(c1, id, 120);
    for (const id of ids) await provedOperable(c1, id);
    await provedRedriven(c1, 'counter/t/new');
    for (const id of ids) await archived(c1, id);
  });
});

test.run();
