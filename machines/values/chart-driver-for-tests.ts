/**
 * Applies one event to a chart with XState's pure `transition`, for tests, and returns the next snapshot and the
 * recorded requests. Nothing is performed, stored or timed. The runtime's own decide.ts gives the same results, which a
 * test checks.
 */
import { initialTransition, transition, type AnyMachineSnapshot, type AnyStateMachine } from 'xstate';

export interface AskedFor {
  readonly type: string;
  readonly params: unknown;
}

export interface ArmedTimer {
  readonly type: string;
  readonly delayMs: number;
}

export interface Move {
  readonly snapshot: AnyMachineSnapshot;
  /** Dotted: `binding.tap`. */
  readonly state: string;
  readonly asked: readonly AskedFor[];
  readonly armed: readonly ArmedTimer[];
  /** Event types of timers that no longer run. */
  readonly disarmed: readonly string[];
}

/** A new actor of this chart, before its first event. */
export const bornOf = (machine: AnyStateMachine, id: string): AnyMachineSnapshot =>
  initialTransition(machine, { id })[0];

export function stateOf(snapshot: AnyMachineSnapshot): string {
  const parts: string[] = [];
  let value: unknown = snapshot.value;
  while (typeof value === 'object' && value !== null) {
    const [key = ''] = Object.keys(value);
    parts.push(key);
    value = (value as Record<string, unknown>)[key];
  }
  return [...parts, String(value)].join('.');
}

export function moved(machine: AnyStateMachine, snapshot: AnyMachineSnapshot, event: { readonly type: string }): Move {
  const [next, actions] = transition(machine, snapshot, event as never);
  const asked: AskedFor[] = [];
  const armed: ArmedTimer[] = [];
  const disarmed: string[] = [];
  for (const action of actions as readonly { readonly type: string }[]) {
    const params = (action as { params?: unknown }).params;
    const timer = params as { event?: { type: string }; delay?: number; sendId?: string } | undefined;
    if (action.type === 'xstate.cancel') disarmed.push(timer?.sendId ?? '');
    else if (action.type !== 'xstate.raise') asked.push({ type: action.type, params });
    else if (typeof timer?.delay === 'number') armed.push({ type: timer.event?.type ?? '', delayMs: timer.delay });
  }
  return { snapshot: next, state: stateOf(next), asked, armed, disarmed };
}
