/**
 * Virtual time: one heap of events ordered by (time, sequence). Everything in a simulated run happens in an event of
 * this heap, so the run is a function of its seed. After each event all microtasks are drained before the next event
 * begins: what a process does in response to an event happens at one instant of virtual time.
 *
 * An event belongs to a process, or to none (the store, the network, clients). Events of a dead process are dropped,
 * those of a paused process wait until it resumes. Microtasks are drained by V8's own checkpoint, which costs a third
 * of a turn of the real event loop (0.9 against 2.6 us); the real loop gets a turn every few thousand events.
 */
import { setFlagsFromString } from 'node:v8';
import { runInThisContext } from 'node:vm';
import { popFromHeap, pushToHeap } from '@photoncloud/runtime/hosting/binary-heap';

/** A simulated process, as far as events depend on it. */
export interface EventOwner {
  readonly label: string;
  alive: boolean;
  paused: boolean;
}

interface ScheduledEvent {
  atMs: number;
  seq: number;
  readonly owner: EventOwner | undefined;
  readonly label: string;
  readonly task: () => void;
  cancelled: boolean;
}

export interface VirtualTimeOptions {
  /** Called before every event. */
  readonly onEvent: (atMs: number, owner: string, label: string) => void;
}

setFlagsFromString('--allow-natives-syntax');
const drainMicrotasks = runInThisContext('() => %PerformMicrotaskCheckpoint()') as () => void;
drainMicrotasks(); // so that it is compiled while the flag allows it
setFlagsFromString('--no-allow-natives-syntax');

const realImmediate = setImmediate;
const eventsPerTurn = 4_000;

export class VirtualTime {
  nowMs = 0;
  /** Events that have happened. */
  count = 0;
  /** Owner of the event that is happening. */
  current: EventOwner | undefined;
  private readonly heap: ScheduledEvent[] = [];
  private readonly stalled = new Map<EventOwner, ScheduledEvent[]>();
  private readonly options: VirtualTimeOptions;
  private seq = 0;

  constructor(options: VirtualTimeOptions) {
    this.options = options;
  }

  /** @returns cancels the event */
  after(delayMs: number, owner: EventOwner | undefined, label: string, task: () => void): () => void {
    this.seq += 1;
    const atMs = this.nowMs + Math.max(0, delayMs);
    const event = { atMs, seq: this.seq, owner, label, task, cancelled: false };
    pushToHeap(this.heap, event, isBefore);
    return () => {
      event.cancelled = true;
    };
  }

  /** The process goes on: the events it has missed happen now, in order. */
  resume(owner: EventOwner): void {
    owner.paused = false;
    const missed = this.stalled.get(owner) ?? [];
    this.stalled.delete(owner);
    for (const event of missed) {
      this.seq += 1;
      // The same object: the functions that cancel these events refer to it.
      pushToHeap(this.heap, Object.assign(event, { atMs: this.nowMs, seq: this.seq }), isBefore);
    }
  }

  /** Resolves when virtual time reaches `untilMs` or `stop` returns true. @throws what an event threw */
  run(untilMs: number, stop: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const turn = (): void => {
        try {
          drainMicrotasks();
          for (let done = 0; done < eventsPerTurn; done += 1) {
            if (stop() || !this.step(untilMs)) return resolve();
          }
        } catch (error) {
          return reject(error);
        }
        realImmediate(turn);
      };
      realImmediate(turn);
    });
  }

  /** @returns false when nothing is left before `untilMs` */
  private step(untilMs: number): boolean {
    const first = this.heap[0];
    if (first === undefined || first.atMs > untilMs) {
      this.nowMs = untilMs;
      return false;
    }
    popFromHeap(this.heap, isBefore);
    const { owner } = first;
    if (first.cancelled || owner?.alive === false) return true;
    this.nowMs = first.atMs;
    if (owner?.paused === true) {
      const waiting = this.stalled.get(owner);
      if (waiting === undefined) this.stalled.set(owner, [first]);
      else waiting.push(first);
      return true;
    }
    this.count += 1;
    this.options.onEvent(first.atMs, owner?.label ?? '', first.label);
    this.current = owner;
    first.task();
    drainMicrotasks();
    this.current = undefined;
    return true;
  }
}

const isBefore = (a: ScheduledEvent, b: ScheduledEvent): boolean =>
  a.atMs < b.atMs || (a.atMs === b.atMs && a.seq < b.seq);
