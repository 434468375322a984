/**
 * A larger size of a volume that exists: accepted once the tenant's quota and the cluster's room are granted for it,
 * then the bytes grow where they are. Pure functions, called by the chart. Upholds: what a volume has been granted is
 * the size of its accepted spec, or of a larger one that is still decided on.
 */
import { assertEvent } from 'xstate';
import { replicaEnsure } from '../replica/replica-protocol.ts';
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
export const takeGrowth = ({ context }: At): Partial<VolumeContext> =>
  context.growth === null ? {} : { ...context.growth, growth: null, generation: context.generation + 1 };

/** The bytes that are there get the new size; others are made with it. */
export function growBytes(seen: At): readonly Asked[] {
  const { context } = seen;
  const { id, host, runEpoch } = context;
  if (host === null || needsImage(seen)) return [];
  return [send(replicaOn(context, host), replicaEnsure({ volume: id, spec: replicaSpec(context, host, runEpoch) }))];
}

/** The host has changed the file: who uses it sees that when the export was away. */
export const serveGrown = ({ context }: At): readonly Asked[] =>
  isShared(context) ? [serveTo(context, clientsOf(context))] : [];

/** By the names of the chart. */
export const growthActions = {
  rejectShrunk: tell(rejectShrunk),
  rejectSizeBusy: tell(rejectSizeBusy),
  beginGrowth: act(beginGrowth),
  claimMoreRoom: tell(claimMoreRoom),
  giveUpGrowth: act(giveUpGrowth),
  growBytes: tell(growBytes),
  serveGrown: tell(serveGrown),
};
export const growthGuards = { isShrunk, isGrown, isGrowing, isSizeBusy };
