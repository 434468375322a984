/**
 * The cluster: one actor that numbers hosts and VPCs and says which host takes a VM or an import.
 * It is not asked for anything else and waits for nobody: every question is answered in the step that hears it.
 * Upholds: no two hosts share an index, no two VPCs a VNI, and no memory is promised twice.
 */
import { assertEvent, assign, setup } from 'xstate';
import { requests } from '../values/requests.ts';
import { tell, type Seen } from '../values/telling.ts';
import {
  firstVni,
  lastVni,
  vniCandidates,
  type ClusterContext,
  type HostRecord,
  type Reservation,
} from './cluster-context.ts';
import type { ClusterEvent } from './cluster-events.ts';
import * as messages from './cluster-messages.ts';

type At = Seen<ClusterContext, ClusterEvent>;

const fresh = { reservedCpus: 0, reservedMib: 0, vms: 0 };

function withHost(seen: At): Partial<ClusterContext> {
  const { context, event } = seen;
  assertEvent(event, 'host.register');
  const admitted = messages.admission(seen);
  if ('code' in admitted) return {};
  const { underlay, underlayMtu } = event.facts;
  const record: HostRecord = {
    ...(context.hosts[event.host] ?? fresh),
    facts: { name: event.host, index: admitted.index, underlay, underlayMtu },
    report: event.facts,
    schedulable: event.schedulable,
    silent: event.silent,
  };
  return { hosts: { ...context.hosts, [event.host]: record } };
}

/** The hosts with one reservation more (sign 1) or less (-1). */
function counted(hosts: ClusterContext['hosts'], held: Reservation | undefined, sign: 1 | -1): ClusterContext['hosts'] {
  const record = held === undefined ? undefined : hosts[held.host];
  if (held === undefined || record === undefined) return hosts;
  const changed: HostRecord = {
    ...record,
    reservedCpus: record.reservedCpus + sign * held.cpus,
    reservedMib: record.reservedMib + sign * held.memoryMib,
    vms: record.vms + sign,
  };
  return { ...hosts, [held.host]: changed };
}

function withReservation(seen: At): Partial<ClusterContext> {
  const { context, event } = seen;
  assertEvent(event, 'place');
  const placing = messages.placingFor(seen);
  if ('error' in placing) return {};
  const hosts = counted(context.hosts, messages.heldBy(event), -1);
  const held = { host: placing.host.name, cpus: event.cpus, memoryMib: event.memoryMib };
  return { hosts: counted(hosts, held, 1) };
}

function withoutReservation({ context, event }: At): Partial<ClusterContext> {
  assertEvent(event, 'place.release');
  return { hosts: counted(context.hosts, messages.heldBy(event), -1) };
}

/** Past the number given, or past all that were looked at when none was free: the vpc asks again. */
function nextVni(seen: At): Partial<ClusterContext> {
  const vni = messages.vniFor(seen) ?? vniCandidates(seen.context.nextVni).at(-1) ?? firstVni;
  const { event } = seen;
  assertEvent(event, 'vni.allocate');
  if (event.meta.rows?.[`vni/${event.vpc}`]) return {};
  return { nextVni: vni >= lastVni ? firstVni : vni + 1 };
}

export const clusterMachine = setup({
  types: {
    context: {} as ClusterContext,
    events: {} as ClusterEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    noteName: assign(({ context, event }) => {
      assertEvent(event, 'cluster.open');
      return { name: event.name, uid: context.uid === '' ? event.meta.ulid : context.uid };
    }),
    admitHost: assign(withHost),
    tellAdmission: tell(messages.tellAdmission),
    tellFound: tell(messages.tellFound),
    tellVni: tell(messages.tellVni),
    passVni: assign(nextVni),
    dropVni: tell(messages.dropVni),
    tellPlacing: tell(messages.tellPlacing),
    reserve: assign(withReservation),
    dropReservation: tell(messages.dropReservation),
    unreserve: assign(withoutReservation),
    tellImport: tell(messages.tellImport),
  },
}).createMachine({
  id: 'cluster',
  context: ({ input }) => ({ id: input.id, uid: '', name: '', hosts: {}, nextVni: firstVni }),
  initial: 'born',
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
      on: { 'cluster.open': { target: 'open', actions: 'noteName' } },
    },
    open: {
      description:
        'Hosts register here, VPCs get their VNI and VMs their host. It stays open for the life of the cluster.',
      tags: 'steady',
      on: {
        // Every controller says so at its start; the first name stays.
        'cluster.open': {},
        'host.register': { actions: ['tellAdmission', 'admitHost'] },
        'host.find': { actions: 'tellFound' },
        'vni.allocate': { actions: ['tellVni', 'passVni'] },
        'vni.release': { actions: 'dropVni' },
        place: { actions: ['tellPlacing', 'reserve'] },
        'place.release': { actions: ['dropReservation', 'unreserve'] },
        'import.place': { actions: 'tellImport' },
      },
    },
  },
});
