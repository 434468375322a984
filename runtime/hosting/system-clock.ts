/**
 * The clock port bound to the process clock. Charts do not see it: they know time only as `meta.at`. Called by
 * composition roots, which pass it to the host and to everything else that waits. Upholds G6 in one detail: `after`
 * also waits for more than 24.8 days, where `setTimeout` would fire at once.
 */
import type { SharedClock } from '../contract/clock.ts';

const longestTimeoutMs = 2_147_483_647;

/** Wall time at the start of this process, and from then on the monotonic clock. */
const steadyMs = (): number => performance.timeOrigin + performance.now();

export const systemClock: SharedClock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  // A node that belongs to a cluster uses directory/cluster-clock.ts, which makes these the same on all nodes.
  sharedMs: () => Math.floor(steadyMs()),
  sharedAtMostMs: () => Math.ceil(steadyMs()),
  after(delayMs, task) {
    let remainingMs = Math.max(0, delayMs);
    let timeout: NodeJS.Timeout;
    const wait = (): void => {
      const stretchMs = Math.min(remainingMs, longestTimeoutMs);
      remainingMs -= stretchMs;
      timeout = setTimeout(remainingMs > 0 ? wait : task, stretchMs);
    };
    wait();
    return () => clearTimeout(timeout);
  },
};
