/** Context and messages of a volume: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { roomClaim, roomRelease } from '../cluster/cluster-protocol.ts';
import { imageFree, imageNeed } from '../image/image-protocol.ts';
import { replicaDrop, replicaEnsure } from '../replica/replica-protocol.ts';
import type { ConditionParams, DeclaredContext } from '../values/declared.ts';
import type { Failure } from '../values/failures.ts';
import { clusterId, counterpartOf, idOf, partsOfId, tenantId } from '../values/identifiers.ts';
import { quotaClaim } from '../values/quota.ts';
import { serialOf } from '../values/serials.ts';
import { reject, rejectFor, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import { diskFormatSchema, type DiskFormat, type HostFacts } from '../values/wiring.ts';
import { volumeAttached, volumeLocated, volumeRefused, type VolumeEvent, type VolumeSpec } from './volume-protocol.ts';

export interface VolumeContext extends DeclaredContext<VolumeSpec> {
  /** Host of the bytes: set by the first attach, never changed. */
  readonly host: HostFacts | null;
  /** The VM that may use it; set by attach, cleared by detach. */
  readonly holder: string | null;
  /** Run epoch of the writer: taken from the holder, never decreases. */
  readonly runEpoch: number;
  /** The image its first bytes came from, by digest; set once. */
  readonly source: { readonly sha256: string; readonly format: DiskFormat } | null;
}

export type At = Seen<VolumeContext, VolumeEvent>;

/** 0 of a volume that does not exist. */
const sizeOf = ({ spec }: VolumeContext): number => spec?.sizeMib ?? 0;
const specOf = ({ spec }: VolumeContext): VolumeSpec => spec as VolumeSpec;

// Quota and room, from the declaration to the end

export const claimQuota = ({ context }: At): readonly Asked[] => [
  send(
    tenantId(partsOfId(context.id).tenant),
    quotaClaim({ kind: 'volume', claimant: context.id, mib: sizeOf(context) }),
  ),
];
export const claimRoom = ({ context }: At): readonly Asked[] => [
  send(clusterId, roomClaim({ volume: context.id, sizeMib: sizeOf(context) })),
];
export const releaseRoom = ({ context }: At): readonly Asked[] => [
  send(clusterId, roomRelease({ volume: context.id })),
];

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
export const forgetHost = (): Partial<VolumeContext> => ({ host: null });

export const freeSource = ({ context }: At): readonly Asked[] =>
  context.spec === null || context.spec.image === null
    ? []
    : [send(imageOf(context), imageFree({ holder: context.id }))];

// The bytes on a host

const replicaOf = ({ id, host }: VolumeContext): string => counterpartOf(id, 'replica', host?.name ?? '');

export function askReplica({ context }: At): readonly Asked[] {
  const { id, uid, runEpoch, source } = context;
  const { sizeMib, format } = specOf(context);
  const owner = { actor: replicaOf(context), uid, runEpoch };
  const spec = { owner, volumeUid: uid, serial: serialOf(uid), sizeMib, format, image: source };
  return [send(replicaOf(context), replicaEnsure({ volume: id, spec }))];
}

export const dropReplica = ({ context }: At): readonly Asked[] => [send(replicaOf(context), replicaDrop({}))];

// The VM that holds it

export const isByAnother = ({ context, event }: At): boolean =>
  event.type === 'volume.attach' && context.holder !== null && context.holder !== event.vm;

export const isElsewhere = ({ context, event }: At): boolean =>
  event.type === 'volume.attach' && context.host !== null && context.host.name !== event.host.name;

export const holderLeaves = ({ context, event }: At): boolean =>
  event.type === 'volume.detach' && context.holder === event.vm;

export function hold({ context, event }: At): Partial<VolumeContext> {
  assertEvent(event, 'volume.attach');
  const runEpoch = Math.max(context.runEpoch, event.runEpoch);
  return { holder: event.vm, host: event.host, runEpoch, failure: null, tries: 0 };
}

export const letGo = (): Partial<VolumeContext> => ({ holder: null });

export function tellLocation({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'volume.locate');
  return [
    send(event.vm, volumeLocated({ volume: context.id, host: context.host?.name ?? null, sizeMib: sizeOf(context) })),
  ];
}

export function tellAttached({ context }: At): readonly Asked[] {
  const { id: volume, uid, holder } = context;
  const host = context.host?.name ?? '';
  return [
    send(holder ?? '', volumeAttached({ volume, uid, serial: serialOf(uid), format: specOf(context).format, host })),
  ];
}

const refuse = ({ id }: VolumeContext, vm: string, error: Failure): readonly Asked[] => [
  send(vm, volumeRefused({ volume: id, error })),
];

export const tellRefused = ({ context }: At): readonly Asked[] =>
  refuse(context, context.holder ?? '', context.failure as Failure);

export function refuseHeld({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'volume.attach');
  const message = `${context.id} is attached to ${context.holder}; stop or delete that VM first`;
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
  const message = `${context.id} is attached to ${context.holder}; delete or stop that VM first`;
  return [reject({ code: 'in_use', message })];
}
