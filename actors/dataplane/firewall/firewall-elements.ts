/**
 * What the sets and maps of a VPC namespace have of one port. To get one element nft reads those of every set, and to
 * find one in a map it lists the map: fine beside a few dozen ports, and half a second beside ten thousand. There the
 * kernel is asked what it would refuse instead: whatever the number of ports, that takes a grace period of RCU, about
 * 10 ms. Called by firewall-ports.ts. Promise: every answer comes from the kernel; what this process remembers is a
 * guess, which the kernel confirms.
 */
import type { NamespaceLink } from '../namespace-link.ts';
import { directions, portMap, type Direction } from '../security-group/group-chains.ts';
import { readMap } from './firewall-changes.ts';
import { portElement } from './firewall-rules.ts';

/** Address -> its verdict, as `goto <chain>` or `accept`; without those that have none. */
export type Verdicts = ReadonlyMap<string, string>;

export interface PortElements {
  /** Of the elements asked for those that stand. */
  readonly standing: readonly string[];
  readonly verdicts: Readonly<Record<Direction, Verdicts>>;
}

export interface ElementQuestion {
  /** Elements that are thought to stand. */
  readonly elements: readonly string[];
  /** Elements that are thought not to. */
  readonly strangers?: readonly string[];
  readonly addresses: readonly string[];
  /** The verdict that the addresses are thought to have. */
  readonly expected?: Readonly<Record<Direction, string>>;
}

/** From so many addresses on with a verdict the kernel is asked: nft reads some eight elements of each. */
const many = 60;

/** The verdicts that this process has written or found, by namespace, direction and address. */
const remembered = new WeakMap<NamespaceLink, Record<Direction, Map<string, string>>>();

function rememberedOf(link: NamespaceLink): Record<Direction, Map<string, string>> {
  const known = remembered.get(link) ?? { ingress: new Map<string, string>(), egress: new Map<string, string>() };
  remembered.set(link, known);
  return known;
}

/** @param verdict null: it has none any more */
export function rememberVerdict(
  link: NamespaceLink,
  direction: Direction,
  address: string,
  verdict: string | null,
): void {
  const known = rememberedOf(link)[direction];
  if (verdict === null) known.delete(address);
  else known.set(address, verdict);
}

/** Whether an address has this verdict, as far as this process remembers: then what it leads to is in use. */
export const isRemembered = (link: NamespaceLink, verdict: string): boolean =>
  directions.some((one) => [...rememberedOf(link)[one].values()].includes(verdict));

export const hasManyPorts = (link: NamespaceLink): boolean => rememberedOf(link).ingress.size >= many;

export const readElementsOfPort = (link: NamespaceLink, question: ElementQuestion): Promise<PortElements> =>
  hasManyPorts(link) ? askKernel(link, question) : readListed(link, question);

export async function readListed(link: NamespaceLink, question: ElementQuestion): Promise<PortElements> {
  const { elements, strangers = [], addresses } = question;
  const verdictsOf = async (direction: Direction): Promise<Verdicts> => {
    const listed = addresses.length === 0 ? noVerdicts : await listVerdicts(link, direction);
    return new Map([...listed].filter(([address]) => addresses.includes(address)));
  };
  const [standing, others, ingress, egress] = await Promise.all([
    getElements(link, elements),
    getElements(link, strangers),
    verdictsOf('ingress'),
    verdictsOf('egress'),
  ]);
  return { standing: [...standing, ...others], verdicts: { ingress, egress } };
}

const noVerdicts: Verdicts = new Map();

/** In one request when all stand: for each request that gets elements, nft reads the elements of every set. */
async function getElements(link: NamespaceLink, elements: readonly string[]): Promise<readonly string[]> {
  const haveAll = async (wanted: readonly string[]): Promise<boolean> =>
    (await link.nftRead(wanted.map((element) => `get element ${element}`).join('; '))) !== null;
  if (elements.length === 0 || (elements.length > 2 && (await haveAll(elements)))) return elements;
  const present = await Promise.all(elements.map((element) => haveAll([element])));
  return elements.filter((_, index) => present[index]);
}

async function listVerdicts(link: NamespaceLink, direction: Direction): Promise<Verdicts> {
  const elements = (await readMap(link, portMap(direction))) ?? [];
  return new Map(
    elements.map((element) => {
      const [address = '', verdict = ''] = element.split(' : ');
      return [address, verdict] as const;
    }),
  );
}

/**
 * One transaction that is not carried out: an element that can be deleted stands; an address has a verdict when another
 * one is refused, and has the guessed one when the same is not.
 */
export async function askKernel(link: NamespaceLink, question: ElementQuestion): Promise<PortElements> {
  const { addresses, expected } = question;
  const elements = [...question.elements, ...(question.strangers ?? [])];
  const known = rememberedOf(link);
  const guesses = directions.flatMap((direction) =>
    addresses.map((address) => {
      const guess = expected?.[direction] ?? known[direction].get(address) ?? 'accept';
      return { direction, address, guess };
    }),
  );
  const refused = await link.nftRefused([
    ...elements.map((element) => `delete element ${element}`),
    ...guesses.flatMap(({ direction, address, guess }) => [
      `create element ${portElement(direction, address, 'accept')}`,
      `add element ${portElement(direction, address, guess)}`,
    ]),
  ]);
  const verdicts = { ingress: new Map<string, string>(), egress: new Map<string, string>() };
  const others = new Set<Direction>();
  for (const [index, { direction, address, guess }] of guesses.entries()) {
    const at = elements.length + 2 * index;
    if (refused[at] !== true) continue;
    if (refused[at + 1] === true) others.add(direction);
    else verdicts[direction].set(address, guess);
  }
  for (const direction of others) {
    const listed = await listVerdicts(link, direction);
    for (const address of addresses) {
      const verdict = listed.get(address);
      if (verdict !== undefined) verdicts[direction].set(address, verdict);
    }
  }
  return { standing: elements.filter((_, index) => refused[index] !== true), verdicts };
}
