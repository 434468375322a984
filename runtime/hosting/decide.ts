/**
 * The one file that knows how XState decides. A decision is a value: next snapshot, recorded requests, timers.
 *
 * XState's public `transition()` builds an inert actor on every call, which doubles its price. `machine.transition`
 * takes the scope as an argument instead, so one scope is reused for all actors of the process; its executor only
 * writes down what the chart asks for, and nothing runs. The scope needs `system._sendInspectionEvent`, a name XState
 * keeps to itself: the version is pinned, and decide.test.ts holds every decision equal to `transition()`. Not here:
 * what the requests mean (draft.ts) and which charts are admitted (registration.ts). Called by the step.
 */
import type { AnyMachineSnapshot, AnyStateMachine, StateValue } from 'xstate';
import { PhotonError } from '../contract/errors.ts';
import type { ActorEvent } from '../contract/envelope.ts';

/** A chart at rest. Opaque: only this file looks inside. */
export type ChartSnapshot = AnyMachineSnapshot;

export interface RecordedAction {
  readonly type: string;
  readonly params: unknown;
}

/** A timer armed (delayMs) or cancelled (undefined), in the order the chart said so. */
export interface TimerChange {
  readonly timerId: string;
  readonly delayMs: number | undefined;
  readonly eventType: string;
}

export interface Decision {
  readonly snapshot: ChartSnapshot;
  readonly actions: readonly RecordedAction[];
  readonly timers: readonly TimerChange[];
  /** A transition was taken, even if it led back to the same state. False: the chart left the event alone. */
  readonly handled: boolean;
  /** A top-level final state was reached. */
  readonly done: boolean;
}

interface Executable {
  readonly type: string;
  readonly params: unknown;
}

interface Microstep {
  readonly _transitions?: readonly { readonly target: unknown; readonly actions: readonly unknown[] }[];
}

const nothing: readonly never[] = [];
let actions: RecordedAction[] = [];
let timers: TimerChange[] = [];
let handled = false;

function record(action: Executable): void {
  if (action.type === 'xstate.raise') {
    const raise = action.params as { event: { type: string }; id: string | undefined; delay: number | undefined };
    if (typeof raise.delay !== 'number') return;
    timers.push({ timerId: raise.id ?? raise.event.type, delayMs: raise.delay, eventType: raise.event.type });
  } else if (action.type === 'xstate.cancel') {
    const { sendId } = action.params as { sendId: string };
    timers.push({ timerId: sendId, delayMs: undefined, eventType: '' });
  } else {
    // Only these two: the rest of the record holds the whole context and the code.
    actions.push({ type: action.type, params: action.params });
  }
}

function refuse(): never {
  throw new PhotonError(
    'bug',
    'chart_not_inert',
    'a chart tried to act by itself; ask for an effect or a message instead',
  );
}

const self = { id: 'chart', sessionId: 'chart', send: refuse, getSnapshot: refuse };

const scope = {
  self,
  id: 'chart',
  sessionId: 'chart',
  logger: () => {},
  // What XState defers is what would arm a timer or send: recorded above, done by nobody.
  defer: () => {},
  emit: () => {},
  stopChild: refuse,
  system: {
    _sendInspectionEvent(step: Microstep): void {
      if (handled || step._transitions === undefined) return;
      for (const transition of step._transitions) {
        if (transition.target !== undefined || transition.actions.length > 0) handled = true;
      }
    },
  },
  actionExecutor: record,
} as unknown as Parameters<AnyStateMachine['transition']>[2];

function begin(): void {
  if (actions.length > 0) actions = [];
  if (timers.length > 0) timers = [];
  handled = false;
  // A throw inside a microstep is caught by XState's own `finally`, but the price of being sure is one assignment.
  scope.actionExecutor = record as unknown as typeof scope.actionExecutor;
}

function finish(snapshot: ChartSnapshot): Decision {
  if (snapshot.status === 'error') {
    const { error } = snapshot;
    throw error instanceof Error ? error : new PhotonError('bug', 'chart_failed', `the chart failed: ${String(error)}`);
  }
  return {
    snapshot,
    actions: actions.length === 0 ? nothing : actions,
    timers: timers.length === 0 ? nothing : timers,
    handled,
    done: snapshot.status === 'done',
  };
}

/** The first snapshot of a new actor and what its initial states ask for. @throws whatever the chart throws. */
export function decideInitial(machine: AnyStateMachine, input: unknown): Decision {
  begin();
  return finish(machine.getInitialSnapshot(scope, input) as ChartSnapshot);
}

/** What the chart makes of an event. @throws whatever the chart throws; the snapshot is as it was. */
export function decide(machine: AnyStateMachine, snapshot: ChartSnapshot, event: ActorEvent): Decision {
  begin();
  return finish(machine.transition(snapshot, event, scope) as ChartSnapshot);
}

/** A chart at rest from what was stored. @throws when the chart has no such state. */
export function restore(machine: AnyStateMachine, state: unknown, context: unknown): ChartSnapshot {
  return machine.resolveState({ value: state as StateValue, context: context as never }) as ChartSnapshot;
}

/** `running`, `preparing.tap`; regions of a parallel state joined by commas: `disk.ready,net.wired`. */
export function stateNameOf(value: unknown): string {
  if (typeof value === 'string') return value;
  const names: string[] = [];
  for (const [key, child] of Object.entries(value as Record<string, unknown>)) {
    const inner = stateNameOf(child);
    names.push(
      inner === ''
        ? key
        : inner
            .split(',')
            .map((name) => `${key}.${name}`)
            .join(','),
    );
  }
  return names.join(',');
}

/** Whether the state with this path is active in a state value. The root, an empty path, always is. */
export function isActive(value: unknown, path: readonly string[]): boolean {
  let at = value;
  for (const [depth, key] of path.entries()) {
    if (typeof at === 'string') return at === key && depth === path.length - 1;
    if (typeof at !== 'object' || at === null || !(key in at)) return false;
    at = (at as Record<string, unknown>)[key];
  }
  return true;
}
