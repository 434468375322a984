/**
 * K9 of docs/promises.md: a timer that fires was armed and not cancelled, fires once, and never early; and none is
 * armed for longer than any chart asks for. Commits say what was armed and cancelled; the history says what fired.
 * Early is judged by the time of the simulation, which no node knows: wall clocks differ and step, the store's clock
 * steps, and monotonic clocks drift. Whether a timer was forgotten is judged elsewhere: a run with an overdue timer
 * does not settle (runtime-scenario.ts). Pure. Called by runtime-promises.ts.
 */
import { wallStartMs } from '../simulation/simulated-process.ts';
import type { StoreFact } from './store-facts.ts';

/** The longest delay of any chart that is simulated is six hours: an image that comes from an address or a client. */
const longestMs = 7 * 3_600_000;
/** Monotonic clocks of simulated processes run at most this much too fast. */
const drift = 0.002;
const roundingMs = 2;

interface Armed {
  readonly dueMs: number;
  readonly sinceMs: number;
}

export function checkTimers(facts: readonly StoreFact[]): string[] {
  const armed = new Map<string, Armed>();
  const broken: string[] = [];
  for (const [at, fact] of facts.entries()) {
    if (fact.fact === 'rolled back') return broken;
    const nowMs = wallStartMs + fact.atMs;
    if (fact.fact === 'timer') {
      const { dueMs } = fact;
      armed.set(`${fact.actor} ${fact.timerId}`, { dueMs, sinceMs: nowMs });
      if (dueMs - nowMs > longestMs) broken.push(`K9: ${fact.actor} ${fact.timerId} is due in ${dueMs - nowMs} ms`);
    } else if (fact.fact === 'no timer') armed.delete(`${fact.actor} ${fact.timerId}`);
    else if (fact.fact === 'history' && fact.entry.cause.startsWith('timer:') && fact.entry.kind !== 'operated') {
      const key = `${fact.actor} ${fact.entry.cause.slice('timer:'.length)}`;
      const timer = armed.get(key) ?? armedInSameCommit(facts, at, key);
      if (timer === undefined) broken.push(`K9: ${key} fired at version ${fact.entry.version} without being armed`);
      else if (nowMs < timer.dueMs - roundingMs - drift * (timer.dueMs - timer.sinceMs))
        broken.push(`K9: ${key} fired ${timer.dueMs - nowMs} ms early, by ${fact.by}`);
    }
  }
  return broken;
}

/** A commit writes its history before its timers, and may contain several steps. */
function armedInSameCommit(facts: readonly StoreFact[], from: number, key: string): Armed | undefined {
  const { atMs } = facts[from] as StoreFact;
  for (let at = from + 1; facts[at]?.atMs === atMs; at += 1) {
    const fact = facts[at] as StoreFact;
    if (fact.fact === 'timer' && `${fact.actor} ${fact.timerId}` === key)
      return { dueMs: fact.dueMs, sinceMs: wallStartMs + atMs };
  }
  return undefined;
}
