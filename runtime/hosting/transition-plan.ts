/**
 * What a transition of a chart does, computed once: which actions run in which order, and the state it ends in. XState
 * computes that anew for every event, from sets of states that are the same each time. Only steps that are the same
 * each time have a plan: from one leaf state to one leaf state, no parallel regions, no eventless transitions, nothing
 * raised at once, nothing final. All other steps are left to XState. What plans save:
 * docs/decisions/0014-transition-plans.md.
 *
 * A plan is used only after XState's own decision of the same event came out equal (`agrees`), and XState is asked for
 * guards, delays and ids every time. Only decide.ts calls this.
 */
import type { ActorEvent } from '../contract/envelope.ts';
import { activeLeaf } from '../contract/chart-structure.ts';
import type { BuiltinAction, ChartAction, ChartState, ChartTransition } from '../contract/chart-structure.ts';
import type { ChartSnapshot, RecordedAction } from './decide.ts';

interface Args {
  readonly context: unknown;
  readonly event: ActorEvent;
}

type Context = Readonly<Record<string, unknown>>;
type Computed = (args: Args, params?: unknown) => unknown;
type Assignment = Computed | Context;

interface PlannedAction {
  readonly type: string;
  readonly params: unknown;
  /** Undefined: a request, which is written down and no more. */
  readonly builtin: BuiltinAction | undefined;
}

export interface Plan {
  readonly actions: readonly PlannedAction[];
  /** The snapshot it ends in, without its context; undefined when no state is left or entered for another. */
  readonly end: ChartSnapshot | undefined;
}

/** From the state itself to the root. */
function* upwards(state: ChartState): Generator<ChartState> {
  for (let at: ChartState | undefined = state; at !== undefined; at = at.parent) yield at;
}

const isWithin = (state: ChartState, around: ChartState): boolean =>
  state !== around && state.path.length > around.path.length && [...upwards(state)].includes(around);

/** The innermost state that stays active; undefined when the root itself is left. */
function domainOf({ source, reenter }: ChartTransition, to: ChartState): ChartState | undefined {
  if (!reenter && (to === source || isWithin(to, source))) return source;
  const around = to.parent === undefined ? [] : [...upwards(to.parent)];
  const domain = around.find((state) => isWithin(source, state));
  return domain ?? (reenter ? undefined : [...upwards(source)].at(-1));
}

/** The target with what is around it up to the domain, and the initial states in it; outermost first. */
function enteredStates(target: ChartState, domain: ChartState): ChartState[] {
  const states: ChartState[] = [];
  for (const state of upwards(target)) {
    if (state === domain) break;
    states.unshift(state);
  }
  for (let at = target.initial?.target; at !== undefined; at = at.initial?.target) states.push(at);
  return states;
}

/** Undefined: this action may do something else the next time. */
function plannedAction({ name, params, builtin }: ChartAction): PlannedAction | undefined {
  if (builtin === undefined) return name === undefined ? undefined : { type: name, params, builtin };
  const { type } = builtin;
  const isFixed =
    type === 'xstate.assign' || type === 'xstate.cancel' || (type === 'xstate.raise' && builtin.delay !== undefined);
  return isFixed ? { type, params, builtin } : undefined;
}

/**
 * @param after the snapshot to which XState has come by this very transition
 * @returns undefined when it need not be the same every time
 */
export function planOf(before: ChartSnapshot, move: ChartTransition, after: ChartSnapshot): Plan | undefined {
  const from = activeLeaf(before);
  const to = activeLeaf(after);
  const { targets = [] } = move;
  if (from === undefined || to === undefined || targets.length > 1) return undefined;
  if ([...upwards(from), ...upwards(to)].some((state) => state.always.length > 0)) return undefined;
  const actions: ChartAction[] = [...move.actions];
  const [aim] = targets;
  if (aim !== undefined) {
    const domain = domainOf(move, aim);
    if (domain === undefined) return undefined;
    const left = [...upwards(from)].filter((state) => isWithin(state, domain));
    const entered = enteredStates(aim, domain);
    if (entered.some(({ hasInvoke, initial }) => hasInvoke || (initial?.actions.length ?? 0) > 0)) return undefined;
    if ((entered.at(-1) ?? from) !== to) return undefined;
    actions.unshift(...left.flatMap((state) => state.exit));
    actions.push(...entered.flatMap((state) => state.entry));
  }
  const planned = actions.map(plannedAction);
  if (!planned.every((action) => action !== undefined)) return undefined;
  return { actions: planned, end: from === to ? undefined : ({ ...after, context: undefined } as ChartSnapshot) };
}

/**
 * @param inert what stands for the actor itself
 * @param record writes down what the chart asks for
 * @returns undefined when the chart has raised something at once after all: what was recorded counts for nothing
 * @throws whatever the chart throws; `before` is as it was
 */
export function follow(
  plan: Plan,
  before: ChartSnapshot,
  event: ActorEvent,
  inert: Readonly<Record<'self' | 'system' | 'spawn', unknown>>,
  record: (action: RecordedAction) => void,
): ChartSnapshot | undefined {
  let context = before.context as Context;
  for (const { type, params, builtin } of plan.actions) {
    const given = typeof params === 'function' ? (params as Computed)({ context, event }) : params;
    if (builtin === undefined) {
      record({ type, params: given });
      continue;
    }
    const args = { context, event, self: inert.self, system: inert.system, spawn: inert.spawn };
    if (builtin.assignment !== undefined) {
      context = assigned(context, builtin.assignment as Assignment, args, given);
      continue;
    }
    const internalQueue: unknown[] = [];
    const [, asked] = builtin.resolve(inert, before, args, given, builtin, { internalQueue });
    if (internalQueue.length > 0) return undefined;
    record({ type, params: asked });
  }
  if (plan.end !== undefined) return { ...plan.end, context } as ChartSnapshot;
  return context === before.context ? before : ({ ...before, context } as ChartSnapshot);
}

function assigned(before: Context, assignment: Assignment, args: Args, params: unknown): Context {
  if (typeof assignment === 'function') return { ...before, ...(assignment(args, params) as Context) };
  const context: Record<string, unknown> = { ...before };
  for (const [key, value] of Object.entries(assignment)) {
    context[key] = typeof value === 'function' ? (value as Computed)(args, params) : value;
  }
  return context;
}

/** Whether two values spell the same JSON, and hold no code. */
export function agrees(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const keys = Object.keys(one);
  if (keys.length !== Object.keys(other).length) return false;
  return keys.every((key) => agrees((one as Context)[key], (other as Context)[key]));
}
