/**
 * A service IP: claims its quota and an address, follows the ports that are its backends, has their hosts check them,
 * and publishes those that serve to every host of the VPC. The address has a life of its own: it survives all backends.
 * Upholds: the published backends are exactly the members that serve; a new declaration is taken at any time; the
 * address is free only after no host has it.
 */
import { assign, setup } from 'xstate';
import { addressesResting } from '../network/network-protocol.ts';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { backoffMs } from '../values/failures.ts';
import * as references from '../values/references.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as contexts from './service-ip-context.ts';
import type { ServiceIpContext } from './service-ip-context.ts';
import * as followers from './service-ip-followers.ts';
import * as messages from './service-ip-messages.ts';
import { problemsOf, serviceIpKind, type ServiceIpEvent, type ServiceIpSpec } from './service-ip-protocol.ts';

const kit = declaredKit<ServiceIpSpec, ServiceIpContext, ServiceIpEvent>(serviceIpKind, {
  problems: problemsOf,
  result: ({ grant }) => ({ address: grant?.address ?? null }),
});

/** Requests for an address without an answer, or refused for now, before a creation is rejected. */
const claimTries = 12;

const allocated = { type: 'setCondition', params: { type: 'Allocated', status: 'True', reason: 'Allocated' } } as const;
const releasing = { type: 'setCondition', params: { type: 'Allocated', status: 'True', reason: 'Releasing' } } as const;
const parked = { type: 'setCondition', params: { type: 'Allocated', status: 'True', reason: 'Parked' } } as const;
const claiming = { type: 'setCondition', params: { type: 'Allocated', status: 'False', reason: 'Claiming' } } as const;
const withdrawn = { type: 'setCondition', params: { type: 'Realized', status: 'False', reason: 'Withdrawn' } } as const;

/** Messages that were sent before the service IP was taken off the hosts. */
const late = {
  'members.matched': {},
  'members.changed': {},
  'element.realized': {},
  'element.delayed': {},
  'check.observed': {},
  'check.delayed': {},
  'host.stands': {},
} as const;

const leaving = {
  ...late,
  ...whileDeleting('service-ip'),
  'element.removed': { actions: 'noteRemoved' },
  'check.ended': { actions: 'noteCheckEnded' },
} as const;

const revived = [
  { guard: 'isInvalid', actions: 'rejectInvalid' },
  { guard: 'isImmutable', actions: 'rejectImmutable' },
  { target: 'allocated', actions: ['takeSpec', 'answerUpdated'] },
] as const;

const refused = ['rejectAll', 'noteFailure', 'endHolders', 'releaseQuota'] as const;

export const serviceIpMachine = setup({
  types: {
    context: {} as ServiceIpContext,
    events: {} as ServiceIpEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...kit.actions,
    ...references.heldActions<ServiceIpContext, ServiceIpEvent>(),
    countHolder: act(messages.countHolder),
    endHolders: act(messages.endHolders),
    askAddress: tell(messages.askAddress),
    releaseAddress: tell(messages.releaseAddress),
    disownAddress: tell(messages.disownAddress),
    takeGrant: assign(messages.takeGrant),
    noteTry: assign(({ context }) => ({ tries: context.tries + 1 })),
    rejectLost: act(messages.rejectLost),
    rejectRetained: tell(messages.rejectRetained),
    watch: tell(messages.watch),
    takeMatched: act(messages.takeMatched),
    takeChanged: act(messages.takeChanged),
    prepare: assign(messages.prepare),
    follow: act(messages.follow),
    publishAgain: tell(messages.publishAgain),
    takeObserved: act(messages.takeObserved),
    noteTrouble: assign(messages.noteTrouble),
    noteEnded: act(messages.noteEnded),
    noteStanding: act(messages.noteStanding),
    decideOpen: act(messages.decideOpen),
    noteProven: assign(messages.noteProven),
    noteRealization: assign(messages.noteRealization),
    withdraw: act(messages.withdraw),
    noteRemoved: assign({ placed: false }),
    noteCheckEnded: assign(messages.noteCheckEnded),
    noteFollower: assign(followers.noteFollower),
    tellFollower: tell(followers.tellFollower),
    tellFollowers: tell(followers.tellFollowers),
    tellLost: tell(followers.tellLost),
    answerLost: tell(followers.answerLost),
    rejectFollowed: tell(followers.rejectFollowed),
  },
  guards: {
    ...kit.guards,
    isHeld: references.isHeld,
    isFollowed: followers.isFollowed,
    isLost: ({ context }) => context.tries >= claimTries,
    /** An address rests longer than a command can wait: that refusal says when to come back. */
    mayPassSoon: ({ context, event }) =>
      'error' in event && event.error.retryable && event.error.code !== addressesResting && context.tries < claimTries,
    hasAnother: messages.hasAnother,
    isNewest: messages.isNewest,
    isRetained: ({ context }) => context.spec?.retain === true,
    isUndecided: ({ context }) => contexts.isUndecided(context),
    isProgramming: ({ context }) => contexts.realizationOf(context).reason === 'Programming',
    isDegraded: ({ context }) => contexts.realizationOf(context).reason === 'Degraded',
    isWithoutBackends: ({ context }) => contexts.realizationOf(context).reason === 'NoBackends',
    isWithdrawn: messages.isWithdrawn,
  },
  delays: {
    quotaDeadline: 5_000,
    addressDeadline: 5_000,
    watchDeadline: 30_000,
    proofDeadline: 30_000,
    silence: messages.silenceMs,
    withdrawDeadline: 30_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'service-ip',
  context: ({ input }) => ({
    ...newDeclared(input.id),
    holders: 0,
    grant: null,
    members: {},
    surplus: 0,
    nearby: [],
    verdicts: {},
    checks: {},
    round: 0,
    published: 0,
    proven: 0,
    serving: [],
    placed: false,
    followers: [],
  }),
  initial: 'born',
  on: {
    'address.confirm': { guard: 'hasAnother', actions: 'disownAddress' },
    'port.follow': { actions: ['noteFollower', 'tellFollower'] },
    'port.unfollow': { actions: 'noteFollower' },
  },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('service-ip', 'claiming'),
        'address.confirm': { target: 'gone', actions: 'disownAddress' },
        'reference.add': { target: 'gone', actions: 'answerMissing' },
        'reference.drop': { target: 'gone' },
        'port.follow': { target: 'gone', actions: 'answerLost' },
      },
    },
    claiming: {
      description: 'Nothing is created yet: quota and an address are being claimed.',
      initial: 'quota',
      entry: [ready('False', 'Claiming'), claiming],
      on: {
        ...whileDeclaring('service-ip', { target: 'claiming', reenter: true, actions: ['takeSpec', 'awaitAnswer'] }),
        ...references.whileHeld,
        'service-ip.delete': {
          target: 'gone',
          actions: ['rejectDeleted', 'awaitAnswer', 'endHolders', 'releaseAddress', 'releaseQuota'],
        },
        'quota.granted': {},
      },
      states: {
        quota: {
          description: 'The quota for one more service IP is requested from the tenant.',
          entry: 'claimQuota',
          on: {
            'quota.granted': { target: 'address' },
            'quota.refused': { target: '#service-ip.gone', actions: ['rejectAll', 'noteFailure', 'endHolders'] },
          },
          after: { quotaDeadline: { target: 'quota', reenter: true } },
        },
        address: {
          description: 'The network allocates the declared address, or a free one.',
          entry: 'askAddress',
          on: {
            'address.allocated': {
              target: '#service-ip.allocated',
              actions: ['takeGrant', 'tellFollowers', 'answerAll'],
            },
            'address.refused': [
              { guard: 'mayPassSoon', target: 'waiting', actions: 'noteFailure' },
              { target: '#service-ip.gone', actions: refused },
            ],
          },
          after: {
            addressDeadline: [
              {
                guard: 'isLost',
                target: '#service-ip.gone',
                actions: ['releaseAddress', 'rejectLost', 'endHolders', 'releaseQuota'],
              },
              { target: 'address', reenter: true, actions: 'noteTry' },
            ],
          },
        },
        waiting: {
          description: 'The network cannot allocate an address now; the request is retried shortly.',
          after: { backoff: { target: 'address' } },
        },
      },
    },
    allocated: {
      description: 'It has its address. The states in it say what hosts do with it.',
      initial: 'watching',
      entry: allocated,
      on: {
        ...whileLiving('service-ip', {
          target: '.judging',
          actions: ['prepare', 'takeSpec', 'follow', 'answerUpdated'],
        }),
        ...references.whileHeld,
        ...deletedBy(
          'service-ip',
          { guard: 'isHeld', actions: ['rejectInUse', 'confirmHolders'] },
          { guard: 'isFollowed', actions: 'rejectFollowed' },
          { guard: 'isRetained', target: 'parking', actions: 'awaitAnswer' },
          { target: 'releasing', actions: 'awaitAnswer' },
        ),
        'quota.granted': {},
        'address.allocated': {},
        'members.matched': { target: '.judging', actions: 'takeMatched' },
        'members.changed': { target: '.judging', actions: 'takeChanged' },
        'element.realized': { guard: 'isNewest', target: '.judging', actions: 'noteProven' },
        'element.delayed': { guard: 'isNewest', target: '.judging', actions: 'noteFailure' },
        'element.removed': {},
        'check.observed': { target: '.judging', actions: 'takeObserved' },
        'check.delayed': { target: '.judging', actions: 'noteTrouble' },
        'check.ended': { target: '.judging', actions: 'noteEnded' },
        'host.stands': { target: '.judging', actions: 'noteStanding' },
      },
      states: {
        watching: {
          description: 'The ports that are its backends are requested from the VPC.',
          entry: [ready('False', 'Watching'), 'watch'],
          after: { watchDeadline: { target: 'watching', reenter: true } },
        },
        judging: {
          description: 'Decides whether hosts do what was declared.',
          always: [
            { guard: 'isUndecided', target: 'waiting' },
            { guard: 'isProgramming', target: 'programming' },
            { guard: 'isDegraded', target: 'degraded' },
            { guard: 'isWithoutBackends', target: 'noBackends' },
            { target: 'active' },
          ],
        },
        programming: {
          description: 'Not all hosts of the VPC have proven the newest backends yet.',
          entry: [ready('False', 'Programming'), 'noteRealization'],
          after: { proofDeadline: { target: 'programming', reenter: true, actions: 'publishAgain' } },
        },
        active: {
          description: 'Every host of the VPC has proven the backends, and all that were declared serve.',
          tags: 'steady',
          entry: [ready('True', 'Active'), 'noteRealization'],
        },
        noBackends: {
          description: 'No backend serves, so every host refuses flows to it. The condition Realized says why.',
          tags: 'steady',
          entry: [ready('False', 'NoBackends'), 'noteRealization'],
        },
        degraded: {
          description: 'It serves, but not as declared: the condition Realized says what is missing.',
          tags: 'steady',
          entry: [ready('False', 'Degraded'), 'noteRealization'],
        },
        waiting: {
          description:
            'The host of a backend is silent, or its checks have ended. If that lasts, the backend serves no longer.',
          entry: [ready('False', 'Degraded'), 'noteRealization'],
          after: { silence: { target: 'judging', actions: 'decideOpen' } },
        },
      },
    },
    parking: {
      description: 'It is taken off every host that has it, and keeps its address.',
      entry: [ready('False', 'Parking'), withdrawn, 'withdraw'],
      always: { guard: 'isWithdrawn', target: 'parked', actions: 'answerAll' },
      on: { ...leaving, ...references.whileHeld },
      after: { withdrawDeadline: { target: 'parking', reenter: true } },
    },
    parked: {
      description: 'It was deleted with retain: no host has it, and its address stays. Apply brings it back.',
      tags: 'steady',
      entry: [ready('False', 'Parked'), parked],
      on: {
        ...late,
        'service-ip.create': revived,
        'service-ip.update': revived,
        'service-ip.apply': revived,
        'service-ip.delete': { actions: 'rejectRetained' },
        ...references.whileHeld,
        'element.removed': {},
        'check.ended': {},
      },
    },
    releasing: {
      description: 'It is taken off every host that has it; then its address is free.',
      entry: [ready('False', 'Deleting'), withdrawn, releasing, 'withdraw'],
      always: { guard: 'isWithdrawn', target: 'gone', actions: ['releaseAddress', 'releaseQuota'] },
      on: {
        ...leaving,
        'port.follow': { actions: 'answerLost' },
        'reference.add': { actions: 'answerMissing' },
        'reference.drop': {},
      },
      after: { withdrawDeadline: { target: 'releasing', reenter: true } },
    },
    gone: {
      description: 'No host has it and its address rests, or it was never created; its name is free.',
      type: 'final',
      entry: ['answerAll', 'tellLost'],
    },
  },
});
