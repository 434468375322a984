/**
 * A worker's agent: looks at its host, announces it, and sweeps away what nobody owns. It makes nothing itself.
 * A new boot of the process starts it over; what earlier boots have made is found and kept by its owners.
 */
import { assertEvent, assign, setup } from 'xstate';
import type { HostReport } from '../host/host-events.ts';
import { backoffMs, failureOf, type Failure } from '../values/failures.ts';
import { hostId, partsOfId } from '../values/identifiers.ts';
import { request, requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import type { AgentEvent, SweepReport } from './agent-events.ts';

export interface AgentContext {
  readonly id: string;
  readonly uid: string;
  readonly host: string;
  readonly boot: string;
  readonly report: HostReport | null;
  readonly index: number;
  readonly sweep: (SweepReport & { readonly at: number }) | null;
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<AgentContext, AgentEvent>;

const announce = ({ context }: At): readonly Asked[] => [
  send(hostId(context.host), { type: 'host.announce', host: context.host, boot: context.boot, facts: context.report }),
];

export const agentMachine = setup({
  types: { context: {} as AgentContext, events: {} as AgentEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    'host.observe': request<undefined>(),
    'host.sweep': request<undefined>(),
    noteBoot: assign(({ context, event }) => {
      assertEvent(event, 'agent.boot');
      const uid = context.uid === '' ? event.meta.ulid : context.uid;
      return { uid, boot: event.boot, tries: 0, failure: null };
    }),
    noteReport: assign(({ event }) => {
      assertEvent(event, 'host.observe.done');
      return { report: event.facts, tries: 0, failure: null };
    }),
    noteIndex: assign(({ event }) => {
      assertEvent(event, 'host.admitted');
      return { index: event.index };
    }),
    noteSweep: assign(({ event }) => {
      assertEvent(event, 'host.sweep.done');
      const { removed, removedCount, failed, failedCount, meta } = event;
      return { sweep: { removed, removedCount, failed, failedCount, at: meta.at }, failure: null };
    }),
    noteFailure: assign(({ context, event }) =>
      'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {},
    ),
    tellHost: tell(announce),
  },
  guards: {
    sameBoot: ({ context, event }) => event.type === 'host.admitted' && event.boot === context.boot,
  },
  delays: {
    observeDeadline: 60_000,
    announceDeadline: 5_000,
    sweepDeadline: 300_000,
    sweepInterval: 60_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'agent',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    host: partsOfId(input.id).host ?? '',
    boot: '',
    report: null,
    index: 0,
    sweep: null,
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  on: { 'agent.boot': { target: '.observing.looking', reenter: true, actions: 'noteBoot' } },
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
    },
    observing: {
      description: 'The host is looked at: address, MTU, memory, QEMU, allowed folders.',
      initial: 'looking',
      states: {
        looking: {
          description: 'The host is read; nothing is changed.',
          entry: 'host.observe',
          on: {
            'host.observe.done': { target: '#agent.announcing', actions: 'noteReport' },
            'host.observe.failed': { target: 'waiting', actions: 'noteFailure' },
            'host.observe.unknown': { target: 'waiting', actions: 'noteFailure' },
          },
          after: { observeDeadline: { target: 'looking', reenter: true } },
        },
        waiting: {
          description: 'The host could not be read; the failure says why. It is tried again shortly.',
          after: { backoff: { target: 'looking' } },
        },
      },
    },
    announcing: {
      description: "The host actor has been told what was seen; the cluster's admission is awaited.",
      entry: 'tellHost',
      on: {
        'host.admitted': { guard: 'sameBoot', target: 'serving', actions: 'noteIndex' },
      },
      after: { announceDeadline: { target: 'announcing', reenter: true } },
    },
    serving: {
      description: 'The host is part of the cluster. Once a minute what bears our mark but has no owner is removed.',
      initial: 'sweeping',
      on: { 'host.admitted': { actions: 'noteIndex' } },
      states: {
        sweeping: {
          description: 'Kernel objects, processes and files of ours are compared with the actors of this host.',
          entry: 'host.sweep',
          on: {
            'host.sweep.done': { target: 'resting', actions: 'noteSweep' },
            'host.sweep.failed': { target: 'resting', actions: 'noteFailure' },
            'host.sweep.unknown': { target: 'resting', actions: 'noteFailure' },
          },
          after: { sweepDeadline: { target: 'resting' } },
        },
        resting: {
          description: 'Nothing is to be done until the next sweep.',
          tags: 'steady',
          after: { sweepInterval: { target: 'sweeping' } },
        },
      },
    },
  },
});
