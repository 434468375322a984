/**
 * Names of actions, guards and delays as a person reads them.
 *
 * Actions that XState adds itself (raising and cancelling `after` events) are left out; the timer's edge shows them.
 * Inline functions have no name and are shown as `inline action` or `inline guard`: charts must not use them, and a
 * picture without them would show a guarded edge as unguarded. Called by chart-ir.ts only.
 */
import type {
  BuiltinAction,
  ChartAction as StructureAction,
  ChartGuard,
  ChartStructure,
} from '../contract/chart-structure.ts';

/** The role of an action in a step; the action names are those of runtime/contract/actor-definition.ts. */
export type ActionRole = 'effect' | 'message' | 'answer' | 'row' | 'timer' | 'update';

export interface ChartAction {
  readonly name: string;
  readonly role: ActionRole;
}

export interface ChartTimer {
  readonly label: string;
  readonly delayMs: number | null;
}

const vocabulary: Readonly<Record<string, ActionRole>> = {
  send: 'message',
  reply: 'answer',
  reject: 'answer',
  defer: 'answer',
  'row.put': 'row',
  'row.remove': 'row',
};

/** @returns undefined for XState's own bookkeeping. */
export function namedAction(
  { name, builtin }: StructureAction,
  chart: ChartStructure,
  effects: ReadonlySet<string> | undefined,
): ChartAction | undefined {
  if (name === undefined) return inlineAction(builtin, chart);
  const isTimer =
    builtin?.type === 'xstate.cancel' || (builtin?.type === 'xstate.raise' && builtin.delay !== undefined);
  return { name, role: isTimer ? 'timer' : roleOf(name, effects) };
}

function roleOf(name: string, effects: ReadonlySet<string> | undefined): ActionRole {
  const known = Object.hasOwn(vocabulary, name) ? vocabulary[name] : undefined;
  if (known !== undefined) return known;
  const effect = effects === undefined ? name.includes('.') : effects.has(name);
  return effect ? 'effect' : 'update';
}

function inlineAction(builtin: BuiltinAction | undefined, chart: ChartStructure): ChartAction | undefined {
  if (builtin === undefined) return { name: 'inline action', role: 'update' };
  const { type } = builtin;
  if (type === 'xstate.raise') {
    const event = typeOfEvent(builtin.event);
    if (event.startsWith('xstate.after.')) return undefined;
    if (builtin.delay === undefined) return { name: `raise ${event}`, role: 'update' };
    return { name: `${event} in ${delayLabel(builtin.delay, chart)}`, role: 'timer' };
  }
  if (type === 'xstate.cancel') return undefined;
  return { name: `inline ${type.slice('xstate.'.length)}`, role: 'update' };
}

const typeOfEvent = (event: unknown): string =>
  typeof event === 'object' && event !== null && 'type' in event ? String(event.type) : 'computed event';

/** `canRetry and not isLast`; the source text of nothing is ever shown. */
export function guardText({ name, operator, parts }: ChartGuard): string {
  const texts = parts.map(guardText);
  if (operator === 'and' || operator === 'or') return texts.map(bracket).join(` ${operator} `);
  if (operator === 'not') return `not ${bracket(texts[0] ?? '')}`;
  return name ?? 'inline guard';
}

const bracket = (text: string): string => (text.includes(' and ') || text.includes(' or ') ? `(${text})` : text);

/** Event type -> the timer that raises it, both `after` and delayed raises. */
export function timersOf(chart: ChartStructure): ReadonlyMap<string, ChartTimer> {
  const timers = new Map<string, ChartTimer>();
  const inline = chart.states.flatMap(({ entry, exit, transitions }) =>
    [...entry, ...exit, ...transitions.flatMap(({ actions }) => actions)].map(({ builtin }) => builtin),
  );
  for (const action of [...chart.actions.values(), ...inline]) {
    if (action?.type !== 'xstate.raise' || action.delay === undefined) continue;
    const event = typeOfEvent(action.event);
    const delay = delayLabel(action.delay, chart);
    const label = event.startsWith('xstate.after.') ? `after ${delay}` : event;
    timers.set(event, { label, delayMs: delayMs(action.delay, chart) });
  }
  return timers;
}

function delayMs(delay: unknown, chart: ChartStructure): number | null {
  if (typeof delay === 'number') return delay;
  return (typeof delay === 'string' ? chart.delays.get(delay) : undefined) ?? null;
}

function delayLabel(delay: unknown, chart: ChartStructure): string {
  const ms = delayMs(delay, chart);
  if (typeof delay === 'string') return ms === null ? delay : `${delay} (${formatMs(ms)})`;
  return ms === null ? 'a computed delay' : formatMs(ms);
}

/** `250 ms`, `30 s`, `5 min`, `2 h`, `3 d`. */
export function formatMs(ms: number): string {
  const units: readonly (readonly [number, string])[] = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
    [1000, 's'],
  ];
  for (const [size, name] of units) {
    if (ms >= size) return `${Math.round((ms / size) * 10) / 10} ${name}`;
  }
  return `${ms} ms`;
}
