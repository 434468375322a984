/**
 * Section `address-sets`: named lists of CIDRs as nft sets of the VPC namespace, for rules that name them. Key: the id
 * of the address set; element: `{cidrs}`. A set's name is a hash of the id: no text of a tenant stands in the ruleset.
 * A changed list costs the elements that differ, in one transaction with everything else that changes. A set that a
 * rule still names when its owner has gone stands empty until the rule goes, too.
 */
import { canonicalProblem, cidrOf, overlap } from '@photoncloud/machines/values/addresses';
import type { Elements } from '@photoncloud/machines/values/wiring';
import {
  changeFirewall,
  inFirewallTurn,
  listNames,
  readSet,
  removeUnlessUsed,
  setDifference,
} from '../firewall/firewall-changes.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { reviewFlows } from '../security-group/flow-review.ts';
import { addressSetName, addSet, isAddressSet, printedCidr } from '../security-group/group-chains.ts';
import { toldPolicy } from '../security-group/group-policy.ts';
import { linkInto, type SegmentSection } from '../segment/segment-section.ts';
import { checkActor, must } from '../wiring-checks.ts';

/** Id of an address set -> its CIDRs. */
type AddressSets = ReadonlyMap<string, readonly string[]>;

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

/**
 * Makes these sets, empties those of the names given, and removes them unless a rule still names them.
 * @returns whether an address was taken out of a set
 */
async function settle(link: NamespaceLink, sets: AddressSets, stale: readonly string[]): Promise<boolean> {
  const wanted = [
    ...[...sets].map(([id, cidrs]) => ({ name: addressSetName(id), cidrs: cidrs.map(printedCidr) })),
    ...stale.map((name) => ({ name, cidrs: null })),
  ];
  const changes = await Promise.all(
    wanted.map(async ({ name, cidrs }) => {
      const actual = await readSet(link, name);
      const { statements, takes } = setDifference(name, cidrs ?? [], actual ?? []);
      return { statements: [...(actual === null && cidrs !== null ? [addSet(name)] : []), ...statements], takes };
    }),
  );
  const statements = changes.flatMap((one) => one.statements);
  if (statements.length > 0) await changeFirewall(link, 'setting address sets', statements);
  for (const name of stale) await removeUnlessUsed(link, `removing ${name}`, [`delete set inet sg ${name}`]);
  return changes.some(({ takes }) => takes);
}

const listAddressSets = async (link: NamespaceLink): Promise<readonly string[]> =>
  (await listNames(link, 'set')).filter(isAddressSet);

export const addressSetsSection: SegmentSection = {
  name: 'address-sets',
  after: ['overlay'],
  check: (elements) => void addressSetsIn(elements),

  startsEmpty: (_, link) => {
    toldPolicy(link).addressSets = new Map();
  },

  ensure: async (place, elements) => {
    const link = await linkInto(place);
    const sets = addressSetsIn(elements);
    const policy = toldPolicy(link);
    const kept = new Set([...sets.keys()].map(addressSetName));
    const takesAway = await inFirewallTurn(link, async () => {
      const stale = (await listAddressSets(link)).filter((name) => !kept.has(name));
      const taken = await settle(link, sets, stale);
      policy.addressSets = new Map(sets);
      return taken;
    });
    await reviewFlows(place, takesAway);
  },

  change: async (place, { put, removed }) => {
    const link = await linkInto(place);
    const sets = addressSetsIn(put);
    const policy = toldPolicy(link);
    const gone = Object.keys(removed).filter((id) => !sets.has(id));
    const takesAway = await inFirewallTurn(link, async () => {
      const taken = await settle(link, sets, gone.map(addressSetName));
      for (const id of gone) policy.addressSets?.delete(id);
      for (const [id, cidrs] of sets) policy.addressSets?.set(id, cidrs);
      return taken;
    });
    await reviewFlows(place, takesAway);
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const differs = await Promise.all(
      [...addressSetsIn(wanted)].map(async ([id, cidrs]) => {
        const actual = await readSet(link, addressSetName(id));
        const next = cidrs.map(printedCidr);
        const same = actual?.length === next.length && next.every((one) => actual.includes(one));
        return same ? [] : [`${id} is not as wanted`];
      }),
    );
    // A rule may still name a set that is gone; then it stands empty.
    const left = await Promise.all(
      Object.keys(unwanted).map(async (id) =>
        ((await readSet(link, addressSetName(id))) ?? []).length === 0 ? [] : [`still addresses of ${id}`],
      ),
    );
    return { facts: {}, drift: [...differs.flat(), ...left.flat()] };
  },

  // The namespace takes them along.
  remove: async () => {},
};
