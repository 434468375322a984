/**
 * Names of actions, guards and delays for the reader, taken from XState's action objects.
 *
 * Actions that XState adds itself (raising and cancelling `after` events) are left out; the timer's edge shows them.
 * Inline functions have no name and are shown as `inline action` or `inline guard`: charts must not use them, and a
 * picture without them would show a guarded edge as unguarded. Called by chart-ir.ts only.
 */
import type { AnyStateMachine, AnyStateNode } from 'xstate';

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

interface BuiltIn {
  readonly type?: string;
  readonly event?: unknown;
  readonly delay?: unknown;
  readonly id?: unknown;
  readonly guards?: readonly unknown[];
  readonly check?: { readonly name: string };
  readonly name?: string;
}

const asBuiltIn = (value: unknown): BuiltIn | undefined =>
  typeof value === 'function' || (typeof value === 'object' && value !== null) ? (value as BuiltIn) : undefined;

/** @returns undefined for actions that XState adds itself */
export function parseAction(
  action: unknown,
  machine: AnyStateMachine,
  effects: ReadonlySet<string> | undefined,
): ChartAction | undefined {
  if (typeof action === 'function') return parseBuiltIn(action as BuiltIn, machine);
  const name = typeof action === 'string' ? action : (asBuiltIn(action)?.type ?? 'unnamed action');
  const implementation = asBuiltIn(implementations(machine).actions[name]);
  if (implementation?.type === 'xstate.raise' && implementation.delay !== undefined) return { name, role: 'timer' };
  if (implementation?.type === 'xstate.cancel') return { name, role: 'timer' };
  return { name, role: roleOf(name, effects) };
}

function roleOf(name: string, effects: ReadonlySet<string> | undefined): ActionRole {
  const known = Object.hasOwn(vocabulary, name) ? vocabulary[name] : undefined;
  if (known !== undefined) return known;
  const effect = effects === undefined ? name.includes('.') : effects.has(name);
  return effect ? 'effect' : 'update';
}

function parseBuiltIn(action: BuiltIn, machine: AnyStateMachine): ChartAction | undefined {
  const type = action.type ?? '';
  if (type === 'xstate.raise') {
    const event = typeOfEvent(action.event);
    if (event.startsWith('xstate.after.')) return undefined;
    if (action.delay === undefined) return { name: `raise ${event}`, role: 'update' };
    return { name: `${event} in ${delayLabel(action.delay, machine)}`, role: 'timer' };
  }
  if (type === 'xstate.cancel') return undefined;
  if (type.startsWith('xstate.')) return { name: `inline ${type.slice('xstate.'.length)}`, role: 'update' };
  return { name: 'inline action', role: 'update' };
}

const typeOfEvent = (event: unknown): string => asBuiltIn(event)?.type ?? 'computed event';

interface Implementations {
  readonly actions: Readonly<Record<string, unknown>>;
  readonly delays: Readonly<Record<string, unknown>>;
}

const implementations = (machine: AnyStateMachine): Implementations => machine.implementations as Implementations;

/** The guard as text: `canRetry and not isLast`. Source code is never shown. */
export function parseGuard(guard: unknown): string {
  if (typeof guard === 'string') return guard;
  const built = asBuiltIn(guard);
  const parts = (built?.guards ?? []).map((part) => parseGuard(part));
  switch (built?.check?.name ?? '') {
    case 'checkAnd':
      return parts.map(bracket).join(' and ');
    case 'checkOr':
      return parts.map(bracket).join(' or ');
    case 'checkNot':
      return `not ${bracket(parts[0] ?? '')}`;
    default:
      return typeof guard === 'function' ? 'inline guard' : (built?.type ?? 'inline guard');
  }
}

const bracket = (text: string): string => (text.includes(' and ') || text.includes(' or ') ? `(${text})` : text);

/** Event type -> the timer that raises it, both `after` and delayed raises. */
export function timersOf(machine: AnyStateMachine, nodes: readonly AnyStateNode[]): ReadonlyMap<string, ChartTimer> {
  const timers = new Map<string, ChartTimer>();
  const candidates: unknown[] = Object.values(implementations(machine).actions);
  for (const node of nodes) {
    candidates.push(...node.entry, ...node.exit);
    for (const definition of [...node.transitions.values()].flat()) candidates.push(...definition.actions);
  }
  for (const candidate of candidates) {
    const action = asBuiltIn(candidate);
    if (action?.type !== 'xstate.raise' || action.delay === undefined) continue;
    const event = typeOfEvent(action.event);
    const delay = delayLabel(action.delay, machine);
    const label = event.startsWith('xstate.after.') ? `after ${delay}` : event;
    timers.set(event, { label, delayMs: delayMs(action.delay, machine) });
  }
  return timers;
}

function delayMs(delay: unknown, machine: AnyStateMachine): number | null {
  if (typeof delay === 'number') return delay;
  const named = typeof delay === 'string' ? implementations(machine).delays[delay] : undefined;
  return typeof named === 'number' ? named : null;
}

function delayLabel(delay: unknown, machine: AnyStateMachine): string {
  const ms = delayMs(delay, machine);
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
