/**
 * A network: subnets of a VPC, and the allocation of their addresses to ports. It does not act on hosts; segments do.
 * Upholds: an address and a declared MAC have one holder at a time; a released address rests; a network with ports
 * cannot be deleted; ports beyond its quota get no address.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { backoffMs } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as audit from './network-audit.ts';
import * as messages from './network-messages.ts';
import type { NetworkContext } from './network-messages.ts';
import { networkKind, type NetworkDeclaration, type NetworkEvent } from './network-protocol.ts';
import * as pairs from './network-pairs.ts';
import * as recovery from './network-recovery.ts';
import { problemsOf } from './network-spec.ts';

/** Claims without an answer before the creation or change is rejected. */
const claimTries = 12;
/** Until the tenant has sent the number. */
const defaultPorts = 4_000;

const kit = declaredKit<NetworkDeclaration, NetworkContext, NetworkEvent>(networkKind, { problems: problemsOf });

/** Requests of ports, handled in the same way while the network is being extended. */
const serving = {
  'address.allocate': [{ guard: 'isNewEra', actions: 'askEra' }, { actions: 'allocate' }],
  'era.cleared': { guard: 'isPresent', actions: 'takeFound' },
  'address.revise': { actions: 'revise' },
  'address.release': { actions: 'release' },
  'network.addresses': { actions: 'listAddresses' },
  'network.verify': { actions: 'verifyAddresses' },
  'network.realized': {
    guard: 'isNewest',
    actions: ['observe', 'forgetFailure', 'noteProven'],
  },
  'network.delayed': {
    guard: 'isNewest',
    actions: ['noteFailure', 'noteDelayed'],
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
    noteProven: assign(messages.noteProven),
    noteDelayed: assign(messages.noteDelayed),
    noteTry: assign(({ context }) => ({ tries: context.tries + 1 })),
    rejectLost: act(messages.rejectLost),
    rejectInUse: tell(messages.rejectInUse),
    confirmHolders: tell(messages.confirmHolders),
    claimCidrs: tell(messages.claimCidrs),
    releaseCidrs: tell(messages.releaseCidrs),
    releaseEarlier: tell(messages.releaseEarlier),
    allocate: act(messages.allocate),
    revise: act(pairs.revise),
    release: act(messages.release),
    refuseEarly: tell(messages.refuseEarly),
    refuseLate: tell(messages.refuseLate),
    forgetBlocks: tell(messages.forgetBlocks),
    listAddresses: tell(audit.listAddresses),
    verifyAddresses: tell(audit.verifyAddresses),
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
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: whenBorn('network', 'claiming'),
    },
    claiming: {
      description: 'Nothing is created yet: quota and CIDRs are being claimed.',
      initial: 'quota',
      entry: ['resolveSubnets', ready('False', 'Claiming')],
      on: {
        ...whileDeclaring('network', { target: 'claiming', reenter: true, actions: ['takeSpec', 'awaitAnswer'] }),
        'network.delete': { target: 'gone', actions: ['rejectDeleted', 'releaseCidrs', 'releaseQuota'] },
        'address.allocate': { actions: 'refuseEarly' },
        'network.addresses': undecided,
        'network.verify': undecided,
        'quota.granted': {},
        'network.claimed': {},
      },
      states: {
        quota: {
          description: 'The quota for one more network is requested from the tenant.',
          entry: 'claimQuota',
          on: {
            'quota.granted': { target: 'cidr', actions: 'takeQuota' },
            'quota.refused': { target: '#network.gone', actions: ['rejectAll', 'noteFailure'] },
          },
          after: { quotaDeadline: { target: 'quota', reenter: true } },
        },
        cidr: {
          description: 'The CIDRs are claimed from the VPC, which refuses those that overlap.',
          entry: 'claimCidrs',
          on: {
            'network.claimed': { guard: 'isAnswer', target: '#network.ready', actions: ['forgetFailure', 'answerAll'] },
            'network.refused': [
              { guard: 'mayPassLater', target: 'waiting', actions: 'noteFailure' },
              {
                guard: 'isAnswer',
                target: '#network.gone',
                actions: ['rejectAll', 'noteFailure', 'releaseEarlier', 'releaseQuota'],
              },
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
          description: 'The VPC is not ready for claims yet; the claim is retried shortly.',
          after: { backoff: { target: 'cidr' } },
        },
      },
    },
    ready: {
      description: 'Allocates addresses to ports. The VPC publishes a changed declaration to the hosts.',
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
          { guard: 'hasPorts', actions: ['rejectInUse', 'confirmHolders'] },
          { target: 'withdrawing', actions: 'awaitAnswer' },
        ),
        ...serving,
        'network.claimed': {},
      },
    },
    extending: {
      description: 'The CIDRs of added subnets are claimed from the VPC; until then the old spec applies.',
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
      description: 'The VPC removes the network from every host that has it; then its CIDRs are free.',
      entry: [ready('False', 'Deleting'), 'releaseCidrs'],
      on: {
        ...whileDeleting('network'),
        'network.addresses': { actions: 'rejectBusy' },
        'network.verify': { actions: 'rejectBusy' },
        'address.allocate': { actions: 'refuseLate' },
        'address.release': {},
        'network.withdrawn': { target: 'gone', actions: ['forgetBlocks', 'releaseQuota'] },
      },
      after: { withdrawDeadline: { target: 'withdrawing', reenter: true } },
    },
    gone: {
      description: 'The network has ended, or was never created; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
