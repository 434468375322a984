/**
 * The reader port bound to Redis: records, the index of every shard, histories and feeds, from any node. Never writes.
 * Used by the control API and the inspector. It shows what the primary has committed, which may not have reached the
 * replicas yet.
 */
import type { Clock } from '../contract/clock.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import { parseActorId } from '../contract/identifiers.ts';
import type { HistoryEntry, StoredActor } from '../contract/journal.ts';
import type { Log } from '../contract/log.ts';
import type { StoredDeadLetter } from '../contract/supervision.ts';
import type { ActorFilter, ActorSummary, Cursor, FeedEntry, ListPage, Reader } from '../contract/reader.ts';
import { decodeCursor, encodeCursor } from './feed-cursor.ts';
import { FeedHeads } from './feed-heads.ts';
import { followFeeds, presentPlace, readChanges } from './feed-follower.ts';
import { decodeActor, decodeHistory, decodeDeadLetters, decodeSummary } from './record-decoding.ts';
import { hostShard, shardOf } from './shard-placement.ts';
import { readAll, type Store } from './store-connection.ts';

export interface ReaderOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}

export interface RedisReader extends Reader {
  /** The actors pinned to a host. It reads the shard of that host only, which is all that its worker may read. */
  onHost(host: string): Promise<readonly ActorSummary[]>;
  /** Ids of the live actors pinned to a host. */
  idsOnHost(host: string): Promise<readonly ActorId[]>;
  /** For each actor a text that is another one after each of its commits; undefined when there is no such actor. */
  stampsOf(ids: readonly ActorId[]): Promise<readonly (string | undefined)[]>;
  /** Ends every `follow`; they resolve. */
  close(): void;
}

/** Whether an id passes a filter. Fields that are not part of the id are checked by `summaryPasses`. */
function idPasses(id: string, filter: ActorFilter): boolean {
  if (filter.search !== undefined && !id.includes(filter.search)) return false;
  const parts = parseActorId(id);
  if (parts === undefined) return false;
  if (filter.kind !== undefined && parts.kind !== filter.kind) return false;
  if (filter.scope !== undefined && parts.scope !== filter.scope) return false;
  return filter.host === undefined || parts.host === filter.host;
}

/** `preparing` also matches `preparing.tap`. */
function inState(stateName: string, wanted: string | undefined): boolean {
  return wanted === undefined || stateName === wanted || stateName.startsWith(`${wanted}.`);
}

const onPage = (id: ActorId, page: ListPage | undefined): boolean =>
  page === undefined || (id > page.after && page.allows(id));

const summaryPasses = ({ status, stateName, held }: ActorSummary, filter: ActorFilter): boolean =>
  status === 'live' && inState(stateName, filter.state) && (filter.held !== true || held !== undefined);

const recordsPerRead = 1_000;

/** Undefined for an actor that never was, or was removed. */
const liveStamp = (stamp: string | null): string | undefined =>
  stamp === null || stamp.startsWith('removed ') ? undefined : stamp;

class StoreReader implements RedisReader {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #heads: FeedHeads | undefined;
  readonly #closing = new AbortController();

  constructor({ store, clock, log }: ReaderOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
    if (store.cluster !== undefined) this.#heads = new FeedHeads({ poll: () => presentPlace(store), clock });
  }

  async get(id: ActorId): Promise<StoredActor | undefined> {
    return decodeActor(id, await this.#store.shared.run((redis) => redis.hgetall(this.#recordKey(id))));
  }

  /** Scans every id of the index, but reads only the records of the page. */
  async list(
    filter: ActorFilter,
    page?: ListPage,
  ): Promise<{ readonly items: readonly ActorSummary[]; readonly cursor: Cursor; readonly scanned: number }> {
    const place = await presentPlace(this.#store);
    const shards: readonly ShardId[] =
      filter.host === undefined ? [...place.positions.keys()] : [hostShard(filter.host)];
    const indexes = await this.#ask(shards.map((shard) => ['smembers', this.#store.keys.inShard(shard, 'i')]));
    const all = (indexes as ActorId[][]).flat();
    const ids = all.filter((id) => idPasses(id, filter) && onPage(id, page));
    ids.sort((a, b) => (a < b ? -1 : 1));
    const limit = page?.limit ?? Infinity;
    const items: ActorSummary[] = [];
    for (let from = 0; from < ids.length && items.length < limit; from += recordsPerRead) {
      const part = ids.slice(from, from + recordsPerRead);
      items.push(...(await this.#summaries(part)).filter((summary) => summaryPasses(summary, filter)));
    }
    return { items: items.slice(0, limit), cursor: encodeCursor(place), scanned: all.length };
  }

  async onHost(host: string): Promise<readonly ActorSummary[]> {
    const summaries: ActorSummary[] = [];
    const ids = (await this.idsOnHost(host)).toSorted();
    for (let from = 0; from < ids.length; from += recordsPerRead)
      summaries.push(...(await this.#summaries(ids.slice(from, from + recordsPerRead))));
    return summaries;
  }

  async idsOnHost(host: string): Promise<readonly ActorId[]> {
    const [index] = await this.#ask([['smembers', this.#store.keys.inShard(hostShard(host), 'i')]]);
    return index as ActorId[];
  }

  async stampsOf(ids: readonly ActorId[]): Promise<readonly (string | undefined)[]> {
    const stamps: (string | undefined)[] = [];
    for (let from = 0; from < ids.length; from += recordsPerRead) {
      const part = ids.slice(from, from + recordsPerRead);
      const read = await this.#ask(part.map((id) => ['hget', this.#recordKey(id), 'stamp']));
      stamps.push(...(read as (string | null)[]).map((stamp) => liveStamp(stamp)));
    }
    return stamps;
  }

  /** In the order of the ids; ids without a record are left out. */
  async #summaries(ids: readonly ActorId[]): Promise<readonly ActorSummary[]> {
    const records = await this.#ask(ids.map((id) => ['hmget', this.#recordKey(id), 'version', 'head']));
    return ids.flatMap((id, index) => {
      const [version, head] = records[index] as [string | null, string | null];
      return version === null || head === null ? [] : [decodeSummary(id, version, head)];
    });
  }

  /** The newest `limit` entries behind `after`, oldest first: a gap in versions shows that older ones were left out. */
  async history(id: ActorId, after: number, limit: number): Promise<readonly HistoryEntry[]> {
    const key = this.#store.keys.inShard(shardOf(id), `h:${id}`);
    const entries = await this.#store.shared.run((redis) =>
      redis.xrevrange(key, '+', `${after + 1}-0`, 'COUNT', limit),
    );
    return entries.map(([entryId, fields]) => decodeHistory(entryId, fields)).reverse();
  }

  async deadLetters(actor?: ActorId): Promise<readonly StoredDeadLetter[]> {
    const shards = actor === undefined ? [...(await presentPlace(this.#store)).positions.keys()] : [shardOf(actor)];
    const streams = (await this.#ask(
      shards.map((shard) => ['xrange', this.#store.keys.inShard(shard, 'x'), '-', '+']),
    )) as [string, string[]][][];
    const deadLetters = decodeDeadLetters(streams.flat(), this.#log);
    return actor === undefined ? deadLetters : deadLetters.filter((deadLetter) => deadLetter.actor === actor);
  }

  async follow(cursor: Cursor, each: (entry: FeedEntry) => void, signal: AbortSignal): Promise<void> {
    const ending = AbortSignal.any([signal, this.#closing.signal]);
    const [store, heads, clock] = [this.#store, this.#heads, this.#clock];
    await followFeeds({ store, heads, clock, from: decodeCursor(cursor), each, signal: ending });
  }

  async changes(cursor: Cursor, each: (entry: FeedEntry) => void, signal: AbortSignal): Promise<void> {
    const ending = AbortSignal.any([signal, this.#closing.signal]);
    await readChanges({ store: this.#store, from: decodeCursor(cursor), each, signal: ending });
  }

  async now(): Promise<Cursor> {
    return encodeCursor(await presentPlace(this.#store));
  }

  #recordKey(id: ActorId): string {
    return this.#store.keys.inShard(shardOf(id), `a:${id}`);
  }

  #ask(commands: readonly (readonly string[])[]): Promise<unknown[]> {
    return this.#store.shared.run((redis) => readAll(redis, commands));
  }

  close(): void {
    this.#closing.abort();
  }
}

export const createReader = (options: ReaderOptions): RedisReader => new StoreReader(options);
