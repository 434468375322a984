/**
 * A segment: a VPC on one host. It has the kernel made what the VPC publishes, section by section, watches that it
 * stays, and applies increments as they come. It decides nothing about what a section holds, and knows none by name.
 * Upholds: a section is reported proven only after it was read back from the kernel; a section that fails is reported
 * by name and retried while the others go on; what is published last wins.
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

/** What will not pass by itself is tried again now and then: an operator may have mended the host. */
const lastingRetryMs = 300_000;

/** With its host: the VPC forgets it, and the others lose a peer. */
const gone = { guard: 'isHostGone', target: '#segment.gone', actions: 'tellFailed' } as const;

/** Of both states in which something of the VPC stands on the host. */
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
  description: 'No increment is to be applied.',
  tags: 'steady',
  always: { guard: 'isQueued', target: 'changing' },
} as const;

const changing = {
  description: 'Increments are being applied to the kernel; those that come meanwhile are next.',
  entry: ['applyQueue', { type: 'segment.change', params: messages.changeAsk }],
  on: {
    'segment.change.done': [
      { guard: 'isQueueLong', target: '#segment.realizing', actions: ['noteOutcome', 'tellOutcome'] },
      { guard: 'hasFailed', target: '#segment.lagging', actions: ['noteOutcome', 'tellOutcome'] },
      { target: 'ready', actions: ['noteOutcome', 'tellOutcome'] },
    ],
    // The rows say what is wanted: all of the segment is realized again.
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
      return passes ? backoffMs(context.tries) : lastingRetryMs;
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
      description: 'Exists only within the step that creates it.',
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
      description: 'Only increments have come to a segment that has nothing; the VPC was told, whole sections follow.',
      on: {
        'segment.publish': [
          { guard: 'wantsRealizing', target: 'realizing', actions: 'takeUpdates' },
          { actions: 'takeUpdates' },
        ],
        'segment.withdraw': { target: 'removing' },
      },
      // The kernel may have what an earlier life made.
      after: { missedDeadline: { target: 'removing' } },
    },
    realizing: {
      description: 'What every section holds is being brought about on this host, by difference.',
      initial: 'making',
      on: { 'segment.withdraw': { target: 'removing' } },
      states: {
        making: {
          description: 'The kernel is asked for the newest of every section; what it has is read back.',
          entry: ['begin', { type: 'segment.realize', params: messages.realizeAsk }],
          on: {
            // Left to finish: the result is compared with what has come since.
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
            'The last try did not come to a result that holds; the failure says why. It is tried again shortly.',
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
      description: 'Every section stands on this host, as proved, and is watched.',
      entry: { type: 'segment.watch', params: messages.watchAsk },
      ...standing,
      states: { ready, changing },
    },
    lagging: {
      description: 'Some sections could not be realized; their failures say why. The others are served meanwhile.',
      entry: { type: 'segment.watch', params: messages.watchAsk },
      ...standing,
      states: { ready, changing },
      after: { retry: { target: 'realizing' } },
    },
    removing: {
      description: 'Everything of the VPC is being taken off this host.',
      initial: 'taking',
      states: {
        taking: {
          description:
            'Servers, bridges, overlay and namespace are removed, and the kernel is asked whether they are gone.',
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
          description:
            'Something could not be removed; the failure says what. It is tried again for as long as it takes.',
          after: { backoff: { target: 'taking' } },
        },
      },
    },
    gone: {
      description: 'Nothing of the VPC is left on this host, or the host is gone.',
      type: 'final',
      entry: ['forgetRows', 'tellRemoved'],
    },
  },
});
