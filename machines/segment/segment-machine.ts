/**
 * A segment: a VPC with its networks on one host. It has the kernel made what the VPC wants, watches that it stays, and
 * applies routes to ports elsewhere as they come. It decides nothing about which networks or routes there should be.
 * Upholds: `segment.ready` is said only with a proof read back from the kernel; the newest spec wins.
 */
import { assign, setup } from 'xstate';
import { backoffMs, failureOf, isHostGone } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { request, requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import { noRoutes, queueLength, queueLimit } from './segment-context.ts';
import type { EnsureAsk, RemoveAsk, RouteAsk, SegmentContext } from './segment-context.ts';
import type { SegmentEvent } from './segment-events.ts';
import * as messages from './segment-messages.ts';

/** With its host: the VPC forgets it, and the others lose a peer. */
const gone = { guard: 'isHostGone', target: '#segment.gone', actions: 'tellFailed' } as const;

export const segmentMachine = setup({
  types: {
    context: {} as SegmentContext,
    events: {} as SegmentEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    'segment.ensure': request<EnsureAsk>(),
    'segment.watch': request<EnsureAsk>(),
    'segment.route': request<RouteAsk>(),
    'segment.remove': request<RemoveAsk>(),
    takeSpec: act(messages.takeSpec),
    takeRoutes: act(messages.takeRoutes),
    noteUid: assign(({ event }) => ({ uid: event.meta.ulid })),
    // What is stored is what is asked for, so nothing older is left to apply.
    begin: assign(({ context }) => ({ realizing: context.spec?.generation ?? 0, queued: noRoutes })),
    noteProof: assign(({ event }) =>
      event.type === 'segment.ensure.done' ? { proof: event.proof, tries: 0, failure: null } : {},
    ),
    noteFailure: assign(({ context, event }) =>
      'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {},
    ),
    noteBroken: assign(({ event }) =>
      event.type === 'segment.watch.done'
        ? { failure: { code: event.reason, message: event.detail, retryable: true }, proof: null }
        : {},
    ),
    applyQueue: assign(({ context }) => ({ applying: context.queued, queued: noRoutes })),
    forgetApplied: assign({ applying: noRoutes, tries: 0 }),
    forgetRoutes: tell(messages.forgetRoutes),
    tellReady: tell(messages.tellReady),
    tellFailed: tell(messages.tellFailed),
    tellRemoved: tell(messages.tellRemoved),
  },
  guards: {
    isHostGone: ({ event }) => isHostGone(event),
    isNewer: ({ context, event }) =>
      event.type === 'segment.ensure' && event.spec.generation > (context.spec?.generation ?? 0),
    isOutdated: ({ context }) => (context.spec?.generation ?? 0) > context.realizing,
    isQueueLong: ({ context }) => queueLength(context.queued) > queueLimit,
    isQueued: ({ context }) => queueLength(context.queued) > 0,
    mayPass: ({ event }) => 'error' in event && event.error.retryable,
  },
  delays: {
    ensureDeadline: 90_000,
    routeDeadline: 60_000,
    removeDeadline: 120_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'segment',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    host: partsOfId(input.id).host ?? '',
    vpc: '',
    spec: null,
    realizing: 0,
    proof: null,
    queued: noRoutes,
    applying: noRoutes,
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
        'segment.ensure': { target: 'realizing', actions: 'takeSpec' },
        'segment.remove': { target: 'gone', actions: 'noteUid' },
      },
    },
    realizing: {
      description:
        'The namespace, the overlay, the bridges and the DHCP server of the VPC are being brought about on this host.',
      initial: 'making',
      on: {
        'segment.route': { actions: 'takeRoutes' },
        'segment.remove': { target: 'removing' },
      },
      states: {
        making: {
          description: 'The kernel is asked for the newest spec; what it has is read back.',
          entry: ['begin', { type: 'segment.ensure', params: messages.ensureAsk }],
          on: {
            // Left to finish: the result is compared with the newest generation.
            'segment.ensure': { guard: 'isNewer', actions: 'takeSpec' },
            'segment.ensure.done': [
              { guard: 'isOutdated', target: 'making', reenter: true, actions: 'noteProof' },
              { guard: 'isQueueLong', target: 'making', reenter: true, actions: 'noteProof' },
              { guard: 'isQueued', target: '#segment.serving.routing', actions: ['noteProof', 'tellReady'] },
              { target: '#segment.serving', actions: ['noteProof', 'tellReady'] },
            ],
            'segment.ensure.failed': [
              gone,
              { guard: 'mayPass', target: 'waiting', actions: ['noteFailure', 'tellFailed'] },
              { target: '#segment.failed', actions: ['noteFailure', 'tellFailed'] },
            ],
            'segment.ensure.unknown': { target: 'waiting', actions: 'noteFailure' },
          },
          after: { ensureDeadline: { target: 'making', reenter: true } },
        },
        waiting: {
          description:
            'The last try did not come to a result that holds; the failure says why. It is tried again shortly.',
          on: { 'segment.ensure': { guard: 'isNewer', target: 'making', actions: 'takeSpec' } },
          after: { backoff: { target: 'making' } },
        },
      },
    },
    serving: {
      description: 'The VPC stands on this host, as proved, and is watched.',
      entry: { type: 'segment.watch', params: messages.watchAsk },
      initial: 'ready',
      on: {
        'segment.ensure': [{ guard: 'isNewer', target: 'realizing', actions: 'takeSpec' }, { actions: 'tellReady' }],
        'segment.remove': { target: 'removing' },
        'segment.watch.done': { target: 'realizing', actions: ['noteBroken', 'tellFailed'] },
        'segment.watch.failed': [gone, { target: 'realizing.waiting', actions: ['noteFailure', 'tellFailed'] }],
        'segment.watch.unknown': { target: 'realizing.waiting', actions: 'noteFailure' },
      },
      states: {
        ready: {
          description: 'Nothing is to be done.',
          tags: 'steady',
          on: { 'segment.route': { target: 'routing', actions: 'takeRoutes' } },
        },
        routing: {
          description: 'Routes to ports on other hosts are being changed; those that come meanwhile are next.',
          entry: ['applyQueue', { type: 'segment.route', params: messages.routeAsk }],
          on: {
            'segment.route': { actions: 'takeRoutes' },
            'segment.route.done': [
              { guard: 'isQueueLong', target: '#segment.realizing', actions: 'forgetApplied' },
              { guard: 'isQueued', target: 'routing', reenter: true, actions: 'forgetApplied' },
              { target: 'ready', actions: 'forgetApplied' },
            ],
            // The rows say what is wanted: the whole segment is ensured again, routes and all.
            'segment.route.failed': [gone, { target: '#segment.realizing.waiting', actions: 'noteFailure' }],
            'segment.route.unknown': { target: '#segment.realizing.waiting', actions: 'noteFailure' },
          },
          after: { routeDeadline: { target: '#segment.realizing' } },
        },
      },
    },
    failed: {
      description:
        'It cannot be made here and will not be by trying again; the failure says why. A new request tries once more.',
      tags: 'steady',
      on: {
        'segment.ensure': { target: 'realizing', actions: 'takeSpec' },
        'segment.route': { actions: 'takeRoutes' },
        'segment.remove': { target: 'removing' },
      },
    },
    removing: {
      description: 'Everything of the VPC is being taken off this host.',
      initial: 'taking',
      states: {
        taking: {
          description:
            'Servers, bridges, overlay and namespace are removed, and the kernel is asked whether they are gone.',
          entry: { type: 'segment.remove', params: messages.removeAsk },
          on: {
            'segment.remove.done': { target: '#segment.gone', actions: 'forgetRoutes' },
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
      entry: 'tellRemoved',
    },
  },
});
