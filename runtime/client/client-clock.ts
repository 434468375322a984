/**
 * The clock of programs that are no nodes: the CLI, the inspector's page, tests, third parties. It works in browsers
 * and in Node. Nodes have their own clock; the control plane must not use this one.
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
