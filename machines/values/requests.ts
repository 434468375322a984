/**
 * Named requests: chart actions that do nothing themselves; the runtime reads them from the decision and carries them
 * out. `setup({actions: {...requests, 'tap.create': request<{spec: TapSpec}>()}})`.
 */

import type { SentEvent } from './kind.ts';

/** An action that is only recorded; its params must be JSON. */
export const request =
  <Params>() =>
  (_: unknown, _params: Params): void => {};

/** The requests that all charts share; runtime/contract/actor-definition.ts defines their meaning. */
export const requests = {
  send: request<{ to: string; event: SentEvent }>(),
  reply: request<{ commandId?: string; result?: unknown }>(),
  reject: request<{
    commandId?: string;
    code: string;
    message: string;
    issues?: readonly { path: string; message: string }[];
  }>(),
  defer: request<undefined>(),
  'row.put': request<{ collection: string; key: string; value: unknown }>(),
  'row.remove': request<{ collection: string; key: string }>(),
};

/** Added by the host to every event a chart sees; mirrors EventMeta of the runtime. */
export interface Meta {
  readonly at: number;
  readonly ulid: string;
  /** Era of the step, 1 by default. A higher one than before means that the store was rolled back in between. */
  readonly era?: number;
  readonly from?: string;
  readonly commandId?: string;
  readonly principal?: string;
  readonly effectId?: string;
  readonly rows?: Readonly<Record<string, unknown>>;
}

/** The era of the step; commits of an earlier era may have been lost. */
export const eraOf = ({ meta }: { readonly meta: Meta }): number => meta.era ?? 1;
