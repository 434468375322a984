/**
 * What has to change in the nft table of service IPs, as statements. Pure; called by service-ips-section.ts with what
 * service-table.ts has read. Statements of several service IPs may be one transaction or several: each leaves the
 * others as they are.
 */
import { sameLines } from '../firewall/firewall-changes.ts';
import { braced } from '../security-group/group-chains.ts';
import { addBackendMap, isBackendMap, isServiceChain, type WantedService } from './service-rules.ts';
import type { ServiceTable } from './service-table.ts';

const element = (verb: 'add' | 'delete', name: string, elements: readonly string[]): readonly string[] =>
  elements.length === 0 ? [] : [`${verb} element ip service ${name} ${braced(elements)}`];

const keyOf = (one: string): string => one.split(' : ')[0] ?? '';

/** Elements that differ, and no other. */
function mapChanges({ map, elements }: WantedService, actual: readonly string[] | undefined): readonly string[] {
  const [had, has] = [new Set(actual), new Set(elements)];
  return [
    ...(actual === undefined ? [addBackendMap(map)] : []),
    ...element('delete', map, (actual ?? []).filter((one) => !has.has(one)).map(keyOf)),
    ...element(
      'add',
      map,
      elements.filter((one) => !had.has(one)),
    ),
  ];
}

const setLines = (name: string, lines: readonly string[]): readonly string[] => [
  `add chain ip service ${name}`,
  `flush chain ip service ${name}`,
  ...lines.map((line) => `add rule ip service ${name} ${line}`),
];

const removeChain = (name: string): readonly string[] => [
  `flush chain ip service ${name}`,
  `delete chain ip service ${name}`,
];

/**
 * Takes away what leads from the address to backends, and the map when it stands; the address stays. @param map null:
 * not known
 */
export function withoutBackends(table: ServiceTable, address: string, map: string | null): readonly string[] {
  const chain = table.services.get(address);
  return [
    ...(chain === undefined ? [] : [...element('delete', 'services', [address]), ...removeChain(chain)]),
    ...(map !== null && table.maps.has(map) ? [`delete map ip service ${map}`] : []),
  ];
}

/** Makes the service IP as wanted. */
export function serviceChanges(table: ServiceTable, wanted: WantedService): readonly string[] {
  const { address, map, chain } = wanted;
  const known = element('add', 'addresses', table.addresses.has(address) ? [] : [address]);
  if (chain === null) return [...known, ...withoutBackends(table, address, map)];
  const before = table.services.get(address);
  const read = table.chains.get(chain.name);
  const stands = before === chain.name && (read === null || sameLines(read ?? null, chain.lines));
  return [
    ...known,
    ...mapChanges(wanted, table.maps.get(map)),
    ...(stands ? [] : setLines(chain.name, chain.lines)),
    ...(before === undefined || before === chain.name ? [] : element('delete', 'services', [address])),
    ...(before === chain.name ? [] : element('add', 'services', [`${address} : goto ${chain.name}`])),
    ...(before === undefined || before === chain.name ? [] : removeChain(before)),
  ];
}

/** Chains and maps that belong to no service IP: of a whole table. */
export function strayChanges(table: ServiceTable, wanted: readonly WantedService[]): readonly string[] {
  const led = new Set(table.services.values());
  const chains = new Set([...wanted.map(({ chain }) => chain?.name), ...led]);
  const maps = new Set(wanted.map(({ map }) => map));
  return [
    ...[...table.chains.keys()].filter((name) => isServiceChain(name) && !chains.has(name)).flatMap(removeChain),
    ...[...table.maps.keys()]
      .filter((name) => isBackendMap(name) && !maps.has(name))
      .map((name) => `delete map ip service ${name}`),
  ];
}

/** What differs from the service IP as wanted, in a few words; null when nothing does. */
export function serviceDrift(table: ServiceTable, wanted: WantedService): string | null {
  const { address, map, elements, chain } = wanted;
  if (!table.addresses.has(address)) return 'is not known to the firewall';
  if (table.services.get(address) !== chain?.name)
    return chain === null ? 'still leads somewhere' : 'does not lead to its backends';
  const actual = table.maps.get(map);
  if (chain === null) return actual === undefined ? null : 'still has backends';
  const read = table.chains.get(chain.name);
  if (read !== null && !sameLines(read ?? null, chain.lines)) return 'has other rules than its ports';
  const had = new Set(actual);
  return had.size === elements.length && elements.every((one) => had.has(one)) ? null : 'has other backends';
}
