/**
 * A binding: a port on one host. It makes the tap for QEMU, wires it when the incarnation requests that, watches the
 * wiring, and removes it. It does not decide which port belongs on which host, and it ignores messages of earlier run
 * epochs. Upholds: `binding.ready` is sent only with a proof read back from the kernel.
 */
import { assign, setup } from 'xstate';
import { backoffMs, failureOf, isHostGone } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { tell } from '../values/telling.ts';
import * as messages from './binding-messages.ts';
import type { BindingContext } from './binding-messages.ts';
import { bindingKind, type BindingEvent } from './binding-protocol.ts';

/** The host is fenced: the binding ends, and the port may be bound elsewhere. */
const gone = { guard: 'isHostGone', target: '#binding.gone', actions: ['noteFailure', 'tellTrouble'] } as const;

export const bindingMachine = setup({
  types: {
    context: {} as BindingContext,
    events: {} as BindingEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...effectActions(bindingKind),
    takeSpec: assign(messages.takeSpec),
    takeGroups: assign(messages.takeGroups),
    noteRequester: assign(messages.noteRequester),
    noteTap: assign(({ event }) =>
      event.type === 'tap.create.done' ? { tap: event.tap, tries: 0, failure: null } : {},
    ),
    noteProof: assign(({ event }) =>
      event.type === 'tap.wire.done' ? { proof: event.proof, tries: 0, failure: null } : {},
    ),
    noteFailure: assign(({ context, event }) =>
      'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {},
    ),
    noteBroken: assign(({ event }) =>
      event.type === 'tap.watch.done'
        ? { proof: null, failure: { code: event.reason, message: event.detail, retryable: true } }
        : {},
    ),
    tellTapped: tell(messages.tellTapped),
    tellReady: tell(messages.tellReady),
    tellRequester: tell(messages.tellRequester),
    tellTrouble: tell(messages.tellTrouble),
    tellRemoved: tell(messages.tellRemoved),
    refuseWire: tell(messages.refuseWire),
  },
  guards: {
    isHostGone: ({ event }) => isHostGone(event),
    isStale: messages.isStale,
    isRepeated: messages.isRepeated,
    isRegrouped: messages.isRegrouped,
    isRegroupedTap: messages.isRegroupedTap,
    isAnswered: messages.isAnswered,
    isDirect: ({ context }) => context.direct,
    hasLostTap: messages.hasLostTap,
    isWanted: ({ context }) => context.direct || context.requester !== null,
    mayPass: ({ event }) => 'error' in event && event.error.retryable,
  },
  delays: {
    createDeadline: 60_000,
    wireDeadline: 60_000,
    removeDeadline: 60_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'binding',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    host: partsOfId(input.id).host ?? '',
    spec: null,
    port: '',
    direct: false,
    requester: null,
    tap: null,
    proof: null,
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  on: { 'host.gone': { target: '.gone', actions: 'tellTrouble' } },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        'binding.ensure': { target: 'tapping', actions: 'takeSpec' },
        'binding.remove': { target: 'gone' },
        'binding.wire': { target: 'gone', actions: 'refuseWire' },
      },
    },
    tapping: {
      description: 'The tap is being made, in state down, in the namespace of the host, for QEMU.',
      initial: 'making',
      on: {
        'binding.wire': { actions: 'noteRequester' },
        'binding.remove': [{ guard: 'isStale' }, { target: 'removing' }],
      },
      states: {
        making: {
          description: 'The tap is created in the kernel.',
          entry: { type: 'tap.create', params: messages.tapAsk },
          on: {
            'binding.ensure': [
              { guard: 'isStale' },
              { guard: 'isRepeated' },
              // Groups matter only for the wiring.
              { guard: 'isRegrouped', actions: 'takeGroups' },
              { target: 'making', reenter: true, actions: 'takeSpec' },
            ],
            'tap.create.done': [
              { guard: 'isWanted', target: '#binding.wiring', actions: ['noteTap', 'tellTapped'] },
              { target: '#binding.tapped', actions: ['noteTap', 'tellTapped'] },
            ],
            'tap.create.failed': [
              gone,
              { guard: 'mayPass', target: 'waiting', actions: ['noteFailure', 'tellTrouble'] },
              { target: '#binding.failed', actions: ['noteFailure', 'tellTrouble'] },
            ],
            'tap.create.unknown': { target: 'waiting', actions: 'noteFailure' },
          },
          after: { createDeadline: { target: 'making', reenter: true } },
        },
        waiting: {
          description:
            'The last attempt failed or its outcome is unknown; the failure says why. It is retried shortly.',
          on: {
            'binding.ensure': [
              { guard: 'isStale' },
              { guard: 'isRepeated' },
              { target: 'making', actions: 'takeSpec' },
            ],
          },
          after: { backoff: { target: 'making' } },
        },
      },
    },
    tapped: {
      description: 'The tap exists and waits for QEMU; the incarnation requests the wiring once QEMU has opened it.',
      tags: 'steady',
      on: {
        'binding.ensure': [
          { guard: 'isStale' },
          { guard: 'isRegrouped', actions: 'takeGroups' },
          { target: 'tapping', actions: 'takeSpec' },
        ],
        'binding.wire': { target: 'wiring', actions: 'noteRequester' },
        'binding.remove': [{ guard: 'isStale' }, { target: 'removing' }],
      },
    },
    wiring: {
      description: 'The tap is moved into the VPC and wired: rules, neighbour, bridge, DHCP host, route.',
      initial: 'making',
      on: {
        'binding.wire': { actions: 'noteRequester' },
        'binding.remove': [{ guard: 'isStale' }, { target: 'removing' }],
        'binding.ensure': [
          { guard: 'isStale' },
          { guard: 'isAnswered' },
          { guard: 'isRegroupedTap', target: '.making', reenter: true, actions: 'takeGroups' },
          { target: 'tapping', actions: 'takeSpec' },
        ],
      },
      states: {
        making: {
          description: 'The wiring is made in the kernel and read back.',
          entry: { type: 'tap.wire', params: messages.tapAsk },
          on: {
            'tap.wire.done': { target: '#binding.ready', actions: 'noteProof' },
            'tap.wire.failed': [
              gone,
              { guard: 'mayPass', target: 'waiting', actions: ['noteFailure', 'tellTrouble'] },
              { target: '#binding.failed', actions: ['noteFailure', 'tellTrouble'] },
            ],
            'tap.wire.unknown': { target: 'waiting', actions: 'noteFailure' },
          },
          after: { wireDeadline: { target: 'making', reenter: true } },
        },
        waiting: {
          description:
            'The last attempt failed or its outcome is unknown; the failure says why. It is retried shortly.',
          on: { 'binding.wire': [{ guard: 'hasLostTap', actions: 'refuseWire' }, { actions: 'noteRequester' }] },
          after: {
            // Without a VM the tap itself may be missing.
            backoff: [{ guard: 'isDirect', target: '#binding.tapping' }, { target: 'making' }],
          },
        },
      },
    },
    ready: {
      description: 'The port is wired on this host with a proof, and the wiring is watched.',
      tags: 'steady',
      entry: ['tellReady', { type: 'tap.watch', params: messages.tapAsk }],
      on: {
        'binding.ensure': [
          { guard: 'isStale' },
          { guard: 'isAnswered', actions: 'tellReady' },
          { guard: 'isRegroupedTap', target: 'wiring', actions: 'takeGroups' },
          { target: 'tapping', actions: 'takeSpec' },
        ],
        'binding.wire': { actions: ['noteRequester', 'tellRequester'] },
        'binding.remove': [{ guard: 'isStale' }, { target: 'removing' }],
        'tap.watch.done': [
          { guard: 'isDirect', target: 'tapping', actions: ['tellTrouble', 'noteBroken'] },
          { target: 'wiring', actions: ['tellTrouble', 'noteBroken'] },
        ],
        'tap.watch.failed': [gone, { target: 'wiring.waiting', actions: 'noteFailure' }],
        'tap.watch.unknown': { target: 'wiring.waiting', actions: 'noteFailure' },
      },
    },
    failed: {
      description: 'Permanent failure on this host; the failure says why. A new request tries again.',
      tags: 'steady',
      on: {
        'binding.ensure': [
          { guard: 'isStale' },
          { guard: 'isRegroupedTap', target: 'wiring', actions: 'takeGroups' },
          { target: 'tapping', actions: 'takeSpec' },
        ],
        'binding.wire': { actions: 'refuseWire' },
        'binding.remove': [{ guard: 'isStale' }, { target: 'removing' }],
      },
    },
    removing: {
      description: 'Route, rules, tap and DHCP host of the port are being removed from this host.',
      initial: 'taking',
      on: { 'binding.wire': { actions: 'refuseWire' } },
      states: {
        taking: {
          description: 'The objects are removed from the kernel, and their absence is verified.',
          entry: { type: 'tap.remove', params: messages.tapAsk },
          on: {
            'tap.remove.done': { target: '#binding.gone' },
            'tap.remove.failed': [
              { guard: 'isHostGone', target: '#binding.gone' },
              { target: 'waiting', actions: 'noteFailure' },
            ],
            'tap.remove.unknown': { target: 'waiting', actions: 'noteFailure' },
          },
          after: { removeDeadline: { target: 'taking', reenter: true } },
        },
        waiting: {
          description: 'Something could not be removed; the failure says what. The removal is retried without limit.',
          after: { backoff: { target: 'taking' } },
        },
      },
    },
    gone: {
      description: 'Nothing of the port is left on this host, or the host is fenced.',
      type: 'final',
      entry: 'tellRemoved',
    },
  },
});
