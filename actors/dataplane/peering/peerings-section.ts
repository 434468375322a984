/**
 * Section `peerings`: on this host, links from the namespace of a VPC to those of the VPCs it is peered with. Key: the
 * id of the peering; element: the other VPC, its CIDRs, those of this VPC, and the MTU. A packet crosses to the other
 * namespace on the host of its sender, and from there takes the overlay of the other VPC; its answer crosses on the
 * host of the receiver. So each namespace sees some flows in one direction only; security groups are asked where the
 * ports are, and there both directions pass.
 *
 * Order: what may come is known before the link is up, and flows of CIDRs that are gone end after the link is.
 */
import { canonicalProblem, cidrOf, overlap } from '@photoncloud/machines/values/addresses';
import { peeringHostElement, type PeeringHostElement } from '@photoncloud/machines/values/peering-elements';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { inFirewallTurn } from '../firewall/firewall-changes.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { runProgram } from '../program.ts';
import { linkInto, type SegmentPlace, type SegmentSection } from '../segment/segment-section.ts';
import { checkCount, checkIdOf, must, parsed } from '../wiring-checks.ts';
import {
  configurePeerEnd,
  deletePeerLink,
  ensurePeerEnd,
  isJoined,
  peerEndDrift,
  readPeerEnds,
  type PeerEnd,
} from './peering-link.ts';
import { dropFences, exchangeFences } from './peer-fences.ts';
import { admitLink, dismissLink, linkRulesDrift, readLinks } from './peering-rules.ts';

type Peerings = ReadonlyMap<string, PeeringHostElement>;

/** @throws defeat `spec_invalid` */
export function peeringsIn(elements: Elements): Peerings {
  const peerings = new Map(
    Object.entries(elements).map(([id, value]) => {
      checkIdOf('peering', 'peerings', id);
      const element = parsed(peeringHostElement, `peerings.${id}`, value);
      checkIdOf('vpc', `peerings.${id}.peer`, element.peer);
      checkCount(`peerings.${id}.mtu`, element.mtu, 550, 65_535);
      for (const cidr of [...element.cidrs, ...element.own])
        must(canonicalProblem(cidr) === undefined, `peerings.${id}.cidrs`, cidr);
      return [id, element] as const;
    }),
  );
  // A packet must have one way, and a source one link.
  const routed = [...peerings].flatMap(([id, { cidrs }]) => cidrs.map((cidr) => ({ id, cidr })));
  for (const [at, { id, cidr }] of routed.entries()) {
    const others = [...routed.slice(0, at).map((one) => one.cidr), ...(peerings.get(id)?.own ?? [])];
    must(!others.some((one) => overlap(cidrOf(one), cidrOf(cidr))), `peerings.${id}.cidrs`, cidr);
  }
  return peerings;
}

const endOf = ({ site, segment }: SegmentPlace, id: string, { peer, cidrs, mtu }: PeeringHostElement): PeerEnd => ({
  name: site.names.peerLinkOf(id),
  peering: id,
  vpc: segment.vpc,
  peer,
  far: site.names.namespaceOf(peer),
  owner: segment.owner,
  cidrs,
  mtu,
});

async function join(place: SegmentPlace, link: NamespaceLink, id: string, element: PeeringHostElement): Promise<void> {
  const end = endOf(place, id, element);
  const rules = { name: end.name, cidrs: element.cidrs, own: element.own };
  const gone = await inFirewallTurn(link, () => admitLink(link, rules));
  await ensurePeerEnd(place.site, link, end);
  await configurePeerEnd(place.site, link, end);
  await exchangeFences(place.site, link, end.name, end.far);
  watched(link)?.add(end.name);
  await endFlows(place.namespace, gone);
}

async function part({ site, namespace }: SegmentPlace, link: NamespaceLink, name: string): Promise<void> {
  watched(link)?.delete(name);
  await deletePeerLink(site, link, name);
  await dropFences(link, name);
  await endFlows(namespace, await inFirewallTurn(link, () => dismissLink(link, name)));
}

/** Ends the flows from and to these CIDRs: what is reached there later is somebody else. */
async function endFlows(namespace: string, cidrs: readonly string[]): Promise<void> {
  for (const cidr of cidrs)
    for (const direction of ['-s', '-d'])
      await runProgram({
        program: 'nsenter',
        args: [`--net=/run/netns/${namespace}`, 'conntrack', '-D', '-f', 'ipv4', direction, cidr],
        what: `ending the flows of ${cidr} in ${namespace}`,
        // 1: there was none.
        acceptedCodes: [1],
      });
}

/** Names of the links that this process has joined; undefined until the kernel was asked after a start. */
const joined = new WeakMap<NamespaceLink, Set<string>>();
const watched = (link: NamespaceLink): Set<string> | undefined => joined.get(link);

export const peeringsSection: SegmentSection = {
  name: 'peerings',
  after: ['overlay'],
  check: (elements) => void peeringsIn(elements),

  startsEmpty: (_, link) => void joined.set(link, new Set()),

  ensure: async (place, elements) => {
    const { site } = place;
    const link = await linkInto(place);
    const peerings = peeringsIn(elements);
    joined.set(link, new Set());
    const kept = new Set([...peerings.keys()].map((id) => site.names.peerLinkOf(id)));
    const devices = [...(await readPeerEnds(link)).keys()].filter((name) => site.names.isPeerLink(name));
    const standing = new Set([...devices, ...(await readLinks(link))]);
    // A CIDR may have gone from one peering to another.
    for (const name of standing) if (!kept.has(name)) await part(place, link, name);
    for (const [id, element] of peerings) await join(place, link, id, element);
  },

  change: async (place, { put, removed }) => {
    const link = await linkInto(place);
    const peerings = peeringsIn(put);
    for (const id of Object.keys(removed))
      if (!peerings.has(id)) await part(place, link, place.site.names.peerLinkOf(id));
    for (const [id, element] of peerings) await join(place, link, id, element);
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const differs = await Promise.all(
      [...peeringsIn(wanted)].map(async ([id, element]) => {
        const end = endOf(place, id, element);
        const rules = { name: end.name, cidrs: element.cidrs, own: element.own };
        return [...(await peerEndDrift(link, end)), ...(await linkRulesDrift(link, rules))];
      }),
    );
    const left = await Promise.all(
      Object.keys(unwanted).map(async (id) =>
        (await isJoined(link, place.site.names.peerLinkOf(id))) ? [`still a link of ${id}`] : [],
      ),
    );
    return { facts: {}, drift: [...differs.flat(), ...left.flat()] };
  },

  // The other segment may have made the link anew: then its end here is down until this one sets it up.
  missing: async ({ site, namespace, segment }) => {
    const link = site.links.of(namespace);
    const names = joined.get(link) ?? new Set(await readLinks(link));
    joined.set(link, names);
    if (names.size === 0) return null;
    const devices = await readPeerEnds(link);
    for (const name of names) {
      const device = devices.get(name);
      if (device?.flags.includes('UP') !== true)
        return {
          reason: 'link_gone',
          detail: `A link of ${segment.vpc} to a peered VPC is ${device === undefined ? 'gone' : 'down'}.`,
        };
    }
    return null;
  },

  // Before the namespace, which is reaped later: until then the other VPC would send into it.
  remove: async ({ site, namespace }) => {
    if ((await readNamespace(namespace)) !== 'present') return;
    const link = site.links.of(namespace);
    for (const name of (await readPeerEnds(link)).keys())
      if (site.names.isPeerLink(name)) await deletePeerLink(site, link, name);
  },
};
