import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import { commitOf } from '../journal/commit-for-tests.ts';
import { processClock as clock, recordedLog, TestRedis, until } from '../journal/redis-for-tests.ts';
import { createJournal, type RedisJournal } from '../journal/redis-journal.ts';
import { shardCount, shardOf } from '../journal/shard-placement.ts';
import { connectStore, type Store } from '../journal/store-connection.ts';
import { joinCluster, type Membership, type NodeEvent, type NodeRecord } from './cluster-membership.ts';

interface Stage {
  redis: TestRedis;
  nodes: TestNode[];
}

interface TestNode {
  readonly store: Store;
  readonly journal: RedisJournal;
  readonly membership: Membership;
  readonly granted: ShardGrant[];
  readonly lost: string[];
  readonly events: string[];
  readonly log: ReturnType<typeof recordedLog>;
  /** As a process that dies: nothing is given back. */
  die(): void;
}

const test = suite<Stage>('cluster membership');
const beatMs = 50;
const silenceMs = 400;

test.before.each(async (stage) => {
  stage.redis = await TestRedis.start();
  stage.nodes = [];
});

test.after.each(async ({ redis, nodes }) => {
  for (const node of nodes) node.die();
  await redis.remove();
});

async function startNode(stage: Stage, name: string, role: NodeRecord['role'] = 'controller', boot = `${name}-1`): Promise<TestNode> {
  const log = recordedLog();
  const store = await connectStore({ url: stage.redis.url, clock, log });
  const journal = createJournal({ store, clock, log });
  const granted: ShardGrant[] = [];
  const lost: string[] = [];
  const events: string[] = [];
  const membership = await joinCluster({
    store,
    node: { name, role, peerUrl: `wss://${name}`, boot },
    clock,
    log,
    onGrant: (grant) => {
      granted.push(grant);
      journal.adopt(grant);
    },
    onLost: (shard) => {
      lost.push(shard);
      journal.drop(shard);
    },
    onNode: ({ event, node }: NodeEvent) => events.push(`${event} ${node.name}`),
    beatMs,
    silenceMs,
  });
  journal.onFenced((shard) => void membership.verify(shard));
  const die = (): void => {
    journal.close();
    store.close();
  };
  const started = { store, journal, membership, granted, lost, events, log, die };
  stage.nodes.push(started);
  return started;
}

const id = actorId('vm/acme/moving');
const shard = shardOf(id);
const grantIn = (node: TestNode): ShardGrant => node.membership.grants().find((grant) => grant.shard === shard) as ShardGrant;

test('the first controller takes all shards, and a worker its own', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  assert.is(c1.granted.length, 0, 'grants come after joining');
  await until('all shards are granted', () => c1.granted.length === shardCount);
  const w1 = await startNode(stage, 'w1', 'worker');
  await until('the host shard is granted', () => w1.granted.length === 1);
  assert.equal(w1.granted[0], { shard: 'host:w1', node: 'w1', era: 1, ownerEpoch: 1 });
  await until('both see both', () => c1.membership.nodes().length === 2 && w1.membership.nodes().length === 2);
  assert.equal(c1.events, ['joined w1']);
  await w1.membership.directory.refresh();
  assert.is(w1.membership.directory.ownerOf(id), 'c1');
  assert.is(c1.membership.directory.ownerOf(actorId('agent/w1/w1@w1')), 'w1');
  assert.is(c1.membership.directory.ownerOf(actorId('agent/w2/w2@w2')), undefined);
});

test('a silent controller is replaced with a higher epoch, and fenced when it comes back', async (stage) => {
  const c1 = await startNode(stage, 'c1');
  await until('c1 owns all', () => c1.granted.length === shardCount);
  const c2 = await startNode(stage, 'c2');
  const commit = (node: TestNode, version: number) => node.journal.commit(commitOf(id, version, { grant: grantIn(node) }));
  assert.is((await commit(c1, 1)).result, 'committed');
  // c1 stops beating and goes on committing, as a process whose membership is stuck.
  const grant = grantIn(c1);
  c1.store.shared.redis.disconnect();
  const [beat] = [await stage.redis.ask('HGET', 'ph:beats', 'c1')];
  c1.membership.leave = async () => {};
  await stopBeats(c1);
  assert.ok(beat);
  await until('c2 has taken all', () => c2.granted.length === shardCount);
  assert.ok(c2.events.includes('silent c1'));
  assert.is(grantIn(c2).ownerEpoch, 2);
  assert.equal(await c1.journal.commit(commitOf(id, 2, { grant })), { result: 'fenced' });
  assert.is((await commit(c2, 2)).result, 'committed');
});

/** Closes only the connection of the membership, by its name. */
async function stopBeats(node: TestNode): Promise<void> {
  const link = (node.membership as unknown as { stopForTests?: () => void }).stopForTests;
  assert.ok(link, 'no way to stop the beats');
  link();
}

test.run();
