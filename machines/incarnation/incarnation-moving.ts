/**
 * The states of a run that moves to another host: on its new host until the VM has decided for it, and on its former
 * host until the sending was ended or the run is stopped. The others are in incarnation-machine.ts. Upholds: the guest
 * is resumed here only on `incarnation.go-on` or after the sending has ended, never because the worker has started
 * again.
 */
import { runOf, sendOf, type At } from './incarnation-messages.ts';

/** A message about this run, not about an earlier or a later one. */
export const isThisRun = ({ context, event }: At): boolean =>
  'incarnationUid' in event && event.incarnationUid === context.spec?.owner.uid;
export const isOutgoing = ({ context }: At): boolean => context.outgoing !== null;

const gone = { guard: 'isHostGone', target: '#incarnation.ended', actions: 'noteGone' } as const;
const stopped = { target: '#incarnation.stopping', actions: 'noteStop' } as const;
const failed = [gone, { target: '#incarnation.stopping', actions: 'noteFailure' }] as const;

/** States beside those of a run that was started. */
export const movingIn = {
  receiving: {
    description: 'QEMU is started paused, and listens for the memory of the present run.',
    entry: { type: 'qemu.receive', params: runOf },
    on: {
      'qemu.receive.done': { target: 'incoming', actions: 'takeProof' },
      'qemu.receive.failed': failed,
      'qemu.receive.unknown': { target: 'receiving', reenter: true },
      'incarnation.stop': stopped,
    },
    after: { startDeadline: { target: 'receiving', reenter: true } },
  },
  incoming: {
    description: 'QEMU listens, and is watched.',
    entry: { type: 'qemu.watch', params: runOf },
    initial: 'wiring',
    on: {
      'qemu.watch.done': { target: 'cleaning', actions: 'noteEnd' },
      'qemu.watch.failed': [gone, { target: 'incoming', reenter: true }],
      'qemu.watch.unknown': { target: 'incoming', reenter: true },
      'incarnation.stop': stopped,
    },
    states: {
      wiring: {
        description: 'Its taps are wired, except for the routes of their addresses, which lead to the present host.',
        entry: 'askWiring',
        always: { guard: 'allWired', target: 'listening' },
        on: {
          'binding.wired': { actions: 'noteWired' },
          'binding.unwired': { target: '#incarnation.stopping', actions: 'noteFailure' },
        },
        after: { wiringDeadline: { target: 'wiring', reenter: true } },
      },
      listening: {
        tags: 'steady',
        description: 'The memory of the present run is awaited, and arrives.',
        entry: ['tellReceiving', { type: 'qemu.await-incoming', params: runOf }],
        on: {
          'incarnation.receive': { actions: 'tellReceiving' },
          'qemu.await-incoming.done': { target: 'arrived' },
          'qemu.await-incoming.failed': failed,
          'qemu.await-incoming.unknown': { target: 'listening', reenter: true },
        },
      },
      arrived: {
        tags: 'steady',
        description:
          'Everything has arrived. The guest stands still until the VM has decided on which host it goes on.',
        entry: 'tellReceived',
        on: {
          'incarnation.receive': { actions: ['tellReceiving', 'tellReceived'] },
          'incarnation.go-on': {
            guard: 'isThis',
            target: '#incarnation.alive.resuming',
            actions: 'forgetIncoming',
          },
        },
      },
    },
  },
} as const;

const unsent = { guard: 'isThis', target: '#incarnation.alive.unsending' } as const;

/** States of a run that is alive. */
export const leaving = {
  sending: {
    description: 'The run is sent to its new host while its guest runs; at the end the guest stands still.',
    entry: { type: 'qemu.send', params: sendOf },
    initial: 'measuring',
    on: {
      'qemu.send.done': { target: 'sent', actions: 'noteSent' },
      'qemu.send.failed': [gone, { target: 'unsending', actions: 'noteSendFailure' }],
      'qemu.send.unknown': { target: 'sending', reenter: true },
      'incarnation.hold': { guard: 'isThis', target: '.holding' },
      'incarnation.unsend': unsent,
    },
    states: {
      measuring: {
        description: 'How far it is, is read and told.',
        entry: { type: 'qemu.measure', params: runOf },
        on: {
          'qemu.measure.done': { target: 'resting', actions: 'tellProgress' },
          'qemu.measure.failed': { target: 'resting' },
          'qemu.measure.unknown': { target: 'resting' },
        },
        after: { resumeDeadline: { target: 'resting' } },
      },
      resting: {
        description: 'A second passes until the next reading.',
        after: { retryDelay: { target: 'measuring' } },
      },
      holding: {
        description:
          'The guest writes faster than it can be sent, and is stopped for the rest, as the migration wants.',
        entry: { type: 'qemu.hold', params: runOf },
        on: {
          'qemu.hold.done': { target: 'resting' },
          'qemu.hold.failed': { target: 'resting' },
          'qemu.hold.unknown': { target: 'resting' },
        },
        after: { resumeDeadline: { target: 'holding', reenter: true } },
      },
    },
  },
  sent: {
    tags: 'steady',
    description: 'All of it was sent. The guest stands still here; the VM decides on which host it goes on.',
    entry: 'tellSent',
    on: { 'incarnation.send': { actions: 'tellSent' }, 'incarnation.unsend': unsent },
  },
  unsending: {
    description: 'The sending is ended, and the guest goes on here.',
    entry: { type: 'qemu.unsend', params: runOf },
    initial: 'trying',
    on: {
      'qemu.unsend.done': [
        { guard: 'hasGrown', target: 'resizing', actions: ['tellUnsent', 'forgetOutgoing'] },
        { guard: 'hasPlug', target: 'plugging', actions: ['tellUnsent', 'forgetOutgoing'] },
        { target: 'running', actions: ['tellUnsent', 'forgetOutgoing'] },
      ],
      'qemu.unsend.failed': [gone, { target: '.pausing' }],
      'qemu.unsend.unknown': { target: '.pausing' },
      'incarnation.unsend': {},
    },
    states: {
      trying: {
        description: 'QEMU is told.',
        after: { startDeadline: { target: '#incarnation.alive.unsending', reenter: true } },
      },
      pausing: {
        description: 'QEMU has refused or did not answer; it is told again after a second.',
        after: { retryDelay: { target: '#incarnation.alive.unsending', reenter: true } },
      },
    },
  },
} as const;
