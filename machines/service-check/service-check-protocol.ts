/** The health checks of a service IP on one host: of the backends that are wired there. */
import { z } from 'zod';
import { failureSchema } from '../values/failures.ts';
import { hostGone } from '../values/host-gone.ts';
import { defineKind, effect, message, type EventOf } from '../values/kind.ts';
import { checkedBackendSchema, checkSpecSchema, maxBackends } from '../values/service-elements.ts';
import type { CheckedBackend, CheckSpec } from '../values/service-elements.ts';

export const checkEnsure = message(
  'check.ensure',
  'A service IP requests checks of its backends on this host, in place of those it requested before.',
  {
    spec: checkSpecSchema,
    backends: z
      .array(
        z.object({
          address: z.string(),
          /** What the service IP knows: null starts anew, also when the host knew this backend. */
          healthy: z.boolean().nullable(),
        }),
      )
      .max(maxBackends),
    /** Of the service IP, growing with each request to any host. */
    round: z.int(),
  },
);
export const checkDrop = message('check.drop', 'The service IP has no backend on this host any more.', {});
export const checkObserved = message('check.observed', 'What the host knows of the backends, when that has changed.', {
  host: z.string(),
  /** The newest request that the host had. */
  round: z.int(),
  /** Without those that have no result yet. */
  verdicts: z.array(z.object({ address: z.string(), healthy: z.boolean(), detail: z.string() })).max(maxBackends),
});
export const checkDelayed = message(
  'check.delayed',
  'The host cannot check now, and tries again; what it knew of the backends may be out of date.',
  { host: z.string(), round: z.int(), error: failureSchema },
);
export const checkEnded = message('check.ended', 'The host checks nothing any more.', {
  host: z.string(),
  /** Nobody knows what runs there: the host is fenced. */
  fenced: z.boolean(),
});

export interface CheckParams {
  readonly spec: CheckSpec;
  readonly backends: readonly CheckedBackend[];
  /** Ends after one result of each backend, also when no verdict has changed. */
  readonly once: boolean;
}

export const serviceCheckKind = defineKind({
  kind: 'service-check',
  says: 'The health checks of a service IP on one host: of the backends that are wired there.',
  placement: 'pinned',
  commands: {},
  takes: [checkEnsure, checkDrop, hostGone],
  startedBy: [checkEnsure, checkDrop],
  fromNode: [hostGone],
  sends: [checkObserved, checkDelayed, checkEnded],
  effects: [
    effect<CheckParams>()(
      'service.check',
      'Checks the backends from the namespace of the VPC until a verdict changes.',
      { backends: z.array(checkedBackendSchema).max(maxBackends) },
    ),
  ],
});

export type ServiceCheckEvent = EventOf<typeof serviceCheckKind>;
