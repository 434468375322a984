/**
 * K9 of docs/promises.md: a timer that fires was armed and not cancelled, fires once, and never early. Commits say what
 * was armed and cancelled; the history says what fired, with the wall time of the node that fired it. Whether a timer
 * was forgotten is judged elsewhere: a run with an overdue timer does not settle (runtime-scenario.ts). Pure. Called by
 * runtime-promises.ts.
 */
import type { StoreFact } from './store-facts.ts';

export function checkTimers(facts: readonly StoreFact[]): string[] {
  const armed = new Map<string, number>();
  const broken: string[] = [];
  for (const [at, fact] of facts.entries()) {
    if (fact.fact === 'rolled back') return broken;
    if (fact.fact === 'timer') armed.set(`${fact.actor} ${fact.timerId}`, fact.dueMs);
    else if (fact.fact === 'no timer') armed.delete(`${fact.actor} ${fact.timerId}`);
    else if (fact.fact === 'history' && fact.entry.cause.startsWith('timer:') && fact.entry.kind !== 'operated') {
      const key = `${fact.actor} ${fact.entry.cause.slice('timer:'.length)}`;
      const dueMs = armed.get(key) ?? armedInSameCommit(facts, at, key);
      if (dueMs === undefined) broken.push(`K9: ${key} fired at version ${fact.entry.version} without being armed`);
      else if (fact.entry.at < dueMs) broken.push(`K9: ${key} fired ${dueMs - fact.entry.at} ms early, by ${fact.by}`);
    }
  }
  return broken;
}

/** A commit writes its history before its timers, and may contain several steps. */
function armedInSameCommit(facts: readonly StoreFact[], from: number, key: string): number | undefined {
  const { atMs } = facts[from] as StoreFact;
  for (let at = from + 1; facts[at]?.atMs === atMs; at += 1) {
    const fact = facts[at] as StoreFact;
    if (fact.fact === 'timer' && `${fact.actor} ${fact.timerId}` === key) return fact.dueMs;
  }
  return undefined;
}
