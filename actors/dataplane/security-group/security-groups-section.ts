/**
 * Section `security-groups`: the rules of the groups of a VPC. Key: the group's id; element: `{rules}`, in which other
 * groups and address sets stand by their ids. Every host of the VPC has every group: any port may come.
 * Promise: a rule whose group or address set this host was not told of is no error: it stands over an empty set. Sets
 * and chains that nothing refers to any more, and that no element names, are gone.
 */
import { groupElement, ruleProblem, type GroupRule } from '@photoncloud/machines/values/group-rules';
import type { Elements } from '@photoncloud/machines/values/wiring';
import {
  changeFirewall,
  inFirewallTurn,
  listNames,
  readChains,
  removeUnlessUsed,
  sameLines,
} from '../firewall/firewall-changes.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { linkInto, type SegmentSection } from '../segment/segment-section.ts';
import { checkIdOf, must, parsed } from '../wiring-checks.ts';
import { reviewFlows } from './flow-review.ts';
import { forgetFlowFiles } from './flow-table.ts';
import {
  addSet,
  addressSetName,
  braced,
  directions,
  groupChain,
  groupChains,
  groupLines,
  isAddressSet,
  isGroupChain,
  isServiceSet,
  memberSet,
  removeChain,
  serviceSet,
  setChain,
  setsIn,
} from './group-chains.ts';
import { toldPolicy, type ToldPolicy } from './group-policy.ts';

type Groups = ReadonlyMap<string, readonly GroupRule[]>;

/** @throws defeat `spec_invalid` */
export function groupsIn(elements: Elements): Groups {
  return new Map(
    Object.entries(elements).map(([id, element]) => {
      checkIdOf('security-group', 'security-groups', id);
      const { rules } = parsed(groupElement, id, element);
      for (const [index, rule] of rules.entries()) {
        const problem = ruleProblem(rule);
        must(problem === undefined, `${id}.rules.${index}.${problem?.path}`, rule);
        const { remote } = rule;
        if (remote !== null && 'group' in remote)
          checkIdOf('security-group', `${id}.rules.${index}.remote.group`, remote.group);
        if (remote !== null && 'addressSet' in remote)
          checkIdOf('address-set', `${id}.rules.${index}.remote.addressSet`, remote.addressSet);
        if (remote !== null && 'serviceIp' in remote)
          checkIdOf('service-ip', `${id}.rules.${index}.remote.serviceIp`, remote.serviceIp);
      }
      return [id, rules] as const;
    }),
  );
}

interface ChainChange {
  readonly name: string;
  readonly wanted: readonly string[];
  /** Null when there is no such chain. */
  readonly actual: readonly string[] | null;
}

/** What a chain no longer admits, or no longer in this order. */
const takes = ({ wanted, actual }: ChainChange): boolean => actual?.some((line) => !wanted.includes(line)) === true;

async function compared(
  link: NamespaceLink,
  wanted: readonly (readonly [string, readonly string[]])[],
): Promise<readonly ChainChange[]> {
  const actual = await readChains(
    link,
    wanted.map(([name]) => name),
  );
  return wanted.map(([name, lines], index) => ({ name, wanted: lines, actual: actual[index] ?? null }));
}

const chainsOf = (id: string, rules: readonly GroupRule[]) =>
  directions.map((direction) => [groupChain(direction, id), groupLines(direction, rules)] as const);

/**
 * Makes the chains of each group, one transaction a group, and empties those that are stale. Then what is unused goes.
 * @returns whether something is no longer admitted
 */
async function settle(
  link: NamespaceLink,
  groups: Groups,
  stale: readonly string[],
  policy: ToldPolicy,
): Promise<boolean> {
  const all = [...groups].flatMap(([id, rules]) => chainsOf(id, rules));
  const differing = (await compared(link, all)).filter(({ actual, wanted }) => !sameLines(actual, wanted));
  for (const [id, rules] of groups) {
    const own = chainsOf(id, rules).map(([name]) => name);
    const chains = differing.filter(({ name }) => own.includes(name));
    if (chains.length > 0)
      await changeFirewall(link, `setting the rules of ${id}`, [
        ...setsIn(chains.flatMap(({ wanted }) => wanted)).flatMap((name) => [
          addSet(name),
          ...serviceElements(name, policy),
        ]),
        ...chains.flatMap(({ name, wanted }) => setChain(name, wanted)),
      ]);
  }
  const empty = stale.map((name) => [name, []] as const);
  const emptied = (await compared(link, empty)).filter(({ actual }) => actual !== null);
  for (const { name } of emptied) {
    // A port may still have the group: then the chain stays, and admits nothing.
    await changeFirewall(link, `emptying ${name}`, [`flush chain inet sg ${name}`]);
    await removeUnlessUsed(link, `removing ${name}`, removeChain(name));
  }
  const changes = [...differing, ...emptied];
  const used = new Set(setsIn(changes.flatMap(({ wanted }) => wanted)));
  for (const name of setsIn(changes.flatMap(({ actual }) => actual ?? [])))
    if (!used.has(name) && !isNamed(name, policy))
      await removeUnlessUsed(link, `removing ${name}`, [`delete set inet sg ${name}`]);
  return changes.some(takes);
}

/** The set of a service IP stands only while a rule names it. */
function serviceElements(name: string, { serviceIps }: ToldPolicy): readonly string[] {
  if (!isServiceSet(name)) return [];
  const found = [...(serviceIps ?? [])].find(([id]) => serviceSet(id) === name);
  return found === undefined ? [] : [`add element inet sg ${name} ${braced([found[1].address])}`];
}

/** Whether an element of the section of this set names it; a section that was not made yet clears its sets itself. */
function isNamed(name: string, { members, addressSets }: ToldPolicy): boolean {
  if (isAddressSet(name))
    return addressSets === undefined || [...addressSets.keys()].map(addressSetName).includes(name);
  if (isServiceSet(name)) return false;
  return members === undefined || [...members.values()].flat().map(memberSet).includes(name);
}

export const securityGroupsSection: SegmentSection = {
  name: 'security-groups',
  after: ['overlay'],
  check: (elements) => void groupsIn(elements),

  ensure: async (place, elements) => {
    const link = await linkInto(place);
    const groups = groupsIn(elements);
    const policy = toldPolicy(link);
    const kept = new Set([...groups.keys()].flatMap(groupChains));
    const takesAway = await inFirewallTurn(link, async () => {
      const standing = (await listNames(link, 'chain')).filter((name) => isGroupChain(name) && !kept.has(name));
      const taken = await settle(link, groups, standing, policy);
      policy.rules = new Map(groups);
      return taken;
    });
    await reviewFlows(place, takesAway);
  },

  change: async (place, { put, removed }) => {
    const link = await linkInto(place);
    const groups = groupsIn(put);
    const policy = toldPolicy(link);
    const gone = Object.keys(removed).filter((id) => !groups.has(id));
    const takesAway = await inFirewallTurn(link, async () => {
      const taken = await settle(link, groups, gone.flatMap(groupChains), policy);
      for (const id of gone) policy.rules?.delete(id);
      for (const [id, rules] of groups) policy.rules?.set(id, rules);
      return taken;
    });
    await reviewFlows(place, takesAway);
  },

  read: async (place, wanted, unwanted) => {
    const link = await linkInto(place);
    const groups = groupsIn(wanted);
    const [asWanted, unlike] = await Promise.all([
      compared(
        link,
        [...groups].flatMap(([id, rules]) => chainsOf(id, rules)),
      ),
      compared(
        link,
        Object.keys(unwanted).flatMap((id) => chainsOf(id, [])),
      ),
    ]);
    const differing = new Set(
      asWanted.filter(({ actual, wanted: lines }) => !sameLines(actual, lines)).map(({ name }) => name),
    );
    const filled = new Set(unlike.filter(({ actual }) => (actual ?? []).length > 0).map(({ name }) => name));
    const drift = [
      ...[...groups.keys()]
        .filter((id) => groupChains(id).some((name) => differing.has(name)))
        .map((id) => `the rules of ${id} are not as wanted`),
      ...Object.keys(unwanted)
        .filter((id) => groupChains(id).some((name) => filled.has(name)))
        .map((id) => `still rules of ${id}`),
    ];
    return { facts: {}, drift };
  },

  // Chains and sets go with the namespace.
  remove: forgetFlowFiles,
};
