/** Context and messages of a snapshot: pure functions of context and event. */
import { assertEvent } from 'xstate';
import type { z } from 'zod';
import { roomClaim, roomRelease } from '../cluster/cluster-protocol.ts';
import { captureDrop, captureEnsure } from '../snapshot-copy/snapshot-copy-protocol.ts';
import type { DeclaredContext } from '../values/declared.ts';
import { clusterId, counterpartOf, idOf, partsOfId, tenantId } from '../values/identifiers.ts';
import type { ValueOf } from '../values/kind.ts';
import { quotaClaim } from '../values/quota.ts';
import { reject, rejectFor, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import type { Failure } from '../values/failures.ts';
import type { SnapshotProof } from '../values/snapshot-wiring.ts';
import {
  snapshotBegin,
  snapshotEnded,
  snapshotProvided,
  snapshotRefused,
  type DeclaredSnapshot,
  type SnapshotEvent,
  type volumeFactsSchema,
} from './snapshot-protocol.ts';

export type VolumeFacts = ValueOf<typeof volumeFactsSchema & z.ZodType>;

export interface SnapshotContext extends DeclaredContext<DeclaredSnapshot> {
  /** The volume as it was when the snapshot began; null before. Its host has the copy. */
  readonly source: VolumeFacts | null;
  /** Of the complete copy. */
  readonly proof: SnapshotProof | null;
  /** Volumes that are being filled from the copy: actor ids. */
  readonly readers: readonly string[];
}

type At = Seen<SnapshotContext, SnapshotEvent>;

const sourceOf = ({ source }: SnapshotContext): VolumeFacts => source as VolumeFacts;
const copyOf = (context: SnapshotContext): string =>
  counterpartOf(context.id, 'snapshot-copy', context.source?.host.name ?? '');
const volumeOf = ({ id, spec }: SnapshotContext): string => idOf('volume', partsOfId(id).tenant, spec?.volume ?? '');

// The volume

export const askVolume = ({ context }: At): readonly Asked[] => [
  send(volumeOf(context), snapshotBegin({ snapshot: context.id })),
];

export function takeSource({ event }: At): Partial<SnapshotContext> {
  assertEvent(event, 'snapshot.begun');
  const { volume, volumeUid, class: kind, format, sizeMib, host } = event;
  return { source: { volume, volumeUid, class: kind, format, sizeMib, host }, failure: null, tries: 0 };
}

/** Repeated, it changes nothing. */
export const freeVolume = ({ context }: At): readonly Asked[] => [
  send(volumeOf(context), snapshotEnded({ snapshot: context.id })),
];

// Quota and room

export const claimQuota = ({ context }: At): readonly Asked[] => [
  send(
    tenantId(partsOfId(context.id).tenant),
    quotaClaim({ kind: 'snapshot', claimant: context.id, mib: sourceOf(context).sizeMib }),
  ),
];

export function claimRoom({ context }: At): readonly Asked[] {
  const { sizeMib, host } = sourceOf(context);
  return [send(clusterId, roomClaim({ volume: context.id, sizeMib, host: host.name }))];
}

export const releaseRoom = ({ context }: At): readonly Asked[] => [
  send(clusterId, roomRelease({ volume: context.id })),
];

/** The volume is the field to change. */
export function rejectVolume({ context, event }: At): Acted<SnapshotContext> {
  assertEvent(event, ['snapshot.hindered', 'quota.refused', 'room.refused']);
  const { error } = event;
  const asks = context.waiters.map(({ commandId }) => rejectFor(commandId, error, 'spec.volume'));
  return { changes: { waiters: [] }, asks };
}

// The copy

export function askCopy({ context }: At): readonly Asked[] {
  const { id, uid } = context;
  const { volumeUid, format, sizeMib } = sourceOf(context);
  const owner = { actor: copyOf(context), uid, runEpoch: 1 };
  const spec = { owner, snapshotUid: uid, volumeUid, format, sizeMib };
  return [send(copyOf(context), captureEnsure({ snapshot: id, spec }))];
}

export function takeProof({ event }: At): Partial<SnapshotContext> {
  assertEvent(event, 'capture.taken');
  return { proof: event.proof, failure: null, tries: 0 };
}

export const dropCopy = ({ context }: At): readonly Asked[] => [send(copyOf(context), captureDrop({}))];

// Volumes that are filled from the copy

const refuse = ({ context, event }: At, error: Failure): readonly Asked[] => {
  assertEvent(event, 'snapshot.need');
  return [send(event.volume, snapshotRefused({ snapshot: context.id, error }))];
};

/** Its bytes do not fit into the volume. */
export const isSmaller = ({ context, event }: At): boolean =>
  event.type === 'snapshot.need' && event.sizeMib < sourceOf(context).sizeMib;

export function refuseSmaller(seen: At): readonly Asked[] {
  const { context, event } = seen;
  assertEvent(event, 'snapshot.need');
  const { sizeMib } = sourceOf(context);
  const message =
    `${context.id} has ${sizeMib} MiB and ${event.volume} only ${event.sizeMib} MiB; ` +
    `declare sizeMib ${sizeMib} or more`;
  return refuse(seen, { code: 'snapshot_larger', message, retryable: false });
}

export function refuseEarly(seen: At): readonly Asked[] {
  const message = `${seen.context.id} is not complete yet; try again once it is ready`;
  return refuse(seen, { code: 'snapshot_not_ready', message, retryable: true });
}

export function refuseFailed(seen: At): readonly Asked[] {
  const { id, failure } = seen.context;
  const message = `${id} has no copy${failure === null ? '' : `: ${failure.message}`}; name another snapshot`;
  return refuse(seen, { code: 'snapshot_not_ready', message, retryable: false });
}

export function refuseAbsent(seen: At): readonly Asked[] {
  const message = `there is no ${seen.context.id}; correct the name, or take it first`;
  return refuse(seen, { code: 'snapshot_not_found', message, retryable: false });
}

export function provide({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'snapshot.need');
  const { allocatedBytes } = context.proof as SnapshotProof;
  const facts = { snapshot: context.id, snapshotUid: context.uid, host: sourceOf(context).host, allocatedBytes };
  return [send(event.volume, snapshotProvided(facts))];
}

export function addReader({ context, event }: At): Partial<SnapshotContext> {
  assertEvent(event, 'snapshot.need');
  return { readers: [...context.readers.filter((one) => one !== event.volume), event.volume] };
}

export function dropReader({ context, event }: At): Partial<SnapshotContext> {
  assertEvent(event, 'snapshot.free');
  return { readers: context.readers.filter((one) => one !== event.volume) };
}

export const isRead = ({ context }: At): boolean => context.readers.length > 0;

export function rejectRead({ context }: At): readonly Asked[] {
  const message =
    `${context.id} is being copied into ${context.readers.join(', ')}; delete it once that is complete, ` +
    'or delete that volume first';
  return [reject({ code: 'in_use', message })];
}
