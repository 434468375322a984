/**
 * Named actions whose requests are computed from context and event by a plain function. The requests are only recorded;
 * runtime/contract/actor-definition.ts defines their meaning. Charts use `tell` for messages, answers and rows, so that
 * the chart shows one name and a test calls one function.
 */
import { enqueueActions, type ActionArgs, type EventObject, type MachineContext } from 'xstate';
import type { Failure } from './failures.ts';
import type { SentEvent } from './kind.ts';
import type { Meta } from './requests.ts';

export interface Issue {
  readonly path: string;
  readonly message: string;
}

export interface Rejection {
  readonly commandId?: string;
  readonly code: string;
  readonly message: string;
  readonly issues?: readonly Issue[];
}

/** The requests that `tell` may record. Effects are not among them: they are entry actions of the chart. */
export type Asked =
  | { readonly type: 'send'; readonly params: { readonly to: string; readonly event: SentEvent } }
  | { readonly type: 'reply'; readonly params: { readonly commandId?: string; readonly result?: unknown } }
  | { readonly type: 'reject'; readonly params: Rejection }
  | { readonly type: 'defer' }
  | {
      readonly type: 'row.put';
      readonly params: { readonly collection: string; readonly key: string; readonly value: unknown };
    }
  | { readonly type: 'row.remove'; readonly params: { readonly collection: string; readonly key: string } };

/** The arguments of a chart's pure functions. */
export interface Seen<C, E> {
  readonly context: C;
  readonly event: E;
}

/** An event as the runtime delivers it, with its meta. */
export interface Heard {
  readonly type: string;
  readonly meta: Meta;
}

export const send = (to: string, event: SentEvent): Asked => ({ type: 'send', params: { to, event } });
export const reply = (commandId: string, result: unknown): Asked => ({ type: 'reply', params: { commandId, result } });
export const reject = (rejection: Rejection): Asked => ({ type: 'reject', params: rejection });
export const defer: Asked = { type: 'defer' };
export const putRow = (collection: string, key: string, value: unknown): Asked => ({
  type: 'row.put',
  params: { collection, key, value },
});
export const removeRow = (collection: string, key: string): Asked => ({
  type: 'row.remove',
  params: { collection, key },
});

/**
 * A row that the definition's `needs` names; undefined when it does not exist. @throws TypeError when it was not
 * loaded: taking "not loaded" for "does not exist" could allocate an address twice.
 */
export function row<T>(event: Heard, collection: string, key: string): T | undefined {
  return (loaded(event, `${collection}/${key}`) ?? undefined) as T | undefined;
}

/** A whole collection that the definition's `needs` names with `*`. @throws TypeError when it was not loaded */
export function rows<T>(event: Heard, collection: string): Readonly<Record<string, T>> {
  return (loaded(event, `${collection}/*`) ?? {}) as Readonly<Record<string, T>>;
}

function loaded(event: Heard, name: string): unknown {
  const value = event.meta.rows?.[name];
  if (value === undefined)
    throw new TypeError(`row ${name} was not loaded for ${event.type}; name it in the definition's needs`);
  return value;
}

/** A rejection made from a failure that another actor reported. */
export const rejectFor = (commandId: string, error: Failure, path: string): Asked =>
  reject({ commandId, code: error.code, message: error.message, issues: [{ path, message: error.message }] });

/** A named action that records the requests `compute` returns, in order. */
export const tell = <C extends MachineContext, E extends EventObject>(
  compute: (seen: Seen<C, E>) => readonly Asked[],
) =>
  // The types that XState infers for a chart's own actions and guards do not matter here.
  enqueueActions<C, E, undefined>(({ context, event, enqueue }) => {
    for (const asked of compute({ context, event })) enqueue(asked as never);
  }) as (args: ActionArgs<C, E, E>, params: undefined) => void;

/** Result of an action whose context change and requests depend on each other. */
export interface Acted<C> {
  readonly changes: Partial<C>;
  readonly asks: readonly Asked[];
}

/** A named action that changes the context and records requests, both from one pure computation. */
export const act = <C extends MachineContext, E extends EventObject>(compute: (seen: Seen<C, E>) => Acted<C>) =>
  enqueueActions<C, E, undefined>(({ context, event, enqueue }) => {
    const { changes, asks } = compute({ context, event });
    enqueue.assign(() => changes);
    for (const asked of asks) enqueue(asked as never);
  }) as (args: ActionArgs<C, E, E>, params: undefined) => void;
