/**
 * Time for programs that are not a node: the CLI, the inspector's page, tests, third parties. It runs in browsers
 * as in
 * Node. Nodes bind their own clock; nothing of the control plane may use this one.
 */
import type { Clock } from '../contract/clock.ts';

export const clientClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};
