/**
 * Reads the nft table of service IPs of one VPC namespace. Called by service-ips-section.ts. Promise: what a read
 * returns comes from the kernel.
 */
import { sameLines } from '../firewall/firewall-changes.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { runProgram } from '../program.ts';
import { baseChains, isBackendMap, isServiceChain } from './service-rules.ts';

/** Of a whole table, or of the part of it that concerns some service IPs. */
export interface ServiceTable {
  readonly addresses: ReadonlySet<string>;
  /** Service IP -> its chain. */
  readonly services: ReadonlyMap<string, string>;
  /** Name of a map -> its elements. */
  readonly maps: ReadonlyMap<string, readonly string[]>;
  /** Name of a chain -> its rules; null where they were not read. */
  readonly chains: ReadonlyMap<string, readonly string[] | null>;
  /** The chains that lead to those of service IPs are as they should be, as far as they were read. */
  readonly hasBase: boolean;
}

/** Of a table that has no service IP. */
export const noServices: ServiceTable = {
  addresses: new Set(),
  services: new Map(),
  maps: new Map(),
  chains: new Map(),
  hasBase: true,
};

/** Blocks of a listing by their sort: `map sb_x {` with its lines. */
function blocksOf(text: string): readonly { readonly sort: string; readonly name: string; readonly lines: string[] }[] {
  const blocks: { sort: string; name: string; lines: string[] }[] = [];
  for (const line of text.split('\n').map((one) => one.trim())) {
    const [, sort, name] = /^(set|map|chain) (\w+) \{$/.exec(line) ?? [];
    if (sort !== undefined && name !== undefined) blocks.push({ sort, name, lines: [] });
    else if (line !== '' && line !== '}') blocks.at(-1)?.lines.push(line);
  }
  return blocks;
}

function elementsOf(lines: readonly string[]): readonly string[] {
  const found = /elements = \{([^}]*)\}/.exec(lines.join(' '))?.[1] ?? '';
  return found
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

/**
 * The listing of a table with more takes seconds: a program of its own makes it, so that others need not wait. 1,000
 * service IPs with affinity are 6 MB of text.
 */
const listedAtOnce = 50;
const listing = { timeoutMs: 120_000, outputCapBytes: 64 << 20 } as const;

/** @returns null when there is no table */
export async function readWholeTable(link: NamespaceLink): Promise<ServiceTable | null> {
  const services = await readServices(link);
  if (services === null) return null;
  const list = 'list table ip service';
  if (services.size <= listedAtOnce) return tableOf((await link.nftRead(list)) ?? '');
  const { stdout } = await runProgram({
    program: 'nsenter',
    args: [`--net=/run/netns/${link.name}`, 'nft', '-n', ...list.split(' ')],
    what: `listing the service IPs of ${link.name}`,
    ...listing,
  });
  return tableOf(stdout);
}

function tableOf(text: string): ServiceTable {
  const blocks = blocksOf(text);
  const chains = blocks
    .filter(({ sort, name }) => sort === 'chain' && isServiceChain(name))
    .map(({ name, lines }) => [name, lines] as const);
  const linesOf = (wanted: string): readonly string[] => blocks.find(({ name }) => name === wanted)?.lines ?? [];
  return {
    addresses: new Set(elementsOf(linesOf('addresses'))),
    services: verdictsOf(elementsOf(linesOf('services'))),
    maps: new Map(
      blocks
        .filter(({ sort, name }) => sort === 'map' && isBackendMap(name))
        .map((one) => [one.name, elementsOf(one.lines)]),
    ),
    chains: new Map(chains),
    hasBase: Object.entries(baseChains).every(([name, { hook, lines }]) => sameLines(linesOf(name), [hook, ...lines])),
  };
}

const verdictsOf = (elements: readonly string[]): ReadonlyMap<string, string> =>
  new Map(
    elements.map((element) => {
      const [address = '', chain = ''] = element.split(' : goto ');
      return [address, chain] as const;
    }),
  );

/** The part that concerns the service IPs of these maps. @returns null when there is no table */
export async function readTable(link: NamespaceLink, names: readonly string[]): Promise<ServiceTable | null> {
  const [services, addresses, maps] = await Promise.all([
    readServices(link),
    readAddresses(link),
    readMaps(link, [...new Set(names)]),
  ]);
  if (services === null || addresses === null) return null;
  const chains = new Map([...services.values()].map((name) => [name, null]));
  return { addresses, services, maps, chains, hasBase: true };
}

/** Service IPs that have backends, and the chain of each; null when there is no table. */
export async function readServices(link: NamespaceLink): Promise<ReadonlyMap<string, string> | null> {
  const text = await link.nftRead('list map ip service services');
  return text === null ? null : verdictsOf(elementsOf(text.split('\n')));
}

/** Of all service IPs; null when there is no table. */
export async function readAddresses(link: NamespaceLink): Promise<ReadonlySet<string> | null> {
  const text = await link.nftRead('list set ip service addresses');
  return text === null ? null : new Set(elementsOf(text.split('\n')));
}

async function readMaps(
  link: NamespaceLink,
  names: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = await Promise.all(
    names.map(async (name) => [name, await link.nftRead(`list map ip service ${name}`)] as const),
  );
  return new Map(
    found.flatMap(([name, text]) => (text === null ? [] : [[name, elementsOf(text.split('\n'))] as const])),
  );
}
