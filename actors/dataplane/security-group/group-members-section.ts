/**
 * Section `group-members`: to which security groups the addresses of a VPC belong, as sets of addresses that rules
 * name. Key: the address of a port, on whatever host; element: `{groups}`. A port that joins is one element for each of
 * its groups, however many ports there are.
 */
import { memberElement } from '@photoncloud/machines/values/group-rules';
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
import { linkInto, type SegmentSection } from '../segment/segment-section.ts';
import { checkGroups, isAddress, must, parsed } from '../wiring-checks.ts';
import { reviewFlows } from './flow-review.ts';
import { addSet, isMemberSet, memberSet } from './group-chains.ts';
import { toldPolicy } from './group-policy.ts';

type Members = ReadonlyMap<string, readonly string[]>;

/** @throws defeat `spec_invalid` */
export function membersIn(elements: Elements): Members {
  return new Map(
    Object.entries(elements).map(([address, element]) => {
      must(isAddress(address), 'group-members', address);
      const { groups } = parsed(memberElement, `group-members.${address}`, element);
      checkGroups(`group-members.${address}.groups`, groups);
      return [address, groups] as const;
    }),
  );
}

/** Name of a set -> its addresses. */
function setsOf(members: Members): ReadonlyMap<string, readonly string[]> {
  const sets = new Map<string, string[]>();
  for (const [address, groups] of members)
    for (const name of groups.map(memberSet)) sets.set(name, [...(sets.get(name) ?? []), address]);
  return sets;
}

/** Lists every element of every set, too, so increments do without. */
async function listMemberSets(link: NamespaceLink): Promise<readonly string[]> {
  const names = (await listNames(link, 'set')).filter(isMemberSet);
  toldPolicy(link).memberSets = new Set(names);
  return names;
}

/** The sets that addresses may be in. */
async function standingSets(link: NamespaceLink): Promise<ReadonlySet<string>> {
  return toldPolicy(link).memberSets ?? new Set(await listMemberSets(link));
}

/** So many addresses are asked for one by one; more, and the sets are read whole. */
const fewMembers = 16;

/** Which of the addresses are in the set now. */
async function among(link: NamespaceLink, name: string, addresses: readonly string[]): Promise<ReadonlySet<string>> {
  if (addresses.length > fewMembers) {
    const all = new Set((await readSet(link, name)) ?? []);
    return new Set(addresses.filter((address) => all.has(address)));
  }
  const found = await Promise.all(
    addresses.map((address) => link.nftRead(`get element inet sg ${name} { ${address} }`)),
  );
  return new Set(addresses.filter((_, index) => found[index] !== null));
}

/** Puts the addresses into exactly these sets. @returns the sets that one was taken out of */
async function settle(link: NamespaceLink, members: Members): Promise<readonly string[]> {
  const sets = setsOf(members);
  const addresses = [...members.keys()];
  const standing = await standingSets(link);
  const differences = await Promise.all(
    [...new Set([...standing, ...sets.keys()])].map(async (name) => ({
      name,
      ...setDifference(name, sets.get(name) ?? [], [...(await among(link, name, addresses))]),
    })),
  );
  // A set without members may have gone with the last rule that named it: to make it again costs nothing.
  const statements = differences.flatMap((one) => one.statements);
  const what = 'setting members of security groups';
  if (statements.length > 0) await changeFirewall(link, what, [...[...sets.keys()].map(addSet), ...statements]);
  for (const name of sets.keys()) toldPolicy(link).memberSets?.add(name);
  return differences.filter(({ takes }) => takes).map(({ name }) => name);
}

/** Sets of groups without members go, unless a rule names them. */
async function removeEmpty(link: NamespaceLink, names: readonly string[]): Promise<void> {
  for (const name of names)
    if (
      (await readSet(link, name))?.length === 0 &&
      (await removeUnlessUsed(link, `removing ${name}`, [`delete set inet sg ${name}`]))
    )
      toldPolicy(link).memberSets?.delete(name);
}

export const groupMembersSection: SegmentSection = {
  name: 'group-members',
  after: ['overlay'],
  check: (elements) => void membersIn(elements),

  ensure: async (place, elements) => {
    const link = await linkInto(place);
    const members = membersIn(elements);
    const policy = toldPolicy(link);
    const left = await inFirewallTurn(link, async () => {
      const standing = await listMemberSets(link);
      const strangers = (await Promise.all(standing.map((name) => readSet(link, name)))).flatMap((one) => one ?? []);
      const all = new Map([...strangers.map((address) => [address, []] as const), ...members]);
      const taken = await settle(link, all);
      policy.members = new Map(members);
      await removeEmpty(link, standing);
      return taken;
    });
    await reviewFlows(place, left.length > 0);
  },

  change: async (place, { put, removed }) => {
    const link = await linkInto(place);
    const members = membersIn(put);
    const policy = toldPolicy(link);
    const gone = Object.keys(removed).filter((address) => !members.has(address));
    const left = await inFirewallTurn(link, async () => {
      const taken = await settle(link, new Map([...gone.map((address) => [address, []] as const), ...members]));
      for (const address of gone) policy.members?.delete(address);
      for (const [address, groups] of members) policy.members?.set(address, groups);
      await removeEmpty(link, taken);
      return taken;
    });
    await reviewFlows(place, left.length > 0);
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const members = membersIn(wanted);
    const gone = Object.keys(unwanted).filter((address) => !members.has(address));
    const addresses = [...members.keys(), ...gone];
    const sets = setsOf(members);
    const standing = addresses.length > fewMembers ? await listMemberSets(link) : await standingSets(link);
    const names = [...new Set([...standing, ...sets.keys()])];
    const found = await Promise.all(names.map(async (name) => [name, await among(link, name, addresses)] as const));
    const groupsOf = (address: string) => found.filter(([, set]) => set.has(address)).map(([name]) => name);
    const drift = [
      ...[...members]
        .filter(([address, groups]) => groupsOf(address).sort().join() !== groups.map(memberSet).sort().join())
        .map(([address]) => `${address} is not in its security groups`),
      ...gone
        .filter((address) => groupsOf(address).length > 0)
        .map((address) => `${address} is still in a security group`),
    ];
    return { facts: {}, drift };
  },

  // The namespace takes them along.
  remove: async () => {},
};
