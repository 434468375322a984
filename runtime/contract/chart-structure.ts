/**
 * What a chart consists of, read from XState's own structures: states, transitions, actions, guards and delays.
 *
 * This is the only file that knows how XState keeps a chart; most of it is not part of XState's public interface, so
 * the version is pinned. Registration checks charts by it, hosting decides and plans by it, the inspector draws by it.
 * It reads and judges nothing. It stands in the contract because hosting and inspector both need it and may not import
 * each other; of XState it imports types only.
 */
import type { AnyMachineSnapshot, AnyStateMachine } from 'xstate';

export interface ChartStructure {
  readonly root: ChartState;
  /** In document order: the root first, parents before children. */
  readonly states: readonly ChartState[];
  /** Names given in setup() -> what XState does for it; undefined for a function of the chart's own. */
  readonly actions: ReadonlyMap<string, BuiltinAction | undefined>;
  readonly guards: ReadonlySet<string>;
  /** Names given in setup() -> milliseconds; undefined for a computed delay. */
  readonly delays: ReadonlyMap<string, number | undefined>;
}

export type ChartStateType = 'atomic' | 'compound' | 'parallel' | 'final' | 'history';

export interface ChartState {
  /** XState's id: the machine's id and the path, unless the chart gives another. */
  readonly id: string;
  /** Keys from the root, which has an empty path. */
  readonly path: readonly string[];
  readonly key: string;
  readonly type: ChartStateType;
  readonly description: string | undefined;
  readonly tags: readonly string[];
  readonly entry: readonly ChartAction[];
  readonly exit: readonly ChartAction[];
  /** On events, timers and `done`, in document order. */
  readonly transitions: readonly ChartTransition[];
  /** Eventless transitions, in document order. */
  readonly always: readonly ChartTransition[];
  /** Of a compound state. */
  readonly initial: { readonly target: ChartState | undefined; readonly actions: readonly ChartAction[] } | undefined;
  readonly children: readonly ChartState[];
  readonly parent: ChartState | undefined;
  /** Names of the delays under `after`. */
  readonly timers: readonly string[];
  readonly hasInvoke: boolean;
  readonly hasRoute: boolean;
}

export interface ChartTransition {
  /**
   * `<path of the source>:<event>`, and `:<n>` for the nth further candidate on the same event. `after` and `done`
   * events are named without the id of their state, an eventless transition has no event. The same in every process
   * and for every machine made of the same chart; the history names transitions by it.
   */
  readonly id: string;
  readonly source: ChartState;
  /** The event descriptor: a type, `tap.*`, `*`; `''` for an eventless transition. */
  readonly event: string;
  /** Undefined: the transition stays where it is. */
  readonly targets: readonly ChartState[] | undefined;
  readonly reenter: boolean;
  readonly guard: ChartGuard | undefined;
  readonly actions: readonly ChartAction[];
  readonly description: string | undefined;
}

export interface ChartAction {
  /** Undefined: written inline. */
  readonly name: string | undefined;
  /** As written: a value, or a function of context and event. */
  readonly params: unknown;
  /** Undefined: a request to the host, or a function of the chart's own. */
  readonly builtin: BuiltinAction | undefined;
}

export interface ChartGuard {
  /** Undefined: written inline, or an operator. */
  readonly name: string | undefined;
  /** `and`, `or`, `not`, `stateIn`. */
  readonly operator: string | undefined;
  readonly parts: readonly ChartGuard[];
}

/** One of XState's own actions; which fields it has depends on its type. */
export interface BuiltinAction {
  /** `xstate.assign`, `xstate.raise`, `xstate.cancel`, `xstate.enqueueActions`, ... */
  readonly type: string;
  readonly id?: unknown;
  readonly delay?: unknown;
  readonly event?: unknown;
  readonly sendId?: unknown;
  /** Of an assign: a function, or functions and values by field. */
  readonly assignment?: unknown;
  /** Of an enqueueActions; may be replaced. */
  collect?: (scope: never, params: unknown) => void;
  readonly resolve: (
    actorScope: unknown,
    snapshot: AnyMachineSnapshot,
    args: unknown,
    params: unknown,
    action: BuiltinAction,
    extra: { readonly internalQueue: unknown[] },
  ) => readonly [snapshot: unknown, params: unknown];
}

/** A state as XState keeps it. */
interface Node {
  readonly id: string;
  readonly path: readonly string[];
  readonly key: string;
  readonly machine: AnyStateMachine;
  readonly type: ChartStateType;
  readonly description: string | undefined;
  readonly tags: readonly string[];
  readonly entry: readonly unknown[];
  readonly exit: readonly unknown[];
  readonly transitions: ReadonlyMap<string, readonly Definition[]>;
  readonly always: readonly Definition[] | undefined;
  readonly initial: { readonly target: readonly Node[] | undefined; readonly actions: readonly unknown[] };
  readonly states: Readonly<Record<string, Node>>;
  readonly config: { readonly invoke?: unknown; readonly after?: object; readonly route?: unknown };
}

/** A transition as XState keeps it. */
interface Definition {
  readonly target: readonly Node[] | undefined;
  readonly reenter: boolean;
  readonly guard: unknown;
  readonly actions: readonly unknown[];
  readonly description: string | undefined;
}

type Implementations = Readonly<Record<'actions' | 'guards' | 'delays', Readonly<Record<string, unknown>>>>;

type Mutable<Type> = { -readonly [Field in keyof Type]: Type[Field] };

const structures = new WeakMap<AnyStateMachine, ChartStructure>();
const statesByNode = new WeakMap<Node, ChartState>();
const transitionsByDefinition = new WeakMap<Definition, ChartTransition>();

/** Read once per machine. */
export function structureOf(machine: AnyStateMachine): ChartStructure {
  let known = structures.get(machine);
  if (known === undefined) structures.set(machine, (known = read(machine)));
  return known;
}

function read(machine: AnyStateMachine): ChartStructure {
  const { actions, guards, delays } = machine.implementations as unknown as Implementations;
  const builtins = new Map(Object.entries(actions).map(([name, code]) => [name, builtinOf(code)]));
  const root = machine.root as unknown as Node;
  const states: [Node, Mutable<ChartState>][] = [];
  readState(root, undefined, builtins, states);
  for (const [node, state] of states) {
    state.children = Object.values(node.states).map(stateOf);
    state.transitions = [...node.transitions].flatMap(([event, group]) => readGroup(state, event, group, builtins));
    state.always = readGroup(state, '', node.always ?? [], builtins);
    if (node.type !== 'compound') continue;
    const [target] = node.initial.target ?? [];
    const first = target === undefined ? undefined : stateOf(target);
    state.initial = { target: first, actions: readActions(node.initial.actions, builtins) };
  }
  const durations = Object.entries(delays).map(
    ([name, delay]) => [name, typeof delay === 'number' ? delay : undefined] as const,
  );
  return {
    root: stateOf(root),
    states: states.map(([, state]) => state),
    actions: builtins,
    guards: new Set(Object.keys(guards)),
    delays: new Map(durations),
  };
}

/** Without what refers to other states. */
function readState(
  node: Node,
  parent: ChartState | undefined,
  builtins: ChartStructure['actions'],
  states: [Node, Mutable<ChartState>][],
): void {
  const { id, path, key, type, description, tags, config } = node;
  const state: Mutable<ChartState> = {
    id,
    path,
    key,
    type,
    description,
    tags,
    entry: readActions(node.entry, builtins),
    exit: readActions(node.exit, builtins),
    transitions: [],
    always: [],
    initial: undefined,
    children: [],
    parent,
    timers: Object.keys(config.after ?? {}),
    hasInvoke: config.invoke !== undefined,
    hasRoute: config.route !== undefined,
  };
  statesByNode.set(node, state);
  states.push([node, state]);
  for (const child of Object.values(node.states)) readState(child, state, builtins, states);
}

/** All candidates of a state on one event. */
function readGroup(
  source: ChartState,
  event: string,
  group: readonly Definition[],
  builtins: ChartStructure['actions'],
): readonly ChartTransition[] {
  const ofState = `.${source.id}`;
  const short = event.startsWith('xstate.') && event.endsWith(ofState) ? event.slice(0, -ofState.length) : event;
  return group.map((definition, index) => {
    const transition: ChartTransition = {
      id: `${source.path.join('.')}:${short}${index === 0 ? '' : `:${index}`}`,
      source,
      event,
      targets: definition.target?.map(stateOf),
      reenter: definition.reenter,
      guard: definition.guard === undefined ? undefined : readGuard(definition.guard),
      actions: readActions(definition.actions, builtins),
      description: definition.description,
    };
    transitionsByDefinition.set(definition, transition);
    return transition;
  });
}

const builtinOf = (code: unknown): BuiltinAction | undefined =>
  typeof code === 'function' && 'resolve' in code ? (code as unknown as BuiltinAction) : undefined;

const readActions = (actions: readonly unknown[], builtins: ChartStructure['actions']): readonly ChartAction[] =>
  actions.map((action) => {
    const name = nameOf(action);
    const params = typeof action === 'object' && action !== null && 'params' in action ? action.params : undefined;
    return { name, params, builtin: name === undefined ? builtinOf(action) : builtins.get(name) };
  });

function readGuard(guard: unknown): ChartGuard {
  const name = nameOf(guard);
  if (name !== undefined || typeof guard !== 'function') return { name, operator: undefined, parts: [] };
  const { check, guards = [] } = guard as { check?: { readonly name: string }; guards?: readonly unknown[] };
  const [, operator] = /^check(.+)$/.exec(check?.name ?? '') ?? [];
  const parts = guards.map(readGuard);
  return { name, operator: operator && operator.slice(0, 1).toLowerCase() + operator.slice(1), parts };
}

/** The name by which a chart writes an action or a guard; undefined for one that is written inline. */
export function nameOf(reference: unknown): string | undefined {
  if (typeof reference === 'string') return reference;
  return typeof reference === 'object' && reference !== null && 'type' in reference
    ? String(reference.type)
    : undefined;
}

function stateOf(node: Node): ChartState {
  const known = statesByNode.get(node);
  if (known !== undefined) return known;
  structureOf(node.machine);
  return statesByNode.get(node) as ChartState;
}

/** The one active state that has none inside; undefined when there are several, or the chart has ended. */
export function activeLeaf(snapshot: AnyMachineSnapshot): ChartState | undefined {
  const nodes = (snapshot as unknown as { readonly _nodes: readonly Node[] })._nodes;
  const leaf = nodes.at(-1);
  // As many active states as it is deep: there is no region beside it.
  return leaf?.type === 'atomic' && nodes.length === leaf.path.length + 1 ? stateOf(leaf) : undefined;
}

/**
 * What a chart at rest takes on an event, guards asked; several only from parallel regions.
 *
 * @throws whatever a guard throws
 */
export function enabledTransitions(
  machine: AnyStateMachine,
  snapshot: AnyMachineSnapshot,
  event: { readonly type: string },
): readonly ChartTransition[] {
  return transitionsOf(machine, machine.getTransitionData(snapshot, event) as unknown as readonly Definition[]);
}

/** What XState says it has taken in one microstep, in the report it makes to inspectors. */
export function takenIn(
  machine: AnyStateMachine,
  report: { readonly _transitions?: unknown },
): readonly ChartTransition[] {
  return transitionsOf(machine, (report._transitions ?? []) as readonly Definition[]);
}

/** The one from outside into the initial states is no transition of the chart, and left out. */
function transitionsOf(machine: AnyStateMachine, definitions: readonly Definition[]): readonly ChartTransition[] {
  const transitions: ChartTransition[] = [];
  for (const definition of definitions) {
    let transition = transitionsByDefinition.get(definition);
    if (transition === undefined) {
      structureOf(machine);
      transition = transitionsByDefinition.get(definition);
    }
    if (transition !== undefined) transitions.push(transition);
  }
  return transitions;
}
