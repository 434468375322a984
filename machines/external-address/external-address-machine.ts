/**
 * An external address: it gets an address of an external network and keeps it until it ends, whatever becomes of its
 * target. It follows the target, and publishes to the VPC where it leads; the VPC needs a router with that external
 * network. Upholds: an address leads to one place at a time: it is taken off every host of a VPC before another VPC has
 * it; it goes back only after no host has it.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { backoffMs } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as messages from './external-address-messages.ts';
import type { ExternalAddressContext } from './external-address-messages.ts';
import {
  externalAddressKind,
  type ExternalAddressEvent,
  type ExternalAddressSpec,
} from './external-address-protocol.ts';

const kit = declaredKit<ExternalAddressSpec, ExternalAddressContext, ExternalAddressEvent>(externalAddressKind, {
  result: ({ address }) => ({ address }),
});

/** Claims without an answer before the creation is rejected. */
const claimTries = 6;

const confirming = { 'external.confirm': [{ guard: 'usesAsker' }, { actions: 'disownAddress' }] } as const;

const declaring = {
  ...whileDeclaring('external-address', { actions: ['takeSpec', 'awaitAnswer'] }),
  ...confirming,
} as const;

/** It has its address. A changed target is accepted at once. */
const living = {
  ...whileLiving('external-address', { target: '#external-address.locating', actions: ['takeSpec', 'answerUpdated'] }),
  ...deletedBy('external-address', { target: '#external-address.withdrawing', actions: 'awaitAnswer' }),
  ...confirming,
  'quota.granted': {},
  'external.granted': {},
  'external.refused': {},
} as const;

const late = { 'element.realized': {}, 'element.delayed': {}, 'element.removed': {} } as const;

export const externalAddressMachine = setup({
  types: {
    context: {} as ExternalAddressContext,
    events: {} as ExternalAddressEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...kit.actions,
    claimAddress: tell(messages.claimAddress),
    releaseAddress: tell(messages.releaseAddress),
    takeAddress: assign(messages.takeAddress),
    disownAddress: tell(messages.disownAddress),
    rejectRefused: act(messages.rejectRefused),
    rejectLost: act(messages.rejectLost),
    noteTry: assign(({ context }) => ({ tries: context.tries + 1 })),
    follow: act(messages.follow),
    unfollow: act(messages.unfollow),
    noteFound: assign(messages.noteFound),
    noteMissing: assign(messages.noteMissing),
    attach: act(messages.attach),
    detach: tell(messages.detach),
    noteDetached: assign(messages.noteDetached),
    noteRealized: assign(messages.noteRealized),
    noteDelayed: assign(messages.noteDelayed),
    notePublishing: assign(messages.notePublishing),
    noteIdle: assign(messages.noteIdle),
  },
  guards: {
    ...kit.guards,
    mayPassLater: ({ context, event }) =>
      event.type === 'external.refused' && event.error.retryable && context.tries < claimTries,
    usesAsker: messages.usesAsker,
    isLost: ({ context }) => context.tries >= claimTries,
    hasTarget: messages.hasTarget,
    hasNoTarget: (seen) => !messages.hasTarget(seen),
    isFound: messages.isFound,
    isOfTarget: messages.isOfTarget,
    /** It still leads to an earlier target. */
    leadsElsewhere: (seen) => messages.isOfTarget(seen) && messages.isAttached(seen),
    isElsewhere: messages.isElsewhere,
    mayLocate: (seen) => !messages.isAttached(seen) && messages.hasTarget(seen),
    isNewest: messages.isNewest,
    isOfVpc: messages.isOfVpc,
    isDetached: ({ context }) => context.attached === null,
  },
  delays: {
    quotaDeadline: 5_000,
    claimDeadline: 5_000,
    locateDeadline: 5_000,
    detachDeadline: 30_000,
    withdrawDeadline: 30_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'external-address',
  context: ({ input }) => ({
    ...newDeclared(input.id),
    address: null,
    followed: null,
    found: null,
    attached: null,
    revision: 0,
    isRealized: false,
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('external-address', 'claiming'),
        'external.confirm': { target: 'gone', actions: 'disownAddress' },
      },
    },
    claiming: {
      description: 'The quota for one more external address is requested from the tenant.',
      entry: [ready('False', 'Claiming'), 'claimQuota'],
      on: {
        ...declaring,
        'external-address.delete': { target: 'gone', actions: ['rejectDeleted', 'awaitAnswer', 'releaseQuota'] },
        'quota.granted': { target: 'allocating' },
        'quota.refused': { target: 'gone', actions: ['rejectAll', 'noteFailure'] },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    allocating: {
      description: 'The external network is asked for an address.',
      initial: 'asking',
      entry: ready('False', 'Allocating'),
      on: {
        ...declaring,
        'external-address.delete': {
          target: 'gone',
          actions: ['rejectDeleted', 'awaitAnswer', 'releaseAddress', 'releaseQuota'],
        },
        'quota.granted': {},
        'external.granted': { target: 'locating', actions: ['takeAddress', 'answerAll'] },
        'external.refused': [
          { guard: 'mayPassLater', target: '.waiting', actions: 'noteFailure' },
          { target: 'gone', actions: ['rejectRefused', 'releaseQuota'] },
        ],
      },
      states: {
        asking: {
          description: 'The external network has not answered yet.',
          entry: 'claimAddress',
          after: {
            claimDeadline: [
              {
                guard: 'isLost',
                target: '#external-address.gone',
                actions: ['rejectLost', 'releaseAddress', 'releaseQuota'],
              },
              { target: 'asking', reenter: true, actions: 'noteTry' },
            ],
          },
        },
        waiting: {
          description: 'The external network cannot give an address now; the failure says why. Asked again shortly.',
          after: { backoff: { target: 'asking' } },
        },
      },
    },
    locating: {
      description: 'The target is asked for its address and its VPC. Until it answers, the address leads where it led.',
      entry: [ready('False', 'Locating'), 'follow'],
      always: [
        { guard: 'hasNoTarget', target: 'detaching', actions: 'unfollow' },
        { guard: 'isElsewhere', target: 'detaching' },
        { guard: 'isFound', target: 'attached' },
      ],
      on: {
        ...living,
        ...late,
        'port.address': { guard: 'isOfTarget', actions: 'noteFound' },
        'port.lost': [
          { guard: 'leadsElsewhere', target: 'detaching', actions: 'noteMissing' },
          { guard: 'isOfTarget', target: 'waiting', actions: 'noteMissing' },
        ],
      },
      after: { locateDeadline: { target: 'locating', reenter: true } },
    },
    attached: {
      description:
        'The address leads to its target; the condition Realized tells whether all hosts of the VPC know it.',
      tags: 'steady',
      entry: ['attach', 'notePublishing', ready('True', 'Attached')],
      on: {
        ...living,
        'port.address': { guard: 'isOfTarget', target: 'locating', actions: 'noteFound' },
        'port.lost': { guard: 'isOfTarget', target: 'detaching', actions: 'noteMissing' },
        'element.realized': { guard: 'isNewest', actions: 'noteRealized' },
        'element.delayed': { guard: 'isNewest', actions: 'noteDelayed' },
        'element.removed': {},
      },
    },
    detaching: {
      description: 'The VPC in which the address was takes it off every host that has it.',
      entry: [ready('False', 'Detaching'), 'detach'],
      always: [
        { guard: 'mayLocate', target: 'locating' },
        { guard: 'isDetached', target: 'detached' },
      ],
      on: {
        ...living,
        ...late,
        'port.address': { guard: 'isOfTarget', actions: 'noteFound' },
        'port.lost': { guard: 'isOfTarget', actions: 'noteMissing' },
        'element.removed': { guard: 'isOfVpc', actions: 'noteDetached' },
      },
      after: { detachDeadline: { target: 'detaching', reenter: true } },
    },
    detached: {
      description: "The address is the tenant's, and leads nowhere.",
      tags: 'steady',
      entry: ['noteIdle', ready('True', 'Allocated')],
      on: { ...living, ...late, 'port.address': {}, 'port.lost': {} },
    },
    waiting: {
      description:
        'There is no such target; the failure says which. The address leads nowhere. It is looked for again.',
      entry: ready('False', 'TargetMissing'),
      on: { ...living, ...late, 'port.address': {}, 'port.lost': {} },
      after: { backoff: { target: 'locating' } },
    },
    withdrawing: {
      description: 'The VPC takes the address off every host that has it; then it goes back to the external network.',
      entry: [ready('False', 'Deleting'), 'unfollow', 'detach'],
      always: { guard: 'isDetached', target: 'gone', actions: ['releaseAddress', 'releaseQuota'] },
      on: {
        ...whileDeleting('external-address'),
        ...confirming,
        'external.granted': {},
        'port.address': {},
        'port.lost': {},
        'element.realized': {},
        'element.delayed': {},
        'element.removed': { guard: 'isOfVpc', actions: 'noteDetached' },
      },
      after: { withdrawDeadline: { target: 'withdrawing', reenter: true } },
    },
    gone: {
      description: 'No host has the address, or it was never allocated; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
