/**
 * How long the event loop of this process makes others wait: beats, links and answers are late by as much. A timer is
 * set every 20 ms, and by how much it is late is the delay. Composition roots start it, export it as metrics, and pass
 * it to the control API, which refuses clients' work while the delay lasts.
 *
 * Rejected: monitorEventLoopDelay of node:perf_hooks, which loses the first delay after each reset, so that a window
 * over it misses what it is there to see.
 */
const everyMs = 20;
const windowMs = 500;
/** About ten seconds. */
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
  /** Of the last ten seconds. */
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
  let dueMs = nowMs() + everyMs;
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
    dueMs = atMs + everyMs;
    cancel = after(everyMs, sample);
  };
  let cancel = after(everyMs, sample);
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
