/**
 * Section `networks`: the networks a VPC has on this host, each a bridge with its gateways and a dnsmasq.
 * Key: the network's id.
 * A network that changes keeps its bridge, its ports and their flows: gateways are added, its dnsmasq is restarted with
 * the new configuration and reads the same hosts.
 */
import path from 'node:path';
import type { NetworkSpec } from '@photoncloud/machines/values/wiring';
import { dhcpFolderOf, listDhcpFolders } from '../dhcp/dhcp-hosts.ts';
import { ensureDhcpServer, readDhcpServer, readDhcpService, readServedNetwork } from '../dhcp/dhcp-server.ts';
import { removeDhcpFolder, removeDhcpServer } from '../dhcp/dhcp-server.ts';
import { vxlanName } from '../kernel-names.ts';
import type { KernelLink, NamespaceLink } from '../namespace-link.ts';
import { mtuTooLarge, segmentMissing } from '../segment/segment-errors.ts';
import { linkInto } from '../segment/segment-section.ts';
import type { SectionPlace, SegmentPlace, SegmentSection } from '../segment/segment-section.ts';
import { networksIn } from '../wiring-checks.ts';
import { ensureBridges, gatewayAddresses, removeBridge, type WantedBridge } from './bridge-device.ts';

const bridgesOf = ({ site }: SegmentPlace, networks: readonly NetworkSpec[]): readonly WantedBridge[] =>
  networks.map((network) => ({ bridge: site.names.bridgeOf(network.network), network }));

/** Bridges, before anybody serves them. */
async function makeNetworks(
  { site, segment }: SegmentPlace,
  link: NamespaceLink,
  wanted: readonly WantedBridge[],
  actual: readonly KernelLink[],
): Promise<void> {
  const carried = (actual.find(({ ifname }) => ifname === vxlanName) ?? (await link.link(vxlanName)))?.mtu;
  // Deleted by hand: the next try finds it made again.
  if (carried === undefined) throw segmentMissing(segment.vpc);
  for (const { network } of wanted) if (network.mtu > carried) throw mtuTooLarge(network.network, network.mtu, carried);
  await ensureBridges(link, site.options.cluster, segment.owner, wanted, actual);
}

/** @param actual the links of the namespace, these bridges at least */
async function serveNetworks(
  { site, namespace }: SegmentPlace,
  wanted: readonly WantedBridge[],
  actual: readonly KernelLink[],
): Promise<void> {
  const found = new Map(actual.map(({ ifname, ifindex }) => [ifname, ifindex]));
  await Promise.all(
    wanted.map(({ bridge, network }) => {
      const folder = dhcpFolderOf(site.folders.dhcp, namespace, bridge);
      const ifindex = found.get(bridge) ?? 0;
      return site.locks.hold(`dhcp ${folder}`, () => ensureDhcpServer(folder, namespace, { bridge, ifindex, network }));
    }),
  );
}

async function unserve({ site }: SectionPlace, folders: readonly string[]): Promise<void> {
  for (const folder of folders) await site.locks.hold(`dhcp ${folder}`, () => removeDhcpServer(folder));
}

/** After dnsmasq has let go of them. */
async function removeNetworks(link: NamespaceLink, bridges: readonly string[], actual: readonly KernelLink[]) {
  for (const bridge of bridges) await removeBridge(link, bridge, actual);
}

export const networksSection: SegmentSection = {
  name: 'networks',
  after: ['overlay'],
  check: (elements) => void networksIn(elements),

  ensure: async (place, elements) => {
    const { site, namespace } = place;
    const wanted = bridgesOf(place, networksIn(elements));
    const link = await linkInto(place);
    await makeNetworks(place, link, wanted, await link.links());
    const keep = new Set(wanted.map(({ bridge }) => bridge));
    const actual = await link.links();
    await serveNetworks(place, wanted, actual);
    const served = await listDhcpFolders(site.folders.dhcp, namespace);
    await unserve(
      place,
      served.filter((folder) => !keep.has(path.basename(folder))),
    );
    const others = actual.map(({ ifname }) => ifname).filter((name) => site.names.isBridge(name) && !keep.has(name));
    await removeNetworks(link, others, actual);
  },

  change: async (place, { put, removed }) => {
    const { site, namespace } = place;
    const wanted = bridgesOf(place, networksIn(put));
    const link = await linkInto(place);
    const found = await Promise.all(wanted.map(({ bridge }) => link.link(bridge)));
    await makeNetworks(
      place,
      link,
      wanted,
      found.filter((one) => one !== null),
    );
    const actual = await link.links();
    await serveNetworks(place, wanted, actual);
    const stale = bridgesOf(place, networksIn(removed)).map(({ bridge }) => bridge);
    await unserve(
      place,
      stale.map((bridge) => dhcpFolderOf(site.folders.dhcp, namespace, bridge)),
    );
    const left = stale.filter((bridge) => actual.some(({ ifname }) => ifname === bridge));
    await removeNetworks(link, left, actual);
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const networks = bridgesOf(place, networksIn(wanted));
    const gone = bridgesOf(place, networksIn(unwanted));
    const found = await Promise.all(networks.map((one) => readNetwork(place, link, one)));
    const left = await Promise.all(gone.map(({ bridge }) => link.link(bridge)));
    const drift = [
      ...found.flatMap((one) => one.drift),
      ...gone.flatMap(({ network }, index) => (left[index] === null ? [] : [`still a bridge of ${network.network}`])),
    ];
    const bridges = Object.fromEntries(found.flatMap(({ facts }) => facts));
    return { facts: { bridges }, drift };
  },

  missing: async ({ site, namespace, segment }, { interfaces }) => {
    const lost = async (reason: 'bridge_gone' | 'dnsmasq_gone', folder: string, said: (of: string) => string) => {
      const key = await readServedNetwork(folder);
      return { reason, detail: said(key ?? segment.vpc), ...(key === undefined ? {} : { key }) };
    };
    for (const folder of await listDhcpFolders(site.folders.dhcp, namespace)) {
      const bridge = path.basename(folder);
      // What is being restarted just now is not gone.
      const isServed =
        (await readDhcpServer(folder)) !== null ||
        (await site.locks.hold(`dhcp ${folder}`, () => readDhcpServer(folder))) !== null;
      if (!isServed)
        return await lost('dnsmasq_gone', folder, (of) => `dnsmasq on ${bridge} of ${of} in ${namespace} is gone.`);
      if (interfaces !== null && !interfaces.has(bridge))
        return await lost('bridge_gone', folder, (of) => `Bridge ${bridge} of ${of} is gone.`);
    }
    return null;
  },

  remove: async (place) => {
    const { site, namespace } = place;
    await unserve(place, await listDhcpFolders(site.folders.dhcp, namespace));
    await removeDhcpFolder(site.folders.dhcp, namespace);
  },
};

async function readNetwork({ site, namespace }: SegmentPlace, link: NamespaceLink, { bridge, network }: WantedBridge) {
  const [device, addresses] = await Promise.all([link.link(bridge), link.addresses(bridge)]);
  if (device === null) return { facts: [], drift: [`no bridge of ${network.network}`] };
  const { ifindex, mtu } = device;
  const folder = dhcpFolderOf(site.folders.dhcp, namespace, bridge);
  const served = await readDhcpService(folder, { bridge, ifindex, network });
  const drift = [
    ...served.drift,
    ...(mtu === network.mtu ? [] : [`bridge of ${network.network} has mtu ${mtu}`]),
    ...(device.flags.includes('UP') ? [] : [`bridge of ${network.network} is down`]),
    ...gatewayAddresses(network)
      .filter((one) => !addresses.includes(one))
      .map((one) => `bridge of ${network.network} has no address ${one}`),
  ];
  return { facts: [[network.network, { ifindex, mtu, dnsmasqPid: served.pid }] as const], drift };
}
