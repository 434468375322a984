/** Access to the parts of a chart, for tests of all charts. */
import type { AnyStateMachine } from 'xstate';
import type { KindSchema } from './kind.ts';
import { requests } from './requests.ts';

export interface ChartTransition {
  readonly actions: readonly unknown[];
  readonly guard: unknown;
}

export interface ChartNode {
  readonly path: readonly string[];
  readonly type: string;
  readonly description: string | undefined;
  readonly tags: readonly string[];
  readonly entry: readonly unknown[];
  readonly exit: readonly unknown[];
  readonly transitions: ReadonlyMap<string, readonly ChartTransition[]>;
  readonly always: readonly ChartTransition[] | undefined;
  readonly states: Readonly<Record<string, ChartNode>>;
  readonly parent: ChartNode | undefined;
  readonly config: { readonly invoke?: unknown; readonly after?: Readonly<Record<string, unknown>> };
}

export interface Chart {
  readonly kind: string;
  readonly machine: AnyStateMachine;
  readonly nodes: readonly ChartNode[];
  readonly schema: KindSchema;
}

export const nodesOf = (node: ChartNode): readonly ChartNode[] => [
  node,
  ...Object.values(node.states).flatMap(nodesOf),
];

export const pathOf = (node: ChartNode): string => node.path.join('.') || 'the root';
export const nameOf = (action: unknown): string | undefined =>
  typeof action === 'string' ? action : (action as { readonly type?: string }).type;
export const isLeaf = (node: ChartNode): boolean => node.type === 'atomic';
/** A state that is left in the step that enters it. */
export const isPassed = (node: ChartNode): boolean => (node.always ?? []).some(({ guard }) => guard === undefined);
export const ancestry = (node: ChartNode): readonly ChartNode[] =>
  node.parent === undefined ? [node] : [node, ...ancestry(node.parent)];

export const actionsOf = (node: ChartNode): readonly unknown[] => [
  ...node.entry,
  ...node.exit,
  ...[...node.transitions.values(), node.always ?? []].flat().flatMap(({ actions }) => actions),
];
export const guardsOf = (node: ChartNode): readonly unknown[] =>
  [...node.transitions.values(), node.always ?? []].flat().flatMap(({ guard }) => (guard === undefined ? [] : [guard]));

/** XState writes `after` as a raise and a cancel of its own. */
export const isTimer = (action: unknown): boolean => ['xstate.raise', 'xstate.cancel'].includes(nameOf(action) ?? '');

/** Effects: requests beside the shared ones; their results come back as events. */
export function effectsOf({ machine }: Chart): readonly string[] {
  return Object.entries(machine.implementations.actions)
    .filter(([name, made]) => !(name in requests) && !('resolve' in (made as object)))
    .map(([name]) => name);
}

export function listens(node: ChartNode, event: string): boolean {
  return node.transitions.has(event);
}
