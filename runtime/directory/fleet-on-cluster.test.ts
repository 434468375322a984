// test limit: 100 s
/**
 * Three controllers as processes on a real Redis Cluster of three primaries, under load: a slot is moved to another
 * primary, a controller is killed, a primary is restarted. Commands, messages between shards, effects and timers happen
 * exactly once, and a follower of all changes misses none and sees none twice.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId, type ShardId } from '../contract/identifiers.ts';
import type { FeedEntry } from '../contract/reader.ts';
import { commandOf } from '../hosting/host-for-tests.ts';
import { processClock as clock, recordedLog, TestRedis, until } from '../journal/redis-for-tests.ts';
import { createReader } from '../journal/redis-reader.ts';
import { startCluster, type TestCluster } from '../journal/redis-topologies-for-tests.ts';
import { decodeFeedLine } from '../journal/record-decoding.ts';
import { shardCount, shardOf, sharedShards, slotOfTag } from '../journal/shard-placement.ts';
import { connectStore, readAll, type Store } from '../journal/store-connection.ts';
import { MemberFleet } from './member-fleet-for-tests.ts';
import { Load } from './member-load-for-tests.ts';

const beatMs = 100;
const silenceMs = 1_500;

/** The changes of every shard as seen by a follower from the beginning. */
class Following {
  readonly seen = new Map<ShardId, string[]>(sharedShards.map((shard) => [shard, []]));

  take = ({ id, version }: FeedEntry): void => void this.seen.get(shardOf(id))?.push(`${id}@${version}`);

  /** The entries that are stored in the feeds. */
  async stored(store: Store): Promise<ReadonlyMap<ShardId, string[]>> {
    const commands = sharedShards.map((shard) => ['xrange', store.keys.inShard(shard, 'f'), '-', '+']);
    const feeds = (await store.shared.run((redis) => readAll(redis, commands))) as [string, string[]][][];
    const lines = (feed: [string, string[]][]): string[] =>
      feed.map(([, fields]) => decodeFeedLine(fields)).map(({ id, version }) => `${id}@${version}`);
    return new Map(sharedShards.map((shard, index) => [shard, lines(feeds[index] ?? [])]));
  }
}

const moveAway = async (cluster: TestCluster, id: string): Promise<void> => {
  const slot = slotOfTag(shardOf(actorId(id)));
  const owner = await cluster.ownerOf(slot);
  await cluster.moveSlot(slot, cluster.nodes.find((node) => node !== owner) as TestRedis);
};

/** Every bake is an effect that fails once, then a timer, then the effect again. */
async function bake(load: Load, phase: string): Promise<void> {
  const orders = Array.from({ length: 12 }, (_, index) => {
    return load.answered(commandOf(`oven/t/${phase}${index}`, { type: 'oven.bake', loaf: `${phase}${index}` }), index);
  });
  for (const [index, reply] of (await Promise.all(orders)).entries()) {
    assert.equal(reply.ok && reply.result, `${phase}${index}`, JSON.stringify(reply));
  }
}

async function withFleet(work: (cluster: TestCluster, fleet: MemberFleet) => Promise<void>): Promise<void> {
  const cluster = await startCluster();
  const fleet = new MemberFleet({ url: cluster.url, beatMs, silenceMs });
  try {
    const members = await Promise.all(['c1', 'c2', 'c3'].map((node) => fleet.start(node)));
    await until('each has its share', () => members.every(({ owns }) => owns >= Math.floor(shardCount / 3)));
    await work(cluster, fleet);
  } finally {
    await fleet.stop();
    await cluster.remove();
  }
}

test('moved slot, killed controller, restarted primary: everything happens once and is followed', async () => {
  await withFleet(async (cluster, fleet) => {
    const store = await connectStore({ url: cluster.url, clock, log: recordedLog() });
    const reader = createReader({ store, clock, log: recordedLog() });
    const following = new Following();
    const ended = reader.follow(await reader.now(), following.take, new AbortController().signal);
    const load = new Load(fleet);
    try {
      ended.catch(() => undefined); // awaited below
      await load.flows();
      await bake(load, 'calm');

      const baking = bake(load, 'moved');
      for (const id of ['relay/t/r0', 'sink/t/s0', 'oven/t/moved0']) await moveAway(cluster, id);
      await baking;
      await load.flows();

      load.slowestMs = 0;
      await fleet.end('c1', 'SIGKILL');
      await Promise.all([load.flows(), bake(load, 'killed')]);
      const owners = ['c2', 'c3'].map((node) => fleet.members.get(node));
      const owned = (): number => owners.reduce((sum, member) => sum + (member?.owns ?? 0), 0);
      await until('the others have all', () => owned() === shardCount);
      console.log(`kill -9: the slowest command took ${load.slowestMs.toFixed(0)} ms (silence ${silenceMs} ms)`);

      load.slowestMs = 0;
      const restarted = cluster.nodes[1] as TestRedis;
      await restarted.kill();
      await restarted.launch();
      await Promise.all([load.flows(), bake(load, 'restarted')]);
      console.log(`a primary restarted: the slowest command took ${load.slowestMs.toFixed(0)} ms`);

      const total = await load.provedExact((id, field) =>
        store.shared.run((redis) => redis.hget(store.keys.inShard(shardOf(id), `a:${id}`), field)),
      );
      const stored = await following.stored(store);
      const count = (lines: ReadonlyMap<ShardId, string[]>): number => [...lines.values()].flat().length;
      await until('all is followed', () => count(following.seen) >= count(stored));
      for (const [shard, lines] of stored) assert.equal(following.seen.get(shard), lines, shard);
      const { items } = await reader.list({});
      assert.is(items.length, 2 * 24 + 4 * 12, 'all actors are listed');
      const era = await store.shared.run((redis) => redis.hget(store.keys.cluster, 'era'));
      assert.is(era, '1', 'a restart is no rollback');
      console.log(`${total} commands, ${count(stored)} changes followed`);
      reader.close();
      await ended;
    } finally {
      load.stopped = true;
      reader.close();
      store.close();
    }
  });
});

test.run();
