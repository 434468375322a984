/**
 * Service IPs as nft: a table of its own in each VPC namespace, as names, lines and statements. Pure.
 *
 * Every packet that opens a flow meets chain `prerouting`, from whatever interface it comes: a map leads from the
 * service IP to its chain, whose rules, one a port, lead the flow to a backend of the service's map. So the backend is
 * chosen on the host where the flow enters the VPC, and the flow then goes to it as to any port: filtered by security
 * groups, with the client's own address. A packet to a service IP that no rule led to a backend arrives at the
 * namespace itself; chain `refuse` answers it, so that a client need not wait for nothing.
 *
 * A service IP with affinity leads from 256 slots to backends (backend-slots.ts): a changed backend changes elements.
 * One without deals its flows out in turn, over as many elements as it has backends. The name of a chain is a hash of
 * its rules, too: what the map leads to is what was wanted, without reading its rules, for which nft would read the
 * elements of all maps of the table. No text of a tenant stands in the ruleset (docs/threats.md#t4). Lines are written
 * as `nft -n` prints them.
 */
import type { ServiceIpElement, ServicePort } from '@photoncloud/machines/values/service-elements';
import { hashName } from '../kernel-names.ts';
import { backendSlots, slotCount } from './backend-slots.ts';

const hashLength = 16;
/** The same on every host, or a client would change its backend with its host. */
const seed = '0x70686f74';

const chainPrefix = 'sv_';
export const isServiceChain = (name: string): boolean => name.startsWith(chainPrefix);
const mapPrefix = 'sb_';
export const isBackendMap = (name: string): boolean => name.startsWith(mapPrefix);
export const backendMap = (id: string): string => mapPrefix + hashName(id, hashLength);

/** Chains that are always in the table, with their rules. */
export const baseChains: Readonly<Record<string, { readonly hook: string; readonly lines: readonly string[] }>> = {
  prerouting: { hook: 'type nat hook prerouting priority -100; policy accept;', lines: ['ip daddr vmap @services'] },
  // Echo requests are answered by the namespace, as for its gateways.
  refuse: {
    hook: 'type filter hook input priority -10; policy accept;',
    lines: ['ip daddr @addresses reject with tcp reset', 'ip daddr @addresses meta l4proto != 1 reject'],
  },
};

/** The table without a service IP. */
export const emptyTable: readonly string[] = [
  'add table ip service',
  'add set ip service addresses { type ipv4_addr; }',
  'add map ip service services { type ipv4_addr : verdict; }',
  ...Object.entries(baseChains).flatMap(([name, { hook, lines }]) => [
    `add chain ip service ${name} { ${hook} }`,
    ...lines.map((line) => `add rule ip service ${name} ${line}`),
  ]),
];

export const dropTable: readonly string[] = ['add table ip service', 'delete table ip service'];

/** nft has no name for the type of a number that a rule computes, but takes it from another rule. */
export const addBackendMap = (name: string): string =>
  `add map ip service ${name} { typeof numgen inc mod ${slotCount} : ip daddr; }`;

function portLine(id: string, { affinity, backends }: ServiceIpElement, port: ServicePort): string {
  const choice =
    affinity === 'source' ? `jhash ip saddr mod ${slotCount} seed ${seed}` : `numgen inc mod ${backends.length}`;
  return `${port.protocol} dport ${port.port} dnat to ${choice} map @${backendMap(id)}:${port.targetPort}`;
}

/** What the kernel is to have of one service IP; without backends nothing but its address. */
export interface WantedService {
  readonly address: string;
  readonly map: string;
  /** As `nft -n` prints them: `0 : 10.0.0.5`. */
  readonly elements: readonly string[];
  /** Null without backends. */
  readonly chain: { readonly name: string; readonly lines: readonly string[] } | null;
}

export function wantedService(id: string, element: ServiceIpElement): WantedService {
  const { address, ports, backends, affinity } = element;
  const map = backendMap(id);
  if (backends.length === 0) return { address, map, elements: [], chain: null };
  const leads = affinity === 'source' ? backendSlots(backends) : backends;
  const lines = ports.map((port) => portLine(id, element, port));
  return {
    address,
    map,
    elements: leads.map((backend, slot) => `${slot} : ${backend}`),
    chain: { name: chainPrefix + hashName([id, ...lines].join('\n'), hashLength), lines },
  };
}
