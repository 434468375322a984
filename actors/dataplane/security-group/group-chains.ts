/**
 * Security groups as nft chains and sets of table `inet sg`: names, rules as text, statements. Pure.
 *
 * A group has a chain for each direction, whose rules all accept. The groups of a port are a combination: a chain for
 * each direction that jumps to those of its groups and then drops. Ports with the same groups share it, and only a
 * map of addresses leads to it. So a changed rule is one chain, whatever number of ports has the group. Every name is a
 * hash: no text of a tenant stands in the ruleset (docs/threats.md#t4).
 *
 * Rules are written as `nft -n` prints them: what stands in the kernel is compared with what is wanted line by line.
 */
import { protocolNumbers, type GroupRule, type Remote } from '@photoncloud/machines/values/group-rules';
import { hashName } from '../kernel-names.ts';

export type Direction = GroupRule['direction'];
export const directions: readonly Direction[] = ['ingress', 'egress'];

const hashLength = 16;
const hashOf = (id: string): string => hashName(id, hashLength);

const groupPrefix = { ingress: 'gi_', egress: 'ge_' } as const;
const combinationPrefix = { ingress: 'ci_', egress: 'ce_' } as const;

/** Rules of a group for one direction. */
export const groupChain = (direction: Direction, id: string): string => groupPrefix[direction] + hashOf(id);
export const groupChains = (id: string): readonly string[] => directions.map((one) => groupChain(one, id));
export const isGroupChain = (name: string): boolean => /^g[ie]_/.test(name);
/** What a port with these groups applies in one direction. */
export const combinationChain = (direction: Direction, ids: readonly string[]): string =>
  combinationPrefix[direction] + hashOf([...ids].sort().join(' '));
/** Addresses of a group's ports. */
export const memberSet = (id: string): string => `gm_${hashOf(id)}`;
export const isMemberSet = (name: string): boolean => name.startsWith('gm_');
export const addressSetName = (id: string): string => `as_${hashOf(id)}`;
export const isAddressSet = (name: string): boolean => name.startsWith('as_');
/** The address of a service IP. */
export const serviceSet = (id: string): string => `si_${hashOf(id)}`;
export const isServiceSet = (name: string): boolean => name.startsWith('si_');
/** Address of a port of this host -> the chain of its combination. */
export const portMap = (direction: Direction): string => `${direction}_ports`;

const setTypes: readonly (readonly [(name: string) => boolean, string])[] = [
  [isMemberSet, 'type ipv4_addr;'],
  [isAddressSet, 'type ipv4_addr; flags interval;'],
  [isServiceSet, 'type ipv4_addr;'],
];

/** Makes an empty set of addresses, and changes none that stands. */
export function addSet(name: string): string {
  const type = setTypes.find(([isSuch]) => isSuch(name))?.[1] ?? '';
  return `add set inet sg ${name} { ${type} }`;
}

/** Several statements that remove a chain and what is in it. */
export const removeChain = (name: string): readonly string[] => [
  `flush chain inet sg ${name}`,
  `delete chain inet sg ${name}`,
];

export const braced = (elements: readonly string[]): string => `{ ${elements.join(', ')} }`;

/** As nft prints it: a single address stands without its length. */
export const printedCidr = (cidr: string): string => cidr.replace(/\/32$/, '');

function remoteText(direction: Direction, remote: Remote): string {
  const field = direction === 'ingress' ? 'ip saddr' : 'ip daddr';
  if (remote === null) return '';
  if ('group' in remote) return `${field} @${memberSet(remote.group)} `;
  if ('addressSet' in remote) return `${field} @${addressSetName(remote.addressSet)} `;
  // Egress is filtered after the flow was led to a backend.
  if ('serviceIp' in remote) return `ct original ip daddr @${serviceSet(remote.serviceIp)} `;
  // It matches every packet: the ports of a VPC speak IPv4 alone.
  return remote.cidr === '0.0.0.0/0' ? '' : `${field} ${printedCidr(remote.cidr)} `;
}

function protocolText({ protocol, ports, icmp, remote }: GroupRule): string {
  if (protocol === 'any') return '';
  if (ports !== null) {
    const { from, to } = ports;
    const range = from === to ? from : `${from}-${to}`;
    return remote !== null && 'serviceIp' in remote && typeof protocol === 'string' && protocol !== 'icmp'
      ? `meta l4proto ${protocolNumbers[protocol]} ct original proto-dst ${range} `
      : `${protocol} dport ${range} `;
  }
  if (icmp !== null) return `icmp type ${icmp.type} ${icmp.code === null ? '' : `icmp code ${icmp.code} `}`;
  return `meta l4proto ${typeof protocol === 'number' ? protocol : protocolNumbers[protocol]} `;
}

const ruleText = (rule: GroupRule): string => `${remoteText(rule.direction, rule.remote)}${protocolText(rule)}accept`;

/** Lines of the group's chain. */
export const groupLines = (direction: Direction, rules: readonly GroupRule[]): readonly string[] =>
  rules.filter((rule) => rule.direction === direction).map(ruleText);

/** Lines of the combination's chain. */
export const combinationLines = (direction: Direction, ids: readonly string[]): readonly string[] => [
  ...[...ids].sort().map((id) => `jump ${groupChain(direction, id)}`),
  'drop',
];

/** Makes a chain what the lines say, in the transaction that they become part of. */
export const setChain = (name: string, lines: readonly string[]): readonly string[] => [
  `add chain inet sg ${name}`,
  `flush chain inet sg ${name}`,
  ...lines.map((line) => `add rule inet sg ${name} ${line}`),
];

/** Names of the sets that lines refer to. */
export const setsIn = (lines: readonly string[]): readonly string[] => [
  ...new Set(lines.flatMap((line) => [...line.matchAll(/@([a-z]{2}_[a-z0-9]+)/g)].map((match) => match[1] ?? ''))),
];

/** Names of the chains that lines jump to. */
export const chainsIn = (lines: readonly string[]): readonly string[] =>
  lines.flatMap((line) => /^jump ([a-z]{2}_[a-z0-9]+)$/.exec(line)?.[1] ?? []);
