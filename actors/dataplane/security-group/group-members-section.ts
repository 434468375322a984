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
  const memberships = [...members].flatMap(([address, groups]) =>
    groups.map((id) => ({ address, name: memberSet(id) })),
  );
  const sets = Map.groupBy(memberships, ({ name }) => name);
  return new Map([...sets].map(([name, found]) => [name, found.map(({ address }) => address)]));
}

const listMemberSets = async (link: NamespaceLink): Promise<readonly string[]> =>
  (await listNames(link, 'set')).filter(isMemberSet);

/** In a VPC of so many members, increments look only into the sets where these addresses are, were or are to be. */
const manyMembers = 200;

/** @param groups where the addresses are to be, and where they were */
async function setsToLookAt(
  link: NamespaceLink,
  addresses: readonly string[],
  groups: readonly string[],
): Promise<readonly string[]> {
  const told = toldPolicy(link).members;
  const named = groups.map(memberSet);
  if (told === undefined || told.size < manyMembers || addresses.length >= manyMembers)
    return [...new Set([...(await listMemberSets(link)), ...named])];
  return [...new Set([...addresses.flatMap((address) => told.get(address) ?? []).map(memberSet), ...named])];
}

/** Name of a set -> which of the addresses are in it now. */
async function among(
  link: NamespaceLink,
  names: readonly string[],
  addresses: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const sought = new Set(addresses);
  const found = await Promise.all(
    names.map(async (name) => [name, ((await readSet(link, name)) ?? []).filter((one) => sought.has(one))] as const),
  );
  return new Map(found);
}

/** Puts the addresses into exactly these sets. @returns the sets that one was taken out of */
async function settle(link: NamespaceLink, members: Members): Promise<readonly string[]> {
  const sets = setsOf(members);
  const addresses = [...members.keys()];
  const names = await setsToLookAt(link, addresses, [...members.values()].flat());
  const differences = [...(await among(link, names, addresses))].map(([name, actual]) => ({
    name,
    ...setDifference(name, sets.get(name) ?? [], actual),
  }));
  // A set without members may have gone with the last rule that named it: to make it again costs nothing.
  const statements = differences.flatMap((one) => one.statements);
  const what = 'setting members of security groups';
  if (statements.length > 0) await changeFirewall(link, what, [...[...sets.keys()].map(addSet), ...statements]);
  return differences.filter(({ takes }) => takes).map(({ name }) => name);
}

/** Sets of groups without members go, unless a rule names them. */
async function removeEmpty(link: NamespaceLink, names: readonly string[]): Promise<void> {
  for (const name of names)
    if ((await readSet(link, name))?.length === 0)
      await removeUnlessUsed(link, `removing ${name}`, [`delete set inet sg ${name}`]);
}

export const groupMembersSection: SegmentSection = {
  name: 'group-members',
  after: ['overlay'],
  check: (elements) => void membersIn(elements),

  startsEmpty: (_, link) => {
    toldPolicy(link).members = new Map();
  },

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
    const named = [...members.values(), ...membersIn(unwanted).values()].flat();
    const found = await among(link, await setsToLookAt(link, addresses, named), addresses);
    const groupsOf = new Map<string, string[]>(addresses.map((address) => [address, []]));
    for (const [name, list] of found) for (const address of list) groupsOf.get(address)?.push(name);
    const drift = [
      ...[...members]
        .filter(([address, groups]) => groupsOf.get(address)?.sort().join() !== groups.map(memberSet).sort().join())
        .map(([address]) => `${address} is not in its security groups`),
      ...gone
        .filter((address) => groupsOf.get(address)?.length !== 0)
        .map((address) => `${address} is still in a security group`),
    ];
    return { facts: {}, drift };
  },

  // The namespace takes them along.
  remove: async () => {},
};
