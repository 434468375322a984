/**
 * A port's part of the firewall: the elements that let its tap send as itself, and for each of its addresses the two
 * that lead to the chains of its security groups. Called by tap-wiring.ts and tap-removal.ts. Promise: a port gets its
 * elements, or other groups, in one transaction: at no moment an address is without rules; a combination of groups that
 * no port has any more is gone.
 */
import type { AddressPair } from '@photoncloud/machines/values/wiring';
import type { NamespaceLink } from '../namespace-link.ts';
import {
  chainsIn,
  combinationChain,
  combinationLines,
  directions,
  groupChain,
  groupChains,
  removeChain,
  setChain,
  type Direction,
} from '../security-group/group-chains.ts';
import { toldPolicy } from '../security-group/group-policy.ts';
import {
  changeFirewall,
  freshChain,
  inFirewallTurn,
  readChain,
  readChains,
  readGeneration,
  readSharedChains,
  removeUnlessUsed,
  sameLines,
} from './firewall-changes.ts';
import { hasManyPorts, isRemembered, readElementsOfPort, rememberVerdict } from './firewall-elements.ts';
import {
  clientElements,
  holdingsOf,
  macElement,
  portElement,
  portKey,
  selfElement,
  spoofElement,
  unguardedElements,
  type PortIdentity,
} from './firewall-rules.ts';

/** What applies to the addresses of a port. */
export interface PortPolicy {
  readonly groups: readonly string[];
  /** False: any source address, no groups. */
  readonly portSecurity: boolean;
}

const ownElements = (port: PortIdentity): readonly string[] => {
  const holdings = holdingsOf(port);
  return [
    ...[...new Set(holdings.map(({ mac }) => mac))].map((mac) => macElement(port.tap, mac)),
    ...holdings.map((holding) => spoofElement(port.tap, holding)),
    ...clientElements(port),
  ];
};

const chainOf = (verdict: string | undefined): string | undefined =>
  /^goto ([a-z]{2}_[a-z0-9]+)$/.exec(verdict ?? '')?.[1];

/** Chains that no element and no rule leads to any more go: combinations, then groups that nobody told of. */
async function removeUnused(link: NamespaceLink, verdicts: readonly (string | undefined)[]): Promise<void> {
  const { rules } = toldPolicy(link);
  for (const verdict of new Set(verdicts)) {
    const name = chainOf(verdict);
    if (verdict === undefined || name === undefined || isRemembered(link, verdict)) continue;
    const groups = chainsIn((await readChain(link, name)) ?? []);
    if (!(await removeUnlessUsed(link, `removing ${name}`, removeChain(name))) || rules === undefined) continue;
    const told = new Set([...rules.keys()].flatMap(groupChains));
    for (const group of groups)
      if (!told.has(group)) await removeUnlessUsed(link, `removing ${group}`, removeChain(group));
  }
}

/** What a direction of the policy is in the kernel: the verdict of each address, and the chain that it leads to. */
function sideOf(direction: Direction, { groups, portSecurity }: PortPolicy) {
  if (!portSecurity) return { direction, verdict: 'accept', chain: null, lines: [] };
  const chain = combinationChain(direction, groups);
  return { direction, verdict: `goto ${chain}`, chain, lines: combinationLines(direction, groups) };
}

const sidesOf = (policy: PortPolicy) => directions.map((one) => sideOf(one, policy));
const expectedOf = (sides: ReturnType<typeof sidesOf>) => {
  const verdicts = { ingress: 'accept', egress: 'accept' };
  for (const { direction, verdict } of sides) verdicts[direction] = verdict;
  return verdicts;
};

/**
 * Lets the port send with its own MACs and addresses, and applies its policy to its addresses.
 * @returns whether another policy applied to one of the addresses before
 */
export function admitPort(link: NamespaceLink, port: PortIdentity, policy: PortPolicy): Promise<boolean> {
  return inFirewallTurn(link, async () => {
    const unguarded = unguardedElements(port);
    const addresses = holdingsOf(port).map(({ address }) => address);
    const wanted = sidesOf(policy);
    const { standing: open, verdicts } = await readElementsOfPort(link, {
      elements: [],
      strangers: unguarded,
      addresses,
      expected: expectedOf(wanted),
    });
    const sides = await Promise.all(
      wanted.map(async (side) => ({
        ...side,
        before: verdicts[side.direction],
        stands: side.chain !== null && sameLines((await freshChain(link, side.chain)) ?? null, side.lines),
      })),
    );
    const chained = sides.filter(({ stands }) => !stands);
    await changeFirewall(link, `admitting ${port.tap} as ${port.address}`, [
      ...[...ownElements(port), selfElement(port)].map((element) => `add element ${element}`),
      ...(policy.portSecurity
        ? open.map((element) => `delete element ${element}`)
        : unguarded.map((element) => `add element ${element}`)),
      // A group that this host was not told of yet has no rules, and admits nothing.
      ...(policy.portSecurity && chained.length > 0
        ? policy.groups.flatMap(groupChains).map((chain) => `add chain inet sg ${chain}`)
        : []),
      ...chained.flatMap(({ chain, lines }) => (chain === null ? [] : setChain(chain, lines))),
      ...sides.flatMap(({ direction, verdict, before }) =>
        addresses
          .filter((address) => before.get(address) !== verdict)
          .flatMap((address) => [
            ...(before.has(address) ? [`delete element ${portKey(direction, address)}`] : []),
            `add element ${portElement(direction, address, verdict)}`,
          ]),
      ),
    ]);
    for (const { direction, verdict } of sides)
      for (const address of addresses) rememberVerdict(link, direction, address, verdict);
    const stale = sides.flatMap(({ before, verdict }) =>
      addresses.flatMap((address) =>
        before.has(address) && before.get(address) !== verdict ? [before.get(address)] : [],
      ),
    );
    await removeUnused(link, stale);
    return stale.length > 0;
  });
}

async function removeElements(
  link: NamespaceLink,
  what: string,
  own: readonly string[],
  addresses: readonly string[],
): Promise<void> {
  const { standing, verdicts } = await readElementsOfPort(link, { elements: own, addresses });
  const keys = directions.flatMap((one) => [...verdicts[one].keys()].map((address) => portKey(one, address)));
  const held = addresses.flatMap((address) => directions.map((one) => verdicts[one].get(address)));
  const removals = [...standing, ...keys].map((element) => `delete element ${element}`);
  if (removals.length > 0) await changeFirewall(link, what, removals);
  for (const address of addresses) for (const one of directions) rememberVerdict(link, one, address, null);
  await removeUnused(link, held);
}

/** @param keeps addresses that another port has by now: only the elements of this tap are removed */
export function dismissPort(link: NamespaceLink, port: PortIdentity, keeps: ReadonlySet<string>): Promise<void> {
  const addresses = holdingsOf(port).map(({ address }) => address);
  const [tap, hop] = unguardedElements(port);
  const own = [...ownElements(port), ...(tap === undefined ? [] : [tap])];
  const ofAddress = [...(hop === undefined ? [] : [hop]), selfElement(port)];
  return inFirewallTurn(link, () =>
    removeElements(
      link,
      `dismissing ${port.tap}`,
      keeps.has(port.address) ? own : [...own, ...ofAddress],
      addresses.filter((address) => !keeps.has(address)),
    ),
  );
}

/** Removes address pairs that the port has no longer. @param keeps as of `dismissPort` */
export function dismissPairs(
  link: NamespaceLink,
  port: PortIdentity,
  gone: readonly AddressPair[],
  keeps: ReadonlySet<string>,
): Promise<void> {
  const held = new Set(holdingsOf(port).map(({ mac }) => mac));
  const macs = [...new Set(gone.map(({ mac }) => mac))].filter((mac) => !held.has(mac));
  const own = [...macs.map((mac) => macElement(port.tap, mac)), ...gone.map((one) => spoofElement(port.tap, one))];
  const addresses = gone.map(({ address }) => address).filter((address) => !keeps.has(address));
  return inFirewallTurn(link, () => removeElements(link, `taking pairs from ${port.tap}`, own, addresses));
}

export interface PortReading {
  /** Its tap may send as itself, and as nobody else unless it has no port security. */
  readonly admitted: boolean;
  /** Of the groups asked for those whose rules apply in both directions. */
  readonly groups: readonly string[];
  /** False: any source address passes. */
  readonly portSecurity: boolean;
  /** The policy applies to all addresses, and no other. */
  readonly grouped: boolean;
  readonly generation: number;
}

/** What the kernel has of the port, and the generation it was read at. */
export async function readPort(link: NamespaceLink, port: PortIdentity, policy: PortPolicy): Promise<PortReading> {
  const addresses = holdingsOf(port).map(({ address }) => address);
  const own = [...ownElements(port), selfElement(port)];
  const unguarded = unguardedElements(port);
  const wanted = sidesOf(policy);
  const [{ standing, verdicts }, generation] = await Promise.all([
    readElementsOfPort(link, { elements: own, strangers: unguarded, addresses, expected: expectedOf(wanted) }),
    readGeneration(link),
  ]);
  const leads = wanted.map(({ direction }) => chainOf(verdicts[direction].get(port.address)));
  const named = [...new Set(leads.filter((chain) => chain !== undefined))];
  const read = hasManyPorts(link) ? readSharedChains : readChains;
  const chains = new Map((await read(link, named)).map((lines, index) => [named[index], lines ?? []]));
  const sides = wanted.map(({ direction, verdict, lines: wantedLines }, index) => {
    const lines = chains.get(leads[index]) ?? [];
    const applies = addresses.every((address) => verdicts[direction].get(address) === verdict);
    return { direction, lines, applies: applies && sameLines(lines, wantedLines) };
  });
  const open = unguarded.filter((element) => standing.includes(element));
  return {
    admitted: own.every((element) => standing.includes(element)) && open.length === (policy.portSecurity ? 0 : 2),
    groups: policy.groups.filter((id) =>
      sides.every(({ direction, lines }) => chainsIn(lines).includes(groupChain(direction, id))),
    ),
    portSecurity: open.length === 0,
    grouped: sides.every(({ applies }) => applies),
    generation: generation ?? 0,
  };
}
