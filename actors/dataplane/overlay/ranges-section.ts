/**
 * Section `ranges`: the CIDRs of all networks of the VPC, also of those that this host does not have. Key: the CIDR.
 * Each is an unreachable route that every other route precedes, so that a packet to an address that no port has ends
 * here: it never follows a default route to another host, a peer or the outside.
 */
import { canonicalProblem } from '@photoncloud/machines/values/addresses';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { command, type Command } from '../kernel-command.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { linkInto, type SegmentSection } from '../segment/segment-section.ts';
import { must } from '../wiring-checks.ts';
import { overlayErrors } from './overlay-errors.ts';

/** Above that of every other route: the kernel takes the lowest of equal prefixes. */
export const rangeMetric = 4_096;

/** @throws defeat `spec_invalid` */
export function rangesIn(elements: Elements): readonly string[] {
  const cidrs = Object.keys(elements);
  for (const cidr of cidrs) must(canonicalProblem(cidr) === undefined, 'ranges', cidr);
  return cidrs;
}

const addRange = (cidr: string): Command => command`route replace unreachable ${cidr} metric ${rangeMetric}`;
const deleteRange = (cidr: string): Command => command`route delete unreachable ${cidr} metric ${rangeMetric}`;

async function readRanges(link: NamespaceLink): Promise<ReadonlySet<string>> {
  const routes = await link.unreachableRoutes();
  return new Set(routes.filter(({ metric }) => metric === rangeMetric).map(({ dst }) => dst));
}

async function settle(link: NamespaceLink, vpc: string, wanted: readonly string[], isStale: (cidr: string) => boolean) {
  const actual = await readRanges(link);
  const missing = wanted.filter((cidr) => !actual.has(cidr));
  const stale = [...actual].filter(isStale);
  await link.ip(`setting the ranges of ${vpc}`, [...missing.map(addRange), ...stale.map(deleteRange)], overlayErrors);
}

export const rangesSection: SegmentSection = {
  name: 'ranges',
  after: ['overlay'],
  check: (elements) => void rangesIn(elements),

  ensure: async (place, elements) => {
    const wanted = rangesIn(elements);
    await settle(await linkInto(place), place.segment.vpc, wanted, (cidr) => !wanted.includes(cidr));
  },

  change: async (place, { put, removed }) => {
    const [wanted, gone] = [rangesIn(put), rangesIn(removed)];
    await settle(await linkInto(place), place.segment.vpc, wanted, (cidr) => gone.includes(cidr));
  },

  read: async (place, wanted, unwanted) => {
    const actual = await readRanges(await linkInto(place));
    const drift = [
      ...rangesIn(wanted)
        .filter((cidr) => !actual.has(cidr))
        .map((cidr) => `${cidr} is not unreachable without a port`),
      ...rangesIn(unwanted)
        .filter((cidr) => actual.has(cidr))
        .map((cidr) => `${cidr} is still unreachable`),
    ];
    return { facts: {}, drift };
  },

  // They go with the namespace.
  remove: async () => {},
};
