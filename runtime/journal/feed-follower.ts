/**
 * Reads the feeds of all shards as one stream of summaries, from a cursor on, with one blocking read on a connection
 * of its own. Serves `follow` of redis-reader.ts. Every commit has one entry and ordinals have no holes, so a hole
 * means that the feed was trimmed under a slow reader: it is told, never skipped.
 *
 * Not on a Redis Cluster: there one read may not name streams of several slots (CROSSSLOT). It is refused at once.
 */
import type { Clock } from '../contract/clock.ts';
import { reject } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { FeedEntry } from '../contract/reader.ts';
import { encodeCursor, type FeedPlace } from './feed-cursor.ts';
import { lastOrdinalCommand, lastOrdinalOf, ordinalOf } from './feed-ordinal.ts';
import { decodeFeedLine } from './record-decoding.ts';
import { sharedShards } from './shard-placement.ts';
import { readAll, type Store, type StoreLink } from './store-connection.ts';

const blockMs = 1_000;
const readEntries = 256;

type StreamReply = readonly (readonly [
  key: string,
  entries: readonly (readonly [id: string, fields: readonly string[]])[],
])[];

export interface FollowOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly from: FeedPlace;
  readonly each: (entry: FeedEntry) => void;
  readonly signal: AbortSignal;
}

/** Host shards that the map knows; shared ones are always there. */
export async function knownShards(store: Store): Promise<readonly ShardId[]> {
  const mapped = (await store.shared.run((redis) => redis.hkeys(store.keys.map))) as ShardId[];
  return [...sharedShards, ...mapped.filter((shard) => shard.startsWith('host:'))];
}

/** The last ordinals just now, and the era. */
export async function presentPlace(store: Store): Promise<FeedPlace> {
  const shards = await knownShards(store);
  const commands = shards.map((shard) => lastOrdinalCommand(store.keys, shard));
  const [era, ...replies] = await store.shared.run((redis) =>
    readAll(redis, [['hget', store.keys.cluster, 'era'], ...commands]),
  );
  const positions = new Map(shards.map((shard, index) => [shard, lastOrdinalOf(replies[index])]));
  return { era: Number(era ?? '1'), positions };
}

/**
 * Resolves when the signal has ended it.
 * @throws PhotonError rejection `cursor_expired`, or `feeds_not_followed` when the store is a Redis Cluster
 */
export async function followFeeds({ store, clock, from, each, signal }: FollowOptions): Promise<void> {
  if (signal.aborted) return;
  if (store.cluster !== undefined) {
    throw reject(
      'feeds_not_followed',
      'changes cannot be watched on a store that is a Redis Cluster; list again instead, ' +
        'or run the nodes on one server or on Sentinels',
    );
  }
  const link = store.open('follow');
  const stop = (): void => link.close();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await followWith(link, { store, clock, from, each, signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    link.close();
  }
}

async function followWith(link: StoreLink, { store, clock, from, each, signal }: FollowOptions): Promise<void> {
  const { era, positions } = from;
  const shardOfKey = new Map<string, ShardId>();
  while (!signal.aborted) {
    const present = await presentPlace(store);
    if (present.era !== era) throw expired('the store began a new era');
    for (const [shard, ordinal] of present.positions) {
      const position = positions.get(shard) ?? 0;
      if (position > ordinal) throw expired(`shard ${shard} is behind it`);
      positions.set(shard, position);
      shardOfKey.set(store.keys.inShard(shard, 'f'), shard);
    }
    // The map is looked at again about once a second for hosts that have joined; while entries come, they are read on.
    const lookAgainMs = clock.monotonicMs() + blockMs;
    do {
      const keys = [...shardOfKey.keys()];
      const places = keys.map((key) => `0-${positions.get(shardOfKey.get(key) as ShardId) ?? 0}`);
      const words = ['count', String(readEntries), 'block', String(blockMs), 'streams', ...keys, ...places];
      const reply = (await link.run((redis) => redis.call('xread', words))) as StreamReply | null;
      for (const [key, entries] of reply ?? []) {
        const shard = shardOfKey.get(key) as ShardId;
        for (const [id, fields] of entries) {
          if (signal.aborted) return;
          const ordinal = ordinalOf(id);
          if (ordinal !== (positions.get(shard) ?? 0) + 1)
            throw expired(`shard ${shard} keeps its newest entries only`);
          positions.set(shard, ordinal);
          each({ ...decodeFeedLine(fields), cursor: encodeCursor({ era, positions }) });
        }
      }
    } while (!signal.aborted && clock.monotonicMs() < lookAgainMs);
  }
}

const expired = (why: string) =>
  reject('cursor_expired', `this cursor is too old: ${why}; list again and watch from the cursor of that answer`);
