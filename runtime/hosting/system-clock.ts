/**
 * The clock port bound to the process clock. Charts do not see it: they know time only as `meta.at`. Called by
 * composition roots, which pass it to the host and to everything else that waits. Upholds G6 in one detail: `after`
 * also waits for more than 24.8 days, where `setTimeout` would fire at once.
 */
import type { Clock } from '../contract/clock.ts';
import { afterAny } from '../contract/long-timeout.ts';

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: afterAny,
};
