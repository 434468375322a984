/**
 * All charts there are, found by their folders, for the tests that hold for every chart. Only tests use it.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { AnyStateMachine } from 'xstate';

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
  /** Literals of `<kind>-events.ts`. */
  readonly events: readonly string[];
  /** From each literal to the next: what its fields are declared to be. */
  readonly declarations: ReadonlyMap<string, string>;
}

export const nodesOf = (node: ChartNode): readonly ChartNode[] => [
  node,
  ...Object.values(node.states).flatMap(nodesOf),
];

function declarationsIn(file: string): ReadonlyMap<string, string> {
  const chunks = readFileSync(file, 'utf8')
    .split(/\btype: '/)
    .slice(1);
  return new Map(chunks.map((chunk) => [chunk.slice(0, chunk.indexOf("'")), chunk]));
}

const machines = join(import.meta.dirname, '..');

async function chartOf(kind: string): Promise<Chart> {
  const folder = join(machines, kind);
  const exported = (await import(join(folder, `${kind}-machine.ts`))) as Record<string, AnyStateMachine>;
  const machine = Object.entries(exported).find(([name]) => name.endsWith('Machine'))?.[1];
  if (machine === undefined) throw new Error(`${kind}-machine.ts exports no chart`);
  const declarations = declarationsIn(join(folder, `${kind}-events.ts`));
  return {
    kind,
    machine,
    nodes: nodesOf(machine.root as unknown as ChartNode),
    events: [...declarations.keys()],
    declarations,
  };
}

/** Every folder of machines but this one. */
export function allCharts(): Promise<readonly Chart[]> {
  const folders = readdirSync(machines, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const kinds = folders.map(({ name }) => name).filter((name) => name !== 'values' && name !== 'node_modules');
  return Promise.all(kinds.map(chartOf));
}
