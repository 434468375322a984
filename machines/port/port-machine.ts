/**
 * A port: an address of a network, and where it is bound. It requests the address from the network, a segment from the
 * VPC, and a tap from its binding on the host, and reports each step to the VM that holds it. It does not act on hosts
 * itself. Upholds: one binding at a time; routes to it are withdrawn before its tap is removed; `active` only with a
 * proof.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { backoffMs } from '../values/failures.ts';
import { disownReference } from '../values/references.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as contexts from './port-context.ts';
import type { PortContext } from './port-context.ts';
import * as messages from './port-messages.ts';
import { portKind, type PortEvent, type PortSpec } from './port-protocol.ts';
import {
  atRest,
  bound,
  busy,
  declaring,
  foreign,
  granted,
  inUse,
  late,
  living,
  moved,
  rebound,
  regrouped,
  regrouping,
  silent,
  stale,
  troubled,
  waits,
  withdrawn,
} from './port-transitions.ts';

const kit = declaredKit<PortSpec, PortContext, PortEvent>(portKind, {
  result: ({ grant }) => ({ address: grant?.address ?? null, mac: grant?.mac ?? null }),
});

export const portMachine = setup({
  types: { context: {} as PortContext, events: {} as PortEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...kit.actions,
    takeHolder: assign(contexts.takeHolder),
    takeHost: assign(contexts.takeHost),
    takeGrant: assign(contexts.takeGrant),
    takeBind: assign(contexts.takeBind),
    noteNext: assign(contexts.noteNext),
    takeNext: assign(contexts.takeNext),
    noteLeaving: assign({ leaving: true, next: null }),
    forgetNext: assign({ next: null }),
    noteTapped: assign(contexts.noteTapped),
    noteProof: assign(contexts.noteProof),
    noteBroken: assign(contexts.noteBroken),
    noteTry: assign(contexts.noteTry),
    noteOff: assign(contexts.noteOff),
    rejectNoHost: act(messages.rejectNoHost),
    rejectLost: act(messages.rejectLost),
    rejectInUse: tell(messages.rejectInUse),
    rejectHeld: tell(messages.rejectHeld),
    takeClaim: assign(contexts.takeClaim),
    joinGroups: act(messages.joinGroups),
    leaveOldGroups: act(messages.leaveOldGroups),
    leaveGroups: tell(messages.leaveGroups),
    settleGroups: act(messages.settleGroups),
    disownReference: tell<PortContext, PortEvent>(disownReference),
    refuseClaim: tell(messages.refuseClaim),
    refuseBusy: tell(messages.refuseBusy),
    refuseLate: tell(messages.refuseLate),
    refuseForeign: tell(messages.refuseForeign),
    askHost: tell(messages.askHost),
    askAddress: tell(messages.askAddress),
    releaseAddress: tell(messages.releaseAddress),
    disownAddress: tell(messages.disownAddress),
    askSegment: tell(messages.askSegment),
    askTap: tell(messages.askTap),
    takeOff: tell(messages.takeOff),
    locate: tell(messages.locate),
    tellReady: tell(messages.tellReady),
    tellRefused: tell(messages.tellRefused),
    tellTapped: tell(messages.tellTapped),
    tellActive: tell(messages.tellActive),
    tellFailed: tell(messages.tellFailed),
    tellDelayed: tell(messages.tellDelayed),
    noteSilent: assign(contexts.noteSilent),
    noteUnready: assign(contexts.noteUnready),
    tellUnbound: tell(messages.tellUnbound),
    tellGone: tell(messages.tellGone),
  },
  guards: {
    ...kit.guards,
    hasAnother: contexts.hasAnother,
    mayPass: contexts.mayPass,
    isLost: contexts.isLost,
    wantsHost: contexts.wantsHost,
    hasHost: contexts.hasHost,
    isLeaving: contexts.isLeaving,
    isHeld: contexts.isHeld,
    isSameClaim: contexts.isSameClaim,
    isRegroupingClaim: contexts.isRegroupingClaim,
    hasJoined: contexts.hasJoined,
    bringsGroups: contexts.bringsGroups,
    isForeign: contexts.isForeign,
    isHere: contexts.isHere,
    isStale: contexts.isStale,
    isAsked: contexts.isAsked,
    isCurrent: contexts.isCurrent,
    isCurrentFault: contexts.isCurrentFault,
    isGoneDirect: contexts.isGoneDirect,
    isCurrentHeld: contexts.isCurrentHeld,
    isOffLeaving: contexts.isOffLeaving,
    isOffNext: contexts.isOffNext,
  },
  delays: {
    hostDeadline: 5_000,
    addressDeadline: 5_000,
    segmentDeadline: 30_000,
    tapDeadline: 30_000,
    unbindDeadline: 30_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'port',
  context: ({ input }) => ({
    ...newDeclared(input.id),
    holder: null,
    grant: null,
    host: null,
    runEpoch: 0,
    next: null,
    leaving: false,
    bindingUid: null,
    proof: null,
    joined: [],
  }),
  initial: 'born',
  on: {
    'address.confirm': { guard: 'hasAnother', actions: 'disownAddress' },
    'reference.missing': { actions: { type: 'setCondition', params: contexts.groupMissing } },
    'reference.confirm': [{ guard: 'hasJoined' }, { actions: 'disownReference' }],
  },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('port', 'deciding'),
        'port.claim': { target: 'deciding', actions: ['takeSpec', 'takeHolder'] },
        'port.release': { target: 'gone' },
        'address.confirm': { target: 'gone', actions: 'disownAddress' },
        'reference.confirm': { target: 'gone', actions: 'disownReference' },
      },
    },
    deciding: {
      description: 'Decides whether the declaration names a host to bind it on.',
      entry: ready('False', 'Deciding'),
      always: [{ guard: 'wantsHost', target: 'resolving' }, { target: 'claiming' }],
    },
    resolving: {
      description: 'The facts of the declared host are requested from the cluster.',
      entry: [ready('False', 'ResolvingHost'), 'askHost'],
      on: {
        ...declaring,
        ...deletedBy('port', { target: 'gone', actions: ['rejectDeleted', 'awaitAnswer'] }),
        'host.resolved': { target: 'claiming', actions: 'takeHost' },
        'host.missing': { target: 'gone', actions: 'rejectNoHost' },
      },
      after: { hostDeadline: { target: 'resolving', reenter: true } },
    },
    claiming: {
      description: 'An address is requested from the network; nothing is created yet.',
      initial: 'asking',
      entry: ready('False', 'ClaimingAddress'),
      on: {
        ...declaring,
        ...deletedBy('port', inUse, { target: 'gone', actions: ['rejectDeleted', 'awaitAnswer', 'releaseAddress'] }),
        'port.release': [foreign, withdrawn],
      },
      states: {
        asking: {
          description: 'The network allocates the declared address, or a free one.',
          entry: 'askAddress',
          on: {
            'address.allocated': [
              { guard: 'hasHost', target: '#port.binding', actions: granted },
              { target: '#port.unbound', actions: granted },
            ],
            'address.refused': [
              { guard: 'mayPass', target: 'waiting', actions: 'noteFailure' },
              { target: '#port.gone', actions: ['rejectAll', 'noteFailure', 'tellRefused'] },
            ],
          },
          after: {
            addressDeadline: [
              { guard: 'isLost', target: '#port.gone', actions: ['releaseAddress', 'rejectLost'] },
              { target: 'asking', reenter: true, actions: ['noteTry', 'noteSilent', silent, 'tellDelayed'] },
            ],
          },
        },
        waiting: {
          description: 'The network cannot allocate an address now; the request is retried shortly.',
          entry: [ready('False', 'AddressRefused'), 'tellDelayed'],
          after: { backoff: { target: 'asking' } },
        },
      },
    },
    unbound: {
      description: 'The port has its address and is on no host.',
      tags: 'steady',
      entry: ['leaveOldGroups', 'observe', atRest],
      on: {
        ...regrouping('joinGroups', 'leaveOldGroups', 'observe'),
        ...deletedBy('port', inUse, { target: 'gone', actions: ['awaitAnswer', 'releaseAddress'] }),
        // A group that was missing may have been declared since.
        'port.bind': [foreign, { target: 'binding', actions: ['takeBind', 'joinGroups'] }],
        'port.rest': [foreign, { actions: 'tellUnbound' }],
        'port.unbind': { actions: 'answerUnchanged' },
        'port.release': [foreign, withdrawn],
      },
    },
    binding: {
      description: 'The port is being bound on a host.',
      initial: 'segment',
      entry: ready('False', 'Binding'),
      on: bound,
      states: {
        segment: {
          description: 'The network on the host is requested from the VPC.',
          entry: 'askSegment',
          on: {
            'port.bind': [foreign, stale, { guard: 'isHere', actions: 'takeBind' }, moved],
            'segment.provided': { guard: 'isCurrent', target: 'tap', actions: 'forgetFailure' },
            'segment.delayed': {
              guard: 'isCurrent',
              actions: ['noteFailure', ready('False', 'BindingDelayed'), 'tellDelayed'],
            },
            'segment.refused': [
              waits,
              { guard: 'isCurrentFault', target: 'waiting', actions: 'noteFailure' },
              { guard: 'isCurrent', target: '#port.failed', actions: ['noteFailure', 'tellFailed'] },
            ],
          },
          after: { segmentDeadline: { target: 'segment', reenter: true, actions: late } },
        },
        tap: {
          description: 'The binding makes the tap; without a VM it is wired at once.',
          entry: 'askTap',
          on: {
            ...regrouped,
            'port.bind': [
              foreign,
              stale,
              { guard: 'isAsked' },
              { guard: 'isHere', target: 'tap', reenter: true, actions: 'takeBind' },
              moved,
            ],
            'binding.tapped': [
              { guard: 'isCurrentHeld', target: '#port.tapped', actions: ['noteTapped', 'tellTapped'] },
              { guard: 'isCurrent', actions: 'noteTapped' },
            ],
            'binding.ready': { guard: 'isCurrent', target: '#port.active', actions: 'noteProof' },
            'binding.failed': troubled('noteFailure', 'BindingDelayed'),
          },
          after: { tapDeadline: { target: 'tap', reenter: true, actions: late } },
        },
        waiting: {
          description: 'The segment is not available, or the host is fenced; the failure says why. Retried shortly.',
          entry: [ready('False', 'BindingDelayed'), 'tellDelayed'],
          on: { 'port.bind': [foreign, stale, { guard: 'isHere', target: 'segment', actions: 'takeBind' }, moved] },
          after: { backoff: { target: 'segment' } },
        },
      },
    },
    tapped: {
      description: 'The tap is ready for QEMU. The VM keeps the deadline and starts the run or binds again.',
      tags: 'steady',
      entry: ready('False', 'Tapped'),
      on: {
        ...bound,
        ...regrouped,
        'port.bind': rebound,
        'binding.ready': { guard: 'isCurrent', target: 'active', actions: 'noteProof' },
        'binding.failed': troubled('noteFailure', 'BindingDelayed'),
      },
    },
    active: {
      description: 'The port is wired on its host with a proof, and the VPC publishes the route to the other hosts.',
      tags: 'steady',
      entry: [ready('True', 'Active'), 'settleGroups', 'locate', 'tellActive'],
      on: {
        ...bound,
        ...regrouped,
        'port.bind': rebound,
        'binding.ready': [
          { guard: 'bringsGroups', actions: ['noteProof', 'settleGroups', 'locate', 'tellActive'] },
          { guard: 'isCurrent', actions: 'noteProof' },
        ],
        'binding.failed': [
          waits,
          { guard: 'isCurrentFault', target: 'degraded', actions: ['noteBroken', 'tellDelayed'] },
          { guard: 'isCurrent', target: 'failed', actions: ['noteBroken', 'tellFailed'] },
        ],
      },
    },
    degraded: {
      description: 'Its wiring is broken and the host repairs it; traffic may be lost. The failure says what is wrong.',
      tags: 'steady',
      entry: ready('False', 'Degraded'),
      on: {
        ...bound,
        ...regrouped,
        'port.bind': rebound,
        'binding.ready': { guard: 'isCurrent', target: 'active', actions: 'noteProof' },
        'binding.failed': troubled('noteBroken', 'Degraded'),
      },
    },
    failed: {
      description: 'Permanent failure on this host; the failure says why. A new bind tries again.',
      tags: 'steady',
      entry: ready('False', 'Failed'),
      on: {
        ...bound,
        'port.bind': [foreign, stale, { guard: 'isHere', target: 'binding', actions: 'takeBind' }, moved],
      },
    },
    unbinding: {
      description: 'Routes to it are withdrawn, then its host removes the tap.',
      entry: [ready('False', 'Unbinding'), 'takeOff'],
      on: {
        'port.create': [busy, ...living['port.create']],
        'port.update': [busy, ...living['port.update']],
        'port.apply': [busy, ...living['port.apply']],
        'port.delete': [
          { guard: 'isLeaving', actions: 'awaitAnswer' },
          ...deletedBy('port', inUse, { actions: ['noteLeaving', 'awaitAnswer'] })['port.delete'],
        ],
        'port.claim': [{ guard: 'isLeaving', actions: 'refuseBusy' }, ...living['port.claim']],
        'port.bind': [foreign, stale, { guard: 'isLeaving', actions: 'refuseLate' }, { actions: 'noteNext' }],
        'port.rest': [foreign, { actions: 'forgetNext' }],
        'port.unbind': [inUse, { actions: ['forgetNext', 'awaitUpdated'] }],
        'port.release': [foreign, { actions: 'noteLeaving' }],
        'binding.removed': [
          { guard: 'isOffLeaving', target: 'gone', actions: ['noteOff', 'releaseAddress'] },
          { guard: 'isOffNext', target: 'binding', actions: ['noteOff', 'takeNext'] },
          { guard: 'isCurrent', target: 'unbound', actions: ['noteOff', 'tellUnbound', 'answerAll'] },
        ],
      },
      after: { unbindDeadline: { target: 'unbinding', reenter: true } },
    },
    gone: {
      description: 'The port has ended, or was never created; its name is free and its address rests.',
      type: 'final',
      entry: ['answerAll', 'tellGone', 'leaveGroups'],
    },
  },
});
