/**
 * Input checks of the dataplane: every text that becomes part of a command, a firewall rule or a configuration file is
 * checked here, even if other layers have checked it before (docs/threats.md#t1, #t3, #t4). Called at the start of each
 * operation. Promise: nothing is made from a spec with one bad field; the defeat `spec_invalid` names the field.
 */
import net from 'node:net';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { hostFactsSchema, networkSpecSchema, routeSpecSchema } from '@photoncloud/machines/values/wiring';
import type {
  Elements,
  HostFacts,
  NetworkSpec,
  OwnerToken,
  RouteSpec,
  TapSpec,
} from '@photoncloud/machines/values/wiring';
import { canonicalProblem } from '@photoncloud/machines/values/addresses';
import type { z } from 'zod';
import type { TapRef } from './contract/network-contract.ts';

const name = '[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?';
const actorPattern = new RegExp(`^${name}/${name}/${name}(?:\\.${name})?(?:@${name})?$`);
/** A label of the DNS (RFC 1035). */
const hostnamePattern = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const domainPattern = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const macPattern = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;
const uidPattern = /^[A-Za-z0-9-]{1,64}$/;

/** @throws defeat `spec_invalid` that names the field */
export function must(holds: boolean, path: string, value: unknown): void {
  if (holds) return;
  throw new PhotonError(
    'defeat',
    'spec_invalid',
    `${path} of the spec is invalid: ${JSON.stringify(value)?.slice(0, 80)}; nothing was made.`,
  );
}

const isCount = (value: number, low: number, high: number): boolean =>
  Number.isInteger(value) && value >= low && value <= high;

/** Whether the text is an IPv4 address in canonical form. */
export const isAddress = (text: string): boolean =>
  net.isIPv4(text) && text.split('.').every((part) => String(Number(part)) === part);

export const addressNumber = (address: string): number =>
  address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
export const addressText = (value: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');

/** `{network, prefixLength, mask}` of a canonical CIDR. */
export function cidrParts(cidr: string): { network: string; prefixLength: number; mask: string } {
  const [network = '', length = ''] = cidr.split('/');
  const prefixLength = Number(length);
  return { network, prefixLength, mask: addressText(2 ** 32 - 2 ** (32 - prefixLength)) };
}

function isCidr(cidr: string): boolean {
  const { network, prefixLength } = cidrParts(cidr);
  if (!isAddress(network) || !isCount(prefixLength, 1, 30)) return false;
  return addressNumber(network) % 2 ** (32 - prefixLength) === 0 && cidr === `${network}/${prefixLength}`;
}

export function checkOwner(owner: OwnerToken): void {
  must(actorPattern.test(owner.actor), 'owner.actor', owner.actor);
  must(uidPattern.test(owner.uid), 'owner.uid', owner.uid);
  must(isCount(owner.runEpoch, 0, Number.MAX_SAFE_INTEGER), 'owner.runEpoch', owner.runEpoch);
}

export function checkActor(path: string, actor: string): void {
  must(actorPattern.test(actor), path, actor);
}

/** An id of this kind: `security-group/acme/web`. */
export function checkIdOf(kind: string, path: string, id: string): void {
  must(actorPattern.test(id) && id.startsWith(`${kind}/`), path, id);
}

/** Ids of a port's security groups: each once. */
export function checkGroups(path: string, groups: readonly string[]): void {
  must(Array.isArray(groups) && groups.length <= 5 && new Set(groups).size === groups.length, path, groups);
  for (const group of groups) checkIdOf('security-group', path, group);
}

export function checkHost(path: string, host: HostFacts): void {
  must(isCount(host.index, 1, 254), `${path}.index`, host.index);
  must(isAddress(host.underlay), `${path}.underlay`, host.underlay);
  must(isCount(host.underlayMtu, 600, 65535), `${path}.underlayMtu`, host.underlayMtu);
}

/** The element as its schema has it. @throws defeat `spec_invalid` */
export function parsed<Element>(schema: z.ZodType<Element>, path: string, element: unknown): Element {
  const result = schema.safeParse(element);
  must(result.success, path, element);
  return result.data as Element;
}

/** Elements of section `routes`, keyed by their address. */
export function routesIn(elements: Elements): readonly RouteSpec[] {
  return Object.entries(elements).map(([key, element]) => {
    const route = parsed(routeSpecSchema, `routes.${key}`, element);
    must(isAddress(route.address) && route.address === key, `routes.${key}.address`, route.address);
    must(isCount(route.host, 1, 254), `routes.${key}.host`, route.host);
    return route;
  });
}

/** Elements of section `networks`, keyed by the network's id. */
export function networksIn(elements: Elements): readonly NetworkSpec[] {
  return Object.entries(elements).map(([key, element]) => {
    const network = parsed(networkSpecSchema, `networks.${key}`, element);
    must(network.network === key, `networks.${key}.network`, network.network);
    checkNetwork(`networks.${key}`, network);
    return network;
  });
}

function checkNetwork(path: string, network: NetworkSpec): void {
  checkActor(`${path}.network`, network.network);
  must(isCount(network.mtu, 576, 65535), `${path}.mtu`, network.mtu);
  must(isCount(network.dhcp.leaseSeconds, 120, 31_536_000), `${path}.dhcp.leaseSeconds`, network.dhcp.leaseSeconds);
  // To dnsmasq 0.0.0.0 is a word of its own: the address of dnsmasq itself.
  const isServer = (address: string): boolean => isAddress(address) && address !== '0.0.0.0';
  must(network.dhcp.dns.every(isServer), `${path}.dhcp.dns`, network.dhcp.dns);
  must(network.dhcp.ntp.every(isServer), `${path}.dhcp.ntp`, network.dhcp.ntp);
  must(
    network.dhcp.search.every((one) => domainPattern.test(one)),
    `${path}.dhcp.search`,
    network.dhcp.search,
  );
  must(
    network.dhcp.domain === null || domainPattern.test(network.dhcp.domain),
    `${path}.dhcp.domain`,
    network.dhcp.domain,
  );
  const isRoute = (destination: string): boolean => canonicalProblem(destination) === undefined;
  must(
    (network.dhcp.routes ?? []).every(({ destination, via }) => isRoute(destination) && isAddress(via)),
    `${path}.dhcp.routes`,
    network.dhcp.routes,
  );
  network.subnets.forEach((subnet, index) => {
    must(isCidr(subnet.cidr), `${path}.subnets.${index}.cidr`, subnet.cidr);
    must(isAddress(subnet.gateway), `${path}.subnets.${index}.gateway`, subnet.gateway);
  });
}

/** Elements of section `overlay`; of an increment only those that changed. */
export interface OverlayElements {
  readonly vni?: number;
  readonly mtu?: number;
  readonly self?: HostFacts;
  readonly peers: readonly HostFacts[];
}

/** Keys `vni`, `mtu`, `self` and `peer/<host>`. */
export function overlayIn({ vni, mtu, self, ...rest }: Elements): OverlayElements {
  if (vni !== undefined) must(isCount(Number(vni), 1, 2 ** 24 - 1), 'overlay.vni', vni);
  if (mtu !== undefined) must(isCount(Number(mtu), 550, 65535), 'overlay.mtu', mtu);
  const host = (path: string, element: unknown): HostFacts => {
    const facts = parsed(hostFactsSchema, path, element);
    checkHost(path, facts);
    return facts;
  };
  const peers = Object.entries(rest).map(([key, element]) => {
    const peer = host(`overlay.${key}`, element);
    must(key === `peer/${peer.name}`, `overlay.${key}`, peer.name);
    return peer;
  });
  return {
    ...(vni === undefined ? {} : { vni: Number(vni) }),
    ...(mtu === undefined ? {} : { mtu: Number(mtu) }),
    ...(self === undefined ? {} : { self: host('overlay.self', self) }),
    peers,
  };
}

export function checkTapRef(tap: TapRef): void {
  checkOwner(tap.owner);
  checkActor('vpc', tap.vpc);
  checkActor('network', tap.network);
  must(macPattern.test(tap.mac), 'mac', tap.mac);
  must((Number.parseInt(tap.mac.slice(0, 2), 16) & 1) === 0, 'mac', tap.mac);
  must(isAddress(tap.address), 'address', tap.address);
}

/** Ten pairs of sixteen addresses each. */
const pairsAtMost = 160;

export function checkTap(spec: TapRef & Pick<TapSpec, 'hostname' | 'mtu' | 'groups' | 'pairs' | 'activeHost'>): void {
  checkTapRef(spec);
  const pairs = spec.pairs ?? [];
  must(Array.isArray(pairs) && pairs.length <= pairsAtMost, 'pairs', pairs);
  for (const { address, mac } of pairs) {
    must(isAddress(address) && address !== spec.address, 'pairs', address);
    must(macPattern.test(mac) && (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0, 'pairs', mac);
  }
  must(new Set(pairs.map(({ address }) => address)).size === pairs.length, 'pairs', pairs);
  checkGroups('groups', spec.groups);
  must(hostnamePattern.test(spec.hostname), 'hostname', spec.hostname);
  must(isCount(spec.mtu, 576, 65535), 'mtu', spec.mtu);
  if (spec.activeHost !== undefined) must(isCount(spec.activeHost, 1, 254), 'activeHost', spec.activeHost);
}

export function checkUid(path: string, uid: string): void {
  must(uidPattern.test(uid), path, uid);
}

export function checkDigest(path: string, sha256: string): void {
  must(/^[0-9a-f]{64}$/.test(sha256), path, sha256);
}

export function checkMac(path: string, mac: string): void {
  must(macPattern.test(mac), path, mac);
}

export function checkCount(path: string, value: number, low: number, high: number): void {
  must(isCount(value, low, high), path, value);
}
