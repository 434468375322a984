/**
 * Changes and reads of the firewall of one VPC namespace, through its NamespaceLink; its skeleton too. Called by
 * firewall-ports.ts and the sections that are rules and sets. Promise: every change is one nft transaction that also
 * raises the generation; what a read returns comes from the kernel, and only readings of shared chains are used again.
 */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { NamespaceLink } from '../namespace-link.ts';
import { ObjectLocks } from '../object-locks.ts';
import { braced } from '../security-group/group-chains.ts';
import { firewallErrors } from './firewall-errors.ts';
import { groupTableAnew, skeleton, transitSet } from './firewall-rules.ts';

/** The last generation this process wrote per namespace, so that raising it needs no read. */
const generations = new WeakMap<NamespaceLink, number>();

export async function changeFirewall(
  link: NamespaceLink,
  what: string,
  statements: readonly string[],
): Promise<number> {
  const last = generations.get(link) ?? (await readGeneration(link)) ?? 0;
  const next = Math.max(last, generations.get(link) ?? 0) + 1;
  generations.set(link, next);
  forgetChains(link, statements);
  try {
    await link.nft(
      what,
      [...statements, 'flush set inet photon generation', `add element inet photon generation { ${next} }`],
      firewallErrors,
    );
  } catch (error) {
    sharedChains.delete(link); // it is not what it was thought to be
    throw error;
  }
  return next;
}

/** The generation in the kernel; null when the skeleton is not loaded. */
export async function readGeneration(link: NamespaceLink): Promise<number | null> {
  const printed = await link.nftRead('list set inet photon generation');
  const match = printed === null ? null : /elements = \{ (0x[0-9a-f]+|\d+) \}/.exec(printed);
  return match === null ? null : Number(match[1]);
}

const turns = new WeakMap<NamespaceLink, ObjectLocks>();

/**
 * Runs work that reads the firewall and changes what it has read, one at a time in a namespace. Ports and sections
 * share chains and sets: what one finds unused the other may be about to use.
 */
export function inFirewallTurn<Result>(link: NamespaceLink, work: () => Promise<Result>): Promise<Result> {
  const locks = turns.get(link) ?? new ObjectLocks();
  turns.set(link, locks);
  return locks.hold('firewall', work);
}

/** One transaction, by the program that is there already: to start another costs more than to load it. */
async function load(link: NamespaceLink, ruleset: string): Promise<void> {
  const lines = ruleset.split('\n').map((line) => line.trim());
  await link.nft(
    `loading the firewall of ${link.name}`,
    lines.filter((line) => line !== ''),
    firewallErrors,
  );
}

/** `older`: tables of a release that had fewer of them, or other ones. */
export async function readSkeleton(link: NamespaceLink): Promise<'none' | 'older' | 'loaded'> {
  const [generation, transit] = await Promise.all([readGeneration(link), readSet(link, transitSet)]);
  if (generation === null) return 'none';
  return transit === null ? 'older' : 'loaded';
}

/**
 * Loads what is missing, in one transaction: nothing passes between the older rules and these. @returns what it found
 */
export async function ensureSkeleton(link: NamespaceLink): Promise<'none' | 'older' | 'loaded'> {
  const found = await readSkeleton(link);
  sharedChains.delete(link);
  if (found === 'older') await load(link, groupTableAnew);
  if (found !== 'none') return found;
  await load(link, skeleton);
  generations.set(link, 1);
  return found;
}

/** The rules of the chains in a listing. */
export function chainsOf(text: string): ReadonlyMap<string, readonly string[]> {
  const lines = text.split('\n').map((line) => line.trim());
  const chains = lines.flatMap((line, index) => {
    const name = /^chain (\w+) \{$/.exec(line)?.[1];
    return name === undefined ? [] : [[name, lines.slice(index + 1, lines.indexOf('}', index))] as const];
  });
  return new Map(chains);
}

/** The rules of a chain, a line each; null when there is no such chain. */
export async function readChain(link: NamespaceLink, name: string): Promise<readonly string[] | null> {
  const text = await link.nftRead(`list chain inet sg ${name}`);
  return text === null ? null : (chainsOf(text).get(name) ?? []);
}

/** Whether a chain is as wanted. @param actual null when there is no such chain */
export const sameLines = (actual: readonly string[] | null, wanted: readonly string[]): boolean =>
  actual?.join('\n') === wanted.join('\n');

/** More are read with their table. */
const fewChains = 4;

export async function readChains(
  link: NamespaceLink,
  names: readonly string[],
): Promise<readonly (readonly string[] | null)[]> {
  // In one request: for each, nft before 1.1 reads the elements of every set of the table, too.
  const isFew = names.length <= fewChains;
  const ask = isFew ? names.map((name) => `list chain inet sg ${name}`).join('; ') : 'list table inet sg';
  const text = names.length === 0 ? '' : await link.nftRead(ask);
  if (text === null && isFew && names.length > 1) return Promise.all(names.map((name) => readChain(link, name)));
  const chains = chainsOf(text ?? '');
  return names.map((name) => chains.get(name) ?? null);
}

/** Rules of a chain, and when this process began to read them. */
interface ChainReading {
  readonly at: number;
  readonly lines: Promise<readonly string[] | null>;
}

/** Readings of chains that many ports share, by namespace and name. */
const sharedChains = new WeakMap<NamespaceLink, Map<string, ChainReading>>();
/** So old may a reading be that proves a port's rules. */
const sharedForMs = 5_000;

/** Of what these statements change no reading is used any more. */
function forgetChains(link: NamespaceLink, statements: readonly string[]): void {
  const known = sharedChains.get(link);
  if (known === undefined || known.size === 0) return;
  for (const [, name = ''] of statements.join(' ').matchAll(/ inet sg ([a-z]{2}_[a-z0-9]+)/g)) known.delete(name);
}

const freshReading = (link: NamespaceLink, name: string): ChainReading | undefined => {
  const found = sharedChains.get(link)?.get(name);
  return found !== undefined && performance.now() - found.at < sharedForMs ? found : undefined;
};

/** The rules of a chain as read a moment ago and not changed since; undefined when they were not. */
export const freshChain = async (link: NamespaceLink, name: string): Promise<readonly string[] | null | undefined> =>
  freshReading(link, name)?.lines;

/**
 * As `readChains`, for a namespace with many ports: to list a chain, nft before 1.1 reads the elements of every set of
 * the table, 0.2 s beside ten thousand ports. Ports that are wired one after the other share a reading.
 */
export async function readSharedChains(
  link: NamespaceLink,
  names: readonly string[],
): Promise<readonly (readonly string[] | null)[]> {
  const known = sharedChains.get(link) ?? new Map<string, ChainReading>();
  sharedChains.set(link, known);
  const missing = names.filter((name) => freshReading(link, name) === undefined);
  const reading = readChains(link, missing);
  const at = performance.now();
  for (const [index, name] of missing.entries()) {
    const lines = reading.then((chains) => chains[index] ?? null);
    known.set(name, { at, lines });
    lines.catch(() => known.delete(name));
  }
  return Promise.all(names.map((name) => known.get(name)?.lines ?? Promise.resolve(null)));
}

/** The elements of a set or map; null when there is none. */
export async function readElements(link: NamespaceLink, object: string): Promise<readonly string[] | null> {
  const text = await link.nftRead(`list ${object}`);
  if (text === null) return null;
  const found = /elements = \{([^}]*)\}/.exec(text)?.[1] ?? '';
  return found
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

export const readSet = (link: NamespaceLink, name: string): Promise<readonly string[] | null> =>
  readElements(link, `set inet sg ${name}`);
export const readMap = (link: NamespaceLink, name: string): Promise<readonly string[] | null> =>
  readElements(link, `map inet sg ${name}`);

/** Names of the sets, or of the chains, of table `inet sg`. */
export async function listNames(link: NamespaceLink, sort: 'set' | 'chain'): Promise<readonly string[]> {
  const text = (await link.nftRead(`list ${sort}s inet`)) ?? '';
  return [...text.matchAll(new RegExp(`^\\s*${sort} ([a-z]{2}_[a-z0-9]+) \\{`, 'gm'))].map((match) => match[1] ?? '');
}

/** Changes `actual`, read before, into `wanted`; says whether an element was taken away. */
export function setDifference(
  name: string,
  wanted: readonly string[],
  actual: readonly string[],
): { readonly statements: readonly string[]; readonly takes: boolean } {
  const [had, has] = [new Set(actual), new Set(wanted)];
  const added = wanted.filter((one) => !had.has(one));
  const gone = actual.filter((one) => !has.has(one));
  return {
    statements: [
      ...(gone.length === 0 ? [] : [`delete element inet sg ${name} ${braced(gone)}`]),
      ...(added.length === 0 ? [] : [`add element inet sg ${name} ${braced(added)}`]),
    ],
    takes: gone.length > 0,
  };
}

/** Removes something that a rule or an element may still refer to; then it stays. @returns whether it is gone */
export async function removeUnlessUsed(
  link: NamespaceLink,
  what: string,
  statements: readonly string[],
): Promise<boolean> {
  try {
    await changeFirewall(link, what, statements);
    return true;
  } catch (error) {
    if (!(error instanceof PhotonError)) throw error;
    if (error.record.code === 'firewall_missing') return true;
    if (error.record.code === 'kernel_busy') return false;
    throw error;
  }
}
