/**
 * Makes a VPC on this host as its spec says. Only differences are applied: a second call changes nothing.
 * Order: namespace, nft skeleton, sysctls, vx0, bridges with their ingress chains, routes, dnsmasq; at last, bridges of
 * networks that are no longer in the spec are removed. (The skeleton comes before the sysctls because loading it
 * creates conntrack's sysctl in the namespace.)
 * Called by network-operations.ts. Promise: the proof is read back from the kernel; drift after the change is a fault.
 */
import type { SegmentProof, SegmentSpec } from '@photoncloud/machines/values/wiring';
import { ensureBridges, removeBridge } from '../bridge/bridge-device.ts';
import type { WantedBridge } from '../bridge/bridge-device.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { hostsFolder, listDhcpHosts } from '../dhcp/dhcp-hosts.ts';
import { ensureDhcpServer } from '../dhcp/dhcp-server.ts';
import { ensureSkeleton, removeNetworkRules, setNetworkRules } from '../firewall/firewall-ports.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { ensureOverlay, ensureRoutes, overlayMtu } from '../overlay/overlay-device.ts';
import { ensureNamespace, markNamespace, setNamespaceSysctls } from '../overlay/overlay-namespace.ts';
import { checkSegment } from '../wiring-checks.ts';
import { mtuTooLarge, segmentDrifted } from './segment-errors.ts';
import { readSegmentParts } from './segment-reading.ts';

/** What this process has already applied to a namespace and need not check again; forgotten with the link. */
interface AppliedState {
  sysctls: boolean;
  /** Bridge -> the subnets from which its ingress rules in the kernel were made. */
  readonly rules: Map<string, string>;
}
const appliedStates = new WeakMap<NamespaceLink, AppliedState>();

export async function makeSegment(site: DataplaneSite, spec: SegmentSpec, signal: AbortSignal): Promise<SegmentProof> {
  checkSegment(spec);
  const carried = overlayMtu([spec.self, ...spec.peers]);
  for (const network of spec.networks) {
    if (network.mtu > carried) throw mtuTooLarge(network.network, network.mtu, carried);
  }
  const { cluster } = site.options;
  const namespace = site.names.namespaceOf(spec.vpc);
  const wanted = spec.networks.map((network): WantedBridge => ({
    bridge: site.names.bridgeOf(network.network),
    network,
  }));
  if (await ensureNamespace(namespace)) await site.links.forget(namespace);
  const link = site.links.of(namespace);
  await markNamespace(link, cluster, spec.owner);
  const applied = appliedStates.get(link) ?? { sysctls: false, rules: new Map<string, string>() };
  appliedStates.set(link, applied);
  if (await ensureSkeleton(link, namespace)) applied.rules.clear();
  if (!applied.sysctls) await setNamespaceSysctls(namespace);
  applied.sysctls = true;
  signal.throwIfAborted();

  await ensureOverlay(site.links.host, link, cluster, spec);
  await makeNetworks(link, cluster, spec, wanted, applied);
  const hosts = hostsFolder(site.folders.dhcp, namespace);
  await ensureRoutes(link, spec.routes, new Set(await listDhcpHosts(hosts)));
  signal.throwIfAborted();
  await ensureDhcpServer(site.folders.dhcp, namespace, wanted);
  await removeOthers(site, link, wanted, applied);

  const { proof, drift } = await readSegmentParts(site, spec);
  if (proof === null || drift.length > 0) throw segmentDrifted(spec.vpc, drift);
  return proof;
}

async function makeNetworks(
  link: NamespaceLink,
  cluster: string,
  spec: SegmentSpec,
  wanted: readonly WantedBridge[],
  applied: AppliedState,
): Promise<void> {
  await ensureBridges(link, cluster, spec.owner, wanted, await link.links());
  for (const { bridge, network } of wanted) {
    const subnets = JSON.stringify(network.subnets.map((subnet) => subnet.cidr));
    if (applied.rules.get(bridge) === subnets) continue;
    await setNetworkRules(link, bridge, network.subnets);
    applied.rules.set(bridge, subnets);
  }
}

/** Removes bridges of networks that are no longer in the spec; called after dnsmasq has stopped using them. */
async function removeOthers(
  site: DataplaneSite,
  link: NamespaceLink,
  wanted: readonly WantedBridge[],
  applied: AppliedState,
): Promise<void> {
  const keep = new Set(wanted.map(({ bridge }) => bridge));
  const actual = await link.links();
  for (const { ifname } of actual.filter((one) => site.names.isBridge(one.ifname) && !keep.has(one.ifname))) {
    await removeBridge(link, ifname, actual);
    await removeNetworkRules(link, ifname);
    applied.rules.delete(ifname);
  }
}
