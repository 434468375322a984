/**
 * The journal port bound to Redis. Commits go through the batcher, on connections of their own; loads share one.
 * Hosting is the only caller and never sees Redis. runtime/directory decides who owns a shard and passes grants in
 * (`adopt`, `drop`).
 *
 * Upholds G1 (docs/promises.md: the fence in every commit) and the rule of eras (docs/decisions/0007): when a shard's
 * ordinal is lower than one that the store has acknowledged (ordinal-memory.ts), the store was rolled back. Then
 * nothing is written until a grant of a newer era is adopted, and commits decided under the old era are refused here as
 * fenced, whatever the store would answer.
 */
import type { Redis } from 'ioredis';
import type { SharedClock } from '../contract/clock.ts';
import { strongerOf, type Durability, type DurabilityOffer } from '../contract/durability.ts';
import type { Message } from '../contract/envelope.ts';
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
import type { StoredDeadLetter } from '../contract/supervision.ts';
import type { Log } from '../contract/log.ts';
import { checkCommit } from './commit-check.ts';
import { CommitBatcher } from './commit-batcher.ts';
import { CommitConnections } from './commit-connections.ts';
import { offerOf, waitFor, type DurabilityRequest } from './durability-plan.ts';
import { lastOrdinalCommand, lastOrdinalOf } from './feed-ordinal.ts';
import { HeldGrants } from './held-grants.ts';
import { RollbackDetector, rewoundError, rolledBackError } from './rollback-detector.ts';
import { OwnerReads } from './owner-reads.ts';
import { OrdinalMemory, type StoreRollback } from './ordinal-memory.ts';
import { decodeBacklog, parseStored, type BacklogRows } from './record-decoding.ts';
import { forgetScript } from './script-library.ts';
import { shardOf } from './shard-placement.ts';
import { readAll, runScript, type Store } from './store-connection.ts';
import { answerableFrom, defaultReceiptLimits, isForgotten, type ReceiptLimits } from './receipt-limits.ts';
import { grantText, scopeOf } from './store-keys.ts';

const forgetRows = 1_000;

export interface RedisJournal extends Journal {
  /** Passes in a grant of this node; must be called before the shard's backlog is read. */
  adopt(grant: ShardGrant): void;
  drop(shard: ShardId): void;
  /** The listener is called once per grant, when the store refuses the grant because the shard has another owner. */
  onFenced(listener: (shard: ShardId) => void): void;
  /**
   * The listener is called when the store was rolled back: it lacks commits that it had acknowledged. The listener must
   * have a new era begun. Without a listener the journal fails instead.
   */
  onRolledBack(listener: (rollback: StoreRollback) => void): void;
  /**
   * Compares the store's ordinals once more. When this resolves, reads made before came from a store that was not
   * rolled back.
   * @throws PhotonError ownership_lost `store_rewound`
   */
  assureStore(): Promise<void>;
  /** The listener is called once, when a defect has stopped all writing: the process should end. */
  onFailed(listener: (error: PhotonError) => void): void;
  /** Rejects commits without an outcome with `journal_closed`; whether they were applied is unknown. */
  close(): void;
}

export interface JournalOptions {
  readonly store: Store;
  readonly clock: SharedClock;
  readonly log: Log;
  /**
   * With an archive, `note` is called with every committed commit and a commit trims history to `historyCap` entries
   * only. Without one, the commit trims to the history tail of its kind.
   */
  readonly archive?: { readonly note: (commit: Commit) => void; readonly historyCap: number };
  /** Default: no replicas, and the strongest level that the store keeps without them. */
  readonly durability?: DurabilityRequest;
  readonly receipts?: Partial<ReceiptLimits>;
  /** Ordinals that the store has acknowledged to this node. Default: a memory that ends with the process. */
  readonly memory?: OrdinalMemory;
}

class StoreJournal implements RedisJournal {
  readonly durability: DurabilityOffer;
  readonly #store: Store;
  readonly #clock: SharedClock;
  readonly #log: Log;
  readonly #archive: JournalOptions['archive'];
  readonly #connections: CommitConnections;
  readonly #reads: OwnerReads;
  /** One batcher (key ''); on a Redis Cluster, where a script may touch one slot only, one per shard. */
  readonly #batchers = new Map<ShardId | '', CommitBatcher>();
  readonly #held: HeldGrants;
  readonly #memory: OrdinalMemory;
  readonly #rollbackDetector: RollbackDetector;
  readonly #receipts: ReceiptLimits;
  readonly #rolledBackListeners: ((rollback: StoreRollback) => void)[] = [];
  readonly #failedListeners: ((error: PhotonError) => void)[] = [];
  #stopped: PhotonError | undefined;
  #failure: PhotonError | undefined;

  constructor(options: JournalOptions) {
    const { store, clock, log, durability = {}, archive, memory = new OrdinalMemory() } = options;
    this.#store = store;
    this.#receipts = { ...defaultReceiptLimits, ...options.receipts };
    this.#memory = memory;
    this.#rollbackDetector = new RollbackDetector({
      keys: store.keys,
      memory,
      onRollback: (rollback) => this.#onRollback(rollback),
    });
    this.#clock = clock;
    this.#log = log.child({ part: 'journal' });
    this.#held = new HeldGrants(this.#log);
    this.#archive = archive;
    const { facts } = store.shared;
    const replicas = durability.replicas ?? 0;
    this.durability = offerOf(durability, facts);
    this.#connections = new CommitConnections({
      store,
      clock,
      replicas,
      waits: this.durability.offered.some((level) => waitFor(level, replicas, facts) !== undefined),
      compare: (redis, carries) => this.#rollbackDetector.admit(redis, carries),
      throwIfStopped: () => {
        if (this.#stopped !== undefined) throw this.#stopped;
      },
    });
    this.#reads = new OwnerReads({ store, connections: this.#connections, replicas, log: this.#log });
  }

  commit(commit: Commit): Promise<CommitOutcome> {
    try {
      checkCommit(commit);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    if (commit.grant.era < this.#memory.era) return Promise.resolve({ result: 'fenced' });
    return this.#batcherOf(commit.grant.shard).add(commit);
  }

  #batcherOf(shard: ShardId): CommitBatcher {
    const key = this.#connections.mixesShards ? '' : shard;
    let batcher = this.#batchers.get(key);
    if (batcher === undefined) {
      batcher = new CommitBatcher({
        connections: this.#connections,
        keys: this.#store.keys,
        clock: this.#clock,
        receipts: this.#receipts,
        ...(this.#archive === undefined ? {} : { historyCap: this.#archive.historyCap }),
        onOutcome: (commit, outcome) => this.#recordOutcome(commit, outcome),
        onBroken: (error) => void this.#fail(error),
      });
      this.#batchers.set(key, batcher);
    }
    return batcher;
  }

  load(id: ActorId): Promise<StoredActor | undefined> {
    return this.#reads.load(id);
  }

  loadRows(id: ActorId, rows: readonly RowKey[]): Promise<Readonly<Record<string, unknown>>> {
    return this.#reads.loadRows(id, rows);
  }

  isHeld(grant: ShardGrant): Promise<boolean> {
    return this.#reads.isHeld(grant);
  }

  deadLetters(id: ActorId): Promise<readonly StoredDeadLetter[]> {
    return this.#reads.deadLetters(id);
  }

  endedSequences(watermarks: readonly string[], beforeMs: number): Promise<readonly string[]> {
    return this.#reads.endedSequences(watermarks, beforeMs);
  }

  isOutstanding(message: Message): Promise<boolean> {
    return this.#reads.isOutstanding(message);
  }

  async receipt(id: ActorId, commandId: string, asked?: Durability): Promise<Receipt | 'forgotten' | undefined> {
    const key = (what: string): string => this.#store.keys.inShard(shardOf(id), `${what}:${scopeOf(id)}`);
    const field = `${id}|${commandId}`;
    // In this order: a commit of another actor may move the newer receipts to the older ones between two of the reads,
    // and so forget the older ones.
    const commands = [
      ['hget', key('r'), field],
      ['hget', key('ro'), field],
      ['hget', key('r'), '.forgotten'],
    ];
    const read = async (redis: Redis): Promise<{ text: string | null; forgotten: string | null }> => {
      const [newer, older, forgotten] = (await readAll(redis, commands)) as [
        string | null,
        string | null,
        string | null,
      ];
      return { text: newer ?? older, forgotten };
    };
    const absent = (forgottenMs: string | null): 'forgotten' | undefined =>
      isForgotten(forgottenMs, answerableFrom(commandId, this.#clock.sharedMs(), this.#receipts))
        ? 'forgotten'
        : undefined;
    const found = await this.#store.shared.run(read);
    if (found.text === null) return absent(found.forgotten);
    // An earlier owner may have written it and died before it was durable: it is read again, behind a WAIT for it.
    const level = strongerOf(asked, this.durability.default);
    const { text: durable, forgotten } = await this.#durably(shardOf(id), level, read);
    if (durable === null) return absent(forgotten);
    const stored = parseStored(durable, `the receipt ${commandId} of ${id}`) as Receipt;
    return { ...stored, reply: { ...stored.reply, durability: level } };
  }

  /** Resolves once what the read has returned is durable at this level. */
  #durably<Result>(shard: ShardId, level: Durability, read: (redis: Redis) => Promise<Result>): Promise<Result> {
    return this.#connections.durably({ channel: 0, shard, reads: true }, level, read);
  }

  async backlog(grant: ShardGrant): Promise<ShardBacklog> {
    const key = (what: string): string => this.#store.keys.inShard(grant.shard, what);
    const commands = [
      ['get', key('o')],
      lastOrdinalCommand(this.#store.keys, grant.shard),
      ['hgetall', key('q')],
      ['hgetall', key('t')],
      ['smembers', key('b')],
    ];
    // The earlier owner may have died with commits that only the primary had. Nothing is decided on top of them before
    // they, and this node's own claim, are durable.
    const replies = await this.#durably(grant.shard, this.durability.default, (redis) => readAll(redis, commands));
    const [owner, last, ...rows] = replies as [string | null, unknown, ...BacklogRows];
    // The contents of a rolled-back store must not be acted on under the old era.
    if (grant.era < this.#memory.era) throw rewoundError();
    // Our claim may have been lost with the primary that took it: then the wait above did not cover it.
    if (owner !== grantText(grant)) throw this.#held.fencedError(grant);
    this.#memory.raise(grant.era, grant.shard, lastOrdinalOf(last));
    return decodeBacklog(key, rows, this.#log);
  }

  async forgetMessages(
    grant: ShardGrant,
    rows: readonly { readonly from: ActorId; readonly seq: number }[],
  ): Promise<void> {
    const keys = ['o', 'q'].map((what) => this.#store.keys.inShard(grant.shard, what));
    for (let from = 0; from < rows.length; from += forgetRows) {
      const fields = rows.slice(from, from + forgetRows).map((row) => `${row.from}|${row.seq}`);
      const removed = await this.#connections.durably({ channel: 0, shard: grant.shard }, 'primary', (redis) =>
        runScript(redis, forgetScript, keys, [grantText(grant), ...fields]),
      );
      if (removed === -1) throw this.#held.fencedError(grant);
    }
  }

  shardOf(id: ActorId): ShardId {
    return shardOf(id);
  }

  adopt(grant: ShardGrant): void {
    if (grant.era > this.#memory.era) {
      this.#memory.begin(grant.era);
      this.#fence();
      this.#rollbackDetector.release();
    }
    this.#held.add(grant);
  }

  drop(shard: ShardId): void {
    this.#held.remove(shard);
  }

  onFenced(listener: (shard: ShardId) => void): void {
    this.#held.onFenced(listener);
  }

  onRolledBack(listener: (rollback: StoreRollback) => void): void {
    this.#rolledBackListeners.push(listener);
  }

  assureStore(): Promise<void> {
    return this.#store.shared.run((redis) => this.#rollbackDetector.assure(redis));
  }

  onFailed(listener: (error: PhotonError) => void): void {
    this.#failedListeners.push(listener);
    if (this.#failure !== undefined) listener(this.#failure);
  }

  close(): void {
    this.#stop(
      new PhotonError('unknown', 'journal_closed', 'this node is stopping; ask again with the same command id'),
    );
    this.#connections.close();
    this.#memory.close();
    this.#rollbackDetector.release();
  }

  #stop(error: PhotonError): void {
    this.#stopped ??= error;
    for (const batcher of this.#batchers.values()) batcher.stop(error);
  }

  #onRollback(rollback: StoreRollback): void {
    if (this.#rolledBackListeners.length === 0) throw this.#fail(rolledBackError(rollback));
    this.#log.error({ ...rollback }, 'the store has lost acknowledged commits; a new era will begin');
    this.#fence();
    for (const listener of this.#rolledBackListeners) listener(rollback);
  }

  #fence(): void {
    this.#connections.forget();
    for (const batcher of this.#batchers.values()) batcher.fence();
  }

  #fail(error: PhotonError): PhotonError {
    if (this.#failure !== undefined) return this.#failure;
    this.#failure = error;
    this.#log.error({ code: error.record.code }, error.message);
    this.#stop(error);
    for (const listener of this.#failedListeners) listener(error);
    return error;
  }

  #recordOutcome(commit: Commit, outcome: CommitOutcome): void {
    if (outcome.result === 'committed') {
      this.#memory.raise(commit.grant.era, commit.grant.shard, outcome.ordinal);
      this.#archive?.note(commit);
    } else if (outcome.result === 'fenced') this.#held.reportFenced(commit.grant);
  }
}

export const createJournal = (options: JournalOptions): RedisJournal => new StoreJournal(options);
