/**
 * Durable timers of the shards this node owns, in memory: a heap of due times and one alarm. The rows in the store are
 * what counts; an entry here only causes an input to the actor, whose step fires the timer or finds it cancelled. A
 * timer never fires early (G6): a due time is on the clock that all nodes share, and what is left until then is waited
 * for on the monotonic clock. No wall clock has a part in it, so none delays a timer by a step. Called by the gate, at
 * recovery and at load.
 *
 * All timers of a shard are kept here, not only the next ones. Measured on a busy two-core machine: 1,000,000 timers in
 * 128 shards were loaded in 4 s and cost 0.4 KB each, and 20,000 due among them fired 9 to 18 ms late at p99. Marking
 * so many in a major garbage collection takes 0.3 to 0.5 s, and timers due meanwhile are that late. Rejected: a window
 * of near timers, refilled from a sorted set. That set would have to be written with every timer, and a refill can come
 * too late.
 */
import type { SharedClock } from '../contract/clock.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type { PendingTimer } from '../contract/journal.ts';
import { popFromHeap, pushToHeap } from './binary-heap.ts';
import type { TimerInput } from './mailbox.ts';

interface Entry {
  readonly shard: ShardId;
  readonly actor: ActorId;
  readonly timer: PendingTimer;
  /** When it is due on the monotonic clock, and for how long it has waited then. */
  readonly atMs: number;
  readonly waitMs: number;
  /** Cancelled: it may still be in the heap, and is skipped when it becomes the first. */
  gone: boolean;
}

/** Due timers handed out in one go, so that a storm after a restart leaves room for other work. */
const burst = 256;
const sweepFrom = 4096;
/** The monotonic clock of a node runs at most this much faster than the shared clock. */
const drift = 0.005;

const isDueBefore = (one: Entry, other: Entry): boolean => one.atMs < other.atMs;

export class TimerQueue {
  private heap: Entry[] = [];
  private readonly byActor = new Map<ActorId, Entry[]>();
  private readonly clock: SharedClock;
  private readonly fire: (shard: ShardId, input: TimerInput) => void;
  private goneCount = 0;
  private alarm: { readonly atMs: number; readonly cancel: () => void } | undefined;

  constructor(clock: SharedClock, fire: (shard: ShardId, input: TimerInput) => void) {
    this.clock = clock;
    this.fire = fire;
  }

  get size(): number {
    return this.heap.length - this.goneCount;
  }

  set(shard: ShardId, actor: ActorId, timer: PendingTimer): void {
    this.cancel(actor, timer.timerId);
    const waitMs = Math.max(0, timer.dueMs - this.clock.sharedMs());
    const entry: Entry = { shard, actor, timer, atMs: this.clock.monotonicMs() + waitMs, waitMs, gone: false };
    const known = this.byActor.get(actor);
    if (known === undefined) this.byActor.set(actor, [entry]);
    else known.push(entry);
    pushToHeap(this.heap, entry, isDueBefore);
    this.sleep();
  }

  cancel(actor: ActorId, timerId: string): void {
    const known = this.byActor.get(actor);
    const index = known === undefined ? -1 : known.findIndex((entry) => entry.timer.timerId === timerId);
    if (known === undefined || index < 0) return;
    this.fence(known[index] as Entry);
    if (known.length === 1) this.byActor.delete(actor);
    else known.splice(index, 1);
    this.sweep();
  }

  /** Replaces the timers of one actor by those of its record. */
  replace(shard: ShardId, actor: ActorId, timers: readonly PendingTimer[]): void {
    for (const entry of this.byActor.get(actor) ?? []) this.fence(entry);
    this.byActor.delete(actor);
    for (const timer of timers) this.set(shard, actor, timer);
    this.sweep();
  }

  dropShard(shard: ShardId): void {
    for (const [actor, entries] of this.byActor) {
      if (entries[0]?.shard !== shard) continue;
      for (const entry of entries) this.fence(entry);
      this.byActor.delete(actor);
    }
    this.sweep();
    if (this.size === 0) this.wake();
  }

  /** Cancels the alarm: nothing is left to wait for. */
  private wake(): void {
    this.alarm?.cancel();
    this.alarm = undefined;
  }

  /** Drops cancelled entries from the front, and sets the alarm for the first one left. */
  private sleep(): void {
    while (this.heap[0]?.gone === true) {
      popFromHeap(this.heap, isDueBefore);
      this.goneCount -= 1;
    }
    const first = this.heap[0];
    if (first === undefined) return this.wake();
    const nowMs = this.clock.monotonicMs();
    const wakeMs = Math.max(first.atMs, nowMs);
    if (this.alarm !== undefined && this.alarm.atMs <= wakeMs) return;
    this.alarm?.cancel();
    const cancel = this.clock.after(wakeMs - nowMs, () => {
      this.alarm = undefined;
      this.ring();
    });
    this.alarm = { atMs: wakeMs, cancel };
  }

  private ring(): void {
    const nowMs = this.clock.monotonicMs();
    for (let fired = 0; fired < burst;) {
      const first = this.heap[0];
      if (first === undefined || (!first.gone && first.atMs > nowMs)) break;
      popFromHeap(this.heap, isDueBefore);
      if (first.gone) {
        this.goneCount -= 1;
        continue;
      }
      this.unlist(first);
      const { shard, actor, timer } = first;
      if (this.isAhead(first)) {
        this.set(shard, actor, timer);
        continue;
      }
      fired += 1;
      const { timerId, dueMs, eventType } = timer;
      this.fire(shard, { kind: 'timer', actor, timerId, dueMs, eventType });
    }
    this.sleep();
  }

  /**
   * Whether it came too soon because this node's monotonic clock runs faster than the shared one. When more is left
   * than that can explain, the shared clock was set back with the store, and the timer has waited long enough.
   */
  private isAhead({ timer, waitMs }: Entry): boolean {
    const leftMs = timer.dueMs - this.clock.sharedMs();
    return leftMs > 0 && leftMs <= drift * waitMs + 2;
  }

  private unlist(entry: Entry): void {
    const known = this.byActor.get(entry.actor);
    if (known === undefined) return;
    if (known.length === 1) this.byActor.delete(entry.actor);
    else known.splice(known.indexOf(entry), 1);
  }

  /** Marks it as cancelled. Not a fence in the sense of the glossary. */
  private fence(entry: Entry): void {
    entry.gone = true;
    this.goneCount += 1;
  }

  /** Cancelled entries leave in bulk, when they are the larger half. */
  private sweep(): void {
    if (this.goneCount < sweepFrom || this.goneCount * 2 < this.heap.length) return;
    const kept = this.heap.filter((entry) => !entry.gone).sort((one, other) => one.atMs - other.atMs);
    this.heap = kept;
    this.goneCount = 0;
  }
}
