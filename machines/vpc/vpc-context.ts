/** Context of a VPC and pure functions on it. The host of each address is in rows `location/<address>`. */
import type { DeclaredContext } from '../values/declared.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import { sameJson, type Failure } from '../values/failures.ts';
import type { HostFacts, NetworkSpec } from '../values/wiring.ts';
import type { ElementViews, LeavingElement } from './vpc-elements.ts';
import type { MemberSelect, VpcSpec } from './vpc-protocol.ts';

/** A section as published to one host and as last reported by it. */
export interface SectionView {
  readonly published: number;
  /** Generation last published whole; until it is proven, earlier proofs do not count. */
  readonly whole: number;
  /** Generation last proven by the host; 0 before the first. */
  readonly proven: number;
  readonly failure: Failure | null;
}

/** The VPC on one host. */
export interface SegmentView {
  readonly facts: HostFacts;
  readonly sections: Readonly<Record<string, SectionView>>;
  /** Networks desired on the host -> generation of section `networks` with the newest spec of each. */
  readonly networks: Readonly<Record<string, number>>;
  /** It is being removed; nothing else is sent to it until it is gone. */
  readonly removing: boolean;
  /** Failure of the segment as a whole. */
  readonly failure: Failure | null;
}

export interface NetworkView {
  readonly spec: NetworkSpec;
  /** Generation of the network itself, from its newest claim. */
  readonly generation: number;
  /** Generation last reported as realized. */
  readonly realized: number;
}

/** A port that waits for its network on a host. */
export interface Waiting {
  readonly port: string;
  readonly host: HostFacts;
  readonly network: string;
}

/** Row `location/<address>`. */
export interface Location {
  readonly port: string;
  /** Index of the host. */
  readonly host: number;
  /** Ids of the port's security groups. */
  readonly groups: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** The address is of an allowed address pair. */
  readonly pair?: true;
}

/** Per released network: host -> generation of section `networks` that proves its absence there. */
export type Withdrawing = Readonly<Record<string, Readonly<Record<string, number>>>>;

export interface VpcContext extends DeclaredContext<VpcSpec> {
  readonly vni: number;
  readonly networks: Readonly<Record<string, NetworkView>>;
  readonly segments: Readonly<Record<string, SegmentView>>;
  readonly waiting: readonly Waiting[];
  /** Networks being removed that some host may still have; their CIDRs stay claimed until then. */
  readonly withdrawing: Withdrawing;
  /** Elements of other objects, by section and key. */
  readonly elements: ElementViews;
  readonly leaving: readonly LeavingElement[];
  /** Actor id -> the ports that it follows. */
  readonly watches: Readonly<Record<string, MemberSelect>>;
  /** Actor ids of the peerings that follow what the VPC has. */
  readonly followers: readonly string[];
  /** Actor ids of those that are told the subnets. */
  readonly rangeWatchers: readonly string[];
}

/** The section that holds the networks of a host; its proofs answer networks and ports. */
export const networksSection = 'networks';

export const tenantOf = (context: VpcContext): string => partsOfId(context.id).tenant;
export const segmentId = (context: VpcContext, host: string): string =>
  idOf('segment', tenantOf(context), partsOfId(context.id).name, host);

export const living = (segments: VpcContext['segments']): readonly SegmentView[] =>
  Object.values(segments).filter(({ removing }) => !removing);

const isWholeProven = ({ failure, proven, whole }: SectionView): boolean => failure === null && proven >= whole;

/** Sent before the segment received the latest publication, which it, or its successor, will answer separately. */
export const isLate = ({ sections }: SegmentView, heard: Readonly<Record<string, number>>): boolean =>
  Object.entries(sections).some(([name, { published: said }]) => said > (heard[name] ?? 0));

/** True when the host has proven section `networks` with the newest spec of the network. */
export const hasProved = ({ sections, networks }: SegmentView, network: string): boolean =>
  networks[network] !== undefined &&
  (sections[networksSection]?.proven ?? 0) >= networks[network] &&
  sections[networksSection]?.failure === null;

/** True when the host has proven the network, and every section since it was last published whole. */
export function provides(view: SegmentView | undefined, network: string, sections: readonly string[]): boolean {
  if (view === undefined || view.removing || view.failure !== null || !hasProved(view, network)) return false;
  return sections.every((name) => view.sections[name] !== undefined && isWholeProven(view.sections[name]));
}

/** Why the host does not provide the network; null while nothing is known to be wrong. */
export function troubleOf(view: SegmentView | undefined): Failure | null {
  if (view === undefined || view.removing) return null;
  const failures = [view.failure, ...Object.values(view.sections).map(({ failure }) => failure)];
  return failures.find((failure) => failure !== null) ?? null;
}

/** VXLAN over IPv4: outer Ethernet, IP and UDP headers, and its own. */
const overlayBytes = 50;

/** The largest MTU inside the overlay that all of the hosts support. */
export const carriedMtu = (hosts: readonly HostFacts[]): number =>
  Math.min(...hosts.map(({ underlayMtu }) => underlayMtu)) - overlayBytes;

/**
 * Why the MTU of a network and a host's underlay do not fit, or undefined when they do. Checked before publishing: a
 * section is realized whole or not at all, so one network with a large MTU would block all others.
 */
export function tooLarge(
  context: VpcContext,
  host: HostFacts,
  ...networks: readonly NetworkSpec[]
): string | undefined {
  const views = living(context.segments);
  const hosts = [host, ...views.map((view) => view.facts).filter(({ name }) => name !== host.name)];
  const narrowest = hosts.reduce((least, each) => (each.underlayMtu < least.underlayMtu ? each : least));
  const carried = carriedMtu([narrowest]);
  const used = views.flatMap((view) => Object.keys(view.networks)).flatMap((name) => context.networks[name] ?? []);
  const large = [...networks, ...used.map(({ spec }) => spec)].find(({ mtu }) => mtu > carried);
  if (large === undefined) return undefined;
  const which = `${large.network} declares an MTU of ${large.mtu}, but the underlay of host ${narrowest.name} carries`;
  return `${which} ${carried} inside the overlay; lower the network's MTU or raise the underlay's`;
}

/** The segments with the network added to the host, unless the segment is being removed. */
export function wanting(segments: VpcContext['segments'], host: HostFacts, network: string): VpcContext['segments'] {
  const view = segments[host.name];
  if (view?.removing === true) return segments;
  if (view !== undefined && sameJson(view.facts, host) && view.networks[network] !== undefined) return segments;
  const before: Omit<SegmentView, 'facts'> = view ?? emptySegment;
  const networks = { ...before.networks, [network]: before.networks[network] ?? 0 };
  return { ...segments, [host.name]: { ...before, facts: host, networks } };
}

/** Removes a network from every segment; one without networks is then removed, unless an element needs it. */
export function withdrawn(
  { segments, elements }: VpcContext,
  network: string,
): { readonly segments: VpcContext['segments']; readonly emptied: readonly string[] } {
  const emptied: string[] = [];
  const kept = hostsOf(elements);
  const entries = Object.entries(segments).map(([host, view]): [string, SegmentView] => {
    if (view.networks[network] === undefined) return [host, view];
    const networks = omit(view.networks, [network]);
    const isEmpty = Object.keys(networks).length === 0 && !kept.has(host);
    if (isEmpty && !view.removing) emptied.push(host);
    return [host, { ...view, networks, removing: view.removing || isEmpty }];
  });
  return { segments: Object.fromEntries(entries), emptied };
}

/** Hosts that elements need, by name. */
export const hostsOf = (elements: ElementViews): ReadonlyMap<string, HostFacts> =>
  new Map(
    Object.values(elements)
      .flatMap((keyed) => Object.values(keyed))
      .flatMap(({ hosts }) => hosts.map((facts) => [facts.name, facts] as const)),
  );

/**
 * The segments that elements need beside those of ports: missing ones are added; one that only an element needed ends
 * with it. @param changed the newest facts of hosts
 */
export function holding(
  before: VpcContext,
  { segments, elements }: VpcContext,
  changed: readonly HostFacts[],
): { readonly segments: VpcContext['segments']; readonly emptied: readonly string[] } {
  const [had, wanted] = [hostsOf(before.elements), hostsOf(elements)];
  const emptied: string[] = [];
  const entries = Object.entries(segments).map(([host, view]): [string, SegmentView] => {
    const facts = changed.find(({ name }) => name === host) ?? view.facts;
    if (view.removing || wanted.has(host) || !had.has(host) || Object.keys(view.networks).length > 0)
      return [host, view.removing || sameJson(facts, view.facts) ? view : { ...view, facts }];
    emptied.push(host);
    return [host, { ...view, removing: true }];
  });
  const added = [...wanted]
    .filter(([host]) => segments[host] === undefined)
    .map(([host, facts]): [string, SegmentView] => [host, { ...emptySegment, facts }]);
  return { segments: Object.fromEntries([...entries, ...added]), emptied };
}

const emptySegment: Omit<SegmentView, 'facts'> = { sections: {}, networks: {}, removing: false, failure: null };

/** The segment is gone; ports that waited for its end, and elements, need a new one. */
export function without({ segments, waiting, elements }: VpcContext, host: string): VpcContext['segments'] {
  let rest = omit(segments, [host]);
  const facts = hostsOf(elements).get(host);
  if (facts !== undefined) rest = { ...rest, [host]: { ...emptySegment, facts } };
  for (const late of waiting.filter((each) => each.host.name === host)) rest = wanting(rest, late.host, late.network);
  return rest;
}

/** The hosts of `withdrawing` whose proof is outstanding after this host has proven `generation` of its networks. */
export function proved(withdrawing: Withdrawing, host: string, generation: number): Withdrawing {
  const entries = Object.entries(withdrawing).map(([network, hosts]): [string, Readonly<Record<string, number>>] => {
    const owed = hosts[host];
    return [network, owed === undefined || owed > generation ? hosts : omit(hosts, [host])];
  });
  return Object.fromEntries(entries);
}

/** Withdrawn networks without outstanding proofs: their CIDRs are free. */
export function settled(withdrawing: Withdrawing): readonly string[] {
  return Object.keys(withdrawing).filter((network) => Object.keys(withdrawing[network] ?? {}).length === 0);
}

/** Networks whose newest spec is proven on all their hosts and was not yet reported as realized. */
export function realized({ networks, segments, withdrawing }: VpcContext): readonly string[] {
  return Object.keys(networks).filter((name) => {
    const network = networks[name];
    if (network === undefined || network.realized === network.generation || withdrawing[name] !== undefined)
      return false;
    return living(segments).every((view) => view.networks[name] === undefined || hasProved(view, name));
  });
}

/** One of them has vanished from a host: it is realized again once every host has proven it again. */
export function withoutProof(networks: VpcContext['networks'], lost: string | undefined): VpcContext['networks'] {
  const network = networks[lost ?? ''];
  return lost === undefined || network === undefined ? networks : { ...networks, [lost]: { ...network, realized: 0 } };
}

/** Networks that wait for this host's proof of their newest spec. */
export function delayed({ networks, segments }: VpcContext, host: string): readonly string[] {
  const view = segments[host];
  if (view === undefined || view.removing) return [];
  return Object.keys(view.networks).filter((name) => {
    const network = networks[name];
    return network !== undefined && network.realized !== network.generation && !hasProved(view, name);
  });
}

export function omit<T>(record: Readonly<Record<string, T>>, keys: readonly string[]): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => !keys.includes(key)));
}
