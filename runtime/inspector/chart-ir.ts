/**
 * The chart IR: what a drawing, a table or a page needs to know of a machine, as plain JSON.
 *
 * Everything that draws depends on these types; they are made from runtime/contract/chart-structure.ts, which reads
 * the machine. What is drawn as an edge and what as a row is decided by chart-fold.ts. Pure; called when a chart is
 * drawn or documented, never per transition. Upholds: the picture shows every transition the machine has.
 */
import type { AnyStateMachine } from 'xstate';
import { structureOf } from '../contract/chart-structure.ts';
import type {
  ChartAction as StructureAction,
  ChartState as StructureState,
  ChartTransition as StructureTransition,
} from '../contract/chart-structure.ts';
import { guardText, namedAction, timersOf, type ChartAction, type ChartTimer } from './chart-actions.ts';

export type { ChartAction, ActionRole } from './chart-actions.ts';

export type StateKind = 'atomic' | 'compound' | 'parallel' | 'final' | 'history';

export interface ChartState {
  /** Dotted path below the root; `''` is the root itself. The same form as `EffectRequest.stateId`. */
  readonly id: string;
  readonly label: string;
  readonly kind: StateKind;
  readonly parent: string | null;
  readonly children: readonly string[];
  readonly initial: string | null;
  readonly description: string | null;
  readonly tags: readonly string[];
  readonly entry: readonly ChartAction[];
  readonly exit: readonly ChartAction[];
}

export type TransitionKind = 'event' | 'timer' | 'always' | 'done';

export interface ChartTransition {
  /** `t<n>` in document order; stable for one definition. */
  readonly id: string;
  /** As the history names it: chart-structure.ts. */
  readonly historyId: string;
  readonly source: string;
  /** The event type as XState sees it; `''` for an eventless transition. */
  readonly event: string;
  /** What a person reads: `after bootDeadline`, `done`, `vm.stop`. */
  readonly label: string;
  readonly kind: TransitionKind;
  /** The world said no, or did not answer: `*.failed`, `*.unknown`. */
  readonly failure: boolean;
  /** Empty: the transition stays where it is. */
  readonly targets: readonly string[];
  readonly guard: string | null;
  readonly actions: readonly ChartAction[];
  readonly reenter: boolean;
  /** Milliseconds, for a timer whose delay is a fixed number. */
  readonly delayMs: number | null;
  readonly description: string | null;
}

export interface Chart {
  readonly kind: string;
  readonly description: string | null;
  /** In document order, the root first; parents before children. */
  readonly states: readonly ChartState[];
  readonly transitions: readonly ChartTransition[];
}

export interface ChartOptions {
  /** Shown as the root's title; the machine's id otherwise. */
  readonly kind?: string;
  /** Effect types of the definition; without it every dotted action name outside the shared vocabulary is one. */
  readonly effects?: ReadonlySet<string>;
}

/** @returns the whole chart of a machine. Never throws for a machine that XState accepts. */
export function chartOf(machine: AnyStateMachine, { kind = machine.id, effects }: ChartOptions = {}): Chart {
  const chart = structureOf(machine);
  const timers = timersOf(chart);
  const actionsOf = (actions: readonly StructureAction[]): ChartAction[] =>
    actions.flatMap((action) => namedAction(action, chart, effects) ?? []);
  const transitions = chart.states.flatMap((state) => [...state.transitions, ...state.always]);
  return {
    kind,
    description: chart.root.description ?? null,
    states: chart.states.map((state) => stateOf(state, actionsOf)),
    transitions: transitions.map((transition, index) => transitionOf(transition, `t${index}`, timers, actionsOf)),
  };
}

type ActionsOf = (actions: readonly StructureAction[]) => ChartAction[];

const pathOf = ({ path }: StructureState): string => path.join('.');

function stateOf(state: StructureState, actionsOf: ActionsOf): ChartState {
  const { key, type, parent, children, initial, description, tags, entry, exit } = state;
  return {
    id: pathOf(state),
    label: key,
    kind: type,
    parent: parent === undefined ? null : pathOf(parent),
    children: children.map(pathOf),
    initial: initial?.target === undefined ? null : pathOf(initial.target),
    description: description ?? null,
    tags: [...tags],
    entry: actionsOf(entry),
    exit: actionsOf(exit),
  };
}

function transitionOf(
  transition: StructureTransition,
  id: string,
  timers: ReadonlyMap<string, ChartTimer>,
  actionsOf: ActionsOf,
): ChartTransition {
  const { event, source, targets = [], guard, actions, reenter, description } = transition;
  const timer = timers.get(event);
  const naming = namingOf(event, timer, source);
  return {
    id,
    historyId: transition.id,
    source: pathOf(source),
    event,
    ...naming,
    failure: naming.kind === 'event' && isFailure(event),
    targets: targets.map(pathOf),
    guard: guard === undefined ? null : guardText(guard),
    actions: actionsOf(actions),
    reenter,
    delayMs: timer?.delayMs ?? null,
    description: description ?? null,
  };
}

function namingOf(
  event: string,
  timer: ChartTimer | undefined,
  source: StructureState,
): { label: string; kind: TransitionKind } {
  if (event === '') return { label: 'always', kind: 'always' };
  if (timer !== undefined) return { label: timer.label, kind: 'timer' };
  if (event === `xstate.done.state.${source.id}`) return { label: 'done', kind: 'done' };
  if (event === '*') return { label: 'any other', kind: 'event' };
  return { label: event, kind: 'event' };
}

/** Results of effects end in their outcome. A timer's event may end so too, by the name of its state. */
function isFailure(event: string): boolean {
  return /\.(failed|unknown|error|defeated)$/.test(event) || event.startsWith('xstate.error.');
}
