/**
 * How long the event loop of this process makes others wait: beats, links and answers are late by as much. A timer is
 * set again and again, and by how much it is late is the delay: every 50 ms, because it is a good part of what an idle
 * node costs, and every 20 ms while it is late, so that little of a delay that lasts is missed. Composition roots start
 * it, export it as metrics, and pass it to the control API, which refuses clients' work while the delay lasts.
 *
 * Rejected: monitorEventLoopDelay of node:perf_hooks, which loses the first delay after each reset, so that a window
 * over it misses what it is there to see.
 */
const calmMs = 50;
const lateEveryMs = 20;
/** Later than this, the loop has waited for something. */
const calmlyLateMs = 10;
const windowMs = 500;
/** Ten seconds at least. */
const samplesKept = 512;

export interface LoopDelayTime {
  nowMs(): number;
  after(delayMs: number, task: () => void): () => void;
}

export interface LoopDelay {
  /**
   * A delay that lasts: the longest of a window of half a second or of the one before it, whichever is shorter. A
   * single long pause, such as that of a garbage collection, does not count.
   */
  lastingMs(): number;
  /** Of the last 10 to 25 seconds. */
  summary(): { readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number };
  stop(): void;
}

const processTime: LoopDelayTime = {
  nowMs: () => performance.now(),
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

export function startLoopDelay({ nowMs, after }: LoopDelayTime = processTime): LoopDelay {
  const samples: number[] = [];
  let at = 0;
  /** The longest delay of this window and of the two before it. */
  let [now, before, earlier] = [0, 0, 0];
  let windowEndsMs = nowMs() + windowMs;
  let dueMs = nowMs() + calmMs;
  const sample = (): void => {
    const atMs = nowMs();
    const lateMs = Math.max(0, atMs - dueMs);
    samples[at] = lateMs;
    at = (at + 1) % samplesKept;
    now = Math.max(now, lateMs);
    if (atMs >= windowEndsMs) {
      [now, before, earlier] = [0, now, before];
      windowEndsMs = atMs + windowMs;
    }
    const nextMs = lateMs > calmlyLateMs ? lateEveryMs : calmMs;
    dueMs = atMs + nextMs;
    cancel = after(nextMs, sample);
  };
  let cancel = after(calmMs, sample);
  return {
    lastingMs: () => Math.max(Math.min(now, before), Math.min(before, earlier)),
    summary() {
      const sorted = samples.toSorted((a, b) => a - b);
      const part = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
      return { p50Ms: part(0.5), p99Ms: part(0.99), maxMs: part(1) };
    },
    stop: () => cancel(),
  };
}
