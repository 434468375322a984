/**
 * Section `overlay`: what a VPC stands on on this host. Namespace, nft skeleton, sysctls, vx0 and its peers; all other
 * sections need it. Order: namespace, skeleton (it brings conntrack's sysctls into the namespace), sysctls, vx0.
 * Keys: `vni`, `mtu`, `self`, `peer/<host>`. A host that comes or goes is one peer; another number or other facts of
 * this host are another vx0, which only the whole section makes.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { ensureSkeleton, readGeneration } from '../firewall/firewall-ports.ts';
import { overlayAddress, vxlanName } from '../kernel-names.ts';
import type { KernelLink } from '../namespace-link.ts';
import { overlayOutdated } from '../segment/segment-errors.ts';
import { linkInto, settledOf, type SegmentSection } from '../segment/segment-section.ts';
import { overlayIn, type OverlayElements } from '../wiring-checks.ts';
import { deleteOverlay, ensureOverlay, fits, setOverlayMtu, setPeers } from './overlay-device.ts';
import { ensureNamespace, markNamespace, readNamespace, setNamespaceSysctls } from './overlay-namespace.ts';

const partMissing = (part: string): PhotonError =>
  new PhotonError('defeat', 'spec_invalid', `overlay.${part} of the spec is missing; nothing was made.`);

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
    if (await ensureNamespace(namespace)) await site.links.forget(namespace);
    const link = site.links.of(namespace);
    await markNamespace(link, cluster, segment.owner);
    const settled = settledOf(link);
    if (await ensureSkeleton(link, namespace)) settled.rules.clear();
    if (!settled.sysctls) await setNamespaceSysctls(namespace);
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
  },

  read: async ({ site, namespace }, wanted, unwanted) => {
    if ((await readNamespace(namespace)) !== 'present') return { facts: {}, drift: ['no namespace'] };
    const link = site.links.of(namespace);
    const [overlay, generation, neighbours] = await Promise.all([
      link.link(vxlanName),
      readGeneration(link),
      link.neighboursOf(vxlanName),
    ]);
    if (overlay === null) return { facts: { namespace }, drift: ['no vx0'] };
    const known = new Set(neighbours.map((one) => one.dst));
    const drift = [
      ...deviceDrift(overlayIn(wanted), overlay),
      ...(generation === null ? ['no firewall skeleton'] : []),
      ...overlayIn(wanted)
        .peers.filter((peer) => !known.has(overlayAddress(peer.index)))
        .map((peer) => `no neighbour for host ${peer.name}`),
      ...overlayIn(unwanted)
        .peers.filter((peer) => known.has(overlayAddress(peer.index)))
        .map((peer) => `still a neighbour for host ${peer.name}`),
    ];
    return { facts: { namespace, vxlanIfindex: overlay.ifindex, nftGeneration: generation ?? 0 }, drift };
  },

  missing: async ({ segment }, { interfaces }) =>
    interfaces === null || interfaces.has(vxlanName)
      ? null
      : { reason: 'vxlan_gone', detail: `vx0 of ${segment.vpc} is gone.` },

  // Before its namespace: a namespace is reaped later, and until then its VXLAN keeps the VNI taken.
  remove: async ({ site, namespace }) => {
    if ((await readNamespace(namespace)) === 'present') await deleteOverlay(site.links.of(namespace));
  },
};

function deviceDrift({ vni, mtu, self }: OverlayElements, overlay: KernelLink): string[] {
  const isOther = vni !== undefined && self !== undefined && !fits(overlay, { vni, self });
  return [
    ...(isOther ? ['vx0 is of another VNI or host'] : []),
    ...(mtu === undefined || overlay.mtu === mtu ? [] : [`vx0 has mtu ${overlay.mtu}`]),
    ...(overlay.flags.includes('UP') ? [] : ['vx0 is down']),
  ];
}
