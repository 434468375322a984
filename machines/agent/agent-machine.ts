/**
 * The agent of a host: observes the host, announces it to the control plane, and removes objects that have no owner.
 * Each boot of the worker process restarts it; objects made during earlier boots are kept for their owners.
 */
import { assertEvent, assign, setup } from 'xstate';
import { bindingConfirm } from '../binding/binding-protocol.ts';
import { inventoryReport } from '../cluster/cluster-protocol.ts';
import { hostAnnounce } from '../host/host-protocol.ts';
import { isDiskLow, type HostReport } from '../host/host-report.ts';
import { withCondition, type Condition, type ConditionParams } from '../values/conditions.ts';
import { backoffMs, failureOf, type Failure } from '../values/failures.ts';
import { clusterId, hostId, partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { eraOf, requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import { agentKind, type AgentEvent, type Descriptors, type SweepReport } from './agent-protocol.ts';

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
  /** Names of objects that the inventory found without an owner in the store: no sweep removes them. */
  readonly kept: readonly string[];
  /** The barrier of that era was released: sweeps free those of them that nobody uses. */
  readonly released: boolean;
  readonly conditions: readonly Condition[];
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<AgentContext, AgentEvent>;

/** Whether the worker may begin new work: `DescriptorsFree`. */
function descriptorsFree({ used, limit, reserved }: Descriptors): ConditionParams {
  const type = 'DescriptorsFree';
  if (limit - used >= reserved) return { type, status: 'True', reason: 'Enough' };
  const message = `${used} of ${limit} file descriptors are used; the last ${reserved} are kept: new work is refused`;
  return { type, status: 'False', reason: 'Low', message };
}

const announce = ({ context: { host, boot, report } }: At): readonly Asked[] => [
  send(hostId(host), hostAnnounce({ host, boot, facts: report as HostReport })),
];

const reportInventory = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'inventory.read.done');
  const { runs, ports, vnis } = event;
  return [send(clusterId, inventoryReport({ host: context.host, era: eraOf(event), runs, ports, vnis }))];
};

/** The barrier of the present era has been released. */
const isRelease = (event: At['event']): boolean =>
  event.type === 'inventory.received' && event.era === eraOf(event) && event.released === true;

/** What was read may be outdated by now: the port decides. */
const askPorts = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'bindings.watch.done');
  const { host, index } = context;
  return event.found.map((found) => send(found.port, bindingConfirm({ host, hostIndex: index, found })));
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
    noteSweep: assign(({ context, event }) => {
      assertEvent(event, 'host.sweep.done');
      const { removed, removedCount, failed, failedCount, freed, descriptors, meta } = event;
      const kept = context.kept.filter((name) => !freed.includes(name));
      const conditions = withCondition(context.conditions, descriptorsFree(descriptors), meta.at);
      return { sweep: { removed, removedCount, failed, failedCount, at: meta.at }, conditions, kept, failure: null };
    }),
    noteFailure: assign(({ context, event }) =>
      'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {},
    ),
    noteInventory: assign(({ event }) => {
      assertEvent(event, 'inventory.read.done');
      return { kept: event.kept, released: false, tries: 0, failure: null };
    }),
    noteEra: assign(({ event }) => ({ era: eraOf(event), released: isRelease(event) })),
    noteReleased: assign({ released: true }),
    tellHost: tell(announce),
    reportInventory: tell(reportInventory),
    askPorts: tell(askPorts),
  },
  guards: {
    isThisEra: ({ event }) => event.type === 'inventory.received' && event.era === eraOf(event),
    isReleased: ({ context, event }) => isRelease(event) && context.era === eraOf(event),
    isNewEra: ({ context, event }) => eraOf(event) > context.era,
    /** The disk has become low, or has space again: the cluster must know it. */
    diskChanged: ({ context, event }) =>
      event.type === 'host.sweep.done' && context.report !== null && isDiskLow(event) !== isDiskLow(context.report),
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
    released: false,
    conditions: [],
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
    'inventory.received': { guard: 'isReleased', actions: 'noteReleased' },
  },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
    },
    fenced: {
      description: 'The host is fenced. The next boot of its worker restarts the agent.',
      tags: 'steady',
    },
    reading: {
      description: 'The store has begun a new era: the inventory of the host is read and sent to the cluster.',
      initial: 'looking',
      states: {
        looking: {
          description: 'Reads runs, taps, addresses and VNIs from the kernel; changes nothing.',
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
            'The inventory was sent to the cluster; until the cluster confirms it, it is read and sent again.',
          on: { 'inventory.received': { guard: 'isThisEra', target: '#agent.observing', actions: 'noteEra' } },
          after: { reportDeadline: { target: 'looking' } },
        },
        waiting: {
          description: 'The host could not be read; the failure says why. It is retried shortly.',
          after: { backoff: { target: 'looking' } },
        },
      },
    },
    observing: {
      description: 'The host is observed: address, MTU, memory, disk, QEMU, allowed roots.',
      initial: 'looking',
      states: {
        looking: {
          description: 'Reads the facts of the host; changes nothing.',
          entry: 'host.observe',
          on: {
            'host.observe.done': { target: '#agent.announcing', actions: 'noteReport' },
            'host.observe.failed': { target: 'waiting', actions: 'noteFailure' },
            'host.observe.unknown': { target: 'waiting', actions: 'noteFailure' },
          },
          after: { observeDeadline: { target: 'looking', reenter: true } },
        },
        waiting: {
          description: 'The host could not be read; the failure says why. It is retried shortly.',
          after: { backoff: { target: 'looking' } },
        },
      },
    },
    announcing: {
      description: 'The facts were sent to the host actor; the cluster must admit the host.',
      entry: 'tellHost',
      on: {
        'host.admitted': { guard: 'sameBoot', target: 'serving', actions: 'noteIndex' },
      },
      after: { announceDeadline: { target: 'announcing', reenter: true } },
    },
    serving: {
      description:
        'The cluster has admitted the host. Once a minute, objects of this cloud without an owner are removed; when ' +
        'the disk has become low or has space again, the host is observed and announced again. Bindings that their ' +
        'ports do not have are looked for all the time.',
      initial: 'sweeping',
      entry: 'bindings.watch',
      on: {
        'host.admitted': { actions: 'noteIndex' },
        'inventory.received': { guard: 'isReleased', target: 'serving', reenter: true, actions: 'noteReleased' },
        'bindings.watch.done': { target: 'serving', reenter: true, actions: 'askPorts' },
        'bindings.watch.failed': { target: 'serving', reenter: true, actions: 'noteFailure' },
        'bindings.watch.unknown': { target: 'serving', reenter: true, actions: 'noteFailure' },
      },
      states: {
        sweeping: {
          description: 'Kernel objects, processes and files of this cloud are compared with the actors of this host.',
          entry: { type: 'host.sweep', params: ({ context: { kept, released } }) => ({ kept, released }) },
          on: {
            'host.sweep.done': [
              { guard: 'diskChanged', target: '#agent.observing', actions: 'noteSweep' },
              { target: 'resting', actions: 'noteSweep' },
            ],
            'host.sweep.failed': { target: 'resting', actions: 'noteFailure' },
            'host.sweep.unknown': { target: 'resting', actions: 'noteFailure' },
          },
          after: { sweepDeadline: { target: 'resting' } },
        },
        resting: {
          description: 'Waits for the next sweep.',
          tags: 'steady',
          after: { sweepInterval: { target: 'sweeping' } },
        },
      },
    },
  },
});
