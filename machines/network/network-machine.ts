/**
 * A network: subnets of a VPC, and who holds which of their addresses. It does not reach any host; segments do.
 * Upholds: an address and a declared MAC have one holder at a time; one given back rests; a network with holders stays;
 * none beyond its quota of ports gets an address.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { backoffMs } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as messages from './network-messages.ts';
import type { NetworkContext } from './network-messages.ts';
import { networkKind, type NetworkDeclaration, type NetworkEvent } from './network-protocol.ts';
import * as recovery from './network-recovery.ts';
import { problemsOf } from './network-spec.ts';

/** So many claims without an answer, and the creation or the change is given up. */
const claimTries = 12;
/** Until the tenant says how many. */
const defaultPorts = 4_000;

const kit = declaredKit<NetworkDeclaration, NetworkContext, NetworkEvent>(networkKind, { problems: problemsOf });

/** Ports are served alike whether or not the network is being extended. */
const serving = {
  'address.allocate': [{ guard: 'isNewEra', actions: 'askEra' }, { actions: 'allocate' }],
  'era.cleared': { guard: 'isPresent', actions: 'takeFound' },
  'address.release': { actions: 'release' },
  'network.realized': {
    guard: 'isNewest',
    actions: [
      'observe',
      'forgetFailure',
      { type: 'setCondition', params: { type: 'Realized', status: 'True', reason: 'Proven' } },
    ],
  },
  'network.delayed': {
    guard: 'isNewest',
    actions: [
      'noteFailure',
      { type: 'setCondition', params: { type: 'Realized', status: 'False', reason: 'HostDelayed' } },
    ],
  },
} as const;
const undecided = { actions: 'rejectUndecided' } as const;

export const networkMachine = setup({
  types: {
    context: {} as NetworkContext,
    events: {} as NetworkEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...kit.actions,
    resolveSubnets: assign(messages.resolveSubnets),
    propose: assign(messages.propose),
    acceptProposed: assign(messages.acceptProposed),
    withdrawProposed: assign({ proposed: null, tries: 0 }),
    takeQuota: assign(messages.takeQuota),
    noteTry: assign(({ context }) => ({ tries: context.tries + 1 })),
    rejectLost: act(messages.rejectLost),
    rejectInUse: tell(messages.rejectInUse),
    claimCidrs: tell(messages.claimCidrs),
    releaseCidrs: tell(messages.releaseCidrs),
    releaseEarlier: tell(messages.releaseEarlier),
    allocate: act(messages.allocate),
    release: act(messages.release),
    refuseEarly: tell(messages.refuseEarly),
    refuseLate: tell(messages.refuseLate),
    forgetBlocks: tell(messages.forgetBlocks),
    askEra: tell(recovery.askEra),
    takeFound: act(recovery.takeFound),
  },
  guards: {
    ...kit.guards,
    addsSubnets: messages.addsSubnets,
    isAnswer: messages.isAnswer,
    isNewest: messages.isNewest,
    mayPassLater: ({ context, event }) =>
      messages.isAnswer({ context, event }) && 'error' in event && event.error.retryable,
    hasPorts: ({ context }) => context.ports > 0,
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
    ...newDeclared(input.id),
    proposed: null,
    subnets: [],
    ports: 0,
    portQuota: defaultPorts,
    era: 1,
    disputed: [],
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
      on: whenBorn('network', 'claiming'),
    },
    claiming: {
      description: 'Nothing is made yet: quota and address ranges are being claimed.',
      initial: 'quota',
      entry: ['resolveSubnets', ready('False', 'Claiming')],
      on: {
        ...whileDeclaring('network', { target: 'claiming', reenter: true, actions: ['takeSpec', 'awaitAnswer'] }),
        'network.delete': { target: 'gone', actions: ['rejectDeleted', 'releaseCidrs', 'releaseQuota'] },
        'address.allocate': { actions: 'refuseEarly' },
        'quota.granted': {},
        'network.claimed': {},
      },
      states: {
        quota: {
          description: 'The tenant is asked whether its quota has room for one more network.',
          entry: 'claimQuota',
          on: {
            'quota.granted': { target: 'cidr', actions: 'takeQuota' },
            'quota.refused': { target: '#network.gone', actions: 'rejectAll' },
          },
          after: { quotaDeadline: { target: 'quota', reenter: true } },
        },
        cidr: {
          description: 'The VPC is asked for the address ranges; it refuses what overlaps.',
          entry: 'claimCidrs',
          on: {
            'network.claimed': { guard: 'isAnswer', target: '#network.ready', actions: ['forgetFailure', 'answerAll'] },
            'network.refused': [
              { guard: 'mayPassLater', target: 'waiting', actions: 'noteFailure' },
              { guard: 'isAnswer', target: '#network.gone', actions: ['rejectAll', 'releaseEarlier', 'releaseQuota'] },
            ],
          },
          after: {
            cidrDeadline: [
              { guard: 'isLost', target: '#network.gone', actions: ['rejectLost', 'releaseCidrs', 'releaseQuota'] },
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
      description: 'Ports get their addresses here; a changed declaration is on its way to the hosts that have it.',
      tags: 'steady',
      entry: ready('True', 'Serving'),
      on: {
        ...whileLiving(
          'network',
          { guard: 'addsSubnets', target: 'extending', actions: ['propose', 'awaitUpdated'] },
          { actions: ['takeSpec', 'resolveSubnets', 'claimCidrs', 'answerUpdated'] },
        ),
        ...deletedBy(
          'network',
          { guard: 'hasPorts', actions: 'rejectInUse' },
          { target: 'withdrawing', actions: 'awaitAnswer' },
        ),
        ...serving,
        'network.claimed': {},
      },
    },
    extending: {
      description: 'The VPC is asked for the ranges of added subnets; until it has them, the network is as it was.',
      entry: [ready('True', 'Extending'), 'claimCidrs'],
      on: {
        ...serving,
        'network.create': undecided,
        'network.update': undecided,
        'network.apply': undecided,
        'network.delete': undecided,
        'network.claimed': {
          guard: 'isAnswer',
          target: 'ready',
          actions: ['acceptProposed', 'resolveSubnets', 'answerAll'],
        },
        'network.refused': [
          { guard: 'mayPassLater' },
          { guard: 'isAnswer', target: 'ready', actions: ['rejectAll', 'withdrawProposed'] },
        ],
      },
      after: {
        cidrDeadline: [
          { guard: 'isLost', target: 'ready', actions: ['rejectLost', 'withdrawProposed', 'claimCidrs'] },
          { target: 'extending', reenter: true, actions: 'noteTry' },
        ],
      },
    },
    withdrawing: {
      description: 'The VPC is taking the network off every host that has it; its address ranges are free after that.',
      entry: [ready('False', 'Deleting'), 'releaseCidrs'],
      on: {
        ...whileDeleting('network'),
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
