/**
 * The clock port bound to the process clock. Charts do not see it: they know time only as `meta.at`. Called by
 * composition roots, which pass it to the host and to everything else that waits. Upholds G6 in one detail: `after`
 * also waits for more than 24.8 days, where `setTimeout` would fire at once.
 */
import type { SharedClock } from '../contract/clock.ts';
import { afterAny } from '../contract/long-timeout.ts';

/** Wall time at the start of this process, and from then on the monotonic clock. */
const steadyMs = (): number => performance.timeOrigin + performance.now();

export const systemClock: SharedClock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  // A node that belongs to a cluster uses directory/cluster-clock.ts, which makes these the same on all nodes.
  sharedMs: () => Math.floor(steadyMs()),
  sharedAtMostMs: () => Math.ceil(steadyMs()),
  after: afterAny,
};
