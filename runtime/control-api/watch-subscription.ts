/**
 * One watch of one session: snapshot, `synced`, then changes, numbered from 1.
 *
 * Backpressure. At most `window` frames are unacknowledged. Meanwhile only the latest change per actor is kept, so
 * memory is bounded by the number of actors, and a slow reader still ends with the current state; a `coalesced` frame
 * says how many changes were merged. What it keeps counts for the budget of its scope and principal: when that is used
 * up, the watch forgets all of it and begins anew, by `reset`, once its reader has caught up. Rejected: a queue of
 * changes (unbounded), and closing the watch (every client would have to list again). Cursors. A watch that resumes
 * from a frame's cursor misses no unsent change: while changes of other actors are pending, the cursor stays at the
 * last position before all of them. A resumed watch may therefore repeat a change.
 */
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { ActorSummary, Cursor, FeedEntry } from '../contract/reader.ts';
import type { ListedActor, Problem, WatchBody, WatchFrame } from './api-schema.ts';
import { summaryOf } from './actor-view.ts';
import type { HeldBytes } from './byte-budget.ts';
import { isOld, type Before, type FeedListener, type Selection, type Snapshot, type WatchHub } from './watch-hub.ts';

export interface WatchOptions {
  readonly watch: string;
  readonly hub: WatchHub;
  readonly clock: Clock;
  readonly window: number;
  readonly bookmarkMs: number;
  /** What belongs to this watch and its principal. */
  readonly selection: Selection;
  readonly held: HeldBytes;
  /** Reads spec and status; undefined when the actor was removed. Without this function lines are summaries. */
  readonly detail?: (entry: ActorSummary) => Promise<ListedActor | undefined>;
  readonly strict: boolean;
  readonly send: (frame: WatchFrame) => void;
  readonly maySend: () => boolean;
  /** Does what takes long when it is the turn of the scope. */
  readonly inTurn: (task: () => void) => void;
  readonly problemOf: (error: unknown) => Problem;
  readonly onClosed: () => void;
}

interface Pending {
  readonly type: 'added' | 'changed' | 'removed';
  readonly entry: FeedEntry;
  /** An `added` of an actor that was removed and created again: the reader has not been told of the removal. */
  readonly again?: boolean;
}

/**
 * How many removed actors a resumed watch remembers, to tell of one that is created again as `added`. Of an older one
 * it tells as `changed`, which a reader stores alike.
 */
const removedKept = 10_000;

const itemsPerFrame = 50;
/** What a watch holds, about: itself, an actor of the snapshot, which all watches share, a change with its cursor. */
const watchBytes = 8_192;
const itemBytes = 16;
const changeBytes = 1_024;

export class WatchSubscription {
  readonly #options: WatchOptions;
  readonly #pending = new Map<ActorId, Pending>();
  /** Removed since the watch was resumed. */
  readonly #removed = new Set<ActorId>();
  #snapshot: ActorSummary[] = [];
  /** `behind`: the budget was used up, and what was not sent is forgotten. */
  #phase: 'opening' | 'snapshot' | 'live' | 'behind' | 'closed' = 'opening';
  #resumed = false;
  #sent = 0;
  #acked = 0;
  #merged = 0;
  #newest: Cursor | undefined;
  #safe: Cursor | undefined;
  #pumping = false;
  #leave = (): void => {};
  #cancelBookmark = (): void => {};

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  /** Starts sending frames. */
  start(since: Cursor | undefined): void {
    this.#scheduleBookmark();
    this.#account();
    if (since === undefined) {
      void this.#openSnapshot();
      return;
    }
    this.#resumed = true;
    this.#newest = since;
    this.#safe = since;
    this.#phase = 'live';
    this.#leave = this.#options.hub.resume(since, this.#listener());
  }

  /** @throws PhotonError `ack_ahead` when the client acknowledges a frame that was not sent */
  ack(upTo: number): void {
    if (upTo > this.#sent) {
      throw new PhotonError('rejection', 'ack_ahead', `Frame ${upTo} of ${this.#options.watch} has not been sent yet.`);
    }
    this.#acked = Math.max(this.#acked, upTo);
    this.pump();
  }

  close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#leave();
    this.#cancelBookmark();
    this.#pending.clear();
    this.#removed.clear();
    this.#snapshot = [];
    this.#options.held.set(0);
    this.#options.onClosed();
  }

  /** Sends what the window and the socket allow. */
  pump(): void {
    if (this.#phase === 'behind') this.#beginAnew();
    else if (!this.#pumping) this.#pump();
  }

  #listener(): FeedListener {
    return { onEntry: (entry, before) => this.#onEntry(entry, before), onLost: (error) => this.#onLost(error) };
  }

  #account(): void {
    if (this.#ended()) return;
    this.#options.held.set(watchBytes + this.#snapshot.length * itemBytes + this.#pending.size * changeBytes);
  }

  /** Forgets what is not sent, because the budget is used up. */
  #fallBehind(): void {
    this.#phase = 'behind';
    this.#leave();
    this.#leave = (): void => {};
    this.#pending.clear();
    this.#snapshot = [];
    this.#merged = 0;
    this.#account();
  }

  #beginAnew(): void {
    if (this.#pumping || !this.#room() || this.#options.held.isOver()) return;
    this.#send({ type: 'reset', reason: 'budget_used_up' });
    void this.#openSnapshot();
  }

  async #openSnapshot(): Promise<void> {
    const { hub, selection, inTurn } = this.#options;
    this.#phase = 'opening';
    this.#pending.clear();
    try {
      const { snapshot, leave } = await hub.join(this.#listener());
      this.#leave = leave;
      // Closed meanwhile: leave the feed that was just joined.
      if (this.#ended()) return leave();
      inTurn(() => {
        // Otherwise it was closed while it waited, or has lost changes and joins again.
        if (this.#leave === leave && !this.#ended()) this.#takeSnapshot(() => snapshot(selection));
      });
    } catch (error) {
      this.#fail(error);
    }
    return undefined;
  }

  #ended(): boolean {
    return this.#phase === 'closed';
  }

  #takeSnapshot(take: () => Snapshot): void {
    try {
      const { items, cursor } = take();
      this.#snapshot = [...items];
      this.#merged = 0;
      this.#newest = cursor;
      this.#safe = cursor;
      this.#resumed = false;
      this.#removed.clear();
      this.#phase = 'snapshot';
      this.#account();
      this.pump();
    } catch (error) {
      this.#fail(error);
    }
  }

  #onEntry(entry: FeedEntry, before: Before): void {
    // A change before the snapshot is in it.
    if (this.#ended() || this.#phase === 'opening') return;
    this.#newest = entry.cursor;
    const isKnown = before !== undefined && before !== null;
    if (!this.#options.selection.matches(entry) || (isKnown && isOld(entry, before))) {
      this.#advance();
      return;
    }
    const removed = entry.status === 'removed';
    // Of a missed change it is not known whether the client was told of the actor before, unless it was removed since.
    const again = this.#removed.delete(entry.id);
    const fresh = before === null || (before === undefined && (again || entry.version === 1));
    if (removed && this.#resumed) this.#rememberRemoved(entry.id);
    // The actor was removed before this client was told of it.
    if (removed && before === null && !this.#pending.has(entry.id)) {
      this.#advance();
      return;
    }
    this.#merge({ type: removed ? 'removed' : fresh ? 'added' : 'changed', entry });
    this.pump();
    this.#account();
    if (this.#pending.size > 0 && this.#options.held.isOver()) this.#fallBehind();
  }

  #merge(next: Pending): void {
    const { id } = next.entry;
    const before = this.#pending.get(id);
    if (before === undefined) {
      this.#pending.set(id, next);
      return;
    }
    this.#merged += 1;
    if (before.type === 'added' && next.type === 'removed' && before.again !== true) this.#pending.delete(id);
    else if (before.type === 'added' && next.type !== 'removed')
      this.#pending.set(id, { ...before, entry: next.entry });
    else if (next.type === 'added') this.#pending.set(id, { ...next, again: true });
    else this.#pending.set(id, next);
  }

  #rememberRemoved(id: ActorId): void {
    this.#removed.add(id);
    const [oldest] = this.#removed;
    if (this.#removed.size > removedKept && oldest !== undefined) this.#removed.delete(oldest);
  }

  /** When nothing is unsent, the newest position can be given as a cursor. */
  #advance(): void {
    if (this.#phase !== 'live' || this.#pending.size > 0 || this.#pumping) return;
    this.#safe = this.#newest ?? this.#safe;
  }

  /** Without detail it is synchronous, so that changes are merged only when the reader is behind. */
  #pump(): void {
    this.#pumping = true;
    while (!this.#ended() && this.#room()) {
      const more = this.#sendNext();
      if (typeof more !== 'boolean') {
        more.then(
          () => this.#pump(),
          (error: unknown) => this.#fail(error),
        );
        return;
      }
      if (!more) break;
    }
    this.#pumping = false;
    this.#account();
    this.#advance();
  }

  #room(): boolean {
    return this.#sent - this.#acked < this.#options.window && this.#options.maySend();
  }

  /** @returns false when there is nothing to send, a promise when something must be read first. */
  #sendNext(): boolean | Promise<void> {
    if (this.#phase === 'opening' || this.#phase === 'behind') return false;
    if (this.#phase === 'snapshot') return this.#sendSnapshot();
    if (this.#merged > 0) {
      this.#send({ type: 'coalesced', dropped: this.#merged });
      this.#merged = 0;
      return true;
    }
    const [next] = this.#pending.values();
    if (next === undefined) return false;
    this.#pending.delete(next.entry.id);
    const { detail } = this.#options;
    if (detail === undefined || next.type === 'removed') {
      this.#sendChange(next, summaryOf(next.entry));
      return true;
    }
    return this.#readAndSend(next, detail);
  }

  async #readAndSend(next: Pending, detail: NonNullable<WatchOptions['detail']>): Promise<void> {
    this.#sendChange(next, await detail(next.entry));
  }

  #sendChange({ type, entry }: Pending, actor: ListedActor | undefined): void {
    if (this.#ended()) return;
    if (this.#pending.size === 0) this.#safe = this.#newest ?? this.#safe;
    // Undefined when the actor was removed meanwhile: its removal follows this entry in the feed.
    if (actor !== undefined) this.#send({ type, actor, cursor: this.#safe ?? entry.cursor });
  }

  #sendSnapshot(): boolean | Promise<void> {
    const batch = this.#snapshot.splice(0, itemsPerFrame);
    if (batch.length === 0) {
      this.#phase = 'live';
      this.#send({ type: 'synced', cursor: this.#safe as string });
      return true;
    }
    const { detail } = this.#options;
    if (detail === undefined) {
      this.#send({ type: 'items', actors: batch.map(summaryOf) });
      return true;
    }
    return Promise.all(batch.map((item) => detail(item))).then((read) => {
      if (!this.#ended()) this.#send({ type: 'items', actors: read.filter((line) => line !== undefined) });
    });
  }

  #onLost(error: PhotonError): void {
    if (this.#ended()) return;
    this.#leave();
    this.#leave = (): void => {};
    if (error.record.code !== 'cursor_expired' || (this.#options.strict && this.#resumed)) {
      this.#fail(error);
      return;
    }
    this.#snapshot = [];
    this.#send({ type: 'reset', reason: error.record.code });
    void this.#openSnapshot();
  }

  #fail(error: unknown): void {
    if (this.#ended()) return;
    this.#send({ type: 'closed', error: this.#options.problemOf(error) });
    this.close();
  }

  #send(body: WatchBody): void {
    this.#sent += 1;
    this.#options.send({ ...body, watch: this.#options.watch, n: this.#sent } as WatchFrame);
  }

  /** Sends the current cursor while the watch has no changes of its own, so that a resume has little to read again. */
  #scheduleBookmark(): void {
    this.#cancelBookmark = this.#options.clock.after(this.#options.bookmarkMs, () => {
      if (
        this.#phase === 'live' &&
        this.#pending.size === 0 &&
        !this.#pumping &&
        this.#room() &&
        this.#safe !== undefined
      ) {
        this.#send({ type: 'bookmark', cursor: this.#safe });
      }
      if (this.#phase === 'behind') this.pump();
      if (!this.#ended()) this.#scheduleBookmark();
    });
  }
}
