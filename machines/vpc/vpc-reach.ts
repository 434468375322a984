/**
 * What a VPC has that peerings follow: its hosts and the CIDRs that it routes; and what it publishes of its peerings. A
 * peering puts into section `peerings` what the VPC has to know of the other one. Pure functions.
 * Upholds: a peering is told every change of what it follows; a network gets no CIDR that the VPC routes elsewhere.
 */
import { assertEvent } from 'xstate';
import { cidrOf, overlap } from '../values/addresses.ts';
import { sameJson } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { peeringElement, peeringsSection } from '../values/peering-elements.ts';
import type { PeeringElement, PeeringHostElement, Range } from '../values/peering-elements.ts';
import { serviceIpsSection, type ServiceIpElement } from '../values/service-elements.ts';
import { send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import type { Elements, NetworkSpec } from '../values/wiring.ts';
import { living, type SegmentView, type VpcContext } from './vpc-context.ts';
import type { ElementView } from './vpc-elements.ts';
import { outsideClash, outsideRanges, type Held } from './vpc-outside.ts';
import { reachTold } from './vpc-peer-protocol.ts';
import type { VpcEvent } from './vpc-protocol.ts';

type At = Seen<VpcContext, VpcEvent>;
type Done = Acted<VpcContext>;

/** Elements of section `peerings`: id of the peering -> what it says of the other VPC. */
function peeringsOf({ elements }: VpcContext): readonly (readonly [string, PeeringElement])[] {
  return Object.entries(elements[peeringsSection] ?? {}).flatMap(([id, { element }]) => {
    const parsed = peeringElement.safeParse(element);
    return parsed.success ? [[id, parsed.data] as const] : [];
  });
}

const ownRanges = ({ networks }: VpcContext): readonly Range[] =>
  Object.entries(networks).flatMap(([by, { spec }]) => spec.subnets.map(({ cidr }) => ({ cidr, by })));

/** What no external network may overlap: the CIDRs of the VPC's own networks and of those that it is peered with. */
export const insideRanges = (context: VpcContext): readonly Held[] => [
  ...ownRanges(context).map(({ cidr, by }) => ({ network: by, cidr })),
  ...peeringsOf(context).flatMap(([, { peer, cidrs }]) => cidrs.map((cidr) => ({ network: peer, cidr }))),
];

/** Without what the VPC has because of this peering. */
function reachFor(context: VpcContext, peering: string) {
  const hosts = living(context.segments)
    .filter(({ networks }) => Object.keys(networks).length > 0)
    .map(({ facts }) => facts)
    .toSorted((a, b) => a.index - b.index);
  const reached = peeringsOf(context).filter(([id]) => id !== peering);
  const over = reached.flatMap(([by, { cidrs }]) => cidrs.map((cidr) => ({ cidr, by })));
  return { vpc: context.id, exists: true, hosts, ranges: [...ownRanges(context), ...over, ...outsideRanges(context)] };
}

const tellReach = (context: VpcContext, peering: string): Asked => send(peering, reachTold(reachFor(context, peering)));

export function noteFollower({ context, event }: At): Partial<VpcContext> {
  assertEvent(event, 'reach.follow');
  return { followers: [...new Set([...context.followers, event.meta.from ?? ''])] };
}

export function tellFollower({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'reach.follow');
  return [tellReach(context, event.meta.from ?? '')];
}

export const tellFollowers = ({ context }: At): readonly Asked[] =>
  context.followers.map((one) => tellReach(context, one));

export function forgetFollower({ context, event }: At): Partial<VpcContext> {
  assertEvent(event, 'reach.unfollow');
  return { followers: context.followers.filter((one) => one !== event.meta.from) };
}

const missing = (context: VpcContext, to: string): Asked =>
  send(to, reachTold({ vpc: context.id, exists: false, hosts: [], ranges: [] }));

/** There is no such VPC, or it is about to end. */
export function tellMissing({ context, event }: At): readonly Asked[] {
  assertEvent(event, ['reach.follow', 'reach.unfollow']);
  return [missing(context, event.meta.from ?? '')];
}

/** The VPC ends. */
export const leaveFollowers = ({ context }: At): Done => ({
  changes: { followers: [] },
  asks: context.followers.map((one) => missing(context, one)),
});

/** Does what `change` does, and tells the peerings for which that changes what they follow. */
export const tellingReach =
  (change: (seen: At) => Done) =>
  (seen: At): Done => {
    const done = change(seen);
    const { context } = seen;
    const after = { ...context, ...done.changes };
    const told = after.followers.filter((one) => !sameJson(reachFor(context, one), reachFor(after, one)));
    return { changes: done.changes, asks: [...done.asks, ...told.map((one) => tellReach(after, one))] };
  };

/** Why a CIDR cannot be claimed: the VPC reaches it over a peering, or a VPC that it is peered with does. */
function peerClash(context: VpcContext, cidr: string): string | undefined {
  const meets = (other: string): boolean => overlap(cidrOf(other), cidrOf(cidr));
  for (const [id, { peer, cidrs, taken }] of peeringsOf(context)) {
    const own = cidrs.find(meets);
    if (own !== undefined) return `${cidr} overlaps ${own} of ${peer}, which ${id} joins; choose another range`;
    const beyond = taken.find((one) => meets(one.cidr));
    if (beyond !== undefined)
      return `${cidr} overlaps ${beyond.cidr}, which ${peer} reaches over ${beyond.by}; choose another range`;
  }
  return undefined;
}

/** The first CIDR that overlaps one of another network of the VPC, or one that it reaches over a peering or outside. */
export function clash(
  context: VpcContext,
  { network, subnets }: NetworkSpec,
): { index: number; message: string } | undefined {
  for (const [index, { cidr }] of subnets.entries()) {
    for (const [name, { spec }] of Object.entries(context.networks)) {
      if (name === network) continue;
      const other = spec.subnets.find((held) => overlap(cidrOf(held.cidr), cidrOf(cidr)));
      if (other === undefined) continue;
      const how = cidr === other.cidr ? 'is already a subnet' : `overlaps ${other.cidr}`;
      const message = `${cidr} ${how} of ${name} in the same VPC; choose another range`;
      return { index, message };
    }
    const message = peerClash(context, cidr) ?? outsideClash(context, cidr);
    if (message !== undefined) return { index, message };
  }
  return undefined;
}

/** Whether the element of section `service-ips` is of a peered VPC: then its peering has put it here. */
export const isOfPeer = ({ owner }: ElementView): boolean => partsOfId(owner).kind === 'peering';

/**
 * Section `service-ips` of a host: those of the VPC, and of the VPCs that it reaches from there. A flow is led to its
 * backend before it crosses, so that the answer, which crosses on the host of the backend, is the backend's own.
 */
export function serviceIpsAt(context: VpcContext, view: SegmentView): Elements {
  const reached = peeringsAt(context, view) as Readonly<Record<string, PeeringHostElement>>;
  const isReached = ({ owner, element }: ElementView): boolean => {
    const { address } = element as ServiceIpElement;
    return reached[owner]?.cidrs.some((cidr) => overlap(cidrOf(cidr), cidrOf(`${address}/32`))) === true;
  };
  const services = Object.entries(context.elements[serviceIpsSection] ?? {});
  const here = services.filter(([, service]) => !isOfPeer(service) || isReached(service));
  return Object.fromEntries(here.map(([id, { element }]) => [id, element]));
}

/**
 * Section `peerings` of a host: those that it is to have the link of. Two VPCs may be given networks at the same moment
 * that overlap; until one of them is deleted, the VPC's own network goes before that of the other.
 */
export function peeringsAt(context: VpcContext, { facts }: SegmentView): Elements {
  const own = ownRanges(context)
    .filter(({ by }) => context.withdrawing[by] === undefined)
    .map(({ cidr }) => cidr);
  const routed = [...own];
  const elements = peeringsOf(context)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([id, { peer, cidrs, mtu, hosts }]) => {
      const free = cidrs.filter((cidr) => !routed.some((other) => overlap(cidrOf(other), cidrOf(cidr))));
      routed.push(...free);
      return { id, hosts, element: { peer, cidrs: free, own, mtu } satisfies PeeringHostElement };
    });
  const here = elements.filter(({ hosts }) => hosts.includes(facts.name));
  return Object.fromEntries(here.map(({ id, element }) => [id, element]));
}
