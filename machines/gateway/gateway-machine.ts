/**
 * A gateway: an external network on one of its gateway hosts. It looks at the uplink, listens to the other gateway
 * host, and keeps the permit while its host leads. It decides nothing: what it sees goes to the external network.
 * Upholds: it leads only by an order that is fresh; whenever the permit may have lapsed, or the other host is not heard
 * any more, it leads only once the external network has confirmed it (docs/decisions/0017-leading-gateway.md).
 */
import { assertEvent, assign, setup } from 'xstate';
import { backoffMs, failureOf, isHostGone, sameJson, type Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions, type ValueOf } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import type { GatewayAsk, GatewayPeer, UplinkProof } from '../values/router-elements.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import {
  gatewayDropped,
  gatewayKind,
  gatewayStands,
  type GatewayEvent,
  type gatewayTaskSchema,
} from './gateway-protocol.ts';

type GatewayTask = ValueOf<typeof gatewayTaskSchema>;

export interface GatewayContext {
  readonly id: string;
  /** Null before the first, and in a gateway that is asked to end before it began. */
  readonly task: GatewayTask | null;
  /** The external network, which receives every report. */
  readonly network: string;
  /** Whether the other gateway host was heard at last. */
  readonly heard: boolean;
  readonly uplink: UplinkProof | null;
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<GatewayContext, GatewayEvent>;

/** Later than this, an order to lead may have been given to the other host since. */
const freshMs = 1_000;

const hostOf = ({ id }: GatewayContext): string => partsOfId(id).host ?? '';

/** @throws TypeError before it has a task */
function taskOf({ id, task }: GatewayContext): GatewayTask {
  if (task === null) throw new TypeError(`${id} has no task`);
  return task;
}

const ask = (context: GatewayContext, leads: boolean): GatewayAsk => {
  const { network, uid, uplink, term } = taskOf(context);
  return { owner: { actor: context.id, uid, runEpoch: term }, network, uplink, leads };
};

const checked = ({ context }: At): GatewayAsk => ask(context, false);
const watched = ({ context }: At): GatewayAsk & { readonly peer: GatewayPeer | null } => {
  const { peer, leads } = taskOf(context);
  return { ...ask(context, leads), peer: peer === null ? null : { peer, heard: context.heard } };
};

const report = (context: GatewayContext, leads: boolean, doubts: boolean): readonly Asked[] => {
  const { task, uplink, heard, failure, network } = context;
  const seen = { uplink: failure === null ? uplink : null, heard, error: failure };
  return [send(network, gatewayStands({ host: hostOf(context), term: task?.term ?? 0, leads, doubts, ...seen }))];
};

const tellWatching = ({ context }: At): readonly Asked[] => report(context, taskOf(context).leads, false);
const tellDoubt = ({ context }: At): readonly Asked[] => report(context, true, true);
/** After a check that failed for another reason than the uplink, the kernel may still have the permit. */
const tellWaiting = ({ context }: At): readonly Asked[] => report(context, !isEnded(context.failure), false);
const tellDropped = ({ context }: At): readonly Asked[] =>
  context.network === '' ? [] : [send(context.network, gatewayDropped({ host: hostOf(context) }))];

const isEnded = (failure: Failure | null): boolean => failure?.code.startsWith('uplink_') === true;

function takeTask({ event }: At): Partial<GatewayContext> {
  assertEvent(event, 'gateway.ensure');
  const { network, uid, uplink, peer, leads, term } = event;
  return { task: { network, uid, uplink, peer, leads, term }, network: event.meta.from ?? network };
}

/** The uplink need not be looked at again. */
const isAlike = ({ context, event }: At): boolean => {
  assertEvent(event, 'gateway.ensure');
  const { task } = context;
  return task !== null && task.uid === event.uid && sameJson(task.uplink, event.uplink);
};

const isSame = (seen: At): boolean => {
  const { context, event } = seen;
  assertEvent(event, 'gateway.ensure');
  const { peer, leads, term } = context.task ?? { peer: null, leads: null, term: 0 };
  return isAlike(seen) && sameJson([peer, leads, term], [event.peer, event.leads, event.term]);
};

/** An order of an earlier term. */
const isStale = ({ context, event }: At): boolean =>
  event.type === 'gateway.ensure' && event.uid === context.task?.uid && event.term < context.task.term;

/** The host may lead at once: the order is fresh, and the uplink was seen as it is to be. */
const isFresh = ({ event }: At): boolean =>
  event.type === 'gateway.ensure' && event.meta.at - event.decidedAt <= freshMs;
const leadsNow = (seen: At): boolean =>
  seen.event.type === 'gateway.ensure' && seen.event.leads && isAlike(seen) && isFresh(seen);
const leadsLate = (seen: At): boolean =>
  seen.event.type === 'gateway.ensure' && seen.event.leads && isAlike(seen) && !isFresh(seen);

/** It did not lead, and is not to. */
const staysBehind = (seen: At): boolean =>
  seen.event.type === 'gateway.ensure' && !seen.event.leads && isAlike(seen) && seen.context.task?.leads === false;

const gone = { guard: 'isHostGone', target: '#gateway.gone' } as const;
const dropped = { target: 'dropping' } as const;
const stale = { guard: 'isStale' } as const;
const tasked = { target: 'checking', actions: 'takeTask' } as const;

export const gatewayMachine = setup({
  types: {
    context: {} as GatewayContext,
    events: {} as GatewayEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...effectActions(gatewayKind),
    takeTask: assign(takeTask),
    /** A gateway that never had a task answers the sender of the removal. */
    takeAsker: assign(({ event }) => ({ network: event.meta.from ?? '' })),
    takeUplink: assign(({ event }) => {
      assertEvent(event, 'gateway.check.done');
      const { ifindex, mtu, mac } = event;
      return { uplink: { ifindex, mtu, mac }, failure: null, tries: 0 };
    }),
    noteHeard: assign(({ event }) => {
      assertEvent(event, 'gateway.watch.done');
      return { heard: event.heard };
    }),
    noteFailure: assign(({ context, event }) => {
      assertEvent(event, ['gateway.check.failed', 'gateway.watch.failed']);
      return { failure: failureOf(event.error), tries: context.tries + 1 };
    }),
    tellWatching: tell(tellWatching),
    tellDoubt: tell(tellDoubt),
    tellWaiting: tell(tellWaiting),
    tellDropped: tell(tellDropped),
  },
  guards: {
    isHostGone: ({ event }) => isHostGone(event),
    isSame,
    isStale,
    leadsNow,
    leadsLate,
    staysBehind,
    wantsLead: ({ context }) => context.task?.leads === true,
    /** The permit has lapsed, or its end is near because the other host is not heard any more. */
    isDoubtful: ({ context, event }) =>
      event.type === 'gateway.watch.done' && context.task?.leads === true && (event.lapsed || !event.heard),
    hasEnded: ({ event }) => 'error' in event && isEnded(event.error),
  },
  delays: {
    checkDeadline: 30_000,
    doubtReview: 2_000,
    backoff: ({ context }) => Math.min(5_000, backoffMs(context.tries)),
  },
}).createMachine({
  id: 'gateway',
  context: ({ input }) => ({
    id: input.id,
    task: null,
    network: '',
    heard: true,
    uplink: null,
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  on: { 'host.gone': { target: '.gone' } },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: {
        'gateway.ensure': tasked,
        'gateway.drop': { target: 'gone', actions: 'takeAsker' },
      },
    },
    checking: {
      description: 'The uplink is looked at, and the kernel is seen to have no permit.',
      entry: { type: 'gateway.check', params: checked },
      on: {
        'gateway.check.done': [
          { guard: 'wantsLead', target: 'doubting', actions: 'takeUplink' },
          { target: 'watching', actions: 'takeUplink' },
        ],
        'gateway.check.failed': [gone, { target: 'waiting', actions: 'noteFailure' }],
        'gateway.check.unknown': { target: 'checking', reenter: true },
        'gateway.ensure': [stale, { ...tasked, reenter: true }],
        'gateway.drop': dropped,
      },
      after: { checkDeadline: { target: 'checking', reenter: true } },
    },
    watching: {
      description: 'The host is a gateway, leading or standing by, and listens to the other gateway host.',
      tags: 'steady',
      entry: ['tellWatching', { type: 'gateway.watch', params: watched }],
      on: {
        'gateway.watch.done': [
          { guard: 'isDoubtful', target: 'doubting', actions: 'noteHeard' },
          { target: 'watching', reenter: true, actions: 'noteHeard' },
        ],
        'gateway.watch.failed': [gone, { target: 'checking', actions: 'noteFailure' }],
        'gateway.watch.unknown': { target: 'checking' },
        'gateway.ensure': [
          stale,
          { guard: 'isSame', actions: 'tellWatching' },
          { guard: 'leadsNow', target: 'watching', reenter: true, actions: 'takeTask' },
          { guard: 'leadsLate', target: 'doubting', actions: 'takeTask' },
          { guard: 'staysBehind', target: 'watching', reenter: true, actions: 'takeTask' },
          tasked,
        ],
        'gateway.drop': dropped,
      },
    },
    doubting: {
      description:
        'Its permit may have run out, or the other gateway host is not heard. It leads only when the external ' +
        'network confirms it; until then the permit runs out by itself.',
      entry: 'tellDoubt',
      on: {
        'gateway.ensure': [
          stale,
          { guard: 'leadsNow', target: 'watching', actions: 'takeTask' },
          { guard: 'leadsLate', target: 'doubting', reenter: true, actions: 'takeTask' },
          tasked,
        ],
        'gateway.drop': dropped,
      },
      after: { doubtReview: { target: 'doubting', reenter: true } },
    },
    waiting: {
      description: 'The uplink cannot be used; the failure says why. It is looked at again shortly.',
      entry: 'tellWaiting',
      on: { 'gateway.ensure': [stale, tasked], 'gateway.drop': dropped },
      after: { backoff: { target: 'checking' } },
    },
    dropping: {
      description: 'The permit is ended, if there is one.',
      entry: { type: 'gateway.check', params: checked },
      on: {
        'gateway.check.done': { target: 'gone' },
        'gateway.check.failed': [
          gone,
          { guard: 'hasEnded', target: 'gone' },
          { target: 'dropBackoff', actions: 'noteFailure' },
        ],
        'gateway.check.unknown': { target: 'dropping', reenter: true },
      },
      after: { checkDeadline: { target: 'dropping', reenter: true } },
    },
    dropBackoff: {
      description: 'Ending the permit failed; it is tried again without limit.',
      after: { backoff: { target: 'dropping' } },
    },
    gone: {
      description: 'The host is no gateway of the external network, or is fenced.',
      type: 'final',
      entry: 'tellDropped',
    },
  },
});
