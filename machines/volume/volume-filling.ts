/**
 * A volume that takes its bytes from a snapshot: the first ones of a declaration that names one, or, restored, others
 * in place of its own. The snapshot stays until the host has made a whole copy. Pure functions, called by the chart.
 * Upholds: an answer of the host counts only when it is of the request that was made last.
 */
import { assertEvent } from 'xstate';
import { snapshotFree, snapshotNeed } from '../snapshot/snapshot-protocol.ts';
import { hostGoneFailure, type Failure } from '../values/failures.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import { act, reject, rejectFor, send, tell, type Acted, type Asked } from '../values/telling.ts';
import type { HostFacts } from '../values/wiring.ts';
import { isShared, sizeOf, specOf, type At, type Filling, type VolumeContext } from './volume-context.ts';
import { isOfHost } from './volume-messages.ts';
import { volumeRefused } from './volume-protocol.ts';

const snapshotOf = ({ id }: VolumeContext, name: string): string => idOf('snapshot', partsOfId(id).tenant, name);

// The snapshot

export const isFromSnapshot = ({ context }: At): boolean => specOf(context).snapshot !== null;

/** It is not known yet where its bytes will be. */
export const isUnsourced = ({ context }: At): boolean =>
  context.host === null && !isShared(context) && (context.spec?.snapshot ?? null) !== null;

export const beginFilling = ({ context }: At): Partial<VolumeContext> => ({
  filling: { snapshot: snapshotOf(context, specOf(context).snapshot ?? ''), copy: null, restore: null },
  tries: 0,
});

/** The uid of the restoration is that of its command. */
export function beginRestore({ context, event }: At): Partial<VolumeContext> {
  assertEvent(event, 'volume.restore');
  const filling: Filling = { snapshot: snapshotOf(context, event.snapshot), copy: null, restore: event.meta.ulid };
  return { filling, tries: 0 };
}

export const askSnapshot = ({ context }: At): readonly Asked[] =>
  context.filling === null
    ? []
    : [send(context.filling.snapshot, snapshotNeed({ volume: context.id, sizeMib: sizeOf(context) }))];

/** An answer of the snapshot that was asked, and no longer of an earlier one. */
export const isOfSnapshot = ({ context: { filling }, event }: At): boolean =>
  (event.type === 'snapshot.provided' || event.type === 'snapshot.refused') && event.snapshot === filling?.snapshot;

/** A local volume that is made gets its bytes where the copy is; the cluster chooses the host of a shared one. */
export function takeCopy({ context, event }: At): Partial<VolumeContext> {
  assertEvent(event, 'snapshot.provided');
  if (context.filling === null) return {};
  const { snapshotUid: uid, host, allocatedBytes } = event;
  const filling: Filling = { ...context.filling, copy: { uid, host: host.name, allocatedBytes } };
  const place = context.host === null && !isShared(context) ? { host: host as HostFacts } : {};
  return { filling, tries: 0, failure: null, ...place };
}

export const freeSnapshot = ({ context: { filling, id } }: At): readonly Asked[] =>
  filling === null ? [] : [send(filling.snapshot, snapshotFree({ volume: id }))];

export const endFilling = (): Partial<VolumeContext> => ({ filling: null });

/** How often a snapshot that is not ready is asked, and the host after a failure that passes. */
const mostTries = 6;

export const passes = ({ context, event }: At): boolean =>
  'error' in event && event.error?.retryable === true && context.tries < mostTries;

/** Its deferred declaration or restoration is refused with the field to change. */
export function rejectSnapshot({ context, event }: At): Acted<VolumeContext> {
  assertEvent(event, 'snapshot.refused');
  const { error } = event;
  const named = context.filling?.restore === null ? 'spec.snapshot' : 'snapshot';
  const path = error.code === 'snapshot_larger' ? 'spec.sizeMib' : named;
  return { changes: { waiters: [] }, asks: context.waiters.map(({ commandId }) => rejectFor(commandId, error, path)) };
}

// The host

const isOfRequest = (seen: At): boolean =>
  isOfHost(seen) && 'restore' in seen.event && (seen.event.restore ?? null) === (seen.context.filling?.restore ?? null);

export const isFilled = (seen: At): boolean => seen.event.type === 'replica.ready' && isOfRequest(seen);
export const isUnfilled = (seen: At): boolean => seen.event.type === 'replica.failed' && isOfRequest(seen);
export const isUnfilledYet = (seen: At): boolean => isUnfilled(seen) && passes(seen);

/** The bytes are still the ones before, or already those of the snapshot. */
export function rejectRestore({ context, event }: At): Acted<VolumeContext> {
  const error: Failure = 'error' in event && event.error !== null ? event.error : hostGoneFailure();
  const message =
    `${context.id} was not restored for certain: ${error.message}; ` +
    'it has its former bytes or those of the snapshot, so restore it again';
  const asks = context.waiters.map(({ commandId }) =>
    rejectFor(commandId, { code: error.code, message, retryable: error.retryable }, 'snapshot'),
  );
  return { changes: { waiters: [] }, asks };
}

// While it is filled

const refuse = ({ context, event }: At, error: Failure): readonly Asked[] => {
  assertEvent(event, ['volume.attach', 'volume.locate']);
  return [send(event.vm, volumeRefused({ volume: context.id, error }))];
};

export function refuseFilling(seen: At): readonly Asked[] {
  const { id, filling } = seen.context;
  const message = `${id} is being filled from ${filling?.snapshot ?? 'its snapshot'}; that ends by itself`;
  return refuse(seen, { code: 'volume_filling', message, retryable: true });
}

const lost = ({ id, failure }: VolumeContext): string =>
  `${id} has no bytes: ${failure?.message ?? 'they could not be copied'}; delete it and create it again`;

export const refuseUnfilled = (seen: At): readonly Asked[] =>
  refuse(seen, { code: 'volume_unfilled', message: lost(seen.context), retryable: false });

export const rejectUnfilled = ({ context }: At): readonly Asked[] => [
  reject({ code: 'volume_unfilled', message: lost(context) }),
];

export const rejectEmpty = ({ context }: At): readonly Asked[] => [
  reject({
    code: 'volume_empty',
    message:
      `${context.id} has no bytes yet that could be replaced: they are made for the first VM that attaches it; ` +
      'create a volume from the snapshot instead',
  }),
];

/** By the names of the chart. */
export const fillingActions = {
  askSnapshot: tell(askSnapshot),
  freeSnapshot: tell(freeSnapshot),
  rejectSnapshot: act(rejectSnapshot),
  rejectRestore: act(rejectRestore),
  refuseFilling: tell(refuseFilling),
  refuseUnfilled: tell(refuseUnfilled),
  rejectUnfilled: tell(rejectUnfilled),
  rejectEmpty: tell(rejectEmpty),
};
export const fillingGuards = {
  isFromSnapshot,
  isUnsourced,
  isOfSnapshot,
  isOfSharedSnapshot: (seen: At): boolean => isOfSnapshot(seen) && isShared(seen.context),
  isAskedAgain: (seen: At): boolean => isOfSnapshot(seen) && passes(seen),
  isFilled,
  isUnfilled,
  isUnfilledYet,
};
