/**
 * Section `fences`: what is dropped of a host that is silent. It may still run VMs that were given up there and run
 * elsewhere by now: packets that it sends with their addresses end here, before connections are looked up. Who sent a
 * packet over the overlay is told by its MAC, which is that of the vx0 of the sender and never a guest's.
 * Table `inet fence` is there while the VPC has a fence. Key: of the owner; element: FenceElement.
 */
import { fenceElement, type FenceElement } from '@photoncloud/machines/values/fence-elements';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { changeFirewall, inFirewallTurn, readElements } from '../firewall/firewall-changes.ts';
import { overlayMac, vxlanName } from '../kernel-names.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { braced } from '../security-group/group-chains.ts';
import { linkInto, type SegmentSection } from '../segment/segment-section.ts';
import { parsed } from '../wiring-checks.ts';

/** @throws defeat `spec_invalid` */
export const fencesIn = (elements: Elements): readonly FenceElement[] =>
  Object.entries(elements).map(([key, element]) => parsed(fenceElement, `fences.${key}`, element));

const set = 'inet fence senders';
const table: readonly string[] = [
  'add table inet fence',
  `add set ${set} { type ether_addr . ipv4_addr; }`,
  'add chain inet fence pre { type filter hook prerouting priority -300; policy accept; }',
  `add rule inet fence pre iifname "${vxlanName}" ether saddr . ip saddr @senders drop`,
];

/** As nft prints them. */
const sendersIn = (elements: Elements): readonly string[] => [
  ...new Set(
    fencesIn(elements).flatMap(({ host, addresses }) => addresses.map((one) => `${overlayMac(host)} . ${one}`)),
  ),
];

/** Changes the set from what it has. @param isStale of what is not wanted */
async function settle(
  link: NamespaceLink,
  wanted: readonly string[],
  isStale: (sender: string) => boolean,
): Promise<void> {
  await inFirewallTurn(link, async () => {
    const actual = await readElements(link, `set ${set}`);
    const had = actual ?? [];
    const added = wanted.filter((one) => !had.includes(one));
    const gone = had.filter((one) => !wanted.includes(one) && isStale(one));
    const isEmpty = added.length === 0 && gone.length === had.length;
    const changes = [
      ...(actual === null ? table : []),
      ...(gone.length === 0 ? [] : [`delete element ${set} ${braced(gone)}`]),
      ...(added.length === 0 ? [] : [`add element ${set} ${braced(added)}`]),
    ];
    const statements = isEmpty ? (actual === null ? [] : ['delete table inet fence']) : changes;
    if (statements.length > 0) await changeFirewall(link, 'fencing a silent host', statements);
  });
}

export const fencesSection: SegmentSection = {
  name: 'fences',
  after: ['overlay'],
  check: (elements) => void fencesIn(elements),

  startsEmpty: () => {},

  ensure: async (place, elements) => {
    await settle(await linkInto(place), sendersIn(elements), () => true);
  },

  change: async (place, { put, removed }) => {
    const gone = sendersIn(removed);
    await settle(await linkInto(place), sendersIn(put), (one) => gone.includes(one));
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const actual = (await readElements(link, `set ${set}`)) ?? [];
    const senders = sendersIn(wanted);
    const drift = [
      ...senders.filter((one) => !actual.includes(one)).map((one) => `${one} is not dropped`),
      ...sendersIn(unwanted)
        .filter((one) => !senders.includes(one) && actual.includes(one))
        .map((one) => `${one} is still dropped`),
    ];
    return { facts: {}, drift };
  },

  // The namespace takes the table along.
  remove: async () => {},
};
