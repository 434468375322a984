/**
 * Test support: how long a test waits for a condition. A test may take as long as its limit says, and a busy machine
 * makes it take longer; so a wait ends just before that limit, in time to say what was waited for.
 */

/** Where cluster-tests/harness/timed-uvu.ts leaves the end of the running test, by the clock of `performance.now()`. */
export const testEndKey = Symbol.for('photon test end');

const byHandMs = 60_000;
const toSayMs = 1_000;

/** @returns the time that is left to the running test, ms; a minute for a file that is run by hand */
export function patienceMs(): number {
  const endMs: unknown = Reflect.get(globalThis, testEndKey);
  return typeof endMs === 'number' ? Math.max(toSayMs, endMs - performance.now() - toSayMs) : byHandMs;
}
