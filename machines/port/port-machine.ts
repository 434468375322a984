/**
 * A port: an address of a network, and where it is bound. It asks the network for the address, the VPC for a segment
 * and its counterpart on the host for a tap; the VM that holds it is told at every step. It makes nothing itself.
 * Upholds: one binding at a time; routes to it are withdrawn before its tap; ACTIVE only with a proof.
 */
import { assign, setup } from 'xstate';
import { backoffMs } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import { tell } from '../values/telling.ts';
import * as changes from './port-changes.ts';
import type { PortContext } from './port-context.ts';
import type { PortEvent } from './port-events.ts';
import * as messages from './port-messages.ts';
import { awaited, bound, created, foreign, inUse, moved, rebound, stale, troubled, waits } from './port-transitions.ts';

export const portMachine = setup({
  types: { context: {} as PortContext, events: {} as PortEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    take: assign(changes.take),
    noteWaiter: assign(changes.noteWaiter),
    forgetWaiters: assign({ waiters: [] }),
    takeHost: assign(changes.takeHost),
    takeGrant: assign(changes.takeGrant),
    takeBind: assign(changes.takeBind),
    noteNext: assign(changes.noteNext),
    takeNext: assign(changes.takeNext),
    noteLeaving: assign({ leaving: true, next: null }),
    forgetNext: assign({ next: null }),
    noteTapped: assign(changes.noteTapped),
    noteProof: assign(changes.noteProof),
    noteFailure: assign(changes.noteFailure),
    noteBroken: assign(changes.noteBroken),
    noteTry: assign(changes.noteTry),
    noteOff: assign(changes.noteOff),
    deferAnswer: tell(messages.deferAnswer),
    answerSame: tell(messages.answerSame),
    answerAll: tell(messages.answerAll),
    rejectDeleted: tell(messages.rejectDeleted),
    rejectInUse: tell(messages.rejectInUse),
    refuseDifferent: tell(messages.refuseDifferent),
    refuseBusy: tell(messages.refuseBusy),
    refuseLate: tell(messages.refuseLate),
    refuseForeign: tell(messages.refuseForeign),
    findHost: tell(messages.findHost),
    askAddress: tell(messages.askAddress),
    releaseAddress: tell(messages.releaseAddress),
    askSegment: tell(messages.askSegment),
    askTap: tell(messages.askTap),
    takeOff: tell(messages.takeOff),
    locate: tell(messages.locate),
    tellReady: tell(messages.tellReady),
    tellRefused: tell(messages.tellRefused),
    tellNoHost: tell(messages.tellNoHost),
    tellLost: tell(messages.tellLost),
    tellTapped: tell(messages.tellTapped),
    tellActive: tell(messages.tellActive),
    tellFailed: tell(messages.tellFailed),
    tellUnbound: tell(messages.tellUnbound),
    tellGone: tell(messages.tellGone),
  },
  guards: {
    isSame: messages.isSame,
    isLost: changes.isLost,
    mayPass: changes.mayPass,
    wantsHost: changes.wantsHost,
    hasHost: changes.hasHost,
    isLeaving: changes.isLeaving,
    isHeldCommand: changes.isHeldCommand,
    isForeign: changes.isForeign,
    isHere: changes.isHere,
    isStale: changes.isStale,
    isAsked: changes.isAsked,
    isCurrent: changes.isCurrent,
    isCurrentFault: changes.isCurrentFault,
    isGoneDirect: changes.isGoneDirect,
    isCurrentHeld: changes.isCurrentHeld,
    isOffLeaving: changes.isOffLeaving,
    isOffNext: changes.isOffNext,
  },
  delays: {
    findDeadline: 5_000,
    addressDeadline: 5_000,
    segmentDeadline: 30_000,
    tapDeadline: 30_000,
    unbindDeadline: 30_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'port',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    spec: null,
    grant: null,
    host: null,
    runEpoch: 0,
    next: null,
    leaving: false,
    bindingUid: null,
    proof: null,
    waiters: [],
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
      on: {
        'port.create': [
          { guard: 'wantsHost', target: 'finding', actions: ['take', 'noteWaiter', 'deferAnswer'] },
          { target: 'claiming', actions: ['take', 'noteWaiter', 'deferAnswer'] },
        ],
        'port.release': { target: 'gone' },
      },
    },
    finding: {
      description: 'The cluster is asked for the host the port is to be bound on.',
      entry: 'findHost',
      on: {
        'port.create': awaited,
        'port.delete': { target: 'gone', actions: ['rejectDeleted', 'forgetWaiters'] },
        'host.found': { target: 'claiming', actions: 'takeHost' },
        'host.missing': { target: 'gone', actions: ['tellNoHost', 'forgetWaiters'] },
      },
      after: { findDeadline: { target: 'finding', reenter: true } },
    },
    claiming: {
      description: 'The network is asked for an address; nothing is made yet.',
      initial: 'asking',
      on: {
        'port.create': awaited,
        'port.release': [foreign, { target: 'gone', actions: 'releaseAddress' }],
        'port.delete': [inUse, { target: 'gone', actions: ['rejectDeleted', 'forgetWaiters', 'releaseAddress'] }],
      },
      states: {
        asking: {
          description: 'The network looks for a free address, or for the one declared.',
          entry: 'askAddress',
          on: {
            'address.allocated': [
              {
                guard: 'hasHost',
                target: '#port.binding',
                actions: ['takeGrant', 'tellReady', 'answerAll', 'forgetWaiters'],
              },
              { target: '#port.unbound', actions: ['takeGrant', 'tellReady', 'answerAll', 'forgetWaiters'] },
            ],
            'address.refused': [
              { guard: 'mayPass', target: 'waiting', actions: 'noteFailure' },
              { target: '#port.gone', actions: ['tellRefused', 'forgetWaiters'] },
            ],
          },
          after: {
            addressDeadline: [
              { guard: 'isLost', target: '#port.gone', actions: ['releaseAddress', 'tellLost', 'forgetWaiters'] },
              { target: 'asking', reenter: true, actions: 'noteTry' },
            ],
          },
        },
        waiting: {
          description: 'The network has no address to give just now; it is asked again shortly.',
          after: { backoff: { target: 'asking' } },
        },
      },
    },
    unbound: {
      description: 'It has its address and is on no host.',
      tags: 'steady',
      on: {
        'port.create': created,
        'port.bind': [foreign, { target: 'binding', actions: 'takeBind' }],
        'port.unbind': [foreign, { actions: 'tellUnbound' }],
        'port.release': [foreign, { target: 'gone', actions: 'releaseAddress' }],
        'port.delete': [inUse, { target: 'gone', actions: ['noteWaiter', 'deferAnswer', 'releaseAddress'] }],
      },
    },
    binding: {
      description: 'It is being brought onto a host.',
      initial: 'segment',
      on: bound,
      states: {
        segment: {
          description: 'The VPC is asked to have the network on the host.',
          entry: 'askSegment',
          on: {
            'port.bind': [foreign, stale, { guard: 'isHere', actions: 'takeBind' }, moved],
            'segment.provided': { guard: 'isCurrent', target: 'tap' },
            'segment.failed': [
              waits,
              { guard: 'isCurrentFault', target: 'waiting', actions: 'noteFailure' },
              { guard: 'isCurrent', target: '#port.failed', actions: ['noteFailure', 'tellFailed'] },
            ],
          },
          after: { segmentDeadline: { target: 'segment', reenter: true } },
        },
        tap: {
          description: 'Its counterpart on the host makes the tap; without a VM it is wired at once.',
          entry: 'askTap',
          on: {
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
            'binding.failed': troubled('noteFailure'),
          },
          after: { tapDeadline: { target: 'tap', reenter: true } },
        },
        waiting: {
          description:
            'The segment could not be had, or the host is gone; the failure says why. It is asked again shortly.',
          on: { 'port.bind': [foreign, stale, { guard: 'isHere', target: 'segment', actions: 'takeBind' }, moved] },
          after: { backoff: { target: 'segment' } },
        },
      },
    },
    tapped: {
      description: 'Its tap is there for QEMU to take. The VM keeps the time: it goes on to wire it, or asks anew.',
      tags: 'steady',
      on: {
        ...bound,
        'port.bind': rebound,
        'binding.ready': { guard: 'isCurrent', target: 'active', actions: 'noteProof' },
        'binding.failed': troubled('noteFailure'),
      },
    },
    active: {
      description: 'It is wired on its host, as proved, and the other hosts know the way to it.',
      tags: 'steady',
      entry: ['locate', 'tellActive'],
      on: {
        ...bound,
        'port.bind': rebound,
        'binding.ready': { guard: 'isCurrent', actions: 'noteProof' },
        'binding.failed': [
          waits,
          { guard: 'isCurrentFault', target: 'degraded', actions: 'noteBroken' },
          { guard: 'isCurrent', target: 'failed', actions: ['noteBroken', 'tellFailed'] },
        ],
      },
    },
    degraded: {
      description:
        'Its wiring was found broken and its host repairs it; traffic may not pass. The failure says what is wrong.',
      tags: 'steady',
      on: {
        ...bound,
        'port.bind': rebound,
        'binding.ready': { guard: 'isCurrent', target: 'active', actions: 'noteProof' },
        'binding.failed': troubled('noteBroken'),
      },
    },
    failed: {
      description:
        'It cannot be bound there and will not be by trying again; the failure says why. A new bind tries once more.',
      tags: 'steady',
      on: {
        ...bound,
        'port.bind': [foreign, stale, { guard: 'isHere', target: 'binding', actions: 'takeBind' }, moved],
      },
    },
    unbinding: {
      description: 'Routes to it are withdrawn, then its host takes its tap away.',
      entry: 'takeOff',
      on: {
        'port.create': [{ guard: 'isLeaving', actions: 'refuseBusy' }, ...created],
        'port.bind': [foreign, stale, { guard: 'isLeaving', actions: 'refuseLate' }, { actions: 'noteNext' }],
        'port.unbind': [foreign, inUse, { actions: ['forgetNext', 'noteWaiter', 'deferAnswer'] }],
        'port.release': [foreign, { actions: 'noteLeaving' }],
        'port.delete': [inUse, { actions: ['noteLeaving', 'noteWaiter', 'deferAnswer'] }],
        'binding.removed': [
          { guard: 'isOffLeaving', target: 'gone', actions: ['noteOff', 'releaseAddress'] },
          { guard: 'isOffNext', target: 'binding', actions: ['noteOff', 'takeNext'] },
          { guard: 'isCurrent', target: 'unbound', actions: ['noteOff', 'tellUnbound', 'answerAll', 'forgetWaiters'] },
        ],
      },
      after: { unbindDeadline: { target: 'unbinding', reenter: true } },
    },
    gone: {
      description: 'The port has ended, or was never made; its name is free and its address rests.',
      type: 'final',
      entry: ['answerAll', 'tellGone'],
    },
  },
});
