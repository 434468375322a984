/**
 * Virtual time for the cloud simulation: one heap of tasks ordered by (time, sequence), a clock per process that stands
 * still while the process is paused and forgets everything when it is killed, and chance from a seed.
 * Between two tasks everything that needs no time has happened. No real clock or generator is asked.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '@photoncloud/runtime/contract/clock';
import type { Random } from '@photoncloud/runtime/contract/random';

interface Task {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | null;
}

const wallZeroMs = Date.UTC(2030, 0, 1);

export class VirtualTime {
  nowMs = 0;
  events = 0;
  private readonly heap: Task[] = [];
  private order = 0;
  private readonly busy: () => boolean;

  /** @param busy true while something real is still on its way at this instant */
  constructor(busy: () => boolean) {
    this.busy = busy;
  }

  /** @returns a function that cancels it */
  after(delayMs: number, run: () => void): () => void {
    const task: Task = { atMs: this.nowMs + Math.max(0, delayMs), order: (this.order += 1), run };
    push(this.heap, task);
    return () => {
      task.run = null;
    };
  }

  async runUntil(endMs: number): Promise<void> {
    await this.settle();
    for (let next = this.heap[0]; next !== undefined && next.atMs <= endMs; next = this.heap[0]) {
      pop(this.heap);
      if (next.run === null) continue;
      this.nowMs = Math.max(this.nowMs, next.atMs);
      this.events += 1;
      next.run();
      await this.settle();
    }
    this.nowMs = Math.max(this.nowMs, endMs);
  }

  private async settle(): Promise<void> {
    do await turn();
    while (this.busy());
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const before = (a: Task, b: Task): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

function push(heap: Task[], task: Task): void {
  let at = heap.push(task) - 1;
  while (at > 0) {
    const up = (at - 1) >> 1;
    const parent = heap[up] as Task;
    if (!before(task, parent)) break;
    heap[at] = parent;
    at = up;
  }
  heap[at] = task;
}

function pop(heap: Task[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let down = 2 * at + 1;
    if (down >= heap.length) break;
    if (down + 1 < heap.length && before(heap[down + 1] as Task, heap[down] as Task)) down += 1;
    const child = heap[down] as Task;
    if (!before(child, last)) break;
    heap[at] = child;
    at = down;
  }
  heap[at] = last;
}

/** The clock of one life of one process. */
export class ProcessClock implements Clock {
  private readonly time: VirtualTime;
  private pausedUntilMs = 0;
  private dead = false;

  constructor(time: VirtualTime) {
    this.time = time;
  }

  get alive(): boolean {
    return !this.dead;
  }

  get paused(): boolean {
    return this.time.nowMs < this.pausedUntilMs;
  }

  kill(): void {
    this.dead = true;
  }

  /** What is due meanwhile runs when it goes on. */
  pause(forMs: number): void {
    this.pausedUntilMs = Math.max(this.pausedUntilMs, this.time.nowMs + forMs);
  }

  wallMs(): number {
    return wallZeroMs + Math.floor(this.time.nowMs);
  }

  monotonicMs(): number {
    return this.time.nowMs;
  }

  after(delayMs: number, task: () => void): () => void {
    let cancel = (): void => {};
    const due = (): void => {
      if (this.dead) return;
      if (this.paused) cancel = this.time.after(this.pausedUntilMs - this.time.nowMs, due);
      else task();
    };
    cancel = this.time.after(delayMs, due);
    return () => cancel();
  }
}

const crockford = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** Chance of one subsystem: the same seed and name give the same numbers, whatever other subsystems draw. */
export class SeededRandom implements Random {
  private readonly state: Uint32Array;
  private minted = 0;

  constructor(seed: number, name: string) {
    const digest = createHash('sha256').update(`${seed} ${name}`).digest();
    this.state = new Uint32Array([0, 4, 8, 12].map((at) => digest.readUInt32LE(at)));
  }

  /** sfc32. */
  fraction(): number {
    const s = this.state;
    const [a = 0, b = 0, c = 0, d = 0] = s;
    const sum = (a + b + d) >>> 0;
    s[3] = d + 1;
    s[0] = b ^ (b >>> 9);
    s[1] = c + (c << 3);
    s[2] = ((c << 21) | (c >>> 11)) + sum;
    return sum / 0x1_0000_0000;
  }

  /** Of one generator they sort by birth. */
  ulid(wallMs: number): string {
    this.minted += 1;
    let salt = '';
    for (let at = 0; at < 8; at += 1) salt += crockford[Math.floor(this.fraction() * 32)];
    return base32(wallMs, 10) + base32(this.minted, 8) + salt;
  }

  /** From `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.fraction() * items.length)] as Item;
  }

  /** Waiting time of something that happens once in `meanMs`. */
  wait(meanMs: number): number {
    return -Math.log(1 - this.fraction()) * meanMs;
  }
}

function base32(value: number, length: number): string {
  let text = '';
  for (let rest = value, at = 0; at < length; at += 1) {
    text = (crockford[rest % 32] ?? '0') + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}
