/**
 * A larger size of a volume that exists: accepted once the tenant's quota and the cluster's room are granted for it,
 * then the bytes grow where they are. Pure functions, called by the chart. Upholds: what a volume has been granted is
 * the size of its accepted spec, or of a larger one that is still decided on.
 */
import { assertEvent } from 'xstate';
import { incarnationResize } from '../incarnation/incarnation-protocol.ts';
import { replicaEnsure } from '../replica/replica-protocol.ts';
import { withCondition, type ConditionParams } from '../values/conditions.ts';
import { counterpartOf } from '../values/identifiers.ts';
import type { Declaration } from '../values/kind.ts';
import { act, reject, send, tell, type Acted, type Asked } from '../values/telling.ts';
import {
  isShared,
  replicaOn,
  replicaSpec,
  serveTo,
  clientsOf,
  sizeOf,
  type At,
  type VolumeContext,
} from './volume-context.ts';
import { claimQuota, claimRoom, needsImage } from './volume-messages.ts';
import type { VolumeSpec } from './volume-protocol.ts';

/** A declaration that is accepted when there is room for it. */
export type Growth = Declaration<VolumeSpec>;

export interface Resizing {
  readonly sizeMib: number;
  /** Of the run whose guest is to see it; a later one finds the new size when it starts. */
  readonly runEpoch: number;
}

const declaredSize = ({ event }: At): number | undefined =>
  event.type === 'volume.update' || event.type === 'volume.apply' ? event.spec.sizeMib : undefined;

export const isShrunk = (seen: At): boolean => (declaredSize(seen) ?? Infinity) < sizeOf(seen.context);
export const isGrown = (seen: At): boolean => (declaredSize(seen) ?? 0) > sizeOf(seen.context);
export const isGrowing = ({ context }: At): boolean => context.growth !== null;
/** A second host has a disk of the present size, it is being copied or filled, or it is decided on another one. */
export function isSizeBusy(seen: At): boolean {
  const { standby, captures, filling } = seen.context;
  return isGrown(seen) && (isGrowing(seen) || standby !== null || captures.length > 0 || filling !== null);
}

export function rejectShrunk(seen: At): readonly Asked[] {
  const { context } = seen;
  const size = `${sizeOf(context)} MiB`;
  const message =
    `${context.id} has ${size} and cannot become smaller: what its guest wrote at the end would be lost; ` +
    'create a smaller volume and copy the files inside a guest';
  return [reject({ code: 'volume_shrinks', message, issues: [{ path: 'spec.sizeMib', message: `is ${size}` }] })];
}

export const rejectSizeBusy = ({ context }: At): readonly Asked[] => [
  reject({
    code: 'name_busy',
    message: `${context.id} is being moved, copied or filled, or grows already; try again shortly`,
  }),
];

/** With the size that is decided on. */
const enlarged = (context: VolumeContext): VolumeContext => ({
  ...context,
  spec: context.growth?.spec ?? context.spec,
});

export function beginGrowth(seen: At): Acted<VolumeContext> {
  const { context, event } = seen;
  assertEvent(event, ['volume.update', 'volume.apply']);
  const { spec, labels = context.labels, protect = context.protect } = event;
  const changes = { growth: { spec, labels, protect } };
  return { changes, asks: claimQuota({ ...seen, context: enlarged({ ...context, ...changes }) }) };
}

export const claimMoreRoom = (seen: At): readonly Asked[] => claimRoom({ ...seen, context: enlarged(seen.context) });

/** The quota of the present size is enough again. */
export const giveUpGrowth = (seen: At): Acted<VolumeContext> => ({ changes: { growth: null }, asks: claimQuota(seen) });
export const forgetGrowth = (): Partial<VolumeContext> => ({ growth: null });

/** The larger declaration is the one of the volume. */
export function takeGrowth({ context }: At): Partial<VolumeContext> {
  const { growth, holder, runEpoch } = context;
  if (growth === null) return {};
  const isSeen = isShared(growth) && holder !== null;
  const resizing = isSeen ? { sizeMib: growth.spec.sizeMib, runEpoch } : null;
  return { ...growth, growth: null, resizing, generation: context.generation + 1 };
}

/** The bytes that are there get the new size; others are made with it. */
export function growBytes(seen: At): readonly Asked[] {
  const { context } = seen;
  const { id, host, runEpoch } = context;
  if (host === null || needsImage(seen)) return [];
  return [send(replicaOn(context, host), replicaEnsure({ volume: id, spec: replicaSpec(context, host, runEpoch) }))];
}

/** The host has changed the file: a QEMU that uses it can see that once the export was away. */
export const serveGrown = ({ context }: At): readonly Asked[] =>
  isShared(context) ? [serveTo(context, clientsOf(context))] : [];

// The guest that uses a shared volume

/** The export was away and is back: the QEMU of the holder's run is told. */
export function tellGrown({ context }: At): readonly Asked[] {
  const { id: volume, uid: volumeUid, holder, client, resizing } = context;
  if (holder === null || client === null || resizing === null) return [];
  const incarnation = counterpartOf(holder, 'incarnation', client.name);
  return [send(incarnation, incarnationResize({ volume, volumeUid, ...resizing }))];
}

/** The answer to the newest request. */
export const isResized = ({ context: { resizing }, event }: At): boolean =>
  event.type === 'incarnation.resized' && resizing?.runEpoch === event.runEpoch && resizing.sizeMib === event.sizeMib;

const upToDate: ConditionParams = { type: 'RestartRequired', status: 'False', reason: 'UpToDate' };

/** The guest sees the size; or the condition RestartRequired says why it does not. */
export function endResizing({ context, event }: At): Partial<VolumeContext> {
  assertEvent(event, 'incarnation.resized');
  const { error, sizeMib } = event;
  const message = `the guest of ${context.holder} does not see ${sizeMib} MiB: ${error?.message}; restart that VM`;
  const condition =
    error === null ? upToDate : ({ ...upToDate, status: 'True', reason: 'GuestSeesFormerSize', message } as const);
  return { resizing: null, conditions: withCondition(context.conditions, condition, event.meta.at) };
}

/** The run that saw a former size is over. */
export function forgetResizing({ context, event }: At): Partial<VolumeContext> {
  const { conditions } = context;
  const isKnown = conditions.some(({ type }) => type === upToDate.type);
  return { resizing: null, conditions: isKnown ? withCondition(conditions, upToDate, event.meta.at) : conditions };
}

/** By the names of the chart. */
export const growthActions = {
  rejectShrunk: tell(rejectShrunk),
  rejectSizeBusy: tell(rejectSizeBusy),
  beginGrowth: act(beginGrowth),
  claimMoreRoom: tell(claimMoreRoom),
  giveUpGrowth: act(giveUpGrowth),
  growBytes: tell(growBytes),
  serveGrown: tell(serveGrown),
  tellGrown: tell(tellGrown),
};
export const growthGuards = { isShrunk, isGrown, isGrowing, isSizeBusy, isResized };
