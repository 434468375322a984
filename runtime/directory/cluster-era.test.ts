/** After a store rollback the node that notices begins a new era; a restart of the store begins none. */
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import { commitOf } from '../journal/commit-for-tests.ts';
import { OrdinalMemory, type StoreRollback } from '../journal/ordinal-memory.ts';
import { processClock as clock, recordedLog, TestRedis, until } from '../journal/redis-for-tests.ts';
import { createJournal, type RedisJournal } from '../journal/redis-journal.ts';
import { shardCount, shardOf } from '../journal/shard-placement.ts';
import { connectStore } from '../journal/store-connection.ts';
import { ClusterClock } from './cluster-clock.ts';
import { joinCluster, type Membership } from './cluster-membership.ts';

interface TestNode {
  readonly journal: RedisJournal;
  readonly membership: Membership;
  readonly eras: number[];
  readonly lost: string[];
  readonly lines: readonly string[];
  /** Ends the node like a crash; its file of acknowledged ordinals stays as last written. */
  die(): void;
}

interface Stage {
  redis: TestRedis;
  folder: string;
  nodes: TestNode[];
}

const test = suite<Stage>('cluster era');
const id = actorId('vm/acme/rewound');
const other = actorId('vm/acme/kept');
const shard = shardOf(id);

test.before.each(async (stage) => {
  stage.redis = await TestRedis.start();
  stage.folder = await mkdtemp(join(tmpdir(), 'photon-era-test-'));
  stage.nodes = [];
});

test.after.each(async ({ redis, folder, nodes }) => {
  for (const node of nodes) node.die();
  await redis.remove();
  await rm(folder, { recursive: true, force: true });
});

async function startNode(stage: Stage, name: string, boot = `${name}-1`, beatMs = 50): Promise<TestNode> {
  const log = recordedLog();
  const store = await connectStore({ url: stage.redis.url, clock, log });
  const memory = new OrdinalMemory({ path: join(stage.folder, name), clock, log });
  const journal = createJournal({ store, clock, log, memory });
  const [eras, lost]: [number[], string[]] = [[], []];
  const joined: { membership?: Membership; rollback?: StoreRollback } = {};
  journal.onRolledBack((rollback) => {
    joined.rollback = rollback;
    joined.membership?.rolledBack(rollback);
  });
  const membership = await joinCluster({
    store,
    node: { name, role: 'controller', peerUrl: '', boot },
    clock: new ClusterClock(clock),
    log,
    onGrant: (grant) => journal.adopt(grant),
    onLost: (one) => {
      lost.push(one);
      journal.drop(one);
    },
    onHandover: () => Promise.resolve(),
    onNode: () => {},
    onEra: (era) => eras.push(era),
    knownEra: memory.era,
    beatMs,
    silenceMs: 400,
  });
  joined.membership = membership;
  if (joined.rollback !== undefined) membership.rolledBack(joined.rollback);
  const die = (): void => {
    journal.close();
    store.close();
  };
  const node = { journal, membership, eras, lost, lines: log.lines, die };
  stage.nodes.push(node);
  return node;
}

const grants = (stage: Stage): readonly ShardGrant[] => stage.nodes.flatMap((node) => node.membership.grants());
const ownerOf = (stage: Stage, which = shard): { node: TestNode; grant: ShardGrant } => {
  for (const node of stage.nodes) {
    const grant = node.membership.grants().find((one) => one.shard === which);
    if (grant !== undefined) return { node, grant };
  }
  throw new Error(`nobody owns ${which}`);
};
const allOwned = (stage: Stage, era: number): Promise<void> =>
  until(`every shard is owned in era ${era}`, () => {
    const of = grants(stage).filter((grant) => grant.era === era);
    return of.length === shardCount && new Set(of.map((grant) => grant.shard)).size === shardCount;
  });
/** Committed by the present owner, since shards move between nodes meanwhile. */
const commit = (stage: Stage, which = id, version = 1): Promise<void> =>
  until(`version ${version} is committed`, async () => {
    const owner = stage.nodes.find((node) => node.membership.grants().some((one) => one.shard === shardOf(which)));
    if (owner === undefined) return false;
    const { grant } = ownerOf(stage, shardOf(which));
    return (await owner.journal.commit(commitOf(which, version, { grant }))).result === 'committed';
  });
const record = async ({ redis }: Stage, field: string): Promise<string> =>
  String(await redis.ask('HGET', 'ph:cluster', field));

const aof = ({ redis }: Stage): string => join(redis.folder, 'appendonlydir');
const backup = (stage: Stage): string => join(stage.folder, 'copy');
const copyStore = (stage: Stage): Promise<void> => cp(aof(stage), backup(stage), { recursive: true });
async function putBack(stage: Stage): Promise<void> {
  await stage.redis.kill();
  await rm(aof(stage), { recursive: true });
  await cp(backup(stage), aof(stage), { recursive: true });
}

test('a restored store begins a new era: every shard is claimed again, old grants are refused', async (stage) => {
  const [c1, c2] = [await startNode(stage, 'c1'), await startNode(stage, 'c2')];
  await allOwned(stage, 1);
  await commit(stage);
  await copyStore(stage);
  const before = ownerOf(stage);
  await commit(stage, id, 2);
  await commit(stage, id, 3);
  await putBack(stage);
  // Decided on lost state: this commit must not reach the rolled-back store, whatever its version.
  const late = before.node.journal.commit(commitOf(id, 2, { grant: before.grant }));
  await stage.redis.launch();
  assert.equal(await late, { result: 'fenced' });
  await allOwned(stage, 2);
  await until('both are in the new era', () => c1.eras.length === 1 && c2.eras.length === 1);
  assert.equal([c1.eras, c2.eras], [[2], [2]]);
  assert.ok(c1.lost.length + c2.lost.length >= shardCount);
  assert.is(await record(stage, 'era'), '2');
  assert.match(await record(stage, 'eraBecause'), `shard ${shard} is at ordinal 1, 3 was acknowledged`);
  assert.equal(await before.node.journal.commit(commitOf(id, 2, { grant: before.grant })), { result: 'fenced' });
  await commit(stage, id, 2);
  const after = ownerOf(stage);
  assert.equal([after.grant.era, after.grant.ownerEpoch > before.grant.ownerEpoch], [2, true]);
  assert.is((await after.node.journal.backlog(after.grant)).outbox.length, 0);
  await after.node.journal.assureStore();
});

test('a restart of the store, or a restore that lost no acknowledged commit, keeps the era', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await allOwned(stage, 1);
  await commit(stage);
  await copyStore(stage);
  await putBack(stage);
  await stage.redis.launch();
  await commit(stage, id, 2);
  await stage.redis.kill();
  await stage.redis.launch();
  await commit(stage, id, 3);
  assert.equal([c1.eras, c1.lost, await record(stage, 'era')], [[], [], '1']);
});

test('a rollback while no node ran is noticed by the files of the nodes', async (stage) => {
  await startNode(stage, 'c1');
  await allOwned(stage, 1);
  await commit(stage, other);
  await copyStore(stage);
  await commit(stage);
  for (const node of stage.nodes.splice(0)) node.die();
  await putBack(stage);
  await stage.redis.launch();
  const again = await startNode(stage, 'c1', 'c1-2');
  await allOwned(stage, 2);
  assert.equal(again.eras, [2]);
  await commit(stage);
});

test('an emptied store, without a cluster record, begins a new era', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await allOwned(stage, 1);
  await commit(stage);
  await stage.redis.kill();
  await rm(aof(stage), { recursive: true });
  await stage.redis.launch();
  await allOwned(stage, 2);
  await commit(stage);
  assert.equal(c1.eras, [2]);
  assert.is(await record(stage, 'shards'), String(shardCount), 'the whole record is there again');
  assert.ok(JSON.parse(String(await stage.redis.ask('HGET', 'ph:nodes', 'c1'))), 'the node is on the list again');
});

test('a cluster record with an earlier era than was seen: the next era is above both', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await allOwned(stage, 1);
  await stage.redis.ask('HSET', 'ph:cluster', 'era', '4');
  await allOwned(stage, 4);
  await stage.redis.ask('HSET', 'ph:cluster', 'era', '2');
  await allOwned(stage, 5);
  assert.equal(c1.eras, [4, 5]);
  assert.match(await record(stage, 'eraBecause'), 'of era 2, 4 was seen');
});

test('an era begins on a connection that was made after the rollback was found', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await allOwned(stage, 1);
  // Another server may be the primary by now: written to the old one the era would be lost with it.
  const connection = async (): Promise<string | undefined> =>
    /^id=(\d+) .*name=photoncloud-membership/m.exec(String(await stage.redis.ask('CLIENT', 'LIST')))?.[1];
  const before = await connection();
  assert.ok(before);
  c1.membership.rolledBack({ era: 1, shard, known: 2, found: 1 });
  await allOwned(stage, 2);
  assert.is.not(await connection(), before);
  assert.equal(c1.eras, [2]);
});

test('a shard handed over in a newer era is not claimed under an older one', async (stage) => {
  // The node beats only once, so it learns of later changes only through messages that arrive.
  const c1 = await startNode(stage, 'c1', 'c1-1', 60_000);
  await allOwned(stage, 1);
  const key = `ph:{${shard}}:o`;
  // Simulates another node that begins the next era, claims the shard and hands it over within one beat of this node.
  await stage.redis.ask('HSET', 'ph:cluster', 'era', '2');
  await stage.redis.ask('SET', key, '2|7|c2');
  await c1.membership.verify(shard);
  await stage.redis.ask('SET', key, '2|7|c1');
  await c1.membership.verify(shard);
  assert.is(await stage.redis.ask('GET', key), '2|7|c1');
  assert.is(c1.membership.grants().length, shardCount - 1);
});

test('a shard with a grant of an era that the cluster record has lost: the next era is above both', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await allOwned(stage, 1);
  await stage.redis.ask('SET', `ph:{${shard}}:o`, '4|7|c1');
  await c1.membership.verify(shard);
  await allOwned(stage, 5);
  assert.equal(c1.eras, [5]);
});

test.run();
