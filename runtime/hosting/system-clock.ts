/**
 * The clock port bound to the process clock.
 * It is not for machines: charts see time only as `meta.at`. Called by composition roots, which hand it to the host and
 * everything else that waits. Upholds G6 in one detail: `after` waits as long as it was told, also beyond the 24.8 days
 * at which `setTimeout` fires at once.
 */
import type { Clock } from '../contract/clock.ts';

const longestTimeoutMs = 2_147_483_647;

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
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
