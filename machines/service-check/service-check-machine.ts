/**
 * The health checks of a service IP on one host. It checks what the service IP requested, and reports each verdict that
 * changes. Which backend is used, the service IP decides. Upholds: a verdict is a result of this host, or came with the
 * request; results in a row are counted on while verdicts of other backends change.
 */
import { assertEvent, assign, setup } from 'xstate';
import { backoffMs, failureOf, isHostGone, type Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import type { CheckedBackend, CheckSpec } from '../values/service-elements.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import {
  checkDelayed,
  checkEnded,
  checkObserved,
  serviceCheckKind,
  type CheckParams,
  type ServiceCheckEvent,
} from './service-check-protocol.ts';

export interface ServiceCheckContext {
  readonly id: string;
  readonly spec: CheckSpec | null;
  /** Actor id of the service IP, which gets every report. */
  readonly serviceIp: string;
  readonly round: number;
  readonly backends: readonly CheckedBackend[];
  /** The service IP was told that checks fail, and is owed a report once they do not. */
  readonly owed: boolean;
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<ServiceCheckContext, ServiceCheckEvent>;
type Change = Partial<ServiceCheckContext>;

const hostOf = ({ id }: ServiceCheckContext): string => partsOfId(id).host ?? '';

const paramsOf = ({ context }: { readonly context: ServiceCheckContext }): CheckParams => ({
  spec: context.spec as CheckSpec,
  backends: context.backends,
  once: context.owed,
});

/** A backend keeps what is known of it, unless the service IP starts it anew. */
export function takeRequest({ context, event }: At): Change {
  assertEvent(event, 'check.ensure');
  const { spec, round } = event;
  const backends = event.backends.map(({ address, healthy }): CheckedBackend => {
    const known = context.backends.find((one) => one.address === address);
    return healthy !== null && known !== undefined ? known : { address, healthy, streak: 0, detail: '' };
  });
  return { spec, serviceIp: spec.serviceIp, round, backends };
}

/** Results of backends that are still wanted. */
export function takeResults({ context, event }: At): Change {
  assertEvent(event, 'service.check.done');
  const backends = context.backends.map(
    (known) => event.backends.find(({ address }) => address === known.address) ?? known,
  );
  return { backends, owed: false, tries: 0, failure: null };
}

const noteFailure = ({ context, event }: At): Change =>
  'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {};

const tellObserved = ({ context }: At): readonly Asked[] => {
  const verdicts = context.backends.flatMap(({ address, healthy, detail }) =>
    healthy === null ? [] : [{ address, healthy, detail }],
  );
  return [send(context.serviceIp, checkObserved({ host: hostOf(context), round: context.round, verdicts }))];
};

const tellDelayed = ({ context }: At): readonly Asked[] => {
  const { serviceIp, round, failure } = context;
  return failure === null
    ? []
    : [send(serviceIp, checkDelayed({ host: hostOf(context), round, error: failureOf(failure) }))];
};

const ended = (context: ServiceCheckContext, to: string, fenced: boolean): readonly Asked[] =>
  to === '' ? [] : [send(to, checkEnded({ host: hostOf(context), fenced }))];

/** One that was never asked to check does not know its service IP: it answers the sender. */
const tellEnded = ({ context, event }: At): readonly Asked[] =>
  ended(context, context.serviceIp === '' ? (event.meta.from ?? '') : context.serviceIp, false);
const tellFenced = ({ context }: At): readonly Asked[] => ended(context, context.serviceIp, true);

/** Failures in a row after which the service IP is told: one that passes at once is nobody's trouble. */
const quietTries = 2;

export const serviceCheckMachine = setup({
  types: {
    context: {} as ServiceCheckContext,
    events: {} as ServiceCheckEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...effectActions(serviceCheckKind),
    takeRequest: assign(takeRequest),
    takeResults: assign(takeResults),
    noteFailure: assign(noteFailure),
    noteOwed: assign({ owed: true }),
    tellObserved: tell(tellObserved),
    tellDelayed: tell(tellDelayed),
    tellEnded: tell(tellEnded),
    tellFenced: tell(tellFenced),
  },
  guards: {
    isHostGone: ({ event }) => isHostGone(event),
    isQuiet: ({ context }) => context.tries < quietTries,
  },
  delays: { backoff: ({ context }) => backoffMs(context.tries) },
}).createMachine({
  id: 'service-check',
  context: ({ input }) => ({
    id: input.id,
    spec: null,
    serviceIp: '',
    round: 0,
    backends: [],
    owed: false,
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        'check.ensure': { target: 'checking', actions: 'takeRequest' },
        'check.drop': { target: 'gone', actions: 'tellEnded' },
        'host.gone': { target: 'gone' },
      },
    },
    checking: {
      description: 'The backends are checked, each in its interval. A verdict that changes is reported.',
      tags: 'steady',
      entry: { type: 'service.check', params: paramsOf },
      on: {
        'check.ensure': { target: 'checking', reenter: true, actions: 'takeRequest' },
        'check.drop': { target: 'gone', actions: 'tellEnded' },
        'host.gone': { target: 'gone', actions: 'tellFenced' },
        'service.check.done': { target: 'checking', reenter: true, actions: ['takeResults', 'tellObserved'] },
        'service.check.failed': [
          { guard: 'isHostGone', target: 'gone', actions: 'tellFenced' },
          { guard: 'isQuiet', target: 'backoff', actions: 'noteFailure' },
          { target: 'backoff', actions: ['noteFailure', 'noteOwed', 'tellDelayed'] },
        ],
        'service.check.unknown': { target: 'backoff', actions: 'noteFailure' },
      },
    },
    backoff: {
      description:
        'The host could not check; the failure says why. The last verdicts stay, and it tries again shortly.',
      on: {
        'check.ensure': { target: 'checking', actions: 'takeRequest' },
        'check.drop': { target: 'gone', actions: 'tellEnded' },
        'host.gone': { target: 'gone', actions: 'tellFenced' },
      },
      after: { backoff: { target: 'checking' } },
    },
    gone: {
      description: 'Nothing is checked on this host, or the host is fenced.',
      type: 'final',
    },
  },
});
