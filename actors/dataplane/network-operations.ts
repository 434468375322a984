/**
 * The network half of the port: each operation behind its signal, its fence and its lock, in this order.
 * A segment's ensure and removal exclude each other; ports of one VPC are wired side by side.
 * Called by linux-dataplane.ts only.
 */
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { Call } from './contract/call-contract.ts';
import type { NetworkDataplane } from './contract/network-contract.ts';
import type { DataplaneSite } from './dataplane-site.ts';
import type { FencedKind } from './fence-floor.ts';
import { makeSegment } from './segment/segment-making.ts';
import { readSegmentParts } from './segment/segment-reading.ts';
import { dropSegment } from './segment/segment-removal.ts';
import { changeRoutes } from './segment/segment-routes.ts';
import { watchForLoss } from './segment/segment-watch.ts';
import { makeTap } from './tap/tap-device.ts';
import { dropTap } from './tap/tap-removal.ts';
import { joinTap, readWiring } from './tap/tap-wiring.ts';

/** Runs a change: not if the effect has ended, not below the floor, not beside another change of the same object. */
export function fencedChange(site: DataplaneSite) {
  return async <Result>(kind: FencedKind, lock: string, owner: OwnerToken, call: Call, work: () => Promise<Result>): Promise<Result> => {
    call.signal.throwIfAborted();
    return site.locks.hold(lock, async () => {
      call.signal.throwIfAborted();
      await site.fences.raise(kind, owner, call.fence);
      return work();
    });
  };
}

export function networkOperations(site: DataplaneSite): NetworkDataplane {
  const change = fencedChange(site);
  return {
    ensureSegment: (spec, call) =>
      change('segment', `segment ${spec.vpc}`, spec.owner, call, () => makeSegment(site, spec, call.signal)),
    setRoutes: (routes, call) =>
      change('routes', `segment ${routes.segment.vpc}`, routes.segment.owner, call, () => changeRoutes(site, routes)),
    readSegment: (spec) => readSegmentParts(site, spec),
    watchSegment: (spec, call) => watchForLoss(site, spec, call.signal),
    removeSegment: (segment, call) =>
      change('segment', `segment ${segment.vpc}`, segment.owner, call, () => dropSegment(site, segment)),
    createTap: (spec, call) => change('tap', `tap ${spec.owner.actor}`, spec.owner, call, () => makeTap(site, spec)),
    wireTap: (spec, call) => change('tap', `tap ${spec.owner.actor}`, spec.owner, call, () => joinTap(site, spec, call.signal)),
    readTap: (spec) => readWiring(site, spec),
    removeTap: (tap, call) => change('tap', `tap ${tap.owner.actor}`, tap.owner, call, () => dropTap(site, tap)),
  };
}
