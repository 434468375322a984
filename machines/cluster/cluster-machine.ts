/**
 * The cluster: one actor that allocates host indexes and VNIs, and chooses the host of a VM or an import. It sends no
 * requests itself: every request is answered in the step that receives it. Upholds: no two hosts share an index, no two
 * VPCs a VNI, no memory is reserved twice, and volumes promise no more than the disks may hold (cluster-room.ts).
 */
import { assertEvent, assign, setup } from 'xstate';
import { withCondition } from '../values/conditions.ts';
import { entryOf } from '../values/identifiers.ts';
import { eraOf, requests } from '../values/requests.ts';
import { act, tell, type Seen } from '../values/telling.ts';
import { firstVni, lastVni, vniCandidates, type ClusterContext, type HostRecord } from './cluster-context.ts';
import * as messages from './cluster-messages.ts';
import { counted, reservationOf } from './cluster-placement.ts';
import type { ClusterEvent } from './cluster-protocol.ts';
import { noteLost, tellFound, tellLoss, tellLost, tellMovedToLost, withPresence } from './cluster-loss.ts';
import * as recovery from './cluster-recovery.ts';
import { endRollout, tellRollout } from './cluster-rollout.ts';
import * as room from './cluster-room.ts';
import { wakeWaiting } from './cluster-waiting.ts';

type At = Seen<ClusterContext, ClusterEvent>;

const fresh = { reservedCpus: 0, reservedMib: 0, promisedMib: 0, vms: 0 };

function withHost(seen: At): Partial<ClusterContext> {
  const { context, event } = seen;
  assertEvent(event, 'host.register');
  const admitted = messages.admission(seen);
  if ('code' in admitted) return {};
  const { underlay, underlayMtu } = event.facts;
  const record: HostRecord = {
    ...(entryOf(context.hosts, event.host) ?? fresh),
    facts: { name: event.host, index: admitted.index, underlay, underlayMtu },
    report: event.facts,
    schedulable: event.schedulable,
    silent: event.silent,
    fenced: event.fenced,
    lost: event.silent && entryOf(context.hosts, event.host)?.lost === true,
  };
  const hosts = { ...context.hosts, [event.host]: record };
  return { hosts, conditions: withPresence({ ...context, hosts }, event.meta.at) };
}

function withStore({ context, event }: At): Partial<ClusterContext> {
  assertEvent(event, 'store.memory');
  const { usedBytes, limitBytes, isScarce, meta } = event;
  const percent = limitBytes === 0 ? 0 : Math.round((100 * usedBytes) / limitBytes);
  const message = isScarce
    ? `${percent} % of ${limitBytes} bytes are used; raise store.memoryBytes of the store node before it is full`
    : '';
  const condition = { type: 'StoreMemory', status: isScarce ? 'False' : 'True', message } as const;
  const reason = isScarce ? 'Scarce' : limitBytes === 0 ? 'Unlimited' : 'Ample';
  const conditions = withCondition(context.conditions, { ...condition, reason }, meta.at);
  return { store: { usedBytes, limitBytes }, conditions };
}

function withReservation(seen: At): Partial<ClusterContext> {
  const { context, event } = seen;
  assertEvent(event, 'place');
  const placing = messages.placingFor(seen);
  if ('error' in placing) return {};
  const hosts = counted(context.hosts, messages.heldBy(event), -1);
  const held = reservationOf(event, placing.host.name);
  const reserved = { ...context, hosts: counted(hosts, held, 1) };
  return room.withPlaced(reserved, event, placing.host.name);
}

function withoutReservation({ context, event }: At): Partial<ClusterContext> {
  assertEvent(event, 'place.release');
  return room.withSettled({ ...context, hosts: counted(context.hosts, messages.heldBy(event), -1) }, event);
}

/** What the VM had is free; what its migration had counts for the VM from now on. */
function withTransferred(seen: At): Partial<ClusterContext> {
  const { context, event } = seen;
  assertEvent(event, 'place.transfer');
  const isNew = messages.transferred(seen) !== undefined;
  return isNew
    ? room.withSettled({ ...context, hosts: counted(context.hosts, messages.heldBy(event), -1) }, event)
    : {};
}

/**
 * The position after the allocated VNI, or after all that were examined when none was free; the VPC then repeats its
 * request.
 */
function nextVni(seen: At): Partial<ClusterContext> {
  const vni = messages.vniFor(seen) ?? vniCandidates(seen.context.nextVni).at(-1) ?? firstVni;
  const { event } = seen;
  assertEvent(event, 'vni.allocate');
  if (event.meta.rows?.[`vni/${event.vpc}`]) return {};
  return { nextVni: vni >= lastVni ? firstVni : vni + 1 };
}

const newEra = { guard: 'isNewEra', target: '#cluster.recovering', actions: 'beginRecovery' } as const;

/** Events that are also handled before recovery has ended: they allocate nothing. */
const always = {
  'store.memory': { actions: 'noteStore' },
  'host.register': { actions: ['tellAdmission', 'tellFound', 'admitHost'] },
  'host.lost': { actions: ['tellLost', 'noteLost'] },
  'host.resolve': { actions: 'tellHost' },
  'occupants.ask': { actions: 'tellOccupants' },
  'vni.release': { actions: 'dropVni' },
  'place.release': { actions: ['dropReservation', 'unreserve'] },
  'place.transfer': { actions: ['transferReservation', 'tellMovedToLost', 'freeTransferred'] },
  'room.claim': { actions: ['tellRoom', 'promiseRoom'] },
  'room.release': { actions: ['dropPromise', 'forgetPromise'] },
  'rollout.claim': { actions: 'tellRollout' },
  'rollout.release': { actions: 'endRollout' },
} as const;
const recovered = {
  guard: 'allHeard',
  target: '#cluster.open',
  actions: ['endRecovery', 'tellReleased', 'wakeWaiting'],
} as const;

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
      return { name: event.name, uid: context.uid === '' ? event.meta.ulid : context.uid, era: eraOf(event) };
    }),
    noteStore: assign(withStore),
    admitHost: assign(withHost),
    tellAdmission: tell(messages.tellAdmission),
    tellHost: tell(messages.tellHost),
    tellLost: tell(tellLost),
    tellMovedToLost: tell(tellMovedToLost),
    noteLost: assign(noteLost),
    tellFound: tell(tellFound),
    tellLoss: tell(tellLoss),
    tellOccupants: tell(messages.tellOccupants),
    tellVni: tell(messages.tellVni),
    passVni: assign(nextVni),
    dropVni: tell(messages.dropVni),
    tellPlacing: tell(messages.tellPlacing),
    reserve: assign(withReservation),
    dropReservation: tell(messages.dropReservation),
    unreserve: assign(withoutReservation),
    transferReservation: tell(messages.transfer),
    freeTransferred: assign(withTransferred),
    tellRoom: tell(room.tellRoom),
    promiseRoom: assign(room.promised),
    dropPromise: tell(room.dropPromise),
    forgetPromise: assign(room.withoutPromise),
    tellImport: tell(messages.tellImport),
    beginRecovery: assign(recovery.begin),
    takeInventory: act(recovery.takeInventory),
    endRecovery: assign(recovery.end),
    tellReleased: tell(recovery.tellReleased),
    refusePlacing: tell(recovery.refusePlacing),
    refuseImport: tell(recovery.refuseImport),
    refuseLoss: tell(recovery.refuseLoss),
    refuseStrange: tell(recovery.refuseStrange),
    forgetRun: tell(recovery.forgetRun),
    clear: tell(recovery.clear),
    wakeWaiting: tell(wakeWaiting),
    tellRollout: act(tellRollout),
    endRollout: assign(endRollout),
  },
  guards: {
    isNewEra: recovery.isNewEra,
    isLaterEra: ({ event }) => eraOf(event) > 1,
    isFirst: recovery.isFirst,
    isPresent: recovery.isPresent,
    isStrange: recovery.isStrange,
    allHeard: recovery.allHeard,
  },
  delays: { settleDelay: 5_000, overdueDelay: 60_000 },
}).createMachine({
  id: 'cluster',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    name: '',
    hosts: {},
    nextVni: firstVni,
    unplacedMib: 0,
    era: 1,
    recovery: null,
    store: null,
    rollout: null,
    conditions: [],
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        'cluster.open': [
          { guard: 'isLaterEra', target: 'recovering', actions: ['noteName', 'beginRecovery'] },
          { target: 'open', actions: 'noteName' },
        ],
      },
    },
    open: {
      description: 'Registers hosts, allocates VNIs to VPCs and places VMs. The normal state of the cluster.',
      tags: 'steady',
      on: {
        ...always,
        'host.register': { actions: ['tellAdmission', 'tellFound', 'admitHost', 'wakeWaiting'] },
        'place.release': { actions: ['dropReservation', 'unreserve', 'wakeWaiting'] },
        'place.transfer': { actions: ['transferReservation', 'tellMovedToLost', 'freeTransferred', 'wakeWaiting'] },
        'room.release': { actions: ['dropPromise', 'forgetPromise', 'wakeWaiting'] },
        // Every controller sends this at its start and when an era begins; the first name is kept.
        'cluster.open': [newEra, {}],
        'vni.allocate': [newEra, { actions: ['tellVni', 'passVni'] }],
        place: [
          { ...newEra, actions: ['beginRecovery', 'refusePlacing'] },
          { guard: 'isStrange', actions: 'refuseStrange' },
          { actions: ['forgetRun', 'tellPlacing', 'reserve', 'wakeWaiting'] },
        ],
        'import.place': [{ ...newEra, actions: ['beginRecovery', 'refuseImport'] }, { actions: 'tellImport' }],
        'loss.ask': [{ ...newEra, actions: ['beginRecovery', 'refuseLoss'] }, { actions: 'tellLoss' }],
        'inventory.report': [
          { ...newEra, guard: 'isFirst', actions: ['beginRecovery', 'takeInventory'] },
          newEra,
          { guard: 'isPresent', actions: ['takeInventory', 'wakeWaiting'] },
        ],
        'era.ask': [newEra, { actions: 'clear' }],
        'cluster.release-barrier': {},
      },
    },
    recovering: {
      description:
        'The store was rolled back. Nothing is placed and no VNI is allocated until every host has sent its inventory.',
      initial: 'settling',
      on: {
        ...always,
        'cluster.open': [{ ...newEra, reenter: true }, {}],
        place: { actions: 'refusePlacing' },
        'import.place': { actions: 'refuseImport' },
        'loss.ask': { actions: 'refuseLoss' },
        'inventory.report': { guard: 'isPresent', actions: 'takeInventory' },
        'cluster.release-barrier': { target: 'open', actions: ['endRecovery', 'tellReleased', 'wakeWaiting'] },
        // Requesters repeat these.
        'vni.allocate': {},
        'era.ask': {},
      },
      states: {
        settling: {
          description: 'Grace time for hosts that the rolled-back store does not know to register again.',
          after: { settleDelay: { target: 'waiting' } },
        },
        waiting: {
          description: 'The inventory of some hosts is still missing.',
          always: recovered,
          after: { overdueDelay: { target: 'overdue' } },
        },
        overdue: {
          description:
            'Hosts stay silent; what runs there is unknown. Bring them back, or power them off and release it.',
          tags: 'steady',
          always: recovered,
        },
      },
    },
  },
});
