/**
 * A worker's agent: looks at its host, announces it, and sweeps away what nobody owns. It makes nothing itself.
 * A new boot of the process starts it over; what earlier boots have made is found and kept by its owners.
 */
import { assertEvent, assign, setup } from 'xstate';
import { inventoryReport } from '../cluster/cluster-protocol.ts';
import { hostAnnounce } from '../host/host-protocol.ts';
import type { HostReport } from '../host/host-report.ts';
import { backoffMs, failureOf, type Failure } from '../values/failures.ts';
import { clusterId, hostId, partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { eraOf, requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import { agentKind, type AgentEvent, type SweepReport } from './agent-protocol.ts';

export interface AgentContext {
  readonly id: string;
  readonly uid: string;
  readonly host: string;
  readonly boot: string;
  readonly report: HostReport | null;
  readonly index: number;
  readonly sweep: (SweepReport & { readonly at: number }) | null;
  /** The last era in which the cluster has received the inventory of the host. */
  readonly era: number;
  /** Names of what was found then and has no owner in the store: no sweep takes it. */
  readonly kept: readonly string[];
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<AgentContext, AgentEvent>;

const announce = ({ context: { host, boot, report } }: At): readonly Asked[] => [
  send(hostId(host), hostAnnounce({ host, boot, facts: report as HostReport })),
];

const reportInventory = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'inventory.read.done');
  const { runs, ports, vnis } = event;
  return [send(clusterId, inventoryReport({ host: context.host, era: eraOf(event), runs, ports, vnis }))];
};

export const agentMachine = setup({
  types: { context: {} as AgentContext, events: {} as AgentEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...effectActions(agentKind),
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
    noteInventory: assign(({ event }) => {
      assertEvent(event, 'inventory.read.done');
      return { kept: event.kept, tries: 0, failure: null };
    }),
    noteEra: assign(({ event }) => ({ era: eraOf(event) })),
    tellHost: tell(announce),
    reportInventory: tell(reportInventory),
  },
  guards: {
    isThisEra: ({ event }) => event.type === 'inventory.received' && event.era === eraOf(event),
    isNewEra: ({ context, event }) => eraOf(event) > context.era,
    sameBoot: ({ context, event }) => event.type === 'host.admitted' && event.boot === context.boot,
  },
  delays: {
    readDeadline: 60_000,
    reportDeadline: 5_000,
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
    era: 1,
    kept: [],
    tries: 0,
    failure: null,
  }),
  initial: 'born',
  on: {
    'agent.boot': [
      { guard: 'isNewEra', target: '.reading.looking', reenter: true, actions: 'noteBoot' },
      { target: '.observing.looking', reenter: true, actions: 'noteBoot' },
    ],
    'host.gone': { target: '.fenced' },
  },
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
    },
    fenced: {
      description: 'An operator has said that the host is off. The next boot of its worker starts it over.',
      tags: 'steady',
    },
    reading: {
      description: 'The store has begun a new era: what is really on the host is read, sent to the cluster, and kept.',
      initial: 'looking',
      states: {
        looking: {
          description: 'Runs, taps, addresses and VNIs are read from the kernel; nothing is changed.',
          entry: 'inventory.read',
          on: {
            'inventory.read.done': { target: 'reporting', actions: ['noteInventory', 'reportInventory'] },
            'inventory.read.failed': { target: 'waiting', actions: 'noteFailure' },
            'inventory.read.unknown': { target: 'waiting', actions: 'noteFailure' },
          },
          after: { readDeadline: { target: 'looking', reenter: true } },
        },
        reporting: {
          description:
            'The cluster was sent the inventory; until it confirms that, the inventory is read and sent again.',
          on: { 'inventory.received': { guard: 'isThisEra', target: '#agent.observing', actions: 'noteEra' } },
          after: { reportDeadline: { target: 'looking' } },
        },
        waiting: {
          description: 'The host could not be read; the failure says why. It is tried again shortly.',
          after: { backoff: { target: 'looking' } },
        },
      },
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
          entry: { type: 'host.sweep', params: ({ context }) => ({ kept: context.kept }) },
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
