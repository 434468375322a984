/**
 * Sends commits in batches and resolves each commit with its outcome. commit-connections.ts retries a batch across lost
 * connections and refusals of the store. redis-journal.ts uses one batcher, on a Redis Cluster one per shard.
 * scripts/commit.lua executes the batch. Upholds G1 to G4 (docs/promises.md): an outcome is given only after the store
 * has answered and the whole batch is durable at the strongest level that any of its commits asked for.
 *
 * An actor is in at most one batch in flight, with any number of its commits in order. This makes a resend of a batch
 * exact: no other commit can have changed the actor in between, so the stamp of the last commit in the record tells
 * the script how much of the batch an earlier run applied. Rejected: a counter per actor in the record (one more field
 * in every commit, and hosting would have to carry it); one commit per actor and batch (an actor that commits ahead
 * would wait a round trip per commit).
 */
import type { SharedClock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import { strongerOf, type Durability } from '../contract/durability.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { Commit, CommitOutcome } from '../contract/journal.ts';
import { decodeOutcomes, encodeBatch } from './commit-encoding.ts';
import type { ReceiptLimits } from './receipt-limits.ts';
import type { CommitConnections } from './commit-connections.ts';
import { commitScript } from './script-library.ts';
import { shardOf } from './shard-placement.ts';
import { runScript } from './store-connection.ts';
import type { StoreKeys } from './store-keys.ts';

const batchCommits = 32;
const deepBatchCommits = 64;
const deepBacklogCommits = 256;
const batchesInFlight = 2;
/** Most watermarks of one actor in one batch: the script reads them with few commands. */
const groupWatermarks = 2_000;

/** Takes the place of a reply when the batch was formed in an earlier era. */
const fenced = Symbol('fenced');

interface Waiting {
  readonly commit: Commit;
  readonly resolve: (outcome: CommitOutcome) => void;
  readonly reject: (error: PhotonError) => void;
}

/** Unsent commits of one actor. While commits of the actor are in flight its lane stays in the map, maybe empty. */
type Lane = Waiting[];

interface Group {
  readonly actor: ActorId;
  readonly waiting: readonly Waiting[];
}

export interface BatcherOptions {
  readonly connections: CommitConnections;
  readonly keys: StoreKeys;
  readonly clock: SharedClock;
  /** See `encodeBatch`. */
  readonly historyCap?: number;
  readonly receipts: ReceiptLimits;
  readonly onOutcome: (commit: Commit, outcome: CommitOutcome) => void;
  /** Called when a defect has stopped the batcher. */
  readonly onBroken: (error: PhotonError) => void;
}

export class CommitBatcher {
  readonly #options: BatcherOptions;
  readonly #lanes = new Map<ActorId, Lane>();
  /** Actors with commits to send and none in flight, in order of arrival. */
  #ready: ActorId[] = [];
  #readyAt = 0;
  #waitingCommits = 0;
  /** Connections (by index) that no batch in flight uses. */
  readonly #free = Array.from({ length: batchesInFlight }, (_, channel) => channel);
  #scheduled = false;
  #stopped: PhotonError | undefined;
  /** Raised by `fence`: a batch formed before that is neither sent nor resent. */
  #generation = 0;

  constructor(options: BatcherOptions) {
    this.#options = options;
  }

  add(commit: Commit): Promise<CommitOutcome> {
    if (this.#stopped !== undefined) return Promise.reject(this.#stopped);
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { commit, resolve, reject };
      const lane = this.#lanes.get(commit.actor);
      if (lane === undefined) {
        this.#lanes.set(commit.actor, [waiting]);
        this.#ready.push(commit.actor);
      } else {
        lane.push(waiting);
      }
      this.#waitingCommits += 1;
      this.#schedule();
    });
  }

  /** Rejects every commit without an outcome, and every later one, with this error. */
  stop(error: PhotonError): void {
    this.#stopped ??= error;
    const lanes = [...this.#lanes.values()];
    this.#lanes.clear();
    this.#ready = [];
    this.#readyAt = 0;
    this.#waitingCommits = 0;
    for (const lane of lanes) for (const waiting of lane) waiting.reject(error);
  }

  /** A new era has begun: unsent commits resolve as fenced, and batches in flight are not resent. */
  fence(): void {
    this.#generation += 1;
    const refused = [...this.#lanes.values()].flatMap((lane) => lane.splice(0));
    // An actor in flight keeps its (empty) lane until its batch has its outcomes.
    for (const actor of this.#ready.slice(this.#readyAt)) this.#lanes.delete(actor);
    this.#ready = [];
    this.#readyAt = 0;
    this.#waitingCommits = 0;
    for (const one of refused) one.resolve({ result: 'fenced' });
  }

  /** Commits added within one turn of the event loop, by any actor of this node, leave in the same batches. */
  #schedule(): void {
    if (this.#scheduled || this.#free.length === 0 || this.#stopped !== undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      while (this.#free.length > 0 && this.#readyAt < this.#ready.length) void this.#send(this.#nextBatch());
    });
  }

  #nextBatch(): readonly Group[] {
    const limit = this.#waitingCommits > deepBacklogCommits ? deepBatchCommits : batchCommits;
    const groups: Group[] = [];
    let room = limit;
    while (room > 0 && this.#readyAt < this.#ready.length) {
      const actor = this.#ready[this.#readyAt] as ActorId;
      const lane = this.#lanes.get(actor) as Lane;
      const count = fitting(lane, room);
      if (count === 0) break;
      this.#readyAt += 1;
      groups.push({ actor, waiting: lane.splice(0, count) });
      room -= count;
      this.#waitingCommits -= count;
    }
    if (this.#readyAt === this.#ready.length) {
      this.#ready = [];
      this.#readyAt = 0;
    } else if (this.#readyAt > 4_096) {
      this.#ready = this.#ready.slice(this.#readyAt);
      this.#readyAt = 0;
    }
    return groups;
  }

  async #send(groups: readonly Group[]): Promise<void> {
    const channel = this.#free.pop() as number;
    try {
      await this.#carry(groups, channel);
    } catch (error) {
      const cause = error instanceof PhotonError ? error : brokenBatch(error);
      for (const group of groups) for (const one of group.waiting) one.reject(cause);
      if (this.#stopped === undefined) {
        // The stored version of these actors is unknown now; only a restart, which reads the store again, recovers it.
        this.stop(cause);
        this.#options.onBroken(cause);
      }
    } finally {
      this.#free.push(channel);
      this.#schedule();
    }
  }

  /**
   * A key of a foreign type makes the script fail half way through a batch. Each actor is then sent again alone and
   * only the actor with that key is refused. Actors before it are found committed. Of the refused actor the feed entry
   * and other writes before the foreign key may be repeated, but never its record, which the script writes last.
   */
  async #carry(groups: readonly Group[], channel: number): Promise<void> {
    try {
      this.#settle(groups, await this.#untilDurable(groups, channel));
    } catch (error) {
      if (!(error instanceof PhotonError) || error.record.code !== 'store_key_foreign') throw error;
      const [only] = groups as readonly [Group];
      if (groups.length > 1) for (const group of groups) await this.#carry([group], channel);
      else this.#refuse(only, error);
    }
  }

  #refuse({ actor, waiting }: Group, error: PhotonError): void {
    for (const one of waiting) one.reject(error);
    this.#release(actor, (later) => later.reject(error));
  }

  async #untilDurable(groups: readonly Group[], channel: number): Promise<readonly CommitOutcome[]> {
    const { connections, keys, clock, historyCap, receipts } = this.#options;
    const commits = groups.map((group) => ({ actor: group.actor, commits: group.waiting.map((one) => one.commit) }));
    const batch = encodeBatch(commits, keys, clock.sharedMs(), historyCap, !connections.mixesShards, receipts);
    let count = 0;
    let level: Durability | undefined;
    for (const group of groups) {
      count += group.waiting.length;
      for (const { commit } of group.waiting) level = strongerOf(level, commit.durability);
    }
    const shard = shardOf((groups[0] as Group).actor);
    const reached = level ?? 'primary';
    const generation = this.#generation;
    const reply = await connections.durably<unknown>({ channel, shard }, reached, async (redis) => {
      this.#failIfStopped();
      if (generation !== this.#generation) return fenced;
      return runScript(redis, commitScript, batch.keys, batch.args);
    });
    return reply === fenced ? allFenced(count) : decodeOutcomes(reply, count, reached);
  }

  #failIfStopped(): void {
    if (this.#stopped !== undefined) throw this.#stopped;
  }

  #settle(groups: readonly Group[], outcomes: readonly CommitOutcome[]): void {
    let at = 0;
    for (const group of groups) {
      let refusal: CommitOutcome | undefined;
      for (const one of group.waiting) {
        const outcome = outcomes[at] as CommitOutcome;
        at += 1;
        if (outcome.result !== 'committed') refusal ??= refusalOfLater(one.commit, outcome);
        this.#options.onOutcome(one.commit, outcome);
        one.resolve(outcome);
      }
      this.#release(group.actor, refusal && ((later) => later.resolve(refusal)));
    }
  }

  /** Commits queued behind a refused one were decided on a state that was never stored, so they are refused as well. */
  #release(actor: ActorId, refuse: ((later: Waiting) => void) | undefined): void {
    const lane = this.#lanes.get(actor);
    if (lane === undefined) return;
    if (refuse !== undefined) {
      this.#waitingCommits -= lane.length;
      for (const one of lane.splice(0)) refuse(one);
    }
    if (lane.length > 0) this.#ready.push(actor);
    else this.#lanes.delete(actor);
  }
}

/** The script looks for a duplicate, gap or receipt only when the version matched: the expected version is stored. */
function refusalOfLater(commit: Commit, outcome: CommitOutcome): CommitOutcome {
  if (outcome.result === 'fenced' || outcome.result === 'conflict') return outcome;
  return { result: 'conflict', storedVersion: commit.expectedVersion };
}

/** How many of a lane's commits fit a batch with this much room; the first fits whatever its watermarks. */
function fitting(lane: Lane, room: number): number {
  let watermarks = 0;
  let count = 0;
  while (count < lane.length && count < room) {
    watermarks += (lane[count] as Waiting).commit.watermarks.length;
    if (count > 0 && watermarks > groupWatermarks) break;
    count += 1;
  }
  return count;
}

const allFenced = (count: number): CommitOutcome[] => Array.from({ length: count }, () => ({ result: 'fenced' }));

const brokenBatch = (error: unknown): PhotonError =>
  new PhotonError(
    'bug',
    'commit_batch_failed',
    'a batch of commits could not be sent or read; this is a defect, report it',
    { cause: error },
  );
