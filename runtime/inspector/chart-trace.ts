/**
 * Which states of a chart are active for a state value, and which of its transitions a recorded step took. The step
 * itself says so in the history: guards choose between candidates, and nobody could tell afterwards from the states
 * before and after. Runs in the browser; pure.
 */
import type { Chart } from './chart-ir.ts';

export interface ActiveStates {
  /** Innermost active states; more than one with parallel regions. */
  readonly lit: ReadonlySet<string>;
  /** Their ancestors, the root included. */
  readonly within: ReadonlySet<string>;
}

/** @param value a state value of XState (`'a'`, `{a: 'b'}`), or a dotted path. Anything else counts as no state. */
export function activeStates(value: unknown): ActiveStates {
  const lit = new Set<string>();
  const within = new Set<string>();
  const walk = (part: unknown, path: string): void => {
    if (path !== '' || part !== undefined) within.add(path);
    if (typeof part === 'string' && part !== '') {
      const segments = part.split('.');
      segments.slice(0, -1).forEach((_, index) => within.add(joined(path, segments.slice(0, index + 1).join('.'))));
      lit.add(joined(path, part));
    } else if (typeof part === 'object' && part !== null) {
      const regions = Object.entries(part);
      if (regions.length === 0) lit.add(path);
      for (const [key, inner] of regions) walk(inner, joined(path, key));
    }
  };
  if (value !== undefined && value !== null) walk(value, '');
  for (const id of lit) within.delete(id);
  return { lit, within };
}

const joined = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

/** `running.healthy`, or `plane.there + members.none` with parallel regions. */
export function stateText(value: unknown): string {
  return [...activeStates(value).lit].join(' + ') || '(none)';
}

/**
 * @param taken as the entry of the history has it; undefined for one that records no step of the chart
 * @returns ids of the chart's transitions; those that a later version of the chart has no more are left out
 */
export function takenTransitions(chart: Chart, taken: readonly string[] = []): readonly string[] {
  return taken.flatMap((id) => chart.transitions.find(({ historyId }) => historyId === id)?.id ?? []);
}
