/**
 * Which states of a chart are active for a state value, and which transitions a recorded step took.
 *
 * The journal records the event and the states before and after, not the transition; this file finds it again. Where
 * two transitions fit (guards are not evaluated here) the first in document order is taken. Runs in the browser; pure.
 */
import type { Chart, ChartTransition } from './chart-ir.ts';

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

export interface Step {
  readonly eventType: string;
  readonly from: unknown;
  readonly to: unknown;
}

/** @returns ids of the transition taken and of the eventless ones that followed it. */
export function takenTransitions(chart: Chart, step: Step): readonly string[] {
  const before = everyActive(step.from);
  const after = everyActive(step.to);
  const matching = chart.transitions.filter(
    (transition) =>
      transition.kind !== 'always' && before.has(transition.source) && matches(transition.event, step.eventType),
  );
  const deepestFirst = [...matching].sort(
    (a, b) => depth(b.source) - depth(a.source) || specificity(b) - specificity(a),
  );
  const taken =
    deepestFirst.find((transition) => arrives(transition, before, after)) ??
    (deepestFirst.length === 1 ? deepestFirst[0] : deepestFirst.find((transition) => transition.targets.length > 0));
  if (taken === undefined) return [];
  return [taken.id, ...followers(chart, taken, after)];
}

const everyActive = (value: unknown): ReadonlySet<string> => {
  const { lit, within } = activeStates(value);
  return new Set([...lit, ...within]);
};

const depth = (id: string): number => (id === '' ? 0 : id.split('.').length);
const specificity = (transition: ChartTransition): number => (transition.event.endsWith('*') ? 0 : 1);

function matches(descriptor: string, type: string): boolean {
  if (descriptor === '*' || descriptor === type) return true;
  return descriptor.endsWith('.*') && type.startsWith(descriptor.slice(0, -1));
}

function arrives(transition: ChartTransition, before: ReadonlySet<string>, after: ReadonlySet<string>): boolean {
  if (transition.targets.length > 0) return transition.targets.every((target) => after.has(target));
  return [...before].every((id) => after.has(id));
}

/** Eventless and done transitions from where the step landed to where it ended. */
function followers(chart: Chart, first: ChartTransition, after: ReadonlySet<string>): string[] {
  const found: string[] = [];
  let at = first.targets;
  while (at.length > 0 && !at.every((id) => after.has(id)) && found.length < chart.transitions.length) {
    const next = chart.transitions.find(
      (transition) =>
        (transition.kind === 'always' || transition.kind === 'done') &&
        !found.includes(transition.id) &&
        at.some(
          (id) =>
            id === transition.source ||
            id.startsWith(`${transition.source}.`) ||
            transition.source.startsWith(`${id}.`),
        ),
    );
    if (next === undefined) break;
    found.push(next.id);
    at = next.targets;
  }
  return found;
}
