/**
 * The clock of programs that are no nodes: the CLI, the inspector's page, tests, third parties. It works in browsers
 * and in Node. Nodes have their own clock; the control plane must not use this one.
 */
import type { Clock } from '../contract/clock.ts';
import { afterAny } from '../contract/long-timeout.ts';

export const clientClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: afterAny,
};
