/**
 * What a segment remembers. Its routes are rows `route/<address>` -> index of the host; the context holds no list of
 * them.
 */
import type { Failure } from '../values/failures.ts';
import type { OwnerToken, RouteSpec, SegmentProof, SegmentSpec } from '../values/wiring.ts';

export interface SegmentContext {
  readonly id: string;
  readonly uid: string;
  readonly host: string;
  /** Actor id of the VPC that asks. */
  readonly vpc: string;
  /** The newest spec, its routes left out. Null only before the first. */
  readonly spec: Omit<SegmentSpec, 'routes'> | null;
  /** Generation the effect now under way was asked for. */
  readonly realizing: number;
  /** Read back from the kernel; null until the first success. */
  readonly proof: SegmentProof | null;
  /** Routes heard of since the kernel was last asked: applied together, next. */
  readonly queued: RouteChanges;
  /** Routes the kernel is being asked for now. */
  readonly applying: RouteChanges;
  readonly tries: number;
  readonly failure: Failure | null;
}

export interface RouteChanges {
  readonly added: readonly RouteSpec[];
  readonly removed: readonly RouteSpec[];
}

/** Params of the effects. */
export interface EnsureAsk {
  readonly spec: SegmentSpec;
}
export interface RouteAsk extends RouteChanges {
  readonly segment: { readonly owner: OwnerToken; readonly vpc: string };
}
export interface RemoveAsk {
  readonly spec: { readonly owner: OwnerToken; readonly vpc: string };
}

export const noRoutes: RouteChanges = { added: [], removed: [] };

/** More than this and the segment is realised anew from its rows: one batch instead of an ever longer list. */
export const queueLimit = 512;

export const queueLength = (changes: RouteChanges): number => changes.added.length + changes.removed.length;

/**
 * The later word on an address wins: what was to be added and is now removed is only removed, and the other way
 * round.
 */
export function joined(before: RouteChanges, next: RouteChanges): RouteChanges {
  const same = (a: RouteSpec) => (b: RouteSpec) => a.address === b.address && a.host === b.host;
  const superseded = (added: RouteSpec): boolean =>
    next.removed.some(same(added)) || next.added.some((later) => later.address === added.address);
  return {
    added: [...before.added.filter((added) => !superseded(added)), ...next.added],
    removed: [...before.removed.filter((removed) => !next.added.some(same(removed))), ...next.removed],
  };
}
