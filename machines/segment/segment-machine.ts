/**
 * A segment: a VPC on one host. It realizes in the kernel what the VPC publishes, section by section, applies
 * increments, and watches the result. It does not interpret the elements of a section. Upholds: a section is reported
 * proven only after it was read back from the kernel; a failed section is reported by name and retried while the others
 * are served; the last publication wins.
 */
import { assign, setup } from 'xstate';
import { backoffMs, failureOf, isHostGone } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as contexts from './segment-context.ts';
import type { SegmentContext } from './segment-context.ts';
import * as messages from './segment-messages.ts';
import { segmentKind, type SegmentEvent } from './segment-protocol.ts';

/**
 * Permanent failures are retried rarely, because an operator may have repaired the host: after 30 s, so that one which
 * was not permanent after all costs no more, then at twice the time up to 5 min.
 */
const lastingBackoffMs = (tries: number): number => 30 * backoffMs(tries, 10_000);

/** The host is fenced: the segment ends, and the VPC removes the peer from other hosts. */
const gone = { guard: 'isHostGone', target: '#segment.gone', actions: 'tellFailed' } as const;

/** Events of both states in which the segment exists on the host. */
const standing = {
  initial: 'ready',
  on: {
    'segment.publish': [
      { guard: 'wantsRealizing', target: '#segment.realizing', actions: 'takeUpdates' },
      { actions: 'takeUpdates' },
    ],
    'segment.withdraw': { target: '#segment.removing' },
    'segment.watch.done': { target: '#segment.realizing', actions: ['noteBroken', 'tellBroken'] },
    'segment.watch.failed': [gone, { target: '#segment.realizing.waiting', actions: ['noteFailure', 'tellFailed'] }],
    'segment.watch.unknown': { target: '#segment.realizing.waiting', actions: 'noteFailure' },
  },
} as const;

const ready = {
  description: 'No increment is queued.',
  tags: 'steady',
  always: { guard: 'isQueued', target: 'changing' },
} as const;

const changing = {
  description: 'Increments are being applied to the kernel; later ones are queued.',
  entry: ['applyQueue', { type: 'segment.change', params: messages.changeAsk }],
  on: {
    'segment.change.done': [
      { guard: 'isQueueLong', target: '#segment.realizing', actions: ['noteOutcome', 'tellOutcome'] },
      { guard: 'hasFailed', target: '#segment.lagging', actions: ['noteOutcome', 'tellOutcome'] },
      { target: 'ready', actions: ['noteOutcome', 'tellOutcome'] },
    ],
    // The result is unknown: all sections are realized again from their rows.
    'segment.change.failed': [gone, { target: '#segment.realizing.waiting', actions: ['noteFailure', 'tellFailed'] }],
    'segment.change.unknown': { target: '#segment.realizing.waiting', actions: 'noteFailure' },
  },
  after: { changeDeadline: { target: '#segment.realizing' } },
} as const;

export const segmentMachine = setup({
  types: {
    context: {} as SegmentContext,
    events: {} as SegmentEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...effectActions(segmentKind),
    takeUpdates: act(messages.takeUpdates),
    noteUid: assign(({ event }) => ({ uid: event.meta.ulid })),
    begin: assign(messages.begin),
    applyQueue: assign(messages.applyQueue),
    noteOutcome: assign(messages.noteOutcome),
    noteBroken: assign(messages.noteBroken),
    noteFailure: assign(({ context, event }) =>
      'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {},
    ),
    tellOutcome: tell(messages.tellOutcome),
    tellBroken: tell(messages.tellBroken),
    tellFailed: tell(messages.tellFailed),
    tellRemoved: tell(messages.tellRemoved),
    forgetRows: tell(messages.forgetRows),
  },
  guards: {
    isHostGone: ({ event }) => isHostGone(event),
    wantsRealizing: ({ context, event }) => contexts.wantsRealizing(context, event),
    isOutdated: ({ context }) => context.outdated,
    isQueueLong: ({ context }) => contexts.queueLength(context) > contexts.queueLimit,
    isQueued: ({ context }) => contexts.isQueued(context),
    hasFailed: messages.hasFailed,
  },
  delays: {
    realizeDeadline: 90_000,
    changeDeadline: 60_000,
    removeDeadline: 120_000,
    missedDeadline: 600_000,
    retry: ({ context }) => {
      const failures = [...contexts.failuresOf(context), ...(context.failure === null ? [] : [context.failure])];
      const passes = failures.length === 0 || failures.some(({ retryable }) => retryable);
      return (passes ? backoffMs : lastingBackoffMs)(context.tries);
    },
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'segment',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    host: partsOfId(input.id).host ?? '',
    vpc: '',
    sections: {},
    outdated: false,
    queued: {},
    applying: [],
    proof: null,
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  on: { 'host.gone': { target: '.gone', actions: 'tellFailed' } },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        'segment.publish': [
          { guard: 'wantsRealizing', target: 'realizing', actions: 'takeUpdates' },
          { target: 'empty', actions: 'takeUpdates' },
        ],
        'segment.withdraw': { target: 'gone', actions: 'noteUid' },
      },
    },
    empty: {
      description:
        'Only increments were received, and there is no base for them; whole sections were requested from the VPC.',
      on: {
        'segment.publish': [
          { guard: 'wantsRealizing', target: 'realizing', actions: 'takeUpdates' },
          { actions: 'takeUpdates' },
        ],
        'segment.withdraw': { target: 'removing' },
      },
      // The kernel may have objects of an earlier actor of this id.
      after: { missedDeadline: { target: 'removing' } },
    },
    realizing: {
      description: 'All sections are being realized on this host, by difference.',
      initial: 'making',
      on: { 'segment.withdraw': { target: 'removing' } },
      states: {
        making: {
          description: 'The newest generation of every section is made in the kernel and read back.',
          entry: ['begin', { type: 'segment.realize', params: messages.realizeAsk }],
          on: {
            // The effect goes on; its result is compared with what was published since.
            'segment.publish': { actions: 'takeUpdates' },
            'segment.realize.done': [
              { guard: 'isOutdated', target: 'making', reenter: true, actions: ['noteOutcome', 'tellOutcome'] },
              { guard: 'isQueueLong', target: 'making', reenter: true, actions: ['noteOutcome', 'tellOutcome'] },
              { guard: 'hasFailed', target: '#segment.lagging', actions: ['noteOutcome', 'tellOutcome'] },
              { target: '#segment.serving', actions: ['noteOutcome', 'tellOutcome'] },
            ],
            'segment.realize.failed': [gone, { target: 'waiting', actions: ['noteFailure', 'tellFailed'] }],
            'segment.realize.unknown': { target: 'waiting', actions: 'noteFailure' },
          },
          after: { realizeDeadline: { target: 'making', reenter: true } },
        },
        waiting: {
          description:
            'The last attempt failed or its outcome is unknown; the failure says why. It is retried shortly.',
          on: {
            'segment.publish': [
              { guard: 'wantsRealizing', target: 'making', actions: 'takeUpdates' },
              { actions: 'takeUpdates' },
            ],
          },
          after: { retry: { target: 'making' } },
        },
      },
    },
    serving: {
      description: 'Every section is realized on this host with a proof, and is watched.',
      entry: { type: 'segment.watch', params: messages.watchAsk },
      ...standing,
      states: { ready, changing },
    },
    lagging: {
      description:
        'Some sections could not be realized; their failures say why. The other sections are served meanwhile.',
      entry: { type: 'segment.watch', params: messages.watchAsk },
      ...standing,
      states: { ready, changing },
      after: { retry: { target: 'realizing' } },
    },
    removing: {
      description: 'Everything of the VPC is being removed from this host.',
      initial: 'taking',
      states: {
        taking: {
          description:
            'Servers, bridges, overlay and namespace are removed, and their absence is verified in the kernel.',
          entry: { type: 'segment.remove', params: messages.segmentAsk },
          on: {
            'segment.remove.done': { target: '#segment.gone' },
            'segment.remove.failed': [
              { guard: 'isHostGone', target: '#segment.gone' },
              { target: 'waiting', actions: 'noteFailure' },
            ],
            'segment.remove.unknown': { target: 'waiting', actions: 'noteFailure' },
          },
          after: { removeDeadline: { target: 'taking', reenter: true } },
        },
        waiting: {
          description: 'Something could not be removed; the failure says what. The removal is retried without limit.',
          after: { backoff: { target: 'taking' } },
        },
      },
    },
    gone: {
      description: 'Nothing of the VPC is left on this host, or the host is fenced.',
      type: 'final',
      entry: ['forgetRows', 'tellRemoved'],
    },
  },
});
