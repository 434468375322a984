/**
 * Reads a segment back from the kernel and lists its differences from the spec. Changes nothing.
 * Called by segment-making.ts for the proof, and for `readSegment`. Promise: every field of a proof is read from the
 * kernel, except `generation`: it is copied from the spec and says with which spec the rest was compared.
 */
import type { SegmentProof, SegmentSpec } from '@photoncloud/machines/values/wiring';
import type { SegmentReading } from '../contract/network-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { readDhcpServer } from '../dhcp/dhcp-server.ts';
import { hostsFolder, listDhcpHosts } from '../dhcp/dhcp-hosts.ts';
import { readGeneration } from '../firewall/firewall-ports.ts';
import { overlayAddress, overlayMac, vxlanName } from '../kernel-names.ts';
import { overlayMtu, readRemoteRoutes } from '../overlay/overlay-device.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import type { KernelLink, NamespaceLink } from '../namespace-link.ts';

export async function readSegmentParts(site: DataplaneSite, spec: SegmentSpec): Promise<SegmentReading> {
  const namespace = site.names.namespaceOf(spec.vpc);
  if ((await readNamespace(namespace)) !== 'present') return { proof: null, drift: ['no namespace'] };
  const link = site.links.of(namespace);
  const [links, generation, server] = await Promise.all([
    link.links(),
    readGeneration(link),
    readDhcpServer(site.folders.dhcp, namespace),
  ]);
  const overlay = links.find((one) => one.ifname === vxlanName);
  const drift = [
    ...overlayDrift(spec, overlay),
    ...(generation === null ? ['no firewall skeleton'] : []),
    ...(server === null && spec.networks.length > 0 ? ['no dnsmasq'] : []),
    ...(await routeDrift(site, link, namespace, spec)),
  ];
  const bridges: Record<string, { ifindex: number; mtu: number }> = {};
  for (const network of spec.networks) {
    const bridge = links.find((one) => one.ifname === site.names.bridgeOf(network.network));
    if (bridge === undefined) drift.push(`no bridge of ${network.network}`);
    else bridges[network.network] = { ifindex: bridge.ifindex, mtu: bridge.mtu };
    if (bridge !== undefined && bridge.mtu !== network.mtu)
      drift.push(`bridge of ${network.network} has mtu ${bridge.mtu}`);
    if (bridge !== undefined && !bridge.flags.includes('UP')) drift.push(`bridge of ${network.network} is down`);
  }
  if (overlay === undefined || generation === null) return { proof: null, drift };
  const proof: SegmentProof = {
    namespace,
    vxlanIfindex: overlay.ifindex,
    bridges,
    dnsmasqPid: server?.pid ?? 0,
    nftGeneration: generation,
    generation: spec.generation,
  };
  return { proof, drift };
}

function overlayDrift(spec: SegmentSpec, overlay: KernelLink | undefined): string[] {
  if (overlay === undefined) return ['no vx0'];
  const settings = overlay.linkinfo?.info_data;
  const mtu = overlayMtu([spec.self, ...spec.peers]);
  return [
    ...(settings?.['id'] === spec.vni ? [] : [`vx0 has VNI ${String(settings?.['id'])}`]),
    ...(overlay.address === overlayMac(spec.self.index) ? [] : [`vx0 has address ${overlay.address}`]),
    ...(overlay.mtu === mtu ? [] : [`vx0 has mtu ${overlay.mtu}`]),
    ...(overlay.flags.includes('UP') ? [] : ['vx0 is down']),
  ];
}

async function routeDrift(
  site: DataplaneSite,
  link: NamespaceLink,
  namespace: string,
  spec: SegmentSpec,
): Promise<string[]> {
  const [routes, neighbours, local] = await Promise.all([
    readRemoteRoutes(link),
    link.neighboursOf(vxlanName),
    listDhcpHosts(hostsFolder(site.folders.dhcp, namespace)),
  ]);
  const known = new Set(neighbours.map((one) => one.dst));
  const here = new Set(local);
  return [
    ...spec.routes
      .filter((route) => !here.has(route.address) && routes.get(route.address) !== route.host)
      .map((route) => `no route to ${route.address}`),
    ...spec.peers
      .filter((peer) => !known.has(overlayAddress(peer.index)))
      .map((peer) => `no neighbour for host ${peer.name}`),
  ];
}
