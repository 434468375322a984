/**
 * The only way to ask XState for a decision. A decision is a value: next snapshot, recorded requests, timers,
 * transitions taken.
 *
 * XState's public `transition()` builds an inert actor on every call, which doubles its cost. `machine.transition`
 * takes the actor scope as an argument instead, so one scope is reused for all actors of the process; its executor only
 * records what the chart asks for, and nothing runs. The scope needs `system._sendInspectionEvent`, which is private to
 * XState: the version is pinned, and decide.test.ts holds every decision equal to `transition()`. A transition that was
 * taken before is followed by its plan (transition-plan.ts), which saves a fifth of a command's cost
 * (docs/decisions/0014-transition-plans.md). What the requests mean is decided in split.ts and commit-staging.ts, which
 * charts are admitted in registration.ts. Called by step.ts and reset-plan.ts.
 */
import type { AnyMachineSnapshot, AnyStateMachine, StateValue } from 'xstate';
import { PhotonError } from '../contract/errors.ts';
import type { ActorEvent } from '../contract/envelope.ts';
import { activeLeaf, enabledTransitions, takenIn } from '../contract/chart-structure.ts';
import type { ChartState, ChartTransition } from '../contract/chart-structure.ts';
import { agrees, follow, planOf } from './transition-plan.ts';
import type { Plan } from './transition-plan.ts';

/** A chart at rest. Opaque: only this file and transition-plan.ts look inside. */
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
  /**
   * Ids of the transitions taken, in order, eventless ones included; of a very long step the first 16. Empty: the
   * chart has no transition for the event now.
   */
  readonly taken: readonly string[];
  /** A top-level final state was reached. */
  readonly done: boolean;
}

interface Executable {
  readonly type: string;
  readonly params: unknown;
}

/** Keeps history entries small; a step of more transitions runs through eventless ones. */
const takenAtMost = 16;

const nothing: readonly never[] = [];
let actions: RecordedAction[] = [];
let timers: TimerChange[] = [];
let taken: string[] = [];
let deciding: AnyStateMachine | undefined;

function record(action: Executable): void {
  if (action.type === 'xstate.raise') {
    const raise = action.params as { event: { type: string }; id: string | undefined; delay: number | undefined };
    if (typeof raise.delay !== 'number') return;
    timers.push({ timerId: raise.id ?? raise.event.type, delayMs: raise.delay, eventType: raise.event.type });
  } else if (action.type === 'xstate.cancel') {
    const { sendId } = action.params as { sendId: string };
    timers.push({ timerId: sendId, delayMs: undefined, eventType: '' });
  } else {
    // Only these two fields: XState's record also refers to the whole context and the code.
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
  // What XState defers would arm a timer or send an event: it is recorded above and must not run.
  defer: () => {},
  emit: () => {},
  stopChild: refuse,
  system: {
    _sendInspectionEvent(report: { readonly _transitions?: unknown }): void {
      if (deciding === undefined || taken.length >= takenAtMost) return;
      for (const transition of takenIn(deciding, report)) {
        if (doesSomething(transition) && taken.length < takenAtMost) taken.push(transition.id);
      }
    },
  },
  actionExecutor: record,
} as unknown as Parameters<AnyStateMachine['transition']>[2];

/** What a plan hands to the chart in place of an actor. */
const inert = { self, system: scope.system, spawn: refuse };

/** A chart may list an event as one it leaves alone: a transition without target and actions. */
const doesSomething = ({ targets, actions: own }: ChartTransition): boolean => targets !== undefined || own.length > 0;

function begin(machine: AnyStateMachine): void {
  if (actions.length > 0) actions = [];
  if (timers.length > 0) timers = [];
  if (taken.length > 0) taken = [];
  deciding = machine;
  // XState restores it after a throw inside a microstep; one assignment makes sure of it.
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
    taken: taken.length === 0 ? nothing : taken,
    done: snapshot.status === 'done',
  };
}

/** The first snapshot of a new actor and what its initial states ask for. @throws whatever the chart throws. */
export function decideInitial(machine: AnyStateMachine, input: unknown): Decision {
  begin(machine);
  return finish(machine.getInitialSnapshot(scope, input) as ChartSnapshot);
}

/** What the chart makes of an event. @throws whatever the chart throws; the snapshot is as it was. */
export function decide(machine: AnyStateMachine, snapshot: ChartSnapshot, event: ActorEvent): Decision {
  const leaf = activeLeaf(snapshot);
  if (leaf === undefined || event.type === 'xstate.init' || event.type === 'xstate.stop') {
    return decideAnew(machine, snapshot, event);
  }
  const moves = enabledTransitions(machine, snapshot, event);
  const [move] = moves;
  if (move === undefined || moves.length > 1) return decideAnew(machine, snapshot, event);
  const known = plansFrom(leaf).get(move);
  if (known === undefined) return learn(machine, snapshot, event, leaf, move);
  const planned = known === 'none' ? undefined : decideByPlan(known, snapshot, event, move);
  return planned ?? decideAnew(machine, snapshot, event);
}

function decideAnew(machine: AnyStateMachine, snapshot: ChartSnapshot, event: ActorEvent): Decision {
  begin(machine);
  return finish(machine.transition(snapshot, event, scope) as ChartSnapshot);
}

function decideByPlan(
  plan: Plan,
  snapshot: ChartSnapshot,
  event: ActorEvent,
  move: ChartTransition,
): Decision | undefined {
  begin(snapshot.machine as AnyStateMachine);
  if (doesSomething(move)) taken.push(move.id);
  const next = follow(plan, snapshot, event, inert, record);
  return next === undefined ? undefined : finish(next);
}

/** Plans by leaf state and transition; bounded by the number of transitions of the charts. */
const plans = new WeakMap<ChartState, Map<ChartTransition, Plan | 'none'>>();

function plansFrom(leaf: ChartState): Map<ChartTransition, Plan | 'none'> {
  let known = plans.get(leaf);
  if (known === undefined) plans.set(leaf, (known = new Map()));
  return known;
}

/** XState decides; a plan that comes out the same is kept for the next time. */
function learn(
  machine: AnyStateMachine,
  snapshot: ChartSnapshot,
  event: ActorEvent,
  leaf: ChartState,
  move: ChartTransition,
): Decision {
  const decision = decideAnew(machine, snapshot, event);
  const plan = planOf(snapshot, move, decision.snapshot);
  const same = plan !== undefined && agrees(shown(decideByPlan(plan, snapshot, event, move)), shown(decision));
  plansFrom(leaf).set(move, same ? plan : 'none');
  return decision;
}

/** The parts of a decision that callers see, for comparison. */
function shown(decision: Decision | undefined): unknown {
  if (decision === undefined) return undefined;
  const { snapshot, ...rest } = decision;
  return { ...rest, status: snapshot.status, value: snapshot.value as unknown, context: snapshot.context as unknown };
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
