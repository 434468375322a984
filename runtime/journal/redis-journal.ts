/**
 * The journal port bound to Redis. Commits go through the batcher on a connection of their own; loads share one.
 * Hosting is the only caller; it never sees Redis. Who owns a shard is decided by runtime/directory, which tells it
 * here (`adopt`, `drop`).
 *
 * Upholds G1 (fence in every commit) and the rule of eras: when a shard's ordinal is lower than one the store has
 * acknowledged to us, the store was rolled back, and nothing more is written.
 */
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type {
  Commit,
  CommitOutcome,
  Journal,
  Receipt,
  ShardBacklog,
  ShardGrant,
  StoredActor,
} from '../contract/journal.ts';
import type { RowKey } from '../contract/actor-definition.ts';
import type { StoredLetter } from '../contract/supervision.ts';
import type { Log } from '../contract/log.ts';
import { checkCommit } from './commit-encoding.ts';
import { CommitBatcher } from './commit-batcher.ts';
import { lastOrdinalCommand, lastOrdinalOf } from './feed-ordinal.ts';
import { decodeActor, decodeBacklog, decodeLetter, parseStored } from './record-decoding.ts';
import { forgetScript } from './script-library.ts';
import { shardOf } from './shard-placement.ts';
import { readAll, runScript, type Store, type StoreLink } from './store-connection.ts';
import { grantText } from './store-keys.ts';

const forgetRows = 1_000;

export interface RedisJournal extends Journal {
  /** This node owns the shard now; call it before the shard's backlog is read. */
  adopt(grant: ShardGrant): void;
  drop(shard: ShardId): void;
  /** Told once per grant, when the store says that somebody else owns the shard. */
  onFenced(listener: (shard: ShardId) => void): void;
  /** Told once, when nothing can be written any more (`store_rolled_back`, a defect): the process should end. */
  onFailed(listener: (error: PhotonError) => void): void;
  /** Commits without an outcome are rejected `journal_closed`; whether they were applied is unknown. */
  close(): void;
}

export interface JournalOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /**
   * With an archive: told of every commit that is in the store, and history is trimmed at `cap` entries only. Without,
   * the commit itself trims to the tail of the kind.
   */
  readonly archive?: { readonly note: (commit: Commit) => void; readonly historyCap: number };
}

interface OwnedShard {
  readonly grant: ShardGrant;
  fenceTold: boolean;
}

/** A reply of HMGET, in the order asked, or of HGETALL. */
type StoredRows = readonly (string | null)[] | Readonly<Record<string, string>>;

function rowsOf(
  collection: string,
  names: readonly string[],
  stored: StoredRows,
  id: ActorId,
): Record<string, unknown> {
  const parse = (name: string, text: string | null | undefined): unknown =>
    text === null || text === undefined ? null : parseStored(text, `row ${collection}/${name} of ${id}`);
  if (Array.isArray(stored)) {
    return Object.fromEntries(
      names.map((name, at) => [`${collection}/${name}`, parse(name, (stored as (string | null)[])[at])]),
    );
  }
  const all = Object.fromEntries(
    Object.entries(stored as Record<string, string>).map(([name, text]) => [name, parse(name, text)]),
  );
  return Object.fromEntries(names.map((name) => [`${collection}/${name}`, name === '*' ? all : (all[name] ?? null)]));
}

class StoreJournal implements RedisJournal {
  readonly #store: Store;
  readonly #log: Log;
  readonly #archive: JournalOptions['archive'];
  readonly #link: StoreLink;
  readonly #batcher: CommitBatcher;
  readonly #owned = new Map<ShardId, OwnedShard>();
  /** Highest ordinal the store has acknowledged to us, per shard that we own. */
  readonly #ordinals = new Map<ShardId, number>();
  readonly #fencedListeners: ((shard: ShardId) => void)[] = [];
  readonly #failedListeners: ((error: PhotonError) => void)[] = [];
  /** Settled when the present connection was compared with what we know; undefined while there is none. */
  #compared: Promise<void> | undefined;
  #writable = false;
  #failure: PhotonError | undefined;

  constructor({ store, clock, log, archive }: JournalOptions) {
    this.#store = store;
    this.#log = log.child({ part: 'journal' });
    this.#archive = archive;
    this.#link = store.open('commits');
    this.#batcher = new CommitBatcher({
      link: this.#link,
      keys: store.keys,
      clock,
      mayWrite: () => this.#mayWrite(),
      ...(archive === undefined ? {} : { historyCap: archive.historyCap }),
      onOutcome: (commit, outcome) => this.#note(commit, outcome),
      onBroken: (error) => void this.#fail(error),
    });
    this.#link.onLost(() => {
      this.#writable = false;
      this.#compared = undefined;
    });
  }

  commit(commit: Commit): Promise<CommitOutcome> {
    try {
      checkCommit(commit);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#batcher.add(commit);
  }

  async load(id: ActorId): Promise<StoredActor | undefined> {
    const key = this.#store.keys.inShard(shardOf(id), `a:${id}`);
    return decodeActor(id, await this.#store.shared.run((redis) => redis.hgetall(key)));
  }

  async loadRows(id: ActorId, rows: readonly RowKey[]): Promise<Readonly<Record<string, unknown>>> {
    if (rows.length === 0) return {};
    const { keys, shared } = this.#store;
    const wanted = new Map<string, string[]>();
    for (const row of rows) wanted.set(row.collection, [...(wanted.get(row.collection) ?? []), row.key]);
    const commands = [...wanted].map(([collection, names]) => {
      const key = keys.inShard(shardOf(id), `c:${id}:${collection}`);
      return names.includes('*') ? ['hgetall', key] : ['hmget', key, ...names];
    });
    const replies = (await shared.run((redis) => readAll(redis, commands))) as StoredRows[];
    const found: Record<string, unknown> = {};
    for (const [index, [collection, names]] of [...wanted].entries()) {
      Object.assign(found, rowsOf(collection, names, replies[index] ?? [], id));
    }
    return found;
  }

  async isHeld(grant: ShardGrant): Promise<boolean> {
    const key = this.#store.keys.inShard(grant.shard, 'o');
    return (await this.#store.shared.run((redis) => redis.hget(key, 'grant'))) === grantText(grant);
  }

  async receipt(id: ActorId, commandId: string): Promise<Receipt | undefined> {
    const key = this.#store.keys.inShard(shardOf(id), `r:${id}`);
    const text = await this.#store.shared.run((redis) => redis.hget(key, commandId));
    return text === null ? undefined : (parseStored(text, `the receipt ${commandId} of ${id}`) as Receipt);
  }

  async letters(id: ActorId): Promise<readonly StoredLetter[]> {
    const key = this.#store.keys.inShard(shardOf(id), 'x');
    const entries = await this.#store.shared.run((redis) => redis.xrange(key, '-', '+'));
    return entries.map(([place, fields]) => decodeLetter(place, fields)).filter(({ actor }) => actor === id);
  }

  async backlog(grant: ShardGrant): Promise<ShardBacklog> {
    const key = (what: string): string => this.#store.keys.inShard(grant.shard, what);
    const commands = [
      ['hvals', key('q')],
      ['hgetall', key('t')],
      ['smembers', key('b')],
    ];
    const replies = await this.#store.shared.run((redis) =>
      readAll(redis, [lastOrdinalCommand(this.#store.keys, grant.shard), ...commands]),
    );
    const [last, outbox, timers, busy] = replies as [unknown, string[], Record<string, string>, string[]];
    this.#raise(grant.shard, lastOrdinalOf(last));
    return decodeBacklog(outbox, timers, busy);
  }

  async forgetMessages(
    grant: ShardGrant,
    rows: readonly { readonly from: ActorId; readonly seq: number }[],
  ): Promise<void> {
    const key = this.#store.keys.inShard(grant.shard, 'o');
    for (let from = 0; from < rows.length; from += forgetRows) {
      const fields = rows.slice(from, from + forgetRows).map((row) => `${row.from}|${row.seq}`);
      const removed = await this.#link.run((redis) =>
        runScript(redis, forgetScript, [key], [grantText(grant), ...fields]),
      );
      if (removed === -1) {
        this.#tellFenced(grant);
        throw new PhotonError(
          'ownership_lost',
          'shard_fenced',
          `shard ${grant.shard} has another owner; drop its actors`,
        );
      }
    }
  }

  shardOf(id: ActorId): ShardId {
    return shardOf(id);
  }

  adopt(grant: ShardGrant): void {
    this.#owned.set(grant.shard, { grant, fenceTold: false });
  }

  drop(shard: ShardId): void {
    this.#owned.delete(shard);
    this.#ordinals.delete(shard);
  }

  onFenced(listener: (shard: ShardId) => void): void {
    this.#fencedListeners.push(listener);
  }

  onFailed(listener: (error: PhotonError) => void): void {
    this.#failedListeners.push(listener);
    if (this.#failure !== undefined) listener(this.#failure);
  }

  close(): void {
    this.#batcher.stop(
      new PhotonError('unknown', 'journal_closed', 'this node is stopping; ask again with the same command id'),
    );
    this.#link.close();
  }

  async #mayWrite(): Promise<void> {
    while (!this.#writable) {
      await this.#link.whenReady();
      const compared = (this.#compared ??= this.#compareOrdinals());
      try {
        await compared;
      } catch (error) {
        if (this.#compared === compared) this.#compared = undefined;
        if (error === this.#failure) throw error;
        await this.#link.recover(error);
        continue;
      }
      // A connection lost in the meantime has cleared it, and the next one must be compared again.
      if (this.#compared === compared) this.#writable = true;
    }
  }

  async #compareOrdinals(): Promise<void> {
    const shards = [...this.#ordinals.keys()];
    if (shards.length === 0) return;
    const stored = await readAll(
      this.#link.redis,
      shards.map((shard) => lastOrdinalCommand(this.#store.keys, shard)),
    );
    for (const [index, shard] of shards.entries()) {
      const known = this.#ordinals.get(shard) ?? 0;
      const found = lastOrdinalOf(stored[index]);
      if (found < known) throw this.#fail(rolledBack(shard, known, found));
    }
  }

  #fail(error: PhotonError): PhotonError {
    if (this.#failure !== undefined) return this.#failure;
    this.#failure = error;
    this.#log.error({ code: error.record.code }, error.message);
    this.#batcher.stop(error);
    for (const listener of this.#failedListeners) listener(error);
    return error;
  }

  #note(commit: Commit, outcome: CommitOutcome): void {
    if (outcome.result === 'committed') {
      this.#raise(commit.grant.shard, outcome.ordinal);
      this.#archive?.note(commit);
    } else if (outcome.result === 'fenced') this.#tellFenced(commit.grant);
  }

  #raise(shard: ShardId, ordinal: number): void {
    if (this.#owned.has(shard) && ordinal > (this.#ordinals.get(shard) ?? 0)) this.#ordinals.set(shard, ordinal);
  }

  #tellFenced(grant: ShardGrant): void {
    const owned = this.#owned.get(grant.shard);
    if (owned === undefined || owned.fenceTold || owned.grant.ownerEpoch !== grant.ownerEpoch) return;
    owned.fenceTold = true;
    this.#log.warn(
      { shard: grant.shard, ownerEpoch: grant.ownerEpoch },
      'the store says that this shard has another owner',
    );
    for (const listener of this.#fencedListeners) listener(grant.shard);
  }
}

const rolledBack = (shard: ShardId, known: number, found: number): PhotonError =>
  new PhotonError(
    'bug',
    'store_rolled_back',
    `the store has lost acknowledged commits: shard ${shard} is at ordinal ${found}, we were told ${known}; ` +
      'nothing more is written; restore the newest data of the store, then start the nodes again',
  );

export const createJournal = (options: JournalOptions): RedisJournal => new StoreJournal(options);
