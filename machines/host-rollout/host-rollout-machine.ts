/**
 * A rollout on one host. The agent of the host receives, verifies, activates, probes and goes back by itself, also
 * while no worker runs; this chart hands it orders and has a state for each step of its record. It decides nothing: the
 * rollout (machines/rollout) says when to activate, and whether the host was reached over a new connection. Upholds:
 * an order to activate that took long is not obeyed, for the rollout may have stopped since.
 */
import { assertEvent, assign, setup } from 'xstate';
import { failureOf, hostGoneFailure, isHostGone, type Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import {
  hostRolloutKind,
  hostRolloutStands,
  orderFreshMs,
  type AgentState,
  type HostPhase,
  type HostRolloutEvent,
  type SystemOrder,
  type SystemRequest,
} from './host-rollout-protocol.ts';

export interface HostRolloutContext {
  readonly id: string;
  /** Actor id of the rollout, which receives every report. */
  readonly rollout: string;
  readonly request: SystemRequest | null;
  readonly order: SystemOrder;
  /** The record of the agent as it was read last; null: it has not taken the request. */
  readonly seen: AgentState | null;
  readonly why: string;
  readonly failure: Failure | null;
}

type At = Seen<HostRolloutContext, HostRolloutEvent>;

const phases: Readonly<Record<AgentState, HostPhase>> = {
  received: 'receiving',
  fetched: 'verifying',
  verified: 'verified',
  staged: 'activating',
  activating: 'activating',
  probing: 'probing',
  'awaiting-confirmation': 'confirming',
  'rolling-back': 'rollingBack',
  confirmed: 'confirmed',
  refused: 'refused',
  'rolled-back': 'rolledBack',
  failed: 'failed',
};

/** A host that may activate does not count as waiting, and one that was told to leave its system has not refused. */
function phaseOf(state: AgentState | null, order: SystemOrder): HostPhase {
  if (state === null) return 'receiving';
  if (state === 'verified' && order !== 'hold') return 'activating';
  return state === 'refused' && order === 'abort' ? 'untouched' : phases[state];
}

const isNow =
  (phase: HostPhase) =>
  ({ context, event }: At): boolean =>
    event.type === 'system.follow.done' && phaseOf(event.state, context.order) === phase;

const report =
  (phase: HostPhase) =>
  ({ context: { id, rollout, why } }: At): readonly Asked[] =>
    rollout === '' ? [] : [send(rollout, hostRolloutStands({ host: partsOfId(id).host ?? '', phase, why }))];

function orderOf({ context }: { readonly context: HostRolloutContext }) {
  const { id, request, order, seen } = context;
  if (request === null) throw new TypeError(`${id} has no request`);
  return { request, order, seen };
}

/** The agent was not asked to change anything. */
const isBefore = ({ context: { order, seen } }: At): boolean =>
  order === 'hold' && (seen === null || ['received', 'fetched', 'verified'].includes(seen));

const next = [
  { guard: 'isReceiving', target: 'receiving', reenter: true, actions: 'noteRecord' },
  { guard: 'isVerifying', target: 'verifying', reenter: true, actions: 'noteRecord' },
  { guard: 'isVerified', target: 'verified', reenter: true, actions: 'noteRecord' },
  { guard: 'isActivating', target: 'activating', reenter: true, actions: 'noteRecord' },
  { guard: 'isProbing', target: 'probing', reenter: true, actions: 'noteRecord' },
  { guard: 'isConfirming', target: 'confirming', reenter: true, actions: 'noteRecord' },
  { guard: 'isRollingBack', target: 'rollingBack', reenter: true, actions: 'noteRecord' },
  { guard: 'isConfirmed', target: 'confirmed', actions: 'noteRecord' },
  { guard: 'isUntouched', target: 'untouched', actions: 'noteRecord' },
  { guard: 'isRefused', target: 'refused', actions: ['noteRecord', 'noteTrouble'] },
  { guard: 'isRolledBack', target: 'rolledBack', actions: 'noteRecord' },
  { target: 'failed', actions: ['noteRecord', 'noteTrouble'] },
] as const;

/** What follows from the record of the agent, in every state that follows it. */
const followed = {
  'system.follow.done': next,
  'system.follow.failed': [
    { guard: 'isHostGone', target: 'gone', actions: 'noteGone' },
    { guard: 'isBefore', target: 'refused', actions: 'noteFailure' },
    { target: 'failed', actions: 'noteFailure' },
  ],
  'host-rollout.receive': {},
} as const;

/** An order of the rollout: the effect of the state is asked again with it. */
const ordered = <const Target extends string>(target: Target) => ({
  'system.follow.unknown': { target, reenter: true } as const,
  'host-rollout.abort': { target, reenter: true, actions: 'orderAbort' } as const,
});
const early = { 'host-rollout.activate': {}, 'host-rollout.confirm': {} } as const;

export const hostRolloutMachine = setup({
  types: {
    context: {} as HostRolloutContext,
    events: {} as HostRolloutEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...effectActions(hostRolloutKind),
    takeRequest: assign(({ event }) => {
      assertEvent(event, 'host-rollout.receive');
      return { rollout: event.rollout, request: event.request };
    }),
    orderActivate: assign({ order: 'activate' }),
    orderConfirm: assign({ order: 'confirm' }),
    orderAbort: assign({ order: 'abort' }),
    noteRecord: assign(({ event }) => {
      assertEvent(event, 'system.follow.done');
      return { seen: event.state, why: event.why };
    }),
    /** What the agent says of a system that it has not taken, or could not go back from. */
    noteTrouble: assign(({ event }) => {
      assertEvent(event, 'system.follow.done');
      return { failure: { code: `system_${event.state ?? 'unknown'}`, message: event.why, retryable: false } };
    }),
    noteFailure: assign(({ event }) =>
      'error' in event ? { failure: failureOf(event.error), why: event.error.message } : {},
    ),
    noteGone: assign(() => ({ failure: hostGoneFailure(), why: hostGoneFailure().message })),
    tellReceiving: tell(report('receiving')),
    tellVerifying: tell(report('verifying')),
    tellVerified: tell(report('verified')),
    tellActivating: tell(report('activating')),
    tellProbing: tell(report('probing')),
    tellConfirming: tell(report('confirming')),
    tellRollingBack: tell(report('rollingBack')),
    tellConfirmed: tell(report('confirmed')),
    tellUntouched: tell(report('untouched')),
    tellRefused: tell(report('refused')),
    tellRolledBack: tell(report('rolledBack')),
    tellFailed: tell(report('failed')),
  },
  guards: {
    isHostGone: ({ event }) => isHostGone(event),
    isBefore,
    isFresh: ({ event }) => event.type === 'host-rollout.activate' && event.meta.at - event.decidedAt <= orderFreshMs,
    isReceiving: isNow('receiving'),
    isVerifying: isNow('verifying'),
    isVerified: isNow('verified'),
    isActivating: isNow('activating'),
    isProbing: isNow('probing'),
    isConfirming: isNow('confirming'),
    isRollingBack: isNow('rollingBack'),
    isConfirmed: isNow('confirmed'),
    isUntouched: isNow('untouched'),
    isRefused: isNow('refused'),
    isRolledBack: isNow('rolledBack'),
  },
  // For the agent, which has deadlines of its own; then it is asked again.
  delays: { followReview: 600_000 },
}).createMachine({
  id: 'host-rollout',
  context: ({ input }) => ({
    id: input.id,
    rollout: '',
    request: null,
    order: 'hold',
    seen: null,
    why: '',
    failure: null,
  }),
  initial: 'born',
  on: { 'host.gone': { target: '.gone', actions: 'noteGone' } },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: { 'host-rollout.receive': { target: 'receiving', actions: 'takeRequest' } },
    },
    receiving: {
      description: 'The agent of the host fetches the closure, or has not taken the request yet.',
      entry: ['tellReceiving', { type: 'system.follow', params: orderOf }],
      on: { ...followed, ...ordered('receiving'), ...early },
      after: { followReview: { target: 'receiving', reenter: true } },
    },
    verifying: {
      description: 'The agent looks whether the closure is complete, unchanged and signed by a key that it trusts.',
      entry: ['tellVerifying', { type: 'system.follow', params: orderOf }],
      on: { ...followed, ...ordered('verifying'), ...early },
      after: { followReview: { target: 'verifying', reenter: true } },
    },
    verified: {
      description: 'The system can be activated; the rollout says when. Nothing of the host was changed.',
      tags: 'steady',
      entry: ['tellVerified', { type: 'system.follow', params: orderOf }],
      on: {
        ...followed,
        ...ordered('verified'),
        'host-rollout.activate': [
          { guard: 'isFresh', target: 'activating', actions: 'orderActivate' },
          { target: 'verified', reenter: true },
        ],
        'host-rollout.confirm': {},
      },
    },
    activating: {
      description: 'The agent sets the generation and switches to the system, in a unit of its own.',
      entry: ['tellActivating', { type: 'system.follow', params: orderOf }],
      on: { ...followed, ...ordered('activating'), ...early },
      after: { followReview: { target: 'activating', reenter: true } },
    },
    probing: {
      description: 'The health checks of the host run.',
      entry: ['tellProbing', { type: 'system.follow', params: orderOf }],
      on: { ...followed, ...ordered('probing'), ...early },
      after: { followReview: { target: 'probing', reenter: true } },
    },
    confirming: {
      description:
        'The host is healthy by its own checks. Unless it is reached over a new connection in time, it goes back.',
      entry: ['tellConfirming', { type: 'system.follow', params: orderOf }],
      on: {
        ...followed,
        ...ordered('confirming'),
        'host-rollout.activate': {},
        'host-rollout.confirm': { target: 'confirming', reenter: true, actions: 'orderConfirm' },
      },
      after: { followReview: { target: 'confirming', reenter: true } },
    },
    rollingBack: {
      description: 'The agent goes back to the system that ran before.',
      entry: ['tellRollingBack', { type: 'system.follow', params: orderOf }],
      on: { ...followed, ...ordered('rollingBack'), ...early },
      after: { followReview: { target: 'rollingBack', reenter: true } },
    },
    confirmed: { description: 'The host runs the new system, and keeps it.', type: 'final', entry: 'tellConfirmed' },
    untouched: {
      description: 'The rollout was ended before anything of the host was changed.',
      type: 'final',
      entry: 'tellUntouched',
    },
    refused: {
      description: 'The host has not taken the system, and says why. Nothing of it was changed.',
      type: 'final',
      entry: 'tellRefused',
    },
    rolledBack: {
      description: 'The host runs its former system again, and says why.',
      type: 'final',
      entry: 'tellRolledBack',
    },
    failed: {
      description: 'The host could not go back, or cannot be read: somebody must log in there.',
      type: 'final',
      entry: 'tellFailed',
    },
    gone: { description: 'The host is fenced.', type: 'final', entry: 'tellFailed' },
  },
});
