/**
 * Snapshots that are being taken of a volume: until each has ended, the volume keeps its host and its size, and is not
 * deleted. Pure functions, called by the chart.
 */
import { assertEvent } from 'xstate';
import { snapshotBegun, snapshotHindered } from '../snapshot/snapshot-protocol.ts';
import type { Failure } from '../values/failures.ts';
import { reject, send, tell, type Asked } from '../values/telling.ts';
import type { HostFacts } from '../values/wiring.ts';
import { sizeOf, specOf, type At, type VolumeContext } from './volume-context.ts';

export const isCaptured = ({ context }: At): boolean => context.captures.length > 0;

/** It has a place, and nothing that changes it is under way. */
export const mayCapture = ({ context: { host, standby, growth, resizing } }: At): boolean =>
  host !== null && standby === null && growth === null && resizing === null;

export function beginCapture({ context, event }: At): Partial<VolumeContext> {
  assertEvent(event, 'snapshot.begin');
  return { captures: [...context.captures.filter((one) => one !== event.snapshot), event.snapshot] };
}

export function tellBegun({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'snapshot.begin');
  const { id: volume, uid: volumeUid } = context;
  const { class: kind, format } = specOf(context);
  const facts = { volume, volumeUid, class: kind, format, sizeMib: sizeOf(context) };
  return [send(event.snapshot, snapshotBegun({ ...facts, host: context.host as HostFacts }))];
}

export function endCapture({ context, event }: At): Partial<VolumeContext> {
  assertEvent(event, 'snapshot.ended');
  return { captures: context.captures.filter((one) => one !== event.snapshot) };
}

const hinder = ({ context, event }: At, error: Failure): readonly Asked[] => {
  assertEvent(event, 'snapshot.begin');
  return [send(event.snapshot, snapshotHindered({ volume: context.id, error }))];
};

function hinderBusy(seen: At): readonly Asked[] {
  const message = `${seen.context.id} is being attached, moved, grown, filled or deleted; try again shortly`;
  return hinder(seen, { code: 'volume_busy', message, retryable: true });
}

function hinderEmpty(seen: At): readonly Asked[] {
  const message = `${seen.context.id} has no bytes yet: they are made for the first VM that attaches it`;
  return hinder(seen, { code: 'volume_empty', message, retryable: false });
}

function hinderAbsent(seen: At): readonly Asked[] {
  const message = `there is no ${seen.context.id}; correct the name, or create it`;
  return hinder(seen, { code: 'volume_not_found', message, retryable: false });
}

function rejectCaptured({ context }: At): readonly Asked[] {
  const message = `${context.id} is being copied by ${context.captures.join(', ')}; wait for that, or delete it`;
  return [reject({ code: 'in_use', message })];
}

/** By the names of the chart. */
export const captureActions = {
  tellBegun: tell(tellBegun),
  hinderBusy: tell(hinderBusy),
  hinderEmpty: tell(hinderEmpty),
  hinderAbsent: tell(hinderAbsent),
  rejectCaptured: tell(rejectCaptured),
};
export const captureGuards = {
  isCaptured,
  mayCapture,
  isEmpty: ({ context }: At): boolean => context.host === null,
};
