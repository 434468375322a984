/**
 * The link of a peering on this host: a veth whose ends are in the namespaces of the two VPCs, both with the same name.
 * Each segment configures its own end: MAC, neighbour, routes. Called by peerings-section.ts.
 *
 * The two segments come in any order. Whoever makes the link while the namespace of the other VPC is not there leaves
 * the far end in the host's own namespace, from where the other segment takes it. An end without its counterpart does
 * not exist: the kernel removes both at once. So an end that is missing here, while there is one over there, belongs to
 * a namespace that is being reaped; it is removed, and the link is made anew.
 *
 * The ends have no addresses. The next hop of all routes is one that nobody has, with a permanent neighbour. ICMP
 * errors that a namespace sends over a link come from its overlay address, 169.254.64.<host>, which the other namespace
 * on the same host has, too: `accept_local` lets it in here, and on other hosts it is nobody's. peering-rules.ts says
 * what may come at all.
 */
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { command, type Command } from '../kernel-command.ts';
import type { ErrorRule } from '../kernel-errors.ts';
import type { KernelLink, NamespaceLink } from '../namespace-link.ts';
import { namespacePath, readNamespace } from '../overlay/overlay-namespace.ts';
import { aliasOf } from '../owner-alias.ts';
import { runProgram } from '../program.ts';

/** One end, as the segment on its side wants it. */
export interface PeerEnd {
  readonly name: string;
  readonly peering: string;
  /** Ids of the VPC whose end it is, and of the other one. */
  readonly vpc: string;
  readonly peer: string;
  /** Namespace of the other VPC, which may not exist. */
  readonly far: string;
  readonly owner: OwnerToken;
  /** CIDRs of the other VPC. */
  readonly cidrs: readonly string[];
  readonly mtu: number;
}

/** By the order of their ids: the two segments agree without a word. */
const macOf = (vpc: string, other: string): string => `02:00:5f:01:00:0${vpc < other ? 1 : 2}`;
/** Nobody has this address. */
const nextHop = '169.254.66.1';

const linkErrors: readonly ErrorRule[] = [
  {
    matches: /File exists/i,
    group: 'fault',
    code: 'kernel_busy',
    advice: 'The link of a namespace that is being removed is still there; it is made again shortly.',
  },
];

/**
 * The links of a namespace. Asked for by name, `ip` would look for a device that the other segment has removed under
 * the index that it knows, and end.
 */
export const readPeerEnds = async (link: NamespaceLink): Promise<ReadonlyMap<string, KernelLink>> =>
  new Map((await link.linksOf('veth')).map((device) => [device.ifname, device]));

const isThere = async (link: NamespaceLink, name: string): Promise<boolean> => (await readPeerEnds(link)).has(name);

/** Puts the near end into this namespace, if it is not there. */
export async function ensurePeerEnd(site: DataplaneSite, link: NamespaceLink, end: PeerEnd): Promise<void> {
  const { name, far, peering } = end;
  await site.locks.hold(`peering ${name}`, async () => {
    if (await isThere(link, name)) return;
    const what = `linking the VPCs of ${peering}`;
    const { host } = site.links;
    if (await isThere(host, name)) {
      await host.ip(what, [command`link set ${name} netns ${String(link.name)}`], linkErrors);
      link.appeared(name);
      return;
    }
    const isMade = (await readNamespace(far)) === 'present';
    const beyond = isMade ? site.links.of(far) : host;
    if (isMade && (await isThere(beyond, name))) await deleteEnd(beyond, name);
    const make = isMade
      ? command`link add ${name} netns ${String(link.name)} type veth peer name ${name} netns ${far}`
      : command`link add ${name} netns ${String(link.name)} type veth peer name ${name}`;
    await host.ip(what, [make], linkErrors);
    for (const one of [link, beyond]) one.appeared(name);
    if (!isMade)
      await host.ip(what, [command`link set ${name} alias ${aliasOf(site.options.cluster, end.owner)}`], linkErrors);
  });
}

async function deleteEnd(link: NamespaceLink, name: string): Promise<void> {
  link.appeared(name);
  await link.ip(`removing ${name}`, [command`link delete ${name}`]);
}

/** Both ends go, with the routes over them. */
export async function deletePeerLink(site: DataplaneSite, link: NamespaceLink, name: string): Promise<void> {
  await site.locks.hold(`peering ${name}`, async () => {
    if (await isThere(link, name)) await deleteEnd(link, name);
  });
}

const isSetUp = (device: KernelLink, { mtu, vpc, peer }: PeerEnd, alias: string): boolean =>
  device.mtu === mtu && device.ifalias === alias && device.address === macOf(vpc, peer) && device.flags.includes('UP');

/** Configures the near end by difference, and routes the CIDRs of the other VPC over it. */
export async function configurePeerEnd(site: DataplaneSite, link: NamespaceLink, end: PeerEnd): Promise<void> {
  const { name, vpc, peer, mtu, peering } = end;
  const device = (await readPeerEnds(link)).get(name);
  const alias = aliasOf(site.options.cluster, end.owner);
  const what = `setting up the link of ${peering} in ${vpc}`;
  if (device === undefined || !isSetUp(device, end, alias)) {
    if (device?.flags.includes('UP') !== true) await acceptLocal(String(link.name), name);
    await link.ip(what, [
      command`link set ${name} address ${macOf(vpc, peer)} mtu ${mtu} alias ${alias}`,
      command`link set ${name} up`,
      command`neigh replace ${nextHop} lladdr ${macOf(peer, vpc)} dev ${name} nud permanent`,
    ]);
  }
  const actual = new Set((await link.routesOf(name)).map(({ dst }) => dst));
  const wanted = new Set(end.cidrs.map(printed));
  const commands: Command[] = [
    ...[...wanted]
      .filter((cidr) => !actual.has(cidr))
      .map((cidr) => command`route replace ${cidr} via ${nextHop} dev ${name} onlink`),
    ...[...actual].filter((cidr) => !wanted.has(cidr)).map((cidr) => command`route delete ${cidr} dev ${name}`),
  ];
  await link.ip(what, commands);
}

/** As `ip` prints a destination. */
const printed = (cidr: string): string => cidr.replace(/\/32$/, '');

async function acceptLocal(namespace: string, name: string): Promise<void> {
  await runProgram({
    program: 'nsenter',
    args: [`--net=${namespacePath(namespace)}`, 'sysctl', '-q', '-w', `net.ipv4.conf.${name}.accept_local=1`],
    what: `setting sysctls of ${name} in ${namespace}`,
  });
}

/** What differs at the near end. */
export async function peerEndDrift(link: NamespaceLink, end: PeerEnd): Promise<readonly string[]> {
  const { name, vpc, peer, mtu, peering } = end;
  const device = (await readPeerEnds(link)).get(name);
  if (device === undefined) return [`no link of ${peering}`];
  const [routes, neighbours] = await Promise.all([link.routesOf(name), link.neighboursOf(name)]);
  const led = new Set(routes.filter(({ gateway }) => gateway === nextHop).map(({ dst }) => dst));
  const wanted = end.cidrs.map(printed);
  const known = neighbours.some(({ dst, lladdr }) => dst === nextHop && lladdr === macOf(peer, vpc));
  return [
    ...(device.mtu === mtu ? [] : [`the link of ${peering} has mtu ${device.mtu}`]),
    ...(device.flags.includes('UP') ? [] : [`the link of ${peering} is down`]),
    ...(device.address === macOf(vpc, peer) ? [] : [`the link of ${peering} has another MAC`]),
    ...(known ? [] : [`no neighbour on the link of ${peering}`]),
    ...wanted.filter((cidr) => !led.has(cidr)).map((cidr) => `no route to ${cidr} over ${peering}`),
    ...[...led].filter((cidr) => !wanted.includes(cidr)).map((cidr) => `still a route to ${cidr} over ${peering}`),
  ];
}

/** Whether this segment still uses the link. The other segment may have made one that nobody uses here. */
export async function isJoined(link: NamespaceLink, name: string): Promise<boolean> {
  const device = (await readPeerEnds(link)).get(name);
  return device !== undefined && (device.flags.includes('UP') || (await link.routesOf(name)).length > 0);
}
