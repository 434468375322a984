/**
 * A timeout of any length. `setTimeout` holds at most 2^31 ms (24.8 days) and fires at once for more. Used by the
 * clocks of nodes and of clients, and therefore everywhere that waits.
 */
const longestTimeoutMs = 2_147_483_647;

/** @returns a function that cancels the task */
export function afterAny(delayMs: number, task: () => void): () => void {
  let remainingMs = Math.max(0, delayMs);
  let timeout: ReturnType<typeof setTimeout>;
  const wait = (): void => {
    const stretchMs = Math.min(remainingMs, longestTimeoutMs);
    remainingMs -= stretchMs;
    timeout = setTimeout(remainingMs > 0 ? wait : task, stretchMs);
  };
  wait();
  return () => clearTimeout(timeout);
}
