/**
 * The clock and the chance of programs that are no nodes: the CLI, the inspector's page, tests, third parties. They
 * work in browsers and in Node. Nodes have their own; the control plane must not use these.
 */
import type { Clock } from '../contract/clock.ts';
import { afterAny } from '../contract/long-timeout.ts';

export const clientClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: afterAny,
};

/** Uniform in [0, 1). */
export const clientFraction = (): number => Math.random();
