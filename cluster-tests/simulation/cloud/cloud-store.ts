/**
 * The store of the cloud simulation: one journal in memory, seen by each node through a port with delays, stalls and
 * cuts. Commits of one node arrive in order and, once sent, are applied whatever becomes of the node; a node that is
 * gone or cut off hears nothing. Never refuses for a lost reply: like the real journal it answers late.
 */
import type { ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { Commit, Journal, StoredActor } from '@photoncloud/runtime/contract/journal';
import type { ActorFilter, ActorSummary, Cursor, Reader } from '@photoncloud/runtime/contract/reader';
import { partsOf } from '@photoncloud/runtime/contract/identifiers';
import { MemoryJournal } from '@photoncloud/runtime/hosting/memory-journal';
import type { ProcessClock, SeededRandom, VirtualTime } from './cloud-time.ts';

const shards = 16;

/** One node's way to the store. */
export interface StoreWay {
  readonly clock: ProcessClock;
  /** Cut off until then. */
  cutUntilMs: number;
  /** When the last thing sent on it arrives. */
  busyUntilMs: number;
}

export class CloudStore {
  readonly journal = new MemoryJournal(shards);
  /** Reads and writes under way at this instant. */
  inFlight = 0;
  stalledUntilMs = 0;
  /** Told of every commit that was applied. */
  onCommit: (commit: Commit) => void = () => {};
  private readonly time: VirtualTime;
  private readonly random: SeededRandom;

  constructor(time: VirtualTime, random: SeededRandom) {
    this.time = time;
    this.random = random;
  }

  portFor(way: StoreWay): Journal {
    const { journal } = this;
    const through = <Result>(work: () => Promise<Result>): Promise<Result> => this.through(way, work);
    return {
      commit: (commit) =>
        through(async () => {
          const outcome = await journal.commit(commit);
          if (outcome.result === 'committed') this.onCommit(commit);
          return outcome;
        }),
      load: (id) => through(() => journal.load(id)),
      loadRows: (id, keys) => through(() => journal.loadRows(id, keys)),
      receipt: (id, commandId) => through(() => journal.receipt(id, commandId)),
      letters: (id) => through(() => journal.letters(id)),
      backlog: (grant) => through(() => journal.backlog(grant)),
      isHeld: (grant) => through(() => journal.isHeld(grant)),
      forgetMessages: (grant, rows) => through(() => journal.forgetMessages(grant, rows)),
      shardOf: (id) => journal.shardOf(id),
    };
  }

  /** What the control API and a worker's sweep read. */
  readerFor(way: StoreWay): Reader {
    const none = (): never => {
      throw new Error('the cloud simulation has no feeds');
    };
    return {
      get: (id) => this.through(way, () => this.journal.load(id)),
      list: (filter) => this.through(way, () => Promise.resolve({ items: this.list(filter), cursor: '' as Cursor })),
      history: none,
      follow: none,
      now: none,
      deadLetters: none,
    };
  }

  stored(): readonly StoredActor[] {
    return [...this.journal.actors.values()].map(({ actor }) => actor);
  }

  rowsOf(id: string, collection: string): ReadonlyMap<string, unknown> {
    const start = `${id} ${collection}/`;
    const rows = [...this.journal.rows].filter(([name]) => name.startsWith(start));
    return new Map(rows.map(([name, value]) => [name.slice(start.length), value]));
  }

  private list({ host }: ActorFilter): ActorSummary[] {
    const live = this.stored().filter(({ id, status }) => status === 'live' && partsOf(id as ActorId).host === host);
    return live.map(({ id, uid, version, status }) => ({
      id,
      uid,
      version,
      status,
      stateName: '',
      waitingOn: [],
      at: 0,
    }));
  }

  private through<Result>(way: StoreWay, work: () => Promise<Result>): Promise<Result> {
    const held = Math.max(this.stalledUntilMs, way.cutUntilMs, this.time.nowMs);
    way.busyUntilMs = Math.max(way.busyUntilMs, held + this.random.fraction() * 3);
    return new Promise((resolve, reject) => {
      this.time.after(way.busyUntilMs - this.time.nowMs, () => {
        this.inFlight += 1;
        void work().then(
          (result) => this.answer(way, () => resolve(result)),
          (error: unknown) => this.answer(way, () => reject(error as Error)),
        );
      });
    });
  }

  private answer(way: StoreWay, tell: () => void): void {
    this.inFlight -= 1;
    const held = Math.max(0, this.stalledUntilMs - this.time.nowMs, way.cutUntilMs - this.time.nowMs);
    way.clock.after(held + this.random.fraction() * 2, tell);
  }
}
