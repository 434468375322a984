/**
 * A network: subnets of a VPC, and who holds which of their addresses. It does not reach any host; segments do.
 * Upholds: an address and a declared MAC have one holder at a time; one given back rests; a network with holders stays;
 * none beyond its quota of ports gets an address.
 */
import { assign, setup } from 'xstate';
import { backoffMs, failureOf } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import { defaultPortsPerNetwork } from '../tenant/tenant-events.ts';
import type { NetworkEvent } from './network-events.ts';
import * as messages from './network-messages.ts';
import type { NetworkContext } from './network-messages.ts';
import * as recovery from './network-recovery.ts';

/** So many claims without an answer, and the VPC is taken to be gone. */
const claimTries = 12;

export const networkMachine = setup({
  types: {
    context: {} as NetworkContext,
    events: {} as NetworkEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    takeSpec: assign(messages.takeSpec),
    takeQuota: assign(messages.takeQuota),
    noteWaiter: assign(({ context, event }) =>
      event.meta.commandId === undefined ? {} : { waiters: [...context.waiters, event.meta.commandId] },
    ),
    forgetWaiters: assign({ waiters: [] }),
    noteTry: assign(({ context }) => ({ tries: context.tries + 1 })),
    noteFailure: assign(({ context, event }) =>
      'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {},
    ),
    noteReady: assign({ failure: null, tries: 0 }),
    deferAnswer: tell(messages.deferAnswer),
    answerSame: tell(messages.answerSame),
    answerAll: tell(messages.answerAll),
    rejectAll: tell(messages.rejectAll),
    rejectInvalid: tell(messages.rejectInvalid),
    rejectDifferent: tell(messages.rejectDifferent),
    rejectDeleted: tell(messages.rejectDeleted),
    rejectLost: tell(messages.rejectLost),
    rejectBusy: tell(messages.rejectBusy),
    rejectInUse: tell(messages.rejectInUse),
    claimQuota: tell(messages.claimQuota),
    releaseQuota: tell(messages.releaseQuota),
    claimCidrs: tell(messages.claimCidrs),
    releaseCidrs: tell(messages.releaseCidrs),
    allocate: act(messages.allocate),
    release: act(messages.release),
    refuseEarly: tell(messages.refuseEarly),
    refuseLate: tell(messages.refuseLate),
    forgetBlocks: tell(messages.forgetBlocks),
    askEra: tell(recovery.askEra),
    takeFound: act(recovery.takeFound),
  },
  guards: {
    isInvalid: messages.isInvalid,
    isSame: messages.isSame,
    hasPorts: ({ context }) => context.ports > 0,
    mayPass: ({ event }) => 'error' in event && event.error.retryable,
    isLost: ({ context }) => context.tries >= claimTries,
    isNewEra: recovery.isNewEra,
    isPresent: recovery.isPresent,
  },
  delays: {
    quotaDeadline: 5_000,
    cidrDeadline: 5_000,
    withdrawDeadline: 30_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'network',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    spec: null,
    subnets: [],
    ports: 0,
    portQuota: defaultPortsPerNetwork,
    waiters: [],
    tries: 0,
    failure: null,
    era: 1,
    disputed: [],
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
      on: {
        'network.create': [
          { guard: 'isInvalid', target: 'gone', actions: 'rejectInvalid' },
          { target: 'claiming', actions: ['takeSpec', 'noteWaiter', 'deferAnswer'] },
        ],
      },
    },
    claiming: {
      description: 'Nothing is made yet: quota and address ranges are being claimed.',
      initial: 'quota',
      on: {
        'network.create': [{ guard: 'isSame', actions: ['noteWaiter', 'deferAnswer'] }, { actions: 'rejectDifferent' }],
        'network.delete': {
          target: 'gone',
          actions: ['rejectDeleted', 'forgetWaiters', 'releaseCidrs', 'releaseQuota'],
        },
        'address.allocate': { actions: 'refuseEarly' },
        'quota.granted': {},
      },
      states: {
        quota: {
          description: 'The tenant is asked whether its quota has room for one more network.',
          entry: 'claimQuota',
          on: {
            'quota.granted': { target: 'cidr', actions: 'takeQuota' },
            'quota.refused': { target: '#network.gone', actions: ['rejectAll', 'forgetWaiters'] },
          },
          after: { quotaDeadline: { target: 'quota', reenter: true } },
        },
        cidr: {
          description: 'The VPC is asked for the address ranges; it refuses what overlaps.',
          entry: 'claimCidrs',
          on: {
            'cidr.claimed': { target: '#network.ready', actions: ['noteReady', 'answerAll', 'forgetWaiters'] },
            'cidr.refused': [
              { guard: 'mayPass', target: 'waiting', actions: 'noteFailure' },
              { target: '#network.gone', actions: ['rejectAll', 'forgetWaiters', 'releaseQuota'] },
            ],
          },
          after: {
            cidrDeadline: [
              {
                guard: 'isLost',
                target: '#network.gone',
                actions: ['rejectLost', 'forgetWaiters', 'releaseCidrs', 'releaseQuota'],
              },
              { target: 'cidr', reenter: true, actions: 'noteTry' },
            ],
          },
        },
        waiting: {
          description: 'The VPC is not ready for claims yet; it is asked again shortly.',
          after: { backoff: { target: 'cidr' } },
        },
      },
    },
    ready: {
      description: 'Ports get their addresses here.',
      tags: 'steady',
      on: {
        'network.create': [{ guard: 'isSame', actions: 'answerSame' }, { actions: 'rejectDifferent' }],
        'network.delete': [
          { guard: 'hasPorts', actions: 'rejectInUse' },
          { target: 'withdrawing', actions: ['noteWaiter', 'deferAnswer'] },
        ],
        'address.allocate': [{ guard: 'isNewEra', actions: 'askEra' }, { actions: 'allocate' }],
        'era.cleared': { guard: 'isPresent', actions: 'takeFound' },
        'address.release': { actions: 'release' },
      },
    },
    withdrawing: {
      description: 'The VPC is taking the network off every host that has it; its address ranges are free after that.',
      entry: 'releaseCidrs',
      on: {
        'network.create': { actions: 'rejectBusy' },
        'network.delete': { actions: ['noteWaiter', 'deferAnswer'] },
        'address.allocate': { actions: 'refuseLate' },
        'address.release': {},
        'network.withdrawn': { target: 'gone', actions: ['forgetBlocks', 'releaseQuota'] },
      },
      after: { withdrawDeadline: { target: 'withdrawing', reenter: true } },
    },
    gone: {
      description: 'The network has ended, or was never made; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
