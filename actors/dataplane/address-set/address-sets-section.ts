/**
 * Section `address-sets`: named lists of CIDRs as nft sets of the VPC namespace, for rules that name them. Key: the id
 * of the address set; element: `{cidrs}`. A set's name is a hash of the id: no text of a tenant stands in the ruleset.
 * A changed list costs the elements that differ, in one transaction with everything else that changes.
 */
import { canonicalProblem, cidrOf, overlap } from '@photoncloud/machines/values/addresses';
import type { Elements } from '@photoncloud/machines/values/wiring';
import { firewallErrors } from '../firewall/firewall-errors.ts';
import { hashName } from '../kernel-names.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { linkInto, type SegmentSection } from '../segment/segment-section.ts';
import { checkActor, must } from '../wiring-checks.ts';

/** Id of an address set -> its CIDRs. */
type AddressSets = ReadonlyMap<string, readonly string[]>;

const prefix = 'as_';
export const addressSetName = (id: string): string => prefix + hashName(id, 16);

/** @throws defeat `spec_invalid` */
export function addressSetsIn(elements: Elements): AddressSets {
  return new Map(
    Object.entries(elements).map(([id, element]) => {
      checkActor('address-set', id);
      const { cidrs } = element as { readonly cidrs: unknown };
      must(Array.isArray(cidrs), `${id}.cidrs`, cidrs);
      for (const cidr of cidrs as readonly unknown[])
        must(typeof cidr === 'string' && canonicalProblem(cidr) === undefined, `${id}.cidrs`, cidr);
      const list = cidrs as readonly string[];
      const clash = list.find((one, at) => list.slice(0, at).some((other) => overlap(cidrOf(one), cidrOf(other))));
      must(clash === undefined, `${id}.cidrs`, clash);
      return [id, list] as const;
    }),
  );
}

/** As nft prints it: a single address stands without its length. */
const printed = (cidr: string): string => cidr.replace(/\/32$/, '');

/** What the kernel has of one set; undefined when there is none. */
async function readSet(link: NamespaceLink, name: string): Promise<readonly string[] | undefined> {
  const text = await link.nftRead(`list set inet sg ${name}`);
  if (text === null) return undefined;
  const found = /elements = \{([^}]*)\}/.exec(text)?.[1] ?? '';
  return found
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');
}

/** Names of all sets of this kind. */
async function listSets(link: NamespaceLink): Promise<readonly string[]> {
  const text = (await link.nftRead('list sets inet')) ?? '';
  return [...text.matchAll(/set (as_[a-z0-9]+) \{/g)].map((match) => match[1] ?? '');
}

const braced = (elements: readonly string[]): string => `{ ${elements.join(', ')} }`;

function statementsFor(name: string, wanted: readonly string[], actual: readonly string[] | undefined): string[] {
  const next = wanted.map(printed);
  const added = next.filter((one) => actual?.includes(one) !== true);
  const gone = (actual ?? []).filter((one) => !next.includes(one));
  return [
    ...(actual === undefined ? [`add set inet sg ${name} { type ipv4_addr; flags interval; }`] : []),
    ...(gone.length === 0 ? [] : [`delete element inet sg ${name} ${braced(gone)}`]),
    ...(added.length === 0 ? [] : [`add element inet sg ${name} ${braced(added)}`]),
  ];
}

/** Makes these sets, and removes those of the names given. */
async function settle(link: NamespaceLink, sets: AddressSets, stale: readonly string[]): Promise<void> {
  const wanted = [...sets].map(([id, cidrs]) => ({ name: addressSetName(id), cidrs }));
  const actual = await Promise.all(wanted.map(({ name }) => readSet(link, name)));
  const statements = [
    ...wanted.flatMap(({ name, cidrs }, at) => statementsFor(name, cidrs, actual[at])),
    ...stale.map((name) => `delete set inet sg ${name}`),
  ];
  await link.nft('setting address sets', statements, firewallErrors);
}

export const addressSetsSection: SegmentSection = {
  name: 'address-sets',
  after: ['overlay'],
  check: (elements) => void addressSetsIn(elements),

  ensure: async (place, elements) => {
    const link = await linkInto(place);
    const sets = addressSetsIn(elements);
    const kept = new Set([...sets.keys()].map(addressSetName));
    await settle(
      link,
      sets,
      (await listSets(link)).filter((name) => !kept.has(name)),
    );
  },

  change: async (place, { put, removed }) => {
    const link = await linkInto(place);
    const gone = Object.keys(removed).map(addressSetName);
    const standing = gone.length === 0 ? [] : await listSets(link);
    await settle(
      link,
      addressSetsIn(put),
      gone.filter((name) => standing.includes(name)),
    );
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const differs = await Promise.all(
      [...addressSetsIn(wanted)].map(async ([id, cidrs]) => {
        const actual = await readSet(link, addressSetName(id));
        const next = cidrs.map(printed);
        const same = actual?.length === next.length && next.every((one) => actual.includes(one));
        return same ? [] : [`${id} is not as wanted`];
      }),
    );
    const standing = Object.keys(unwanted).length === 0 ? [] : await listSets(link);
    const left = Object.keys(unwanted).filter((id) => standing.includes(addressSetName(id)));
    return { facts: {}, drift: [...differs.flat(), ...left.map((id) => `still a set of ${id}`)] };
  },

  // The namespace takes them along.
  remove: async () => {},
};
