/** Messages of a volume: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { roomClaim, roomRelease } from '../cluster/cluster-protocol.ts';
import { imageFree, imageNeed } from '../image/image-protocol.ts';
import { replicaDrop, replicaEnsure } from '../replica/replica-protocol.ts';
import type { ConditionParams } from '../values/conditions.ts';
import type { Failure } from '../values/failures.ts';
import { clusterId, idOf, partsOfId, tenantId } from '../values/identifiers.ts';
import { quotaClaim } from '../values/quota.ts';
import { serialOf } from '../values/serials.ts';
import { reject, rejectFor, send, type Acted, type Asked } from '../values/telling.ts';
import { diskFormatSchema, type HostFacts } from '../values/wiring.ts';
import { exportDrop } from '../volume-export/volume-export-protocol.ts';
import {
  accessIn,
  exportOf,
  isShared,
  ownClient,
  replicaOn,
  replicaSpec,
  serveTo,
  sizeOf,
  specOf,
  type At,
  type VolumeContext,
} from './volume-context.ts';
import { volumeAttached, volumeLocated, volumeRefused } from './volume-protocol.ts';

// Quota and room, from the declaration to the end

export const claimQuota = ({ context }: At): readonly Asked[] => [
  send(
    tenantId(partsOfId(context.id).tenant),
    quotaClaim({ kind: 'volume', claimant: context.id, mib: sizeOf(context) }),
  ),
];
export const claimRoom = ({ context }: At): readonly Asked[] => [
  send(
    clusterId,
    roomClaim({ volume: context.id, sizeMib: sizeOf(context), shared: isShared(context), ...madeAt(context) }),
  ),
];
/** A local volume that is made from a snapshot has its bytes where the copy is. */
const madeAt = ({ host, filling, spec }: VolumeContext): { readonly host?: string } =>
  host === null || filling === null || isShared({ spec }) ? {} : { host: host.name };
export const releaseRoom = ({ context }: At): readonly Asked[] => [
  send(clusterId, roomRelease({ volume: context.id })),
];

/** A shared volume needs to know where; until the cluster knows that host, it is asked again. */
export const hasRoom = ({ context, event }: At): boolean =>
  event.type === 'room.granted' && (!isShared(context) || (event.host ?? null) !== null);

/** The cluster has chosen the host of a shared volume. */
export function takeHost({ event }: At): Partial<VolumeContext> {
  assertEvent(event, 'room.granted');
  const { host = null } = event;
  return host === null ? {} : { host };
}

/** No host has room: the size is the field to change. */
export function rejectRoom({ context, event }: At): Acted<VolumeContext> {
  assertEvent(event, 'room.refused');
  const { error } = event;
  const asks = context.waiters.map(({ commandId }) => rejectFor(commandId, error, 'spec.sizeMib'));
  return { changes: { waiters: [] }, asks };
}

// The image of the first bytes

export const needsImage = ({ context }: At): boolean => specOf(context).image !== null && context.source === null;

const imageOf = (context: VolumeContext): string =>
  idOf('image', partsOfId(context.id).tenant, specOf(context).image ?? '');

export const askImage = ({ context }: At): readonly Asked[] => [
  send(imageOf(context), imageNeed({ holder: context.id, host: context.host as HostFacts })),
];

/** Ignores an answer for the host of an earlier attempt. */
export const isHere = ({ context, event }: At): boolean =>
  event.type === 'image.provided' && event.host === context.host?.name;

export const isDisk = ({ event }: At): boolean =>
  event.type === 'image.provided' && diskFormatSchema.safeParse(event.format).success;

export function takeSource({ event }: At): Partial<VolumeContext> {
  assertEvent(event, 'image.provided');
  return { source: { sha256: event.sha256, format: diskFormatSchema.parse(event.format) } };
}

export function noteNoDisk({ context, event }: At): Partial<VolumeContext> {
  assertEvent(event, 'image.provided');
  const message = `${event.image} has the format ${event.format}; make ${context.id} from one of format raw or qcow2`;
  return { failure: { code: 'image_not_a_disk', message, retryable: false } };
}

/** The bytes were not created on the host; the next attach may name another one. */
export const forgetHost = ({ context }: At): Partial<VolumeContext> => (isShared(context) ? {} : { host: null });

export const freeSource = ({ context }: At): readonly Asked[] =>
  context.spec === null || context.spec.image === null
    ? []
    : [send(imageOf(context), imageFree({ holder: context.id }))];

// The bytes on a host

export const askReplica = ({ context }: At): readonly Asked[] => {
  const { id, host, runEpoch } = context;
  return [send(replicaOn(context, host), replicaEnsure({ volume: id, spec: replicaSpec(context, host, runEpoch) }))];
};

export const dropReplica = ({ context }: At): readonly Asked[] => [
  send(replicaOn(context, context.host), replicaDrop({})),
];

// Access to the bytes of a shared one

export const askExport = ({ context }: At): readonly Asked[] => [serveTo(context, [ownClient(context)])];

/** Nobody holds it: every run is cut. */
export const dropExport = ({ context }: At): readonly Asked[] =>
  isShared(context) ? [send(exportOf(context), exportDrop({}))] : [];

/** The holder's run is served, and every older one is cut. */
export const isServed = (seen: At): boolean =>
  seen.event.type === 'export.serving' &&
  seen.event.floor === seen.context.runEpoch &&
  accessIn(seen, seen.context.runEpoch) !== null;

/** Of what was asked last. */
export const isUnserved = ({ context, event }: At): boolean =>
  event.type === 'export.failed' && event.floor === context.runEpoch;

export const takeAccess = (seen: At): Partial<VolumeContext> => ({ access: accessIn(seen, seen.context.runEpoch) });

/** Its host was started again: what the run had written and not flushed is lost, so it never finds its bytes again. */
export const isOtherAccess = (seen: At): boolean => {
  const access = isServed(seen) ? accessIn(seen, seen.context.runEpoch) : null;
  return access !== null && access.export !== seen.context.access?.export;
};

export const noteRestarted = ({ context }: At): Partial<VolumeContext> => {
  const message = `the host of ${context.id} was started again; stop and start ${context.holder}, which goes on then`;
  return { failure: { code: 'volume_host_restarted', message, retryable: false } };
};

// The VM that holds it

/** Of the host that has the bytes. */
export const isOfHost = ({ context, event }: At): boolean =>
  'host' in event && event.host === context.host?.name && event.type.startsWith('replica.');

export const isByAnother = ({ context, event }: At): boolean =>
  event.type === 'volume.attach' && context.holder !== null && context.holder !== event.vm;

export const isElsewhere = ({ context, event }: At): boolean =>
  event.type === 'volume.attach' &&
  !isShared(context) &&
  context.host !== null &&
  context.host.name !== event.host.name;

export const holderLeaves = ({ context, event }: At): boolean =>
  event.type === 'volume.detach' && context.holder === event.vm;

export function hold({ context, event }: At): Partial<VolumeContext> {
  assertEvent(event, 'volume.attach');
  const runEpoch = Math.max(context.runEpoch, event.runEpoch);
  const host = isShared(context) ? context.host : event.host;
  return { holder: event.vm, host, client: event.host, runEpoch, access: null, failure: null, tries: 0 };
}

export const letGo = (): Partial<VolumeContext> => ({ holder: null });

export function tellLocation({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'volume.locate');
  const { id: volume, host, runEpoch } = context;
  const facts = { volume, host: host?.name ?? null, sizeMib: sizeOf(context) };
  const used = runEpoch === 0 ? {} : { runEpoch };
  return [send(event.vm, volumeLocated({ ...facts, ...(isShared(context) ? { shared: true } : {}), ...used }))];
}

export function tellAttached({ context }: At): readonly Asked[] {
  const { id: volume, uid, holder, access: source } = context;
  const { format } = specOf(context);
  const facts = { volume, uid, serial: serialOf(uid), format, host: context.host?.name ?? '' };
  return [send(holder ?? '', volumeAttached({ ...facts, source }))];
}

const refuse = ({ id }: VolumeContext, vm: string, error: Failure): readonly Asked[] => [
  send(vm, volumeRefused({ volume: id, error })),
];

export const tellRefused = ({ context }: At): readonly Asked[] =>
  refuse(context, context.holder ?? '', context.failure as Failure);

export function refuseHeld({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'volume.attach');
  const message = `${context.id} is attached to ${context.holder}; take it from the disks of that VM, or stop the VM`;
  return refuse(context, event.vm, { code: 'volume_in_use', message, retryable: true });
}

export function refuseDeleting({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'volume.attach');
  const message = `${context.id} is being deleted; use another volume, or create it again once it is gone`;
  return refuse(context, event.vm, { code: 'volume_in_use', message, retryable: true });
}

export function refuseElsewhere({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'volume.attach');
  const message = `${context.id} has its bytes on another host than the VM was placed on; stop and start the VM`;
  return refuse(context, event.vm, { code: 'volume_elsewhere', message, retryable: false });
}

/** Refuses a request for a volume that does not exist. */
export function refuseAbsent({ context, event }: At): readonly Asked[] {
  assertEvent(event, ['volume.locate', 'volume.attach']);
  const message = `there is no ${context.id}; create it, or delete the VM that names it`;
  return refuse(context, event.vm, { code: 'volume_not_found', message, retryable: false });
}

/** The condition of a volume whose bytes could not be created or reached: not ready, with the failure. */
export const readiness = ({ context }: { readonly context: VolumeContext }): ConditionParams =>
  context.failure === null ? { status: 'True', reason: 'Available' } : { status: 'False', reason: 'BytesUnavailable' };

export function inUse({ context }: At): readonly Asked[] {
  const message = `${context.id} is attached to ${context.holder}; take it from the disks of that VM, or stop the VM`;
  return [reject({ code: 'in_use', message })];
}
