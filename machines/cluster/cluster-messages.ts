/** Answers of the cluster actor: pure functions of context and event, computed before the context changes. */
import { assertEvent } from 'xstate';
import { entryOf, partsOfId } from '../values/identifiers.ts';
import { eraOf } from '../values/requests.ts';
import { putRow, removeRow, row, rows, send, type Asked, type Seen } from '../values/telling.ts';
import { freeIndex, vniCandidates, type ClusterContext, type Reservation } from './cluster-context.ts';
import { placeImport, placeVm, reservationOf, type Placing } from './cluster-placement.ts';
import { promisesOf, putPromises, settlePromises } from './cluster-room.ts';
import {
  hostMissing,
  hostRefused,
  hostRegistered,
  hostResolved,
  importPlaced,
  importRefused,
  placed,
  occupants,
  vniAllocated,
  type ClusterEvent,
} from './cluster-protocol.ts';
import { forgetWaiting, refuseAndWait } from './cluster-waiting.ts';

type At = Seen<ClusterContext, ClusterEvent>;

const sender = (event: ClusterEvent): string => event.meta.from ?? '';

export const heldBy = (event: ClusterEvent & { vm: string }): Reservation | undefined =>
  row(event, 'reservation', event.vm);

export function placingFor({ context, event }: At): Placing {
  assertEvent(event, 'place');
  return placeVm(context.hosts, event, heldBy(event), promisesOf(event));
}

export function tellPlacing(seen: At): readonly Asked[] {
  const { event } = seen;
  assertEvent(event, 'place');
  const placing = placingFor(seen);
  if ('error' in placing) return refuseAndWait(event, placing.error, placing.reasons, heldBy(event));
  return [
    ...forgetWaiting(event),
    putRow('reservation', event.vm, reservationOf(event, placing.host.name)),
    ...putPromises(event, placing.host.name),
    send(sender(event), placed({ vm: event.vm, host: placing.host, era: eraOf(event) })),
  ];
}

export function dropReservation({ event }: At): readonly Asked[] {
  assertEvent(event, 'place.release');
  return [
    ...forgetWaiting(event),
    ...(heldBy(event) === undefined ? [] : [removeRow('reservation', event.vm)]),
    ...settlePromises(event),
  ];
}

/** What a migration has reserved; undefined when the transfer was done before. */
export function transferred({ event }: At): Reservation | undefined {
  assertEvent(event, 'place.transfer');
  return row(event, 'reservation', event.migration);
}

export function transfer(seen: At): readonly Asked[] {
  const { event } = seen;
  assertEvent(event, 'place.transfer');
  const reservation = transferred(seen);
  if (reservation === undefined) return [];
  return [
    removeRow('reservation', event.migration),
    putRow('reservation', event.vm, reservation),
    ...settlePromises(event),
  ];
}

export function tellImport({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'import.place');
  const placing = placeImport(context.hosts, event);
  const { image } = event;
  return [
    send(
      sender(event),
      'error' in placing ? importRefused({ image, error: placing.error }) : importPlaced({ image, host: placing.host }),
    ),
  ];
}

/** What is on a host by its reservations: a VM has its own until all of it has left. */
export function tellOccupants({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'occupants.ask');
  const { host } = event;
  const there = Object.entries(rows<Reservation>(event, 'reservation'))
    .filter(([, one]) => one.host === host)
    .map(([id]) => id);
  const vms = there.filter((id) => partsOfId(id).kind === 'vm').toSorted();
  const open = entryOf(context.hosts, host)?.schedulable === true;
  return [send(sender(event), occupants({ host, vms, arriving: there.length - vms.length, open }))];
}

export function tellHost({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'host.resolve');
  const known = entryOf(context.hosts, event.host);
  const answer = known === undefined ? hostMissing({ host: event.host }) : hostResolved({ host: known.facts });
  return [send(sender(event), answer)];
}

/**
 * The VNI to allocate: the one that the VPC already has, or the first free candidate; undefined when all are in use.
 */
export function vniFor({ context, event }: At): number | undefined {
  assertEvent(event, 'vni.allocate');
  const had = row<number>(event, 'vni', event.vpc);
  if (had !== undefined) return had;
  return vniCandidates(context.nextVni).find((vni) => row(event, 'vni-owner', String(vni)) === undefined);
}

export function tellVni(seen: At): readonly Asked[] {
  const { event } = seen;
  assertEvent(event, 'vni.allocate');
  const vni = vniFor(seen);
  if (vni === undefined) return [];
  const answer = send(sender(event), vniAllocated({ vni }));
  if (row(event, 'vni', event.vpc) !== undefined) return [answer];
  return [putRow('vni', event.vpc, vni), putRow('vni-owner', String(vni), event.vpc), answer];
}

export function dropVni({ event }: At): readonly Asked[] {
  assertEvent(event, 'vni.release');
  const had = row<number>(event, 'vni', event.vpc);
  return had === undefined ? [] : [removeRow('vni', event.vpc), removeRow('vni-owner', String(had))];
}

/** @returns the index the host has or gets, or the reason why it gets none. */
export function admission({ context, event }: At): { index: number } | { code: string; message: string } {
  assertEvent(event, 'host.register');
  const sameAddress = Object.values(context.hosts).find(
    (other) => other.facts.name !== event.host && !other.silent && other.facts.underlay === event.facts.underlay,
  );
  if (sameAddress !== undefined) {
    const { underlay } = event.facts;
    const message = `${event.host} has the address ${underlay} of ${sameAddress.facts.name}; give each host its own`;
    return { code: 'underlay_taken', message };
  }
  const index = entryOf(context.hosts, event.host)?.facts.index ?? freeIndex(context.hosts);
  if (index !== undefined) return { index };
  return { code: 'cluster_full', message: `all 254 host indexes are taken, so ${event.host} cannot join` };
}

export function tellAdmission(seen: At): readonly Asked[] {
  const { event } = seen;
  assertEvent(event, 'host.register');
  const admitted = admission(seen);
  if ('code' in admitted) {
    return [send(sender(event), hostRefused({ host: event.host, error: { ...admitted, retryable: true } }))];
  }
  const { underlay, underlayMtu } = event.facts;
  const facts = { name: event.host, index: admitted.index, underlay, underlayMtu };
  return [send(sender(event), hostRegistered({ host: event.host, facts }))];
}
