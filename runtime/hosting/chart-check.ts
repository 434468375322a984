/**
 * What a chart must not contain, checked before the first actor of its kind is activated. Each refusal names something
 * the host could not persist, cancel or explain later: XState would run an invoked promise again after a restart,
 * cannot restore history states from a snapshot, and draws an inline guard as nothing
 * (docs/decisions/0001-pure-transitions.md). Called by registration.ts at start, and by chart tests through
 * `chartProblems`.
 */
import type { AnyStateMachine } from 'xstate';
import { structureOf } from '../contract/chart-structure.ts';
import type {
  BuiltinAction,
  ChartAction,
  ChartGuard,
  ChartState,
  ChartStructure,
  ChartTransition,
} from '../contract/chart-structure.ts';

export const vocabulary: ReadonlySet<string> = new Set(['send', 'reply', 'reject', 'defer', 'row.put', 'row.remove']);

/**
 * `enqueueActions` may record several requests of the vocabulary; an effect recorded by it is refused when it
 * happens.
 */
const allowedBuiltins: ReadonlySet<string> = new Set([
  'xstate.assign',
  'xstate.raise',
  'xstate.cancel',
  'xstate.enqueueActions',
]);

const pathOf = (state: ChartState): string => state.path.join('.');
const shown = (state: ChartState): string => (state.path.length === 0 ? 'the root' : `state ${pathOf(state)}`);

function* statesIn(state: ChartState): Generator<ChartState> {
  yield state;
  for (const child of state.children) yield* statesIn(child);
}

class ChartCheck {
  readonly problems: string[] = [];
  private readonly chart: ChartStructure;
  private readonly effects: ReadonlySet<string>;
  private readonly ignored: ReadonlySet<string>;

  constructor(chart: ChartStructure, effects: ReadonlySet<string>, ignored: ReadonlySet<string>) {
    this.chart = chart;
    this.effects = effects;
    this.ignored = ignored;
  }

  run(): readonly string[] {
    const owners = new Map<string, ChartState[]>();
    for (const state of this.chart.states) {
      this.state(state);
      for (const { name } of state.entry) {
        if (name !== undefined && this.effects.has(name)) owners.set(name, [...(owners.get(name) ?? []), state]);
      }
    }
    for (const [effect, asking] of owners) {
      this.owners(effect, asking);
      for (const state of asking) this.outcomes(effect, state);
    }
    for (const effect of this.effects) {
      if (!owners.has(effect)) this.problems.push(`effect ${effect} is bound, but no state asks for it on entry`);
    }
    return this.problems;
  }

  private state(state: ChartState): void {
    const where = shown(state);
    if (state.type === 'history') this.problems.push(`${where} is a history state: what it remembers is not stored`);
    else if (state.path.length > 0 && !state.description) this.problems.push(`${where} has no description`);
    if (state.hasInvoke) this.problems.push(`${where} uses invoke: ask for an effect on entry instead`);
    if (state.hasRoute) this.problems.push(`${where} uses route: declare a transition instead`);
    for (const name of state.timers) this.delay(name, `${where}, after`);
    for (const action of state.entry) this.action(action, `${where}, entry`, true);
    for (const action of state.exit) this.action(action, `${where}, exit`, false);
    for (const action of state.initial?.actions ?? []) this.action(action, `${where}, initial`, false);
    for (const transition of state.transitions) this.transition(transition, `${where}, on ${transition.event}`);
    for (const transition of state.always) this.transition(transition, `${where}, always`);
  }

  private transition(transition: ChartTransition, where: string): void {
    for (const action of transition.actions) this.action(action, where, false);
    if (transition.guard !== undefined) this.guard(transition.guard, where);
  }

  private action({ name, builtin }: ChartAction, where: string, entry: boolean): void {
    if (name === undefined) {
      if (builtin?.type === 'xstate.cancel' && typeof builtin.sendId === 'string') return;
      if (builtin?.type === 'xstate.raise') this.raise(builtin, where);
      else this.problems.push(`${where} has an inline action (${builtin?.type ?? 'a function'}): name it in setup()`);
      return;
    }
    const reserved = vocabulary.has(name) || this.effects.has(name);
    if (builtin !== undefined) {
      if (reserved) this.problems.push(`${where}: action ${name} is a request to the host and must do nothing itself`);
      else if (!allowedBuiltins.has(builtin.type)) {
        this.problems.push(`${where}: action ${name} is ${builtin.type}; only assign, raise and cancel may be used`);
      } else if (builtin.type === 'xstate.raise') this.raise(builtin, `${where}, action ${name}`);
      return;
    }
    if (!reserved)
      this.problems.push(`${where}: unknown action ${name}: not assign, raise, cancel, a request or an effect`);
    if (this.effects.has(name) && !entry) this.problems.push(`${where}: effect ${name} must be an entry action`);
  }

  private raise(raise: BuiltinAction, where: string): void {
    if (raise.delay === undefined) {
      if (typeof raise.event === 'function' && !where.includes(', action ')) {
        this.problems.push(`${where} has an inline action (raise of a computed event): name it in setup()`);
      }
      return;
    }
    if (typeof raise.delay !== 'string') this.problems.push(`${where}: a raise with an unnamed delay`);
    else this.delay(raise.delay, where);
    if (typeof raise.id !== 'string') this.problems.push(`${where}: a delayed raise without an id`);
    const event = raise.event;
    if (typeof event !== 'object' || event === null || Object.keys(event).join() !== 'type') {
      this.problems.push(`${where}: a delayed raise may carry a type only: fields are not stored with the timer`);
    }
  }

  private delay(name: string, where: string): void {
    if (!Number.isNaN(Number(name))) this.problems.push(`${where}: numeric delay ${name}: name it in setup()`);
    else if (!this.chart.delays.has(name)) this.problems.push(`${where}: unknown delay ${name}`);
  }

  private guard({ name, operator, parts }: ChartGuard, where: string): void {
    if (operator !== undefined) {
      for (const part of parts) this.guard(part, where);
    } else if (name === undefined) this.problems.push(`${where} has an inline guard: name it in setup()`);
    else if (!this.chart.guards.has(name)) this.problems.push(`${where}: unknown guard ${name}`);
  }

  /** Results name only the effect, so no two states that can be active together may ask for the same one. */
  private owners(effect: string, asking: readonly ChartState[]): void {
    for (const [index, one] of asking.entries()) {
      for (const other of asking.slice(index + 1)) {
        if (one === other) this.problems.push(`${shown(one)} asks for effect ${effect} twice`);
        else if (together(one, other)) {
          this.problems.push(
            `effect ${effect} stands on ${shown(one)} and ${shown(other)}, which can be active together`,
          );
        }
      }
    }
  }

  private outcomes(effect: string, owner: ChartState): void {
    for (const result of ['done', 'failed', 'unknown']) {
      const event = `${effect}.${result}`;
      if (!this.ignored.has(event) && !heard(owner, event)) {
        this.problems.push(`${shown(owner)} asks for effect ${effect}, but nothing there listens to ${event}`);
      }
    }
  }
}

function together(one: ChartState, other: ChartState): boolean {
  let depth = 0;
  while (depth < one.path.length && depth < other.path.length && one.path[depth] === other.path[depth]) depth += 1;
  if (depth === one.path.length || depth === other.path.length) return true;
  let fork: ChartState | undefined = one;
  while (fork !== undefined && fork.path.length > depth) fork = fork.parent;
  return fork?.type === 'parallel';
}

export function listens(state: ChartState, event: string): boolean {
  for (const { event: descriptor } of state.transitions) {
    if (descriptor === event || descriptor === '*') return true;
    if (descriptor.endsWith('.*') && event.startsWith(descriptor.slice(0, -1))) return true;
  }
  return false;
}

/** By the asking state, one around it, or one inside it. */
function heard(owner: ChartState, event: string): boolean {
  for (let state = owner.parent; state !== undefined; state = state.parent) if (listens(state, event)) return true;
  for (const state of statesIn(owner)) if (listens(state, event)) return true;
  return false;
}

/**
 * Everything that keeps a chart from being hosted, one sentence each; empty when it can be hosted.
 *
 * @param effects Names of the chart's effects.
 * @param ignored Event types the chart leaves alone on purpose.
 */
export function chartProblems(
  machine: AnyStateMachine,
  effects: Iterable<string>,
  ignored: Iterable<string> = [],
): readonly string[] {
  return new ChartCheck(structureOf(machine), new Set(effects), new Set(ignored)).run();
}
