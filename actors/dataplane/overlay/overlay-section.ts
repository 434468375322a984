/**
 * Section `overlay`: what a VPC stands on on this host. Namespace, nft skeleton, sysctls, vx0 and its peers; all other
 * sections need it. Order: namespace, skeleton (it brings conntrack's sysctls into the namespace), sysctls, the filter
 * of its VNI on the underlay, vx0.
 * Keys: `vni`, `mtu`, `self`, `peer/<host>`. A host that comes or goes is one peer; another number or other facts of
 * this host are another vx0, which only the whole section makes.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { DataplaneSite } from '../dataplane-site.ts';
import { ensureSkeleton, readGeneration, readSkeleton } from '../firewall/firewall-changes.ts';
import { overlayAddress, vxlanName } from '../kernel-names.ts';
import type { KernelLink, NamespaceLink } from '../namespace-link.ts';
import { startsWithoutFlows, toldPolicy } from '../security-group/group-policy.ts';
import { isNewNamespace } from '../segment/new-namespaces.ts';
import { overlayOutdated } from '../segment/segment-errors.ts';
import { linkInto, settledOf } from '../segment/segment-section.ts';
import type { SegmentPlace, SegmentSection } from '../segment/segment-section.ts';
import { overlayIn, type OverlayElements } from '../wiring-checks.ts';
import { deleteOverlay, ensureOverlay, fits, setOverlayMtu, setPeers } from './overlay-device.ts';
import { ensureNamespace, markNamespace, readNamespace, setNamespaceSysctls } from './overlay-namespace.ts';
import { ensureUnderlayPeers, hasUnderlayFilter, readUnderlayPeers, removeUnderlayPeers } from './underlay-peers.ts';
import type { Underlay } from './underlay-peers.ts';

const partMissing = (part: string): PhotonError =>
  new PhotonError('defeat', 'spec_invalid', `overlay.${part} of the spec is missing; nothing was made.`);

const underlayOf = ({ links, names }: DataplaneSite): Underlay => ({ host: links.host, table: names.underlayTable });
const filterSeenForMs = 5_000;
/** One change at a time: the table goes with its last VNI. */
const underlayLock = 'underlay';

export const overlaySection: SegmentSection = {
  name: 'overlay',
  after: [],
  check: (elements) => void overlayIn(elements),

  ensure: async ({ site, namespace, segment }, elements) => {
    const { vni, mtu, self, peers } = overlayIn(elements);
    if (vni === undefined) throw partMissing('vni');
    if (mtu === undefined) throw partMissing('mtu');
    if (self === undefined) throw partMissing('self');
    const { cluster } = site.options;
    const isNew = await ensureNamespace(namespace);
    if (isNew) await site.links.forget(namespace);
    const link = site.links.of(namespace);
    if (isNew) {
      isNewNamespace(link);
      startsWithoutFlows(link);
      link.start();
    }
    await markNamespace(link, cluster, segment.owner);
    const settled = settledOf(link);
    if ((await ensureSkeleton(link)) === 'older') toldPolicy(link).inherited = true;
    const senders = peers.map(({ underlay }) => underlay);
    await Promise.all([
      settled.sysctls ? undefined : setNamespaceSysctls(namespace),
      site.locks.hold(underlayLock, () => ensureUnderlayPeers(underlayOf(site), namespace, vni, senders)),
    ]);
    settled.sysctls = true;
    await ensureOverlay(site.links.host, link, cluster, { owner: segment.owner, vpc: segment.vpc, vni, mtu, self });
    await setPeers(link, segment.vpc, peers, () => true);
  },

  change: async (place, { put, removed }) => {
    const [added, gone] = [overlayIn(put), overlayIn(removed)];
    const { vpc } = place.segment;
    if ([added.vni, added.self, gone.vni, gone.self].some((one) => one !== undefined)) throw overlayOutdated(vpc);
    const link = await linkInto(place);
    if (added.mtu !== undefined) await setOverlayMtu(link, vpc, added.mtu);
    const stale = new Set(gone.peers.map(({ index }) => index));
    if (added.peers.length + stale.size > 0) await setPeers(link, vpc, added.peers, (index) => stale.has(index));
    if (added.peers.length + stale.size > 0) await admit(place, link);
  },

  read: async ({ site, namespace }, wanted, unwanted) => {
    if ((await readNamespace(namespace)) !== 'present') return { facts: {}, drift: ['no namespace'] };
    const link = site.links.of(namespace);
    const [overlay, generation, firewall, neighbours, admitted] = await Promise.all([
      link.link(vxlanName),
      readGeneration(link),
      readSkeleton(link),
      link.neighboursOf(vxlanName),
      readUnderlayPeers(underlayOf(site), namespace),
    ]);
    if (overlay === null) return { facts: { namespace }, drift: ['no vx0'] };
    const known = new Set(neighbours.map((one) => one.dst));
    const drift = [
      ...deviceDrift(overlayIn(wanted), overlay),
      ...(firewall === 'none' ? ['no firewall skeleton'] : []),
      ...(firewall === 'older' ? ['the firewall skeleton is of an older release'] : []),
      ...(admitted === null ? ['no filter of its VNI on the underlay'] : []),
      ...overlayIn(wanted)
        .peers.filter(({ underlay }) => admitted?.peers.has(underlay) === false)
        .map(({ name }) => `host ${name} may not send`),
      ...overlayIn(wanted)
        .peers.filter((peer) => !known.has(overlayAddress(peer.index)))
        .map((peer) => `no neighbour for host ${peer.name}`),
      ...overlayIn(unwanted)
        .peers.filter((peer) => known.has(overlayAddress(peer.index)))
        .map((peer) => `still a neighbour for host ${peer.name}`),
    ];
    return { facts: { namespace, vxlanIfindex: overlay.ifindex, nftGeneration: generation ?? 0 }, drift };
  },

  missing: async (place, { interfaces }) => {
    const { vpc } = place.segment;
    if (interfaces !== null && !interfaces.has(vxlanName))
      return { reason: 'vxlan_gone', detail: `vx0 of ${vpc} is gone.` };
    if (await isFiltered(place)) return null;
    return { reason: 'filter_gone', detail: `The filter that admits only hosts of ${vpc} on the underlay is gone.` };
  },

  // Before its namespace: a namespace is reaped later, and until then its VXLAN keeps the VNI taken.
  remove: async ({ site, namespace }) => {
    if ((await readNamespace(namespace)) === 'present') await deleteOverlay(site.links.of(namespace));
    await site.locks.hold(underlayLock, () => removeUnderlayPeers(underlayOf(site), namespace));
  },
};

/** After hosts have come or gone: those may send to which vx0 itself sends. */
async function admit({ site, namespace }: SegmentPlace, link: NamespaceLink): Promise<void> {
  const [overlay, entries] = await Promise.all([link.link(vxlanName), link.fdbOf(vxlanName)]);
  const vni = Number(overlay?.linkinfo?.info_data?.['id']);
  const addresses = entries.flatMap(({ dst }) => (dst === undefined ? [] : [dst]));
  await site.locks.hold(underlayLock, () => ensureUnderlayPeers(underlayOf(site), namespace, vni, addresses));
}

/** Asks the kernel only now and then: the watch looks twice a second. */
async function isFiltered({ site, namespace }: SegmentPlace): Promise<boolean> {
  const settled = settledOf(site.links.of(namespace));
  if (performance.now() - settled.filterSeenAtMs < filterSeenForMs) return true;
  if (!(await hasUnderlayFilter(underlayOf(site)))) return false;
  settled.filterSeenAtMs = performance.now();
  return true;
}

function deviceDrift({ vni, mtu, self }: OverlayElements, overlay: KernelLink): string[] {
  const isOther = vni !== undefined && self !== undefined && !fits(overlay, { vni, self });
  return [
    ...(isOther ? ['vx0 is of another VNI or host'] : []),
    ...(mtu === undefined || overlay.mtu === mtu ? [] : [`vx0 has mtu ${overlay.mtu}`]),
    ...(overlay.flags.includes('UP') ? [] : ['vx0 is down']),
  ];
}
