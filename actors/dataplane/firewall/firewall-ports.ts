/**
 * A port's part of the firewall: the elements that let its tap send as itself, and the two that lead to the chains of
 * its security groups. Called by tap-wiring.ts and tap-removal.ts. Promise: a port gets its elements, or other groups,
 * in one transaction: at no moment its address is without rules; a combination of groups that no port has any more is
 * gone.
 */
import type { NamespaceLink } from '../namespace-link.ts';
import {
  chainsIn,
  combinationChain,
  combinationLines,
  directions,
  groupChain,
  groupChains,
  portMap,
  removeChain,
  setChain,
  type Direction,
} from '../security-group/group-chains.ts';
import { toldPolicy } from '../security-group/group-policy.ts';
import {
  changeFirewall,
  inFirewallTurn,
  readChain,
  readGeneration,
  readMap,
  removeUnlessUsed,
  sameLines,
} from './firewall-changes.ts';
import { clientElements, macElement, portElement, portKey, spoofElement } from './firewall-rules.ts';
import type { PortIdentity } from './firewall-rules.ts';

const ownElements = (port: PortIdentity): readonly string[] => [
  macElement(port),
  spoofElement(port),
  ...clientElements(port),
];

/** In one request: for each request that gets elements, nft reads the elements of every set of the table. */
const haveAll = async (link: NamespaceLink, elements: readonly string[]): Promise<boolean> =>
  (await link.nftRead(elements.map((element) => `get element ${element}`).join('; '))) !== null;

/**
 * The chain that the address leads to; '' for something else than a chain, undefined for no element. The map is listed:
 * to get one element, nft reads the elements of every set of the table.
 */
async function chainOf(link: NamespaceLink, direction: Direction, address: string): Promise<string | undefined> {
  const elements = (await readMap(link, portMap(direction))) ?? [];
  const element = elements.find((one) => one.startsWith(`${address} : `));
  return element === undefined ? undefined : (/goto ([a-z]{2}_[a-z0-9]+)/.exec(element)?.[1] ?? '');
}

/** Chains that no element and no rule leads to any more go: combinations, then groups that nobody told of. */
async function removeUnused(link: NamespaceLink, combinations: readonly (string | undefined)[]): Promise<void> {
  const { rules } = toldPolicy(link);
  for (const name of combinations) {
    if (name === undefined || name === '') continue;
    const groups = chainsIn((await readChain(link, name)) ?? []);
    if (!(await removeUnlessUsed(link, `removing ${name}`, removeChain(name))) || rules === undefined) continue;
    const told = new Set([...rules.keys()].flatMap(groupChains));
    for (const group of groups)
      if (!told.has(group)) await removeUnlessUsed(link, `removing ${group}`, removeChain(group));
  }
}

/**
 * Lets the port send with its own MAC and address, and applies its security groups to its address.
 * @returns whether other groups applied to the address before
 */
export function admitPort(link: NamespaceLink, port: PortIdentity, groups: readonly string[]): Promise<boolean> {
  return inFirewallTurn(link, async () => {
    const sides = await Promise.all(
      directions.map(async (direction) => {
        const [chain, lines] = [combinationChain(direction, groups), combinationLines(direction, groups)];
        const [before, actual] = await Promise.all([chainOf(link, direction, port.address), readChain(link, chain)]);
        return { direction, chain, lines, before, stands: sameLines(actual, lines) };
      }),
    );
    await changeFirewall(link, `admitting ${port.tap} as ${port.address}`, [
      ...ownElements(port).map((element) => `add element ${element}`),
      // A group that this host was not told of yet has no rules, and admits nothing.
      ...groups.flatMap(groupChains).map((chain) => `add chain inet sg ${chain}`),
      ...sides.flatMap(({ chain, lines }) => setChain(chain, lines)),
      ...sides.flatMap(({ direction, chain, before }) => [
        ...(before === undefined || before === chain ? [] : [`delete element ${portKey(direction, port.address)}`]),
        ...(before === chain ? [] : [`add element ${portElement(direction, port.address, chain)}`]),
      ]),
    ]);
    const stale = sides.filter(({ before, chain }) => before !== undefined && before !== chain);
    await removeUnused(
      link,
      stale.map(({ before }) => before),
    );
    return stale.length > 0;
  });
}

/** @param keepsAddress another port has the address by now, so only the elements of this tap are removed. */
export function dismissPort(link: NamespaceLink, port: PortIdentity, keepsAddress: boolean): Promise<void> {
  return inFirewallTurn(link, async () => {
    const own = ownElements(port);
    const keys = keepsAddress ? [] : directions.map((direction) => portKey(direction, port.address));
    const chains = await Promise.all(
      keepsAddress ? [] : directions.map((direction) => chainOf(link, direction, port.address)),
    );
    const present = (await haveAll(link, own))
      ? own.map(() => true)
      : await Promise.all(own.map((element) => haveAll(link, [element])));
    const removals = [
      ...own.filter((_, index) => present[index]),
      ...keys.filter((_, index) => chains[index] !== undefined),
    ].map((element) => `delete element ${element}`);
    if (removals.length > 0) await changeFirewall(link, `dismissing ${port.tap}`, removals);
    await removeUnused(link, chains);
  });
}

export interface PortReading {
  /** Its tap may send as itself. */
  readonly admitted: boolean;
  /** Of the groups asked for those whose rules apply in both directions. */
  readonly groups: readonly string[];
  /** These groups apply, all of them and no other. */
  readonly grouped: boolean;
  readonly generation: number;
}

/** What the kernel has of the port, and the generation it was read at. */
export async function readPort(
  link: NamespaceLink,
  port: PortIdentity,
  groups: readonly string[],
): Promise<PortReading> {
  const [sides, generation, admitted] = await Promise.all([
    Promise.all(
      directions.map(async (direction) => {
        const chain = await chainOf(link, direction, port.address);
        const lines = chain === undefined || chain === '' ? [] : ((await readChain(link, chain)) ?? []);
        return { direction, lines };
      }),
    ),
    readGeneration(link),
    haveAll(link, ownElements(port)),
  ]);
  return {
    admitted,
    groups: groups.filter((id) =>
      sides.every(({ direction, lines }) => chainsIn(lines).includes(groupChain(direction, id))),
    ),
    grouped: sides.every(({ direction, lines }) => sameLines(lines, combinationLines(direction, groups))),
    generation: generation ?? 0,
  };
}
