/**
 * Room for volumes: the size of each volume is promised from its creation to its end, first anywhere (`unplacedMib`),
 * then on the host where a VM with it was placed, and on both hosts while it moves. Volumes are sparse, so a host may
 * promise more than its disk has (`diskShares`), and not more than that. Pure functions of context and event, computed
 * before the context changes.
 */
import { assertEvent } from 'xstate';
import { entryOf, partsOfId } from '../values/identifiers.ts';
import type { Failure } from '../values/failures.ts';
import { putRow, removeRow, row, send, type Asked, type Seen } from '../values/telling.ts';
import { isDiskLow } from '../host/host-report.ts';
import type { ClusterContext, HostRecord, RoomPromise } from './cluster-context.ts';
import { freeRoomMib, spoken, whyNoBytes, type RoomPromises } from './cluster-placement.ts';
import { roomGranted, roomRefused, type ClusterEvent } from './cluster-protocol.ts';

type At = Seen<ClusterContext, ClusterEvent>;
type Placing = Extract<ClusterEvent, { readonly type: 'place' }>;
type RoomClaim = Extract<ClusterEvent, { readonly type: 'room.claim' }>;
type Room = Pick<ClusterContext, 'hosts' | 'unplacedMib'>;

const promiseOf = (event: ClusterEvent, volume: string): RoomPromise | undefined => row(event, 'promise', volume);

/** The context with one promise added (sign 1) or removed (-1). */
function counted({ hosts, unplacedMib }: Room, promise: RoomPromise | undefined, sign: 1 | -1): Room {
  if (promise === undefined) return { hosts, unplacedMib };
  const { host, standby, sizeMib } = promise;
  if (host === null) return { hosts, unplacedMib: unplacedMib + sign * sizeMib };
  const on = [host, ...(standby === undefined ? [] : [standby])];
  const changed = on.flatMap((name) => {
    const record = entryOf(hosts, name);
    return record === undefined ? [] : [[name, { ...record, promisedMib: record.promisedMib + sign * sizeMib }]];
  });
  return { unplacedMib, hosts: { ...hosts, ...(Object.fromEntries(changed) as Room['hosts']) } };
}

// A volume is created, and ends

/** A cluster without hosts promises anything: what its hosts hold is not known yet. Placement decides later. */
function hasRoom({ hosts, unplacedMib }: Room, sizeMib: number): boolean {
  const free = Object.values(hosts)
    .filter(({ fenced }) => !fenced)
    .map((record) => Math.max(0, freeRoomMib(record)));
  if (free.length === 0) return true;
  const all = free.reduce((sum, mib) => sum + mib, 0);
  return free.some((mib) => mib >= sizeMib) && all >= unplacedMib + sizeMib;
}

const storageHosts = ({ hosts }: Pick<Room, 'hosts'>): readonly HostRecord[] =>
  Object.values(hosts).filter(({ report }) => report.storage === true);

/** The storage host with the most room that is not promised yet. */
function roomiest(room: Room, sizeMib: number): HostRecord | undefined {
  return storageHosts(room)
    .filter((record) => whyNoBytes(record) === undefined && freeRoomMib(record) >= sizeMib)
    .toSorted((a, b) => freeRoomMib(b) - freeRoomMib(a) || (a.facts.name < b.facts.name ? -1 : 1))[0];
}

/** On a host that is known and not fenced; it need not take new VMs. */
function hasRoomAt({ hosts }: Room, host: string, sizeMib: number): boolean {
  const record = hosts[host];
  return record !== undefined && !record.fenced && !isDiskLow(record.report) && freeRoomMib(record) >= sizeMib;
}

/** A promise with another size. @param room without the promise */
function resized(room: Room, known: RoomPromise, sizeMib: number): RoomPromise | undefined {
  if (sizeMib <= known.sizeMib) return { ...known, sizeMib };
  const record = room.hosts[known.host ?? ''];
  const fits = record === undefined ? hasRoom(room, sizeMib) : freeRoomMib(record) >= sizeMib;
  return fits ? { ...known, sizeMib } : undefined;
}

/** What is promised to a claim, or was before; undefined when there is no room. */
function promiseFor({ context, event }: At): RoomPromise | undefined {
  assertEvent(event, 'room.claim');
  const { volume, sizeMib, shared = false, host: at } = event;
  const known = promiseOf(event, volume);
  if (known !== undefined) return resized(counted(context, known, -1), known, sizeMib);
  if (at !== undefined) return hasRoomAt(context, at, sizeMib) ? { sizeMib, host: at } : undefined;
  if (!shared) return hasRoom(context, sizeMib) ? { sizeMib, host: null } : undefined;
  const host = roomiest(context, sizeMib)?.facts.name;
  return host === undefined ? undefined : { sizeMib, host };
}

export function tellRoom(seen: At): readonly Asked[] {
  const { context, event } = seen;
  assertEvent(event, 'room.claim');
  const { volume, shared = false } = event;
  const promise = promiseFor(seen);
  if (promise !== undefined) {
    const host = shared || event.host !== undefined ? (context.hosts[promise.host ?? '']?.facts ?? null) : null;
    return [putRow('promise', volume, promise), send(volume, roomGranted({ volume, host }))];
  }
  return [send(volume, roomRefused({ volume, error: whyNoRoom(context, event) }))];
}

function whyNoRoom(context: ClusterContext, { volume, sizeMib, shared = false, host }: RoomClaim): Failure {
  const isNew = shared && host === undefined;
  const judged = storageHosts(context).map((record) => ({ record, why: whyNoBytes(record) }));
  if (isNew && judged.length === 0) {
    const message = `no host is a storage host, so there is no room for ${volume}; an operator makes a worker one`;
    return { code: 'no_space', message, retryable: false };
  }
  if (isNew && judged.every(({ why }) => why !== undefined)) {
    const message = `no storage host takes ${volume} now: ${spoken(judged)}; try again later, or ask an operator`;
    return { code: 'no_host', message, retryable: true };
  }
  const where = host !== undefined ? 'the host of its bytes has not' : `no ${shared ? 'storage ' : ''}host has`;
  const message =
    `${where} ${sizeMib} MiB left for ${volume}, beside what is promised to other volumes; ` +
    'declare a smaller volume, delete one, or ask an operator for more disks';
  return { code: 'no_space', message, retryable: false };
}

export function promised(seen: At): Partial<ClusterContext> {
  const { context, event } = seen;
  assertEvent(event, 'room.claim');
  const promise = promiseFor(seen);
  const without = counted(context, promiseOf(event, event.volume), -1);
  return promise === undefined ? {} : counted(without, promise, 1);
}

export function dropPromise({ event }: At): readonly Asked[] {
  assertEvent(event, 'room.release');
  return promiseOf(event, event.volume) === undefined ? [] : [removeRow('promise', event.volume)];
}

export function withoutPromise({ context, event }: At): Partial<ClusterContext> {
  assertEvent(event, 'room.release');
  return counted(context, promiseOf(event, event.volume), -1);
}

// A VM with volumes is placed

export const promisesOf = (event: Placing): RoomPromises =>
  Object.fromEntries(event.volumes.map(({ volume }) => [volume, promiseOf(event, volume)]));

type PlacedVolume = Placing['volumes'][number];

/** What a volume is promised when its VM was placed, or its migration: the bytes are where they are meanwhile. */
function placedPromise(event: Placing, { volume, sizeMib }: PlacedVolume, host: string): RoomPromise {
  if (partsOfId(event.vm).kind !== 'migration') return { sizeMib, host };
  // Without a promise the store was rolled back since.
  const now = promiseOf(event, volume)?.host ?? event.avoid?.[0] ?? host;
  return now === host ? { sizeMib, host } : { sizeMib, host: now, standby: host };
}

/** Also of a volume that has bytes on the host and no promise: the store was rolled back since. */
export const putPromises = (event: Placing, host: string): readonly Asked[] =>
  event.volumes.map((one) => putRow('promise', one.volume, placedPromise(event, one, host)));

export const withPlaced = (context: Room, event: Placing, host: string): Room =>
  event.volumes.reduce<Room>(
    (room, one) => counted(counted(room, promiseOf(event, one.volume), -1), placedPromise(event, one, host), 1),
    context,
  );

// Its migration has ended

type Ending = Extract<ClusterEvent, { readonly type: 'place.transfer' | 'place.release' }>;

/** Promises for two hosts that become one for the new host, or stay one for the former. */
function settledPromises(event: Ending): readonly (readonly [string, RoomPromise, RoomPromise])[] {
  return (event.volumes ?? []).flatMap((volume) => {
    const before = promiseOf(event, volume);
    if (before?.standby === undefined) return [];
    const { sizeMib, host, standby } = before;
    return [[volume, before, { sizeMib, host: event.type === 'place.transfer' ? standby : host }] as const];
  });
}

export const settlePromises = (event: Ending): readonly Asked[] =>
  settledPromises(event).map(([volume, , after]) => putRow('promise', volume, after));

export const withSettled = (context: Room, event: Ending): Room =>
  settledPromises(event).reduce<Room>(
    (room, [, before, after]) => counted(counted(room, before, -1), after, 1),
    context,
  );
