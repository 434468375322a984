/**
 * Reads the feeds of all shards as one stream of summaries, from a cursor on. Serves `follow` of redis-reader.ts.
 * Every commit has one feed entry and ordinals are consecutive, so a gap means that the feed was trimmed under a slow
 * reader. The reader then gets `cursor_expired`; entries are never skipped silently.
 *
 * On one server a follower uses one blocking XREAD on a connection of its own. On a Redis Cluster one XREAD may not
 * name streams of several slots (CROSSSLOT): feed-heads.ts polls the last ordinals, and new entries are read per shard.
 */
import type { Clock } from '../contract/clock.ts';
import { reject } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { ActorSummary, FeedEntry } from '../contract/reader.ts';
import { encodeCursor, type FeedPlace } from './feed-cursor.ts';
import type { FeedHeads } from './feed-heads.ts';
import { lastOrdinalCommand, lastOrdinalOf, ordinalOf } from './feed-ordinal.ts';
import { decodeFeedLine } from './record-decoding.ts';
import { sharedShards } from './shard-placement.ts';
import { readAll, type Store } from './store-connection.ts';
import type { StoreLink } from './store-link.ts';

const blockMs = 1_000;
const readEntries = 256;

type StreamEntry = readonly [id: string, fields: readonly string[]];
type StreamReply = readonly (readonly [key: string, entries: readonly StreamEntry[]])[];

interface PassOptions {
  readonly store: Store;
  readonly from: FeedPlace;
  readonly each: (entry: FeedEntry) => void;
  readonly signal: AbortSignal;
}

export interface FollowOptions extends PassOptions {
  /** Only on a Redis Cluster: shared by all followers of a node. */
  readonly heads: FeedHeads | undefined;
  readonly clock: Clock;
}

/** The sharded shards, which always exist, and the host shards that the ownership map knows. */
export async function knownShards(store: Store): Promise<readonly ShardId[]> {
  const mapped = (await store.shared.run((redis) => redis.hkeys(store.keys.map))) as ShardId[];
  return [...sharedShards, ...mapped.filter((shard) => shard.startsWith('host:'))];
}

/** The era, and the last ordinal of every shard at this moment. */
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
 * Resolves when the signal is aborted.
 * @throws PhotonError rejection `cursor_expired`
 */
export async function followFeeds(options: FollowOptions): Promise<void> {
  const { heads, signal } = options;
  if (signal.aborted) return;
  try {
    await (heads === undefined ? followBlocking(options) : followHeads(heads, options));
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function followBlocking(options: FollowOptions): Promise<void> {
  const { store, signal } = options;
  const link = store.open('follow');
  const stop = (): void => link.close();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await followWith(link, options);
  } finally {
    signal.removeEventListener('abort', stop);
    link.close();
  }
}

/** Delivers entries in order and advances the position; expires the cursor at a gap. */
class FeedPass {
  readonly #options: PassOptions;

  constructor(options: PassOptions) {
    this.#options = options;
  }

  positionOf(shard: ShardId): number {
    return this.#options.from.positions.get(shard) ?? 0;
  }

  /** A shard that appears for the first time is followed from its first entry. */
  compare(present: FeedPlace): void {
    const { era, positions } = this.#options.from;
    if (present.era !== era) throw expired('the store began a new era');
    for (const [shard, ordinal] of present.positions) {
      const position = this.positionOf(shard);
      if (position > ordinal) throw expired(`shard ${shard} is behind it`);
      positions.set(shard, position);
    }
  }

  take(shard: ShardId, entries: readonly StreamEntry[]): void {
    const { from, each, signal } = this.#options;
    for (const [id, fields] of entries) {
      if (signal.aborted) return;
      const ordinal = ordinalOf(id);
      if (ordinal !== this.positionOf(shard) + 1) throw expired(`shard ${shard} keeps its newest entries only`);
      let summary: ActorSummary;
      try {
        summary = decodeFeedLine(fields);
      } catch {
        // Which actor changed is unknown, so the client must list again; its new cursor is behind this entry.
        throw expired(`entry ${id} of shard ${shard} cannot be read`);
      }
      from.positions.set(shard, ordinal);
      each({ ...summary, cursor: encodeCursor(from) });
    }
  }
}

async function followWith(link: StoreLink, options: FollowOptions): Promise<void> {
  const { store, clock, from, signal } = options;
  const pass = new FeedPass(options);
  while (!signal.aborted) {
    pass.compare(await presentPlace(store));
    const shardOfKey = new Map([...from.positions.keys()].map((shard) => [store.keys.inShard(shard, 'f'), shard]));
    const keys = [...shardOfKey.keys()];
    // About once a second the loop returns to the ownership map for shards of hosts that have joined.
    const lookAgainMs = clock.monotonicMs() + blockMs;
    do {
      const places = [...shardOfKey.values()].map((shard) => `0-${pass.positionOf(shard)}`);
      const words = ['count', String(readEntries), 'block', String(blockMs), 'streams', ...keys, ...places];
      const reply = (await link.run((redis) => redis.call('xread', words))) as StreamReply | null;
      for (const [key, entries] of reply ?? []) pass.take(shardOfKey.get(key) as ShardId, entries);
    } while (!signal.aborted && clock.monotonicMs() < lookAgainMs);
  }
}

async function followHeads(heads: FeedHeads, options: FollowOptions): Promise<void> {
  const pass = new FeedPass(options);
  for await (const present of heads.places(options.signal)) await readUpTo(present, pass, options);
}

/**
 * Delivers what there is between the cursor and now, on the shared connection.
 * @throws PhotonError rejection `cursor_expired`
 */
export async function readChanges(options: PassOptions): Promise<void> {
  await readUpTo(await presentPlace(options.store), new FeedPass(options), options);
}

async function readUpTo(present: FeedPlace, pass: FeedPass, { store, signal }: PassOptions): Promise<void> {
  pass.compare(present);
  for (;;) {
    const behind = [...present.positions].filter(([shard, head]) => pass.positionOf(shard) < head);
    if (behind.length === 0 || signal.aborted) return;
    // Not beyond the head that was read: a position above it would look like a feed that was rolled back.
    const commands = behind.map(([shard, head]) => {
      const first = `0-${pass.positionOf(shard) + 1}`;
      return ['xrange', store.keys.inShard(shard, 'f'), first, `0-${head}`, 'count', String(readEntries)];
    });
    const replies = (await store.shared.run((redis) => readAll(redis, commands))) as (readonly StreamEntry[])[];
    for (const [index, [shard]] of behind.entries()) {
      const entries = replies[index] ?? [];
      if (entries.length === 0) throw expired(`shard ${shard} is behind it`);
      pass.take(shard, entries);
    }
  }
}

const expired = (why: string) =>
  reject('cursor_expired', `this cursor is too old: ${why}; list again and watch from the cursor of that answer`);
