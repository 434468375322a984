/**
 * Table `inet peering` of a VPC namespace: what may come over the links of its peerings, before the security groups
 * judge it. From the other VPC come packets from its own networks to networks of this VPC, and nothing else: neither
 * from a third VPC that it is peered with, nor to one (docs/threats.md#t63). ICMP errors of the other namespace have an
 * overlay address as their source; security groups let them in with the flow that they are about.
 *
 * The table is there while the VPC has a peering. Called by peerings-section.ts.
 */
import { braced } from '../security-group/group-chains.ts';
import { changeFirewall, readElements, readSet, setDifference } from '../firewall/firewall-changes.ts';
import { transitSet } from '../firewall/firewall-rules.ts';
import type { NamespaceLink } from '../namespace-link.ts';

/** Statements that make the table, and change none that stands. */
const table: readonly string[] = [
  'add table inet peering',
  'add set inet peering links { type ifname; }',
  'add set inet peering sources { type ifname . ipv4_addr; flags interval; }',
  'add set inet peering destinations { type ifname . ipv4_addr; flags interval; }',
  'add chain inet peering forward { type filter hook forward priority -20; policy accept; }',
  'add chain inet peering input { type filter hook input priority -20; policy accept; }',
];
const rules: readonly string[] = [
  'add rule inet peering forward iifname != @links accept',
  'add rule inet peering forward iifname . ip daddr != @destinations drop',
  'add rule inet peering forward iifname . ip saddr @sources accept',
  'add rule inet peering forward ip saddr 169.254.64.0/24 icmp type { destination-unreachable, time-exceeded } accept',
  'add rule inet peering forward drop',
  'add rule inet peering input iifname != @links accept',
  'add rule inet peering input icmp type echo-request iifname . ip saddr @sources accept',
  'add rule inet peering input ct state established,related accept',
  'add rule inet peering input drop',
];

/** What may come over one link. */
export interface LinkRules {
  /** Name of the link. */
  readonly name: string;
  /** CIDRs of the other VPC. */
  readonly cidrs: readonly string[];
  /** CIDRs of this VPC. */
  readonly own: readonly string[];
}

const element = (name: string, cidr: string): string => `"${name}" . ${cidr.replace(/\/32$/, '')}`;
const quoted = (name: string): string => `"${name}"`;

interface Standing {
  readonly links: readonly string[];
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
  readonly transit: readonly string[];
}

/** Null without the table. */
async function read(link: NamespaceLink): Promise<Standing | null> {
  const [links, sources, destinations, transit] = await Promise.all([
    ...['links', 'sources', 'destinations'].map((name) => readElements(link, `set inet peering ${name}`)),
    readSet(link, transitSet),
  ]);
  if (links === null || links === undefined) return null;
  return { links, sources: sources ?? [], destinations: destinations ?? [], transit: transit ?? [] };
}

const ofLink = (elements: readonly string[], name: string): readonly string[] =>
  elements.filter((one) => one.startsWith(`${quoted(name)} . `));

/** Names of the links that the table lets in. */
export async function readLinks(link: NamespaceLink): Promise<readonly string[]> {
  return ((await read(link))?.links ?? []).map((one) => one.replaceAll('"', ''));
}

/** Changes the elements of one link in a set from the first list to the second. */
function changed(set: string, actual: readonly string[], wanted: readonly string[]): readonly string[] {
  const added = wanted.filter((one) => !actual.includes(one));
  const gone = actual.filter((one) => !wanted.includes(one));
  return [
    ...(gone.length === 0 ? [] : [`delete element inet peering ${set} ${braced(gone)}`]),
    ...(added.length === 0 ? [] : [`add element inet peering ${set} ${braced(added)}`]),
  ];
}

/** Lets in what belongs to the link, before it is up. @returns CIDRs of the other VPC that it had and has no more */
export async function admitLink(link: NamespaceLink, { name, cidrs, own }: LinkRules): Promise<readonly string[]> {
  const found = await read(link);
  const { links, sources, destinations, transit } = found ?? { links: [], sources: [], destinations: [], transit: [] };
  const [from, to] = [cidrs, own].map((list) => list.map((cidr) => element(name, cidr)));
  const had = ofLink(sources, name);
  const statements = [
    ...(found === null ? [...table, ...rules] : []),
    ...changed('links', links.includes(quoted(name)) ? [quoted(name)] : [], [quoted(name)]),
    ...changed('sources', had, from ?? []),
    ...changed('destinations', ofLink(destinations, name), to ?? []),
    ...(transit.includes(quoted(name)) ? [] : setDifference(transitSet, [quoted(name)], []).statements),
  ];
  if (statements.length > 0) await changeFirewall(link, `letting in ${name}`, statements);
  return cidrsIn(
    name,
    had.filter((one) => from?.includes(one) !== true),
  );
}

/** After the link is gone. @returns the CIDRs of the other VPC that it had */
export async function dismissLink(link: NamespaceLink, name: string): Promise<readonly string[]> {
  const found = await read(link);
  if (found === null) return [];
  const had = ofLink(found.sources, name);
  const isLast = found.links.every((one) => one === quoted(name));
  const statements = [
    ...(found.transit.includes(quoted(name)) ? setDifference(transitSet, [], [quoted(name)]).statements : []),
    ...(isLast
      ? ['delete table inet peering']
      : [
          ...changed(
            'links',
            found.links.filter((one) => one === quoted(name)),
            [],
          ),
          ...changed('sources', had, []),
          ...changed('destinations', ofLink(found.destinations, name), []),
        ]),
  ];
  await changeFirewall(link, `letting nothing in over ${name}`, statements);
  return cidrsIn(name, had);
}

const cidrsIn = (name: string, elements: readonly string[]): readonly string[] =>
  elements.map((one) => one.slice(`${quoted(name)} . `.length));

/** What differs, in words. */
export async function linkRulesDrift(link: NamespaceLink, { name, cidrs, own }: LinkRules): Promise<readonly string[]> {
  const found = await read(link);
  if (found === null) return ['nothing says what may come over the links'];
  const differs = (set: readonly string[], wanted: readonly string[]): boolean =>
    ofLink(set, name).toSorted().join() !==
    wanted
      .map((cidr) => element(name, cidr))
      .toSorted()
      .join();
  return [
    ...(found.links.includes(quoted(name)) ? [] : [`${name} is not filtered`]),
    ...(found.transit.includes(quoted(name)) ? [] : [`${name} leads nowhere for the security groups`]),
    ...(differs(found.sources, cidrs) ? [`other sources come over ${name}`] : []),
    ...(differs(found.destinations, own) ? [`other destinations are reached over ${name}`] : []),
  ];
}
