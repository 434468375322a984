/**
 * vx0: the one VXLAN device of a VPC on this host, its peers (one neighbour and one FDB entry per other host, nothing
 * per guest) and the /32 routes to ports that other hosts hold. Called by overlay-section.ts and routes-section.ts.
 * Promise: nothing is learned from the wire; a list of remote routes never displaces that of a port here.
 */
import type { HostFacts, OwnerToken, RouteSpec } from '@photoncloud/machines/values/wiring';
import { command, joined } from '../kernel-command.ts';
import type { Command } from '../kernel-command.ts';
import type { KernelLink, NamespaceLink } from '../namespace-link.ts';
import { overlayAddress, overlayIndex, overlayMac, vxlanName } from '../kernel-names.ts';
import { aliasOf } from '../owner-alias.ts';
import { isAddress } from '../wiring-checks.ts';
import { overlayErrors } from './overlay-errors.ts';

const vxlanListenPort = 4789;

export interface OverlaySpec {
  readonly owner: OwnerToken;
  readonly vpc: string;
  readonly vni: number;
  /** What every host of the VPC can carry. */
  readonly mtu: number;
  readonly self: HostFacts;
}

export function fits(link: KernelLink, spec: Pick<OverlaySpec, 'vni' | 'self'>): boolean {
  const settings = link.linkinfo?.info_data;
  return (
    link.linkinfo?.info_kind === 'vxlan' &&
    settings?.['id'] === spec.vni &&
    settings['local'] === spec.self.underlay &&
    settings['port'] === vxlanListenPort &&
    link.address === overlayMac(spec.self.index)
  );
}

function vxlanCommand(namespace: string, { vni, self }: OverlaySpec): Command {
  const make = command`link add vx0 netns ${namespace} address ${overlayMac(self.index)} type vxlan`;
  const settings = command`id ${vni} dstport ${vxlanListenPort} local ${self.underlay} nolearning ttl 16`;
  return joined(make, settings);
}

/** @param host link of the host's own namespace, where the UDP socket stays */
export async function ensureOverlay(
  host: NamespaceLink,
  link: NamespaceLink,
  cluster: string,
  spec: OverlaySpec,
): Promise<void> {
  const what = `making the overlay of ${spec.vpc}`;
  const actual = await link.link(vxlanName);
  const keeps = actual !== null && fits(actual, spec);
  if (actual !== null && !keeps) await deleteOverlay(link);
  if (!keeps) {
    // `netns` makes vx0 directly in the VPC's namespace; making it in the host's and moving it takes 20 ms longer.
    await host.ip(what, [vxlanCommand(String(link.name), spec)], overlayErrors);
    link.appeared(vxlanName);
  }
  const alias = aliasOf(cluster, spec.owner);
  const settled = keeps && actual.mtu === spec.mtu && actual.ifalias === alias && actual.flags.includes('UP');
  if (settled) return;
  await link.ip(
    what,
    [
      command`link set ${vxlanName} mtu ${spec.mtu} alias ${alias}`,
      command`link set ${vxlanName} up`,
      command`addr replace ${overlayAddress(spec.self.index)}/24 dev ${vxlanName}`,
    ],
    overlayErrors,
  );
}

export async function setOverlayMtu(link: NamespaceLink, vpc: string, mtu: number): Promise<void> {
  await link.ip(`setting the MTU of ${vpc}`, [command`link set ${vxlanName} mtu ${mtu}`], overlayErrors);
}

/** Called before the namespace is deleted: the kernel reaps a namespace later, and until then vx0 occupies the VNI. */
export async function deleteOverlay(link: NamespaceLink): Promise<void> {
  if ((await link.link(vxlanName)) === null) return;
  await link.ip(`removing the overlay in ${link.name}`, [command`link delete ${vxlanName}`], overlayErrors);
}

/** @param isStale of a host's index: peers that are not wanted and of which this holds go */
export async function setPeers(
  link: NamespaceLink,
  vpc: string,
  peers: readonly HostFacts[],
  isStale: (index: number) => boolean,
): Promise<void> {
  const [neighbours, entries] = await Promise.all([link.neighboursOf(vxlanName), link.fdbOf(vxlanName)]);
  const wanted = new Set(peers.map(({ index }) => overlayMac(index)));
  const neighbourMacs = new Map(neighbours.map((one) => [one.dst, one.lladdr]));
  const entryTargets = new Map(entries.map((one) => [one.mac, one.dst]));
  const neighbourChanges: Command[] = [
    ...peers
      .filter((peer) => neighbourMacs.get(overlayAddress(peer.index)) !== overlayMac(peer.index))
      .map(
        ({ index }) =>
          command`neigh replace ${overlayAddress(index)} lladdr ${overlayMac(index)} dev ${vxlanName} nud permanent`,
      ),
    ...neighbours
      .filter(({ dst, lladdr }) => {
        const index = overlayIndex(dst);
        return index !== undefined && lladdr !== undefined && !wanted.has(lladdr) && isStale(index);
      })
      .map((one) => command`neigh delete ${one.dst} dev ${vxlanName}`),
  ];
  const entryChanges: Command[] = [
    ...peers
      .filter((peer) => entryTargets.get(overlayMac(peer.index)) !== peer.underlay)
      .map(
        (peer) => command`fdb replace ${overlayMac(peer.index)} dev ${vxlanName} dst ${peer.underlay} self permanent`,
      ),
    ...entries
      .filter(({ mac, dst }) => dst !== undefined && !wanted.has(mac) && isStale(indexOfMac(mac)))
      .map((one) => command`fdb delete ${one.mac} dev ${vxlanName} dst ${String(one.dst)} self`),
  ];
  await link.ip(`setting the peers of ${vpc}`, neighbourChanges, overlayErrors);
  await link.bridge(`setting the peers of ${vpc}`, entryChanges, overlayErrors);
}

/** Inverse of overlayMac; NaN for another one. */
const indexOfMac = (mac: string): number => Number.parseInt(/^02:00:5f:00:00:([0-9a-f]{2})$/.exec(mac)?.[1] ?? '', 16);

/**
 * Metric of a route to a port on another host. One to a port here has none: it hides the other for as long as it
 * stands, and when it goes, packets follow the other at once.
 */
const remoteMetric = 512;

export const addRemoteRoute = ({ address, host }: RouteSpec): Command =>
  command`route replace ${address}/32 via ${overlayAddress(host)} dev ${vxlanName} onlink metric ${remoteMetric}`;
const deleteRemoteRoute = ({ address, host }: RouteSpec): Command =>
  command`route delete ${address}/32 via ${overlayAddress(host)} dev ${vxlanName} onlink metric ${remoteMetric}`;
export const deleteLocalRoute = (address: string, bridge: string): Command =>
  command`route delete ${address}/32 dev ${bridge}`;

/** Of the routes to ports, where they lead; an address may have one of each. */
export interface PortLeads {
  /** Address -> index of the host that has the port. */
  readonly away: ReadonlyMap<string, number>;
  /** Address -> bridge of a port on this host. */
  readonly here: ReadonlyMap<string, string>;
}

/** What `ip` gives a route that names no protocol: those of ports are made so, and no others to a single address. */
const bootProtocol = 3;
/** So many are asked for one by one; more, and all are listed once. */
const fewRoutes = 16;

/** @param addresses those that are of interest; more may be answered */
export async function readLeads(link: NamespaceLink, addresses: readonly string[] | 'all'): Promise<PortLeads> {
  const routes =
    addresses === 'all' || addresses.length > fewRoutes
      ? await link.routesBy(bootProtocol)
      : (await Promise.all(addresses.map((address) => link.routesTo(`${address}/32`)))).flat();
  const ofPorts = routes.filter(({ dst, protocol = 'boot' }) => protocol === 'boot' && isAddress(dst));
  const away = new Map<string, number>();
  const here = new Map<string, string>();
  for (const { dst, dev, gateway } of ofPorts) {
    const index = overlayIndex(gateway ?? '');
    if (dev === vxlanName && index !== undefined) away.set(dst, index);
    else if (gateway === undefined && dev !== undefined) here.set(dst, dev);
  }
  return { away, here };
}

/** All routes to ports on other hosts, whether one to a port here hides them or not. */
export async function ensureRoutes(link: NamespaceLink, wanted: readonly RouteSpec[]): Promise<void> {
  const { away } = await readLeads(link, 'all');
  const wantedHosts = new Map(wanted.map((route) => [route.address, route.host]));
  const missing = wanted.filter(({ address, host }) => away.get(address) !== host);
  const extra = [...away]
    .filter(([address]) => !wantedHosts.has(address))
    .map(([address, host]) => ({ address, host }));
  await link.ip(
    'setting routes to other hosts',
    [...missing.map(addRemoteRoute), ...extra.map(deleteRemoteRoute)],
    overlayErrors,
  );
}

/** What is removed goes where it leads to the host that is named; what is added leads away from here at once. */
export async function changeRoutes(
  link: NamespaceLink,
  vpc: string,
  added: readonly RouteSpec[],
  removed: readonly RouteSpec[],
): Promise<void> {
  const { away, here } = await readLeads(
    link,
    [...added, ...removed].map(({ address }) => address),
  );
  const commands = [
    ...removed.filter(({ address, host }) => away.get(address) === host).map(deleteRemoteRoute),
    ...added.map(addRemoteRoute),
    ...added.flatMap(({ address }) => {
      const bridge = here.get(address);
      return bridge === undefined ? [] : [deleteLocalRoute(address, bridge)];
    }),
  ];
  await link.ip(`changing routes of ${vpc}`, commands, overlayErrors);
}
