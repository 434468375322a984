/**
 * The chart IR: what a drawing, a table or a page needs to know of a machine, as plain JSON.
 *
 * Only this file reads XState's structures; everything that draws depends on these types (the next XState may look
 * different). It does not decide what is drawn as an edge and what as a row: chart-fold.ts does. Pure; called when a
 * chart is drawn or documented, never per transition. Upholds: the picture shows every transition the machine has.
 */
import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate';
import { parseAction, parseGuard, timersOf, type ChartAction, type ChartTimer } from './chart-actions.ts';

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
export function chartOf(machine: AnyStateMachine, options: ChartOptions = {}): Chart {
  const nodes = flatten(machine.root);
  const timers = timersOf(machine, nodes);
  const states = nodes.map((node) => stateOf(node, machine, options.effects));
  const transitions: ChartTransition[] = [];
  for (const node of nodes) {
    for (const definition of transitionsOf(node)) {
      transitions.push(transitionOf(definition, `t${transitions.length}`, node, machine, timers, options.effects));
    }
  }
  return {
    kind: options.kind ?? machine.id,
    description: machine.root.description ?? null,
    states,
    transitions,
  };
}

export const pathOf = (node: AnyStateNode): string => node.path.join('.');

function flatten(node: AnyStateNode): AnyStateNode[] {
  return [node, ...Object.values(node.states as Record<string, AnyStateNode>).flatMap(flatten)];
}

function transitionsOf(node: AnyStateNode): AnyTransitionDefinition[] {
  return [...[...node.transitions.values()].flat(), ...(node.always ?? [])];
}

function stateOf(node: AnyStateNode, machine: AnyStateMachine, effects: ReadonlySet<string> | undefined): ChartState {
  const initialTarget = node.type === 'compound' ? node.initial.target?.[0] : undefined;
  return {
    id: pathOf(node),
    label: node.key,
    kind: node.type,
    parent: node.parent === undefined ? null : pathOf(node.parent),
    children: Object.values(node.states as Record<string, AnyStateNode>).map(pathOf),
    initial: initialTarget === undefined ? null : pathOf(initialTarget),
    description: node.description ?? null,
    tags: [...node.tags],
    entry: actionsOf(node.entry, machine, effects),
    exit: actionsOf(node.exit, machine, effects),
  };
}

function actionsOf(
  actions: readonly unknown[],
  machine: AnyStateMachine,
  effects: ReadonlySet<string> | undefined,
): ChartAction[] {
  return actions.flatMap((action) => parseAction(action, machine, effects) ?? []);
}

function transitionOf(
  definition: AnyTransitionDefinition,
  id: string,
  node: AnyStateNode,
  machine: AnyStateMachine,
  timers: ReadonlyMap<string, ChartTimer>,
  effects: ReadonlySet<string> | undefined,
): ChartTransition {
  const event = definition.eventType;
  const timer = timers.get(event);
  const naming = namingOf(event, timer, node);
  return {
    id,
    source: pathOf(node),
    event,
    ...naming,
    failure: naming.kind === 'event' && isFailure(event),
    targets: (definition.target ?? []).map(pathOf),
    guard: definition.guard === undefined ? null : parseGuard(definition.guard),
    actions: actionsOf(definition.actions, machine, effects),
    reenter: definition.reenter,
    delayMs: timer?.delayMs ?? null,
    description: definition.description ?? null,
  };
}

function namingOf(
  event: string,
  timer: ChartTimer | undefined,
  node: AnyStateNode,
): { label: string; kind: TransitionKind } {
  if (event === '') return { label: 'always', kind: 'always' };
  if (timer !== undefined) return { label: timer.label, kind: 'timer' };
  if (event === `xstate.done.state.${node.id}`) return { label: 'done', kind: 'done' };
  if (event === '*') return { label: 'any other', kind: 'event' };
  return { label: event, kind: 'event' };
}

/** Results of effects end in their outcome. A timer's event may end so too, by the name of its state. */
function isFailure(event: string): boolean {
  return /\.(failed|unknown|error|defeated)$/.test(event) || event.startsWith('xstate.error.');
}
