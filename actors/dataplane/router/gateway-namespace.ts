/**
 * The gateway namespace of a VPC on a gateway host: beside the VPC's namespace, with flows of its own. A pair of
 * devices (`gw0` in the VPC, `in0` here) joins the two; `ext0`, a macvlan on the host's uplink, leads outside.
 *
 * Both gateway hosts have it, with all rules and maps. Only the active one has external addresses on `ext0`, and
 * `ext0` up: `arp_notify` lets the kernel announce all of them when it comes up. An address that comes later is
 * announced by a question for an address that nobody has, asked from it.
 * TCP flows are also taken up in their middle here (tcp_loose), so that those through external addresses go on after
 * another gateway host took over. In the VPC's namespace they are not: there they are judged by security groups.
 * Called by gateway-section.ts, external-addresses-section.ts, segment removal and the sweep.
 */
import type { GatewayElement } from '@photoncloud/machines/values/router-elements';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { chainsOf } from '../firewall/firewall-changes.ts';
import { firewallErrors } from '../firewall/firewall-errors.ts';
import { command, joined } from '../kernel-command.ts';
import { externalMac } from '../kernel-names.ts';
import type { KernelLink, KernelRule, NamespaceLink } from '../namespace-link.ts';
import { deleteNamespace, ensureNamespace, markNamespace, readNamespace } from '../overlay/overlay-namespace.ts';
import { setSysctls } from '../overlay/overlay-namespace.ts';
import { overlayErrors } from '../overlay/overlay-errors.ts';
import { aliasOf } from '../owner-alias.ts';
import { existsSync } from 'node:fs';
import { uplinkErrors } from './gateway-errors.ts';
import { isPermitted, setPermitted } from './gateway-permit.ts';
import type { PermitGateway } from './permit-table.ts';
import {
  addressMaps,
  gatewayChains,
  gatewayStatements,
  gatewayTable,
  insideAddress,
  insideName,
  outsideName,
  outwardMark,
  outwardTable,
  vpcSide,
  vpcSideAddress,
  type AddressMap,
  type GatewayRules,
} from './gateway-rules.ts';

/** Nothing of the way between the namespaces is narrower than what it joins. */
const pairMtu = 65_535;
const pairPrefix = 30;

export interface GatewayPlace {
  readonly site: DataplaneSite;
  readonly vpc: string;
  readonly owner: OwnerToken;
  /** Of the VPC. */
  readonly link: NamespaceLink;
  /** Name of the gateway namespace. */
  readonly namespace: string;
}

export interface WantedGateway {
  readonly element: GatewayElement;
  readonly rules: GatewayRules;
  readonly isActive: boolean;
}

export const gatewayLink = ({ site, namespace }: Pick<GatewayPlace, 'site' | 'namespace'>): NamespaceLink =>
  site.links.of(namespace);

/** A device of the gateway namespace, which has three. By its name alone `ip` fails when it has been taken away. */
const deviceIn = async (link: NamespaceLink, name: string): Promise<KernelLink | null> =>
  (await link.links()).find(({ ifname }) => ifname === name) ?? null;

/** This end of the pair. Whoever took the other one away has taken it, too. */
async function pairEnd(link: NamespaceLink): Promise<KernelLink | null> {
  link.appeared(vpcSide);
  return link.link(vpcSide);
}

const permitOf = ({ site, vpc }: GatewayPlace, { element, isActive }: WantedGateway): PermitGateway | null =>
  isActive && element.gateways.length > 1
    ? { network: element.network, uplink: element.interface, mac: externalMac(site.options.cluster, vpc) }
    : null;

// Made

const sysctls = (ipv6: boolean): readonly string[] => [
  'net.ipv4.ip_forward=1',
  ...['all', 'default'].flatMap((one) => [
    `net.ipv4.conf.${one}.rp_filter=0`,
    `net.ipv4.conf.${one}.send_redirects=0`,
    `net.ipv4.conf.${one}.accept_redirects=0`,
  ]),
  // Of the devices that are made next: no address of another device is answered for, and those of its own announced.
  'net.ipv4.conf.default.arp_ignore=1',
  'net.ipv4.conf.default.arp_notify=1',
  // Errors come from the side that they are about, whatever the routes say.
  'net.ipv4.icmp_errors_use_inbound_ifaddr=1',
  'net.netfilter.nf_conntrack_tcp_loose=1',
  ...(ipv6 ? ['net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1'] : []),
];

const settledLinks = new WeakSet<NamespaceLink>();

/** Namespace, table and devices. @returns whether the namespace is new, and so its maps are empty */
export async function ensureGatewayNamespace(place: GatewayPlace, wanted: WantedGateway): Promise<boolean> {
  const { site, namespace } = place;
  const { cluster } = site.options;
  const isNew = await ensureNamespace(namespace);
  if (isNew) await site.links.forget(namespace);
  const link = gatewayLink(place);
  await markNamespace(link, cluster, place.owner);
  if (isNew || (await tableDrift(link, wanted.rules)).length > 0)
    await link.nft(`loading the rules of the gateway of ${place.vpc}`, gatewayStatements(wanted.rules), firewallErrors);
  // After the table, which brings conntrack's sysctls, and before the devices, which take the defaults over.
  if (!settledLinks.has(link)) await setSysctls(namespace, sysctls(existsSync('/proc/sys/net/ipv6')));
  settledLinks.add(link);
  await ensurePair(place);
  await ensureOutside(place, wanted.element);
  await ensureRouting(place, wanted.element);
  return isNew;
}

const isPair = (gw: KernelLink | null, inner: KernelLink | null): boolean =>
  gw !== null && inner !== null && gw.link_index === inner.ifindex && inner.link_index === gw.ifindex;

async function ensurePair(place: GatewayPlace): Promise<void> {
  const { site, vpc, owner, link, namespace } = place;
  const inner = gatewayLink(place);
  const [had, hadInner] = await Promise.all([pairEnd(link), deviceIn(inner, insideName)]);
  const what = `joining ${vpc} to its gateway`;
  const alias = aliasOf(site.options.cluster, owner);
  if (!isPair(had, hadInner)) {
    if (had !== null) await link.ip(what, [command`link delete ${vpcSide}`], overlayErrors);
    // The other end went with it, if it was that.
    if ((await deviceIn(inner, insideName)) !== null) await inner.ip(what, [command`link delete ${insideName}`]);
    const make = command`link add ${vpcSide} mtu ${pairMtu} type veth`;
    const peer = command`peer name ${insideName} mtu ${pairMtu} netns ${namespace}`;
    await link.ip(what, [joined(make, peer)], overlayErrors);
    link.appeared(vpcSide);
    inner.appeared(insideName);
  }
  await inner.ip(what, [
    command`addr replace ${insideAddress}/${pairPrefix} dev ${insideName}`,
    command`link set ${insideName} mtu ${pairMtu} up`,
    command`route replace default via ${vpcSideAddress} dev ${insideName}`,
  ]);
  await link.ip(what, [
    command`addr replace ${vpcSideAddress}/${pairPrefix} dev ${vpcSide}`,
    command`link set ${vpcSide} mtu ${pairMtu} alias ${alias} up`,
  ]);
  // What says that it comes from an address of the VPC cannot come from there.
  if (!(await link.filtersReverse(vpcSide)))
    await setSysctls(String(link.name), [`net.ipv4.conf.${vpcSide}.rp_filter=1`]);
}

async function ensureOutside(place: GatewayPlace, element: GatewayElement): Promise<void> {
  const { site, vpc, owner, namespace } = place;
  const { host } = site.links;
  const link = gatewayLink(place);
  const mac = externalMac(site.options.cluster, vpc);
  const what = `making the way of ${vpc} out of ${element.interface}`;
  host.appeared(element.interface);
  const [uplink, had] = await Promise.all([host.link(element.interface), deviceIn(link, outsideName)]);
  const fits = had !== null && had.linkinfo?.info_kind === 'macvlan' && had.link_index === uplink?.ifindex;
  if (had !== null && !fits) await link.ip(what, [command`link delete ${outsideName}`]);
  if (!fits) {
    const make = command`link add ${outsideName} link ${element.interface} netns ${namespace} address ${mac}`;
    await host.ip(what, [joined(make, command`type macvlan mode bridge`)], uplinkErrors);
    link.appeared(outsideName);
  }
  const alias = aliasOf(site.options.cluster, owner);
  const settled = fits && had.mtu === element.mtu && had.address === mac && had.ifalias === alias;
  if (settled) return;
  await link.ip(
    what,
    [command`link set ${outsideName} mtu ${element.mtu} address ${mac} alias ${alias}`],
    uplinkErrors,
  );
}

const markRule = 100;
const ownRule = 101;

/** Marked packets, and what the namespace itself asks the external network, lead outside. */
const routingRules = ({ cidr }: GatewayElement) => [
  {
    priority: markRule,
    add: command`rule add fwmark ${outwardMark} lookup ${outwardTable} pref ${markRule}`,
    holds: ({ fwmark, table }: KernelRule) => fwmark === `0x${outwardMark}` && table === String(outwardTable),
  },
  {
    priority: ownRule,
    add: command`rule add to ${cidr} iif lo lookup ${outwardTable} pref ${ownRule}`,
    holds: ({ dst, dstlen, table }: KernelRule) => `${dst}/${dstlen}` === cidr && table === String(outwardTable),
  },
];

async function ensureRouting(place: GatewayPlace, element: GatewayElement): Promise<void> {
  const link = gatewayLink(place);
  const what = `setting the routing of ${place.vpc} outwards`;
  const actual = await link.rules();
  for (const { priority, add, holds } of routingRules(element)) {
    const found = actual.filter((one) => one.priority === priority);
    if (found.length === 1 && found.every(holds)) continue;
    await link.ip(what, [...found.map(() => command`rule delete pref ${priority}`), add]);
  }
  // Without an uplink, or an upstream, a packet is answered and not sent back inside.
  await link.ip(what, [command`route replace unreachable default metric 4096 table ${outwardTable}`]);
}

// Active and standby

/** External addresses that the maps have, and the one for everybody. */
export async function externalsIn(link: NamespaceLink, snat: string | null): Promise<ReadonlySet<string>> {
  const mapped = [...(await readMapping(link, 'inside')).keys()];
  return new Set(snat === null ? mapped : [...mapped, snat]);
}

/** What the active gateway answers for; while `ext0` is down it is nothing. */
export const addressesOn = async (link: NamespaceLink): Promise<readonly string[]> =>
  (await link.routesIn('local', outsideName)).filter(({ type }) => type === 'local').map(({ dst }) => dst);

/** Takes the external addresses: under the permit first, then all of them, then up, which announces them. */
export async function activate(place: GatewayPlace, wanted: WantedGateway): Promise<void> {
  const { vpc, site, namespace } = place;
  const { element, rules } = wanted;
  const link = gatewayLink(place);
  await setPermitted(site, namespace, permitOf(place, wanted));
  const device = await deviceIn(link, outsideName);
  const isUp = device?.flags.includes('UP') === true;
  const externals = await externalsIn(link, rules.snat);
  const had: readonly string[] = isUp ? await addressesOn(link) : [];
  const commands = [
    // While it is down the kernel does not say which there are.
    ...(isUp ? [] : [command`addr flush dev ${outsideName}`]),
    ...[...externals].filter((one) => !had.includes(one)).map((one) => command`addr add ${one}/32 dev ${outsideName}`),
    ...had.filter((one) => !externals.has(one)).map((one) => command`addr delete ${one}/32 dev ${outsideName}`),
    ...(isUp ? [] : [command`link set ${outsideName} up`]),
    command`route replace ${element.cidr} dev ${outsideName} table ${outwardTable}`,
    ...(element.upstream === null
      ? []
      : [command`route replace default via ${element.upstream} dev ${outsideName} table ${outwardTable}`]),
  ];
  await link.ip(`giving ${vpc} its external addresses`, commands, uplinkErrors);
  const stale = (await link.routesIn(outwardTable, outsideName)).filter(
    ({ dst, gateway }) => dst !== element.cidr && !(dst === 'default' && gateway === (element.upstream ?? undefined)),
  );
  await link.ip(
    `taking away older ways of ${vpc} out`,
    stale.map(({ dst }) => command`route delete ${dst} dev ${outsideName} table ${outwardTable}`),
  );
}

/** Neither sends nor answers any more. */
export async function deactivate(place: GatewayPlace): Promise<void> {
  const link = gatewayLink(place);
  if ((await deviceIn(link, outsideName)) !== null)
    await link.ip(`taking the external addresses of ${place.vpc}`, [
      command`link set ${outsideName} down`,
      command`addr flush dev ${outsideName}`,
    ]);
  await setPermitted(place.site, place.namespace, null);
}

export const hasOutside = async (link: NamespaceLink): Promise<boolean> => (await deviceIn(link, outsideName)) !== null;

export const isActive = async (link: NamespaceLink): Promise<boolean> =>
  (await deviceIn(link, outsideName))?.flags.includes('UP') === true;

// Read

const words = (text: string): readonly string[] => text.split(',').map((one) => one.trim());

/** The elements of one of the two maps. */
export async function readMapping(link: NamespaceLink, map: AddressMap): Promise<ReadonlyMap<string, string>> {
  const text = (await link.nftRead(`list map ${gatewayTable} ${map}`)) ?? '';
  const inside = /elements = \{([^}]*)\}/.exec(text)?.[1] ?? '';
  const pairs = words(inside).filter((one) => one !== '');
  return new Map(pairs.map((one) => one.split(' : ') as [string, string]));
}

async function tableDrift(link: NamespaceLink, rules: GatewayRules): Promise<readonly string[]> {
  const text = await link.nftRead(`list table ${gatewayTable}`);
  if (text === null) return ['no rules of the gateway'];
  const actual = chainsOf(text);
  const missing = addressMaps.filter((map) => !text.includes(`map ${map} {`)).map((map) => `no map ${map}`);
  const wanted = Object.entries(gatewayChains(rules));
  return [
    ...missing,
    ...wanted
      .filter(([name, lines]) => actual.get(name)?.join('\n') !== lines.join('\n'))
      .map(([name]) => `chain ${name} of the gateway is not as wanted`),
  ];
}

/** What of the namespace and of its state differs. */
export async function gatewayDrift(place: GatewayPlace, wanted: WantedGateway): Promise<readonly string[]> {
  const { site, vpc, namespace, link } = place;
  const { element, rules } = wanted;
  if ((await readNamespace(namespace)) !== 'present') return ['no gateway namespace'];
  const inner = gatewayLink(place);
  const [gw, ins, outside, routes, ruleList, table, reverse] = await Promise.all([
    pairEnd(link),
    deviceIn(inner, insideName),
    deviceIn(inner, outsideName),
    inner.routesTo('default'),
    inner.rules(),
    tableDrift(inner, rules),
    link.filtersReverse(vpcSide),
  ]);
  const isUp = outside?.flags.includes('UP') === true;
  const isLed = routingRules(element).every(({ priority, holds }) =>
    ruleList.some((one) => one.priority === priority && holds(one)),
  );
  const permit = permitOf(place, wanted);
  return [
    ...table,
    ...(isPair(gw, ins) && [gw, ins].every((one) => one?.flags.includes('UP')) ? [] : ['not joined to its gateway']),
    ...(reverse ? [] : [`${vpcSide} takes senders of the VPC`]),
    ...(routes.some(({ gateway }) => gateway === vpcSideAddress) ? [] : ['the gateway has no route inside']),
    ...(isLed ? [] : ['the gateway leads nothing outside']),
    ...(outside === null
      ? [`no ${outsideName}`]
      : outsideDrift(outside, element, externalMac(site.options.cluster, vpc))),
    ...(isUp === wanted.isActive ? [] : [isUp ? 'still answers for external addresses' : 'does not lead outside']),
    ...(isUp && wanted.isActive ? await activeDrift(inner, wanted) : []),
    ...(permit === null || (await isPermitted(site, namespace, permit)) ? [] : ['is not under the permit']),
  ];
}

const outsideDrift = (outside: KernelLink, { mtu }: GatewayElement, mac: string): readonly string[] => [
  ...(outside.linkinfo?.info_kind === 'macvlan' && outside.address === mac ? [] : [`${outsideName} is another device`]),
  ...(outside.mtu === mtu ? [] : [`${outsideName} has mtu ${outside.mtu}`]),
];

async function activeDrift(link: NamespaceLink, { element, rules }: WantedGateway): Promise<readonly string[]> {
  const [externals, addresses, routes] = await Promise.all([
    externalsIn(link, rules.snat),
    addressesOn(link),
    link.routesIn(outwardTable, outsideName),
  ]);
  const ways = routes.map(({ dst, gateway }) => (dst === 'default' ? `via ${gateway}` : dst));
  const wanted = [element.cidr, ...(element.upstream === null ? [] : [`via ${element.upstream}`])];
  return [
    ...[...externals].filter((one) => !addresses.includes(one)).map((one) => `does not answer for ${one}`),
    ...addresses.filter((one) => !externals.has(one)).map((one) => `still answers for ${one}`),
    ...wanted.filter((one) => !ways.includes(one)).map((one) => `no way out to ${one}`),
    ...ways.filter((one) => !wanted.includes(one)).map((one) => `another way out to ${one}`),
  ];
}

// Removed

/**
 * `ext0` goes first: the kernel reaps a namespace later, and until then it would answer. @returns whether there was one
 */
export async function removeGatewayNamespace(site: DataplaneSite, namespace: string): Promise<boolean> {
  const found = await readNamespace(namespace);
  if (found === 'present') {
    const link = site.links.of(namespace);
    const devices = (await link.links()).map(({ ifname }) => ifname);
    const ours = [outsideName, insideName].filter((one) => devices.includes(one));
    await link.ip(
      `removing the gateway ${namespace}`,
      ours.map((one) => command`link delete ${one}`),
    );
  }
  await setPermitted(site, namespace, null);
  await site.links.forget(namespace);
  if (found !== 'absent') await deleteNamespace(namespace);
  return found !== 'absent';
}
