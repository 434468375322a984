/**
 * The network part of the dataplane. Each changing operation checks its abort signal, waits for the lock of its object
 * and raises the fence floor before it changes anything. Ensure and removal of one segment exclude each other; ports
 * of one VPC are wired concurrently.
 * Called by linux-dataplane.ts only.
 */
import type { OwnerToken, SegmentRef } from '@photoncloud/machines/values/wiring';
import { waitOutside, type Call } from './contract/call-contract.ts';
import type { NetworkDataplane } from './contract/network-contract.ts';
import { dropEmptyRunFolders } from './dataplane-site.ts';
import type { DataplaneSite } from './dataplane-site.ts';
import type { FencedKind } from './fence-floor.ts';
import { changeSections, readSections, realizeSections, type Workplace } from './segment/section-making.ts';
import { dropSegment } from './segment/segment-removal.ts';
import type { SegmentPlace } from './segment/segment-section.ts';
import { segmentSections } from './segment/segment-sections.ts';
import { watchForLoss } from './segment/segment-watch.ts';
import { makeTap } from './tap/tap-device.ts';
import { dropTap } from './tap/tap-removal.ts';
import { watchForTapLoss } from './tap/tap-watch.ts';
import { readWiring, wireTap } from './tap/tap-wiring.ts';

/**
 * Runs a change under the lock of its object. The change does not run when the effect was cancelled or when its fence
 * is below the floor.
 */
export function fencedChange(site: DataplaneSite) {
  return async <Result>(
    kind: FencedKind,
    lock: string,
    owner: OwnerToken,
    call: Call,
    work: () => Promise<Result>,
  ): Promise<Result> => {
    call.signal.throwIfAborted();
    const fenced = async (): Promise<Result> => {
      call.signal.throwIfAborted();
      await site.fences.raise(kind, owner, call.fence);
      return work();
    };
    return site.locks.hold(lock, fenced, (turn) => waitOutside(call, turn));
  };
}

export function networkOperations(site: DataplaneSite): NetworkDataplane {
  const change = fencedChange(site);
  // The sweep knows only kernel names, so locks are keyed by kernel names.
  const segmentLock = (vpc: string): string => `segment ${site.names.namespaceOf(vpc)}`;
  const workplace = (segment: SegmentRef): Workplace<SegmentPlace> => ({
    table: segmentSections,
    place: { site, segment, namespace: site.names.namespaceOf(segment.vpc) },
    host: site.options.host,
    segment,
  });
  const tapLock = (owner: OwnerToken): string => `tap ${site.names.tapOf(owner)}`;
  return {
    realizeSegment: ({ segment, sections }, call) =>
      change('segment', segmentLock(segment.vpc), segment.owner, call, () =>
        realizeSections(workplace(segment), sections, call.signal),
      ),
    changeSegment: ({ segment, changes }, call) =>
      change('segment', segmentLock(segment.vpc), segment.owner, call, () =>
        changeSections(workplace(segment), changes),
      ),
    readSegment: ({ segment, sections }) => readSections(workplace(segment), sections),
    watchSegment: ({ segment, sections }, call) =>
      watchForLoss(workplace(segment).place, sections, call.signal, (look) =>
        site.locks.hold(segmentLock(segment.vpc), look),
      ),
    removeSegment: (segment, call) =>
      change('segment', segmentLock(segment.vpc), segment.owner, call, async () => {
        const result = await dropSegment(site, segment);
        await dropEmptyRunFolders(site);
        return result;
      }),
    createTap: (spec, call) => change('tap', tapLock(spec.owner), spec.owner, call, () => makeTap(site, spec)),
    wireTap: (spec, call) =>
      change('tap', tapLock(spec.owner), spec.owner, call, () => wireTap(site, spec, call.signal)),
    readTap: (spec) => readWiring(site, spec),
    watchTap: (spec, call) => watchForTapLoss(site, spec, call.signal),
    removeTap: (tap, call) => change('tap', tapLock(tap.owner), tap.owner, call, () => dropTap(site, tap)),
  };
}
