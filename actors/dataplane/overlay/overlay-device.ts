/**
 * vx0, the only VXLAN device of a VPC on this host; its peers (one neighbour and one FDB entry per other host, none per
 * guest); and the /32 routes to ports on other hosts. Called by segment-making.ts and segment-routes.ts.
 * Promise: addresses are never learned from traffic; the list of remote routes never replaces a local port's route.
 */
import type { HostFacts, RouteSpec, SegmentSpec } from '@photoncloud/machines/values/wiring';
import { command, joined } from '../kernel-command.ts';
import type { Command } from '../kernel-command.ts';
import type { KernelLink, NamespaceLink } from '../namespace-link.ts';
import { overlayAddress, overlayIndex, overlayMac, vxlanName } from '../kernel-names.ts';
import { aliasOf } from '../owner-alias.ts';
import { overlayErrors } from './overlay-errors.ts';

export const overlayOverheadBytes = 50;
const vxlanListenPort = 4789;

/** The largest MTU that every host of the VPC can carry inside the overlay. */
export function overlayMtu(hosts: readonly HostFacts[]): number {
  return Math.min(...hosts.map((host) => host.underlayMtu)) - overlayOverheadBytes;
}

function fits(link: KernelLink, spec: SegmentSpec): boolean {
  const settings = link.linkinfo?.info_data;
  return (
    link.linkinfo?.info_kind === 'vxlan' &&
    settings?.['id'] === spec.vni &&
    settings['local'] === spec.self.underlay &&
    settings['port'] === vxlanListenPort &&
    link.address === overlayMac(spec.self.index)
  );
}

function vxlanCommand(namespace: string, { vni, self }: SegmentSpec): Command {
  const make = command`link add vx0 netns ${namespace} address ${overlayMac(self.index)} type vxlan`;
  const settings = command`id ${vni} dstport ${vxlanListenPort} local ${self.underlay} nolearning ttl 16`;
  return joined(make, settings);
}

/** @param host link of the host's namespace, where the UDP socket stays. @returns true when this call made vx0. */
export async function ensureOverlay(
  host: NamespaceLink,
  link: NamespaceLink,
  cluster: string,
  spec: SegmentSpec,
): Promise<boolean> {
  const what = `making the overlay of ${spec.vpc}`;
  const mtu = overlayMtu([spec.self, ...spec.peers]);
  const actual = await link.link(vxlanName);
  const keeps = actual !== null && fits(actual, spec);
  if (actual !== null && !keeps) await deleteOverlay(link);
  if (!keeps) {
    // `netns` makes vx0 directly in the VPC's namespace; making it in the host's and moving it takes 20 ms longer.
    await host.ip(what, [vxlanCommand(String(link.name), spec)], overlayErrors);
    link.appeared(vxlanName);
  }
  const alias = aliasOf(cluster, spec.owner);
  const settled = keeps && actual.mtu === mtu && actual.ifalias === alias && actual.flags.includes('UP');
  if (!settled) {
    await link.ip(
      what,
      [
        command`link set ${vxlanName} mtu ${mtu} alias ${alias}`,
        command`link set ${vxlanName} up`,
        command`addr replace ${overlayAddress(spec.self.index)}/24 dev ${vxlanName}`,
      ],
      overlayErrors,
    );
  }
  await ensurePeers(link, spec);
  return !keeps;
}

/** Called before the namespace is deleted: the kernel reaps a namespace later, and until then vx0 occupies the VNI. */
export async function deleteOverlay(link: NamespaceLink): Promise<void> {
  if ((await link.link(vxlanName)) === null) return;
  await link.ip(`removing the overlay in ${link.name}`, [command`link delete ${vxlanName}`], overlayErrors);
}

async function ensurePeers(link: NamespaceLink, spec: SegmentSpec): Promise<void> {
  const [neighbours, entries] = await Promise.all([link.neighboursOf(vxlanName), link.fdbOf(vxlanName)]);
  const wanted = new Map(spec.peers.map((peer) => [overlayMac(peer.index), peer]));
  const neighbourMacs = new Map(neighbours.map((one) => [one.dst, one.lladdr]));
  const entryTargets = new Map(entries.map((one) => [one.mac, one.dst]));
  const stale = neighbours.filter(
    (one) => overlayIndex(one.dst) !== undefined && one.lladdr !== undefined && !wanted.has(one.lladdr),
  );
  const neighbourChanges: Command[] = [
    ...spec.peers
      .filter((peer) => neighbourMacs.get(overlayAddress(peer.index)) !== overlayMac(peer.index))
      .map(
        ({ index }) =>
          command`neigh replace ${overlayAddress(index)} lladdr ${overlayMac(index)} dev ${vxlanName} nud permanent`,
      ),
    ...stale.map((one) => command`neigh delete ${one.dst} dev ${vxlanName}`),
  ];
  const entryChanges: Command[] = [
    ...spec.peers
      .filter((peer) => entryTargets.get(overlayMac(peer.index)) !== peer.underlay)
      .map(
        (peer) => command`fdb replace ${overlayMac(peer.index)} dev ${vxlanName} dst ${peer.underlay} self permanent`,
      ),
    ...entries
      .filter((one) => one.dst !== undefined && !wanted.has(one.mac))
      .map((one) => command`fdb delete ${one.mac} dev ${vxlanName} dst ${String(one.dst)} self`),
  ];
  await link.ip(`setting the peers of ${spec.vpc}`, neighbourChanges, overlayErrors);
  await link.bridge(`setting the peers of ${spec.vpc}`, entryChanges, overlayErrors);
}

export const addRemoteRoute = ({ address, host }: RouteSpec): Command =>
  command`route replace ${address}/32 via ${overlayAddress(host)} dev ${vxlanName} onlink`;
export const deleteRemoteRoute = ({ address, host }: RouteSpec): Command =>
  command`route delete ${address}/32 via ${overlayAddress(host)} dev ${vxlanName} onlink`;

/** Remote routes in the kernel: address -> host index. */
export async function readRemoteRoutes(link: NamespaceLink): Promise<Map<string, number>> {
  const routes = new Map<string, number>();
  for (const { dst, gateway } of await link.routesOf(vxlanName)) {
    const index = overlayIndex(gateway ?? '');
    if (index !== undefined) routes.set(dst.replace('/32', ''), index);
  }
  return routes;
}

/** @param local addresses of ports that are wired on this host: their wiring is newer than any list of remote ports. */
export async function ensureRoutes(
  link: NamespaceLink,
  wanted: readonly RouteSpec[],
  local: ReadonlySet<string>,
): Promise<void> {
  const actual = await readRemoteRoutes(link);
  const wantedHosts = new Map(wanted.map((route) => [route.address, route.host]));
  const missing = wanted.filter((route) => actual.get(route.address) !== route.host && !local.has(route.address));
  const extra = [...actual]
    .filter(([address]) => !wantedHosts.has(address))
    .map(([address, host]) => ({ address, host }));
  await link.ip(
    'setting routes to other hosts',
    [...missing.map(addRemoteRoute), ...extra.map(deleteRemoteRoute)],
    overlayErrors,
  );
}
