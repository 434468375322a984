/**
 * VMs that wait for a host, in rows `waiting/<vm>`: the refused request, and what the VM was told. A waiting VM asks
 * nothing by itself; after each change of hosts or reservations the cluster tells those for which the answer may be
 * another one. So waiting commits nothing while nothing changes. Pure functions of context and event.
 */
import { putRow, removeRow, rows, send, type Asked, type Seen } from '../values/telling.ts';
import type { Failure } from '../values/failures.ts';
import type { ClusterContext, Reservation } from './cluster-context.ts';
import {
  counted,
  placeVm,
  reservationOf,
  type HostReason,
  type Placing,
  type RoomPromises,
} from './cluster-placement.ts';
import { promisesOf } from './cluster-room.ts';
import { placeChanged, placeRefused, type ClusterEvent, type PlaceRequest } from './cluster-protocol.ts';

type At = Seen<ClusterContext, ClusterEvent>;

interface Waiting {
  readonly request: PlaceRequest;
  /** The reservation that the VM had when it was refused. */
  readonly held: Reservation | null;
  readonly code: string;
  /** What its volumes had been promised then. */
  readonly promises: RoomPromises;
  /** The refusal without its numbers, which change all the time. */
  readonly told: string;
  /** Wall time of the refusal, ms. */
  readonly since: number;
}

const withoutNumbers = (text: string): string => text.replace(/\d+/g, '#');

/** Refuses a request for a host and remembers it. */
export function refuseAndWait(
  event: ClusterEvent & { readonly type: 'place' },
  error: Failure,
  reasons: readonly HostReason[] = [],
  held?: Reservation,
): readonly Asked[] {
  const { meta, type: _, ...request } = event;
  const { vm } = request;
  const told = withoutNumbers(error.message);
  const refused = { held: held ?? null, promises: promisesOf(event), code: error.code, told };
  const waiting: Waiting = { request, ...refused, since: meta.at };
  return [putRow('waiting', vm, waiting), send(meta.from ?? '', placeRefused({ vm, error, reasons: [...reasons] }))];
}

/** The VM of this event has a host, or needs none: it waits no more. */
export const forgetWaiting = (event: ClusterEvent & { readonly vm: string }): readonly Asked[] =>
  rows<Waiting>(event, 'waiting')[event.vm] === undefined ? [] : [removeRow('waiting', event.vm)];

function isNews({ code, told }: Waiting, placing: Placing, { type }: ClusterEvent): boolean {
  // Only hosts that report what runs on them change this answer.
  if (code === 'runs_already') return type === 'host.register' || type === 'inventory.report';
  return !('error' in placing) || withoutNumbers(placing.error.message) !== told;
}

/**
 * Tells the VMs that fit now, the longest waiting first, as many as fit together, and those for which the reason has
 * changed. They ask again; who finds the room taken waits again.
 */
export function wakeWaiting({ context, event }: At): readonly Asked[] {
  const asker = event.type === 'place' || event.type === 'place.release' ? event.vm : undefined;
  const all = Object.entries(rows<Waiting>(event, 'waiting')).filter(([vm]) => vm !== asker);
  let { hosts } = context;
  return all
    .sort(([a, one], [b, other]) => one.since - other.since || (a < b ? -1 : 1))
    .flatMap(([vm, waiting]) => {
      const { request, held, promises } = waiting;
      const placing = placeVm(hosts, request, held ?? undefined, promises);
      if (!isNews(waiting, placing, event)) return [];
      if (!('error' in placing)) {
        hosts = counted(counted(hosts, held ?? undefined, -1), reservationOf(request, placing.host.name), 1);
      }
      return [removeRow('waiting', vm), send(vm, placeChanged({ vm }))];
    });
}
