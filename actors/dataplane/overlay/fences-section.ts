/**
 * Section `fences`: what is dropped of a host that is silent. It may still run VMs that were given up there and run
 * elsewhere by now: packets that it sends with their addresses end here, in the namespace of the VPC (fence-table.ts)
 * and in those of the VPCs it is peered with (peering/peer-fences.ts). Key: of the owner; element: FenceElement.
 */
import { fenceElement, type FenceElement } from '@photoncloud/machines/values/fence-elements';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { overlayMac } from '../kernel-names.ts';
import { inFenceTurn, spreadDrift, spreadFences } from '../peering/peer-fences.ts';
import { linkInto, type SegmentPlace, type SegmentSection } from '../segment/segment-section.ts';
import { parsed } from '../wiring-checks.ts';
import { ownFence, readSenders, settleSenders } from './fence-table.ts';

/** @throws defeat `spec_invalid` */
export const fencesIn = (elements: Elements): readonly FenceElement[] =>
  Object.entries(elements).map(([key, element]) => parsed(fenceElement, `fences.${key}`, element));

/** As nft prints them. */
const sendersIn = (elements: Elements): readonly string[] => [
  ...new Set(
    fencesIn(elements).flatMap(({ host, addresses }) => addresses.map((one) => `${overlayMac(host)} . ${one}`)),
  ),
];

/** Copies end before what they were made of, so that a worker that ends in between finds what is to be done. */
async function settle(
  { site, ...place }: SegmentPlace,
  next: (actual: readonly string[]) => readonly string[],
): Promise<void> {
  const link = await linkInto({ site, ...place });
  await inFenceTurn(site, link, async () => {
    const actual = await readSenders(link, ownFence);
    const senders = next(actual ?? []);
    if (actual === null && senders.length === 0) return;
    await spreadFences(site, link, senders);
    await settleSenders(link, ownFence, senders);
  });
}

export const fencesSection: SegmentSection = {
  name: 'fences',
  after: ['overlay'],
  check: (elements) => void fencesIn(elements),

  startsEmpty: () => {},

  ensure: (place, elements) => settle(place, () => sendersIn(elements)),

  change: (place, { put, removed }) => {
    const [more, gone] = [sendersIn(put), sendersIn(removed)];
    return settle(place, (actual) => [...new Set([...actual.filter((one) => !gone.includes(one)), ...more])]);
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const actual = (await readSenders(link, ownFence)) ?? [];
    const senders = sendersIn(wanted);
    const ended = sendersIn(unwanted).filter((one) => !senders.includes(one));
    const drift = [
      ...senders.filter((one) => !actual.includes(one)).map((one) => `${one} is not dropped`),
      ...ended.filter((one) => actual.includes(one)).map((one) => `${one} is still dropped`),
      ...(await spreadDrift(place.site, link, senders, ended)),
    ];
    return { facts: {}, drift };
  },

  // The namespace takes the table along.
  remove: async () => {},
};
