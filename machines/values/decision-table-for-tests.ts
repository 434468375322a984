/**
 * Tables of a chart's decisions, for tests: state, context and event -> next state and requests. A row sets its state
 * directly. No timer runs and nothing is performed.
 */
import type { AnyStateMachine } from 'xstate';
import { moved, type AskedFor } from './chart-driver-for-tests.ts';

/** An event of a table: without meta, and not validated. */
export interface TestEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface Row {
  /** Dotted: `binding.tap`. */
  readonly in: string;
  readonly with?: Readonly<Record<string, unknown>>;
  /** An event without meta, or the name of an expired delay. */
  readonly on: TestEvent | string;
  readonly from?: string;
  readonly command?: string;
  readonly rows?: Readonly<Record<string, unknown>>;
  readonly at?: number;
  /** 1 if absent. */
  readonly era?: number;
  readonly to: string;
  /** Requests in order, as `spoken` writes them; absent when the row checks only the state. */
  readonly asks?: readonly string[];
}

interface Node {
  readonly transitions: ReadonlyMap<string, unknown>;
  readonly states: Readonly<Record<string, Node>>;
}

const nested = (path: string): unknown =>
  path.split('.').reduceRight<unknown>((inner, key) => (inner === undefined ? key : { [key]: inner }), undefined);

/** `network.claim > vpc`, `reject in_use`, `put block`, or the effect's name. */
export function spoken({ type, params }: AskedFor): string {
  const said = params as { to: string; event: TestEvent; code: string; collection: string } | undefined;
  if (type === 'send') return `${said?.event.type} > ${said?.to.split('/')[0]}`;
  if (type === 'reject') return `reject ${said?.code}`;
  if (type === 'row.put') return `put ${said?.collection}`;
  return type === 'row.remove' ? `remove ${said?.collection}` : type;
}

/** XState names a delay's event by its state; the innermost state with this delay is used. */
function timerOf(machine: AnyStateMachine, state: string, delay: string): string {
  let node: Node | undefined = machine.root as unknown as Node;
  let found: string | undefined;
  for (const key of ['', ...state.split('.')]) {
    if (key !== '') node = node?.states[key];
    found = [...(node?.transitions.keys() ?? [])].find((event) => event.startsWith(`xstate.after.${delay}.`)) ?? found;
  }
  if (found === undefined) throw new Error(`${state} has no delay ${delay}`);
  return found;
}

/** What the chart does for a row. */
export function decided(machine: AnyStateMachine, context: object, row: Row) {
  const value = nested(row.in);
  const snapshot = machine.resolveState({ value, context: { ...context, ...row.with } } as never);
  const event = typeof row.on === 'string' ? { type: timerOf(machine, row.in, row.on) } : row.on;
  const source = {
    ...(row.from === undefined ? {} : { from: row.from }),
    ...(row.command === undefined ? {} : { commandId: row.command }),
  };
  const meta = { at: row.at ?? 1_000, ulid: 'U2', era: row.era ?? 1, ...source, rows: row.rows ?? {} };
  const move = moved(machine, snapshot, { ...event, meta } as never);
  if (move.snapshot.status === 'error') throw move.snapshot.error;
  return { ...move, context: move.snapshot.context as Record<string, unknown>, asks: move.asked.map(spoken) };
}

/** @returns a sentence for every row whose expectation the chart does not meet. */
export function disagreements(machine: AnyStateMachine, context: object, rows: readonly Row[]): readonly string[] {
  return rows.flatMap((row) => {
    const { state, asks } = decided(machine, context, row);
    const event = typeof row.on === 'string' ? row.on : row.on.type;
    const wrongState = state === row.to ? [] : [`${row.in} on ${event}: goes to ${state}, not ${row.to}`];
    const isWrong = row.asks !== undefined && JSON.stringify(asks) !== JSON.stringify(row.asks);
    return [
      ...wrongState,
      ...(isWrong ? [`${row.in} on ${event}: requests ${JSON.stringify(asks)}, not ${JSON.stringify(row.asks)}`] : []),
    ];
  });
}
