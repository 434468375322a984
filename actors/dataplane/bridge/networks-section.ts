/**
 * Section `networks`: the networks a VPC has on this host, each a bridge with its gateways, an ingress chain and a part
 * of dnsmasq's configuration. Key: the network's id.
 * A network that changes keeps its bridge, its ports and their flows: gateways are added, the chain is replaced in one
 * transaction, dnsmasq is restarted with the new configuration and reads the same hosts.
 */
import type { NetworkSpec } from '@photoncloud/machines/values/wiring';
import { ensureDhcpServer, readDhcpNetworks, readDhcpService, removeDhcpServer } from '../dhcp/dhcp-server.ts';
import { readNetworkRules, removeNetworkRules, setNetworkRules } from '../firewall/firewall-ports.ts';
import { sourceText } from '../firewall/firewall-rules.ts';
import { vxlanName } from '../kernel-names.ts';
import type { KernelLink, NamespaceLink } from '../namespace-link.ts';
import { mtuTooLarge } from '../segment/segment-errors.ts';
import { linkInto, settledOf, type SegmentPlace, type SegmentSection } from '../segment/segment-section.ts';
import { networksIn } from '../wiring-checks.ts';
import { ensureBridges, gatewayAddresses, removeBridge, type WantedBridge } from './bridge-device.ts';

const bridgesOf = ({ site }: SegmentPlace, networks: readonly NetworkSpec[]): readonly WantedBridge[] =>
  networks.map((network) => ({ bridge: site.names.bridgeOf(network.network), network }));

/** Bridges and their rules, before anybody serves them. */
async function makeNetworks(
  { site, segment }: SegmentPlace,
  link: NamespaceLink,
  wanted: readonly WantedBridge[],
  actual: readonly KernelLink[],
): Promise<void> {
  const carried = (actual.find(({ ifname }) => ifname === vxlanName) ?? (await link.link(vxlanName)))?.mtu ?? 0;
  for (const { network } of wanted) if (network.mtu > carried) throw mtuTooLarge(network.network, network.mtu, carried);
  await ensureBridges(link, site.options.cluster, segment.owner, wanted, actual);
  const { rules } = settledOf(link);
  for (const { bridge, network } of wanted) {
    const subnets = JSON.stringify(network.subnets.map((subnet) => subnet.cidr));
    if (rules.get(bridge) === subnets) continue;
    await setNetworkRules(link, bridge, network.subnets);
    rules.set(bridge, subnets);
  }
}

/** After dnsmasq has let go of them. */
async function removeNetworks(link: NamespaceLink, bridges: readonly string[], actual: readonly KernelLink[]) {
  for (const bridge of bridges) {
    await removeBridge(link, bridge, actual);
    await removeNetworkRules(link, bridge);
    settledOf(link).rules.delete(bridge);
  }
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
    await ensureDhcpServer(site.folders.dhcp, namespace, wanted, () => true);
    const keep = new Set(wanted.map(({ bridge }) => bridge));
    const actual = await link.links();
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
    const stale = bridgesOf(place, networksIn(removed)).map(({ bridge }) => bridge);
    await ensureDhcpServer(site.folders.dhcp, namespace, wanted, (bridge) => stale.includes(bridge));
    if (stale.length === 0) return;
    const actual = await link.links();
    const left = stale.filter((bridge) => actual.some(({ ifname }) => ifname === bridge));
    await removeNetworks(link, left, actual);
  },

  read: async (place, wanted, unwanted) => {
    const { site, namespace } = place;
    const link = await linkInto(place);
    const networks = bridgesOf(place, networksIn(wanted));
    const gone = bridgesOf(place, networksIn(unwanted));
    const [served, ...found] = await Promise.all([
      readDhcpService(site.folders.dhcp, namespace, networks),
      ...networks.map((one) => readNetwork(link, one)),
    ]);
    const left = await Promise.all(gone.map(({ bridge }) => link.link(bridge)));
    const drift = [
      ...served.drift,
      ...found.flatMap((one) => one.drift),
      ...gone.flatMap(({ network }, index) => (left[index] === null ? [] : [`still a bridge of ${network.network}`])),
    ];
    const bridges = Object.fromEntries(found.flatMap(({ facts }) => facts));
    return { facts: { bridges, dnsmasqPid: served.pid }, drift };
  },

  missing: async ({ site, namespace, segment }, { server, interfaces }) => {
    const networks = await readDhcpNetworks(site.folders.dhcp, namespace);
    if (server === null) {
      if (networks?.size === 0) return null;
      return { reason: 'dnsmasq_gone', detail: `dnsmasq of ${segment.vpc} in ${namespace} is gone.` };
    }
    if (interfaces === null) return null;
    const bridge = [...(networks?.keys() ?? [])].find((one) => !interfaces.has(one));
    return bridge === undefined
      ? null
      : { reason: 'bridge_gone', detail: `Bridge ${bridge} of ${segment.vpc} is gone.` };
  },

  remove: ({ site, namespace }) => removeDhcpServer(site.folders.dhcp, namespace),
};

async function readNetwork(link: NamespaceLink, { bridge, network }: WantedBridge) {
  const [device, addresses, rules] = await Promise.all([
    link.link(bridge),
    link.addresses(bridge),
    readNetworkRules(link, bridge),
  ]);
  if (device === null) return { facts: [], drift: [`no bridge of ${network.network}`] };
  const drift = [
    ...(device.mtu === network.mtu ? [] : [`bridge of ${network.network} has mtu ${device.mtu}`]),
    ...(device.flags.includes('UP') ? [] : [`bridge of ${network.network} is down`]),
    ...gatewayAddresses(network)
      .filter((one) => !addresses.includes(one))
      .map((one) => `bridge of ${network.network} has no address ${one}`),
    ...network.subnets
      .filter(({ cidr }) => rules?.includes(sourceText(cidr)) !== true)
      .map(({ cidr }) => `no ingress rule for ${cidr}`),
  ];
  return { facts: [[network.network, { ifindex: device.ifindex, mtu: device.mtu }] as const], drift };
}
