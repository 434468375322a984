/**
 * What a VPC publishes to its segments: the table of sections, and the messages to each host for a changed context. A
 * section whose elements are computed from the context is compared before and after; for one whose elements are rows,
 * the function that changes the rows names the increments. Add a new section to `sections` here, to
 * actors/dataplane/segment/segment-sections.ts on the host, and to the simulation's table; nothing else of vpc and
 * segment depends on it. Upholds: generations of a section only grow.
 */
import { sameJson } from '../values/failures.ts';
import { rows, send, type Asked, type Heard } from '../values/telling.ts';
import type { Elements, NetworkSpec, RouteSpec } from '../values/wiring.ts';
import { segmentPublish, type SectionUpdate } from '../segment/segment-protocol.ts';
import { carriedMtu, living, networksSection, segmentId } from './vpc-context.ts';
import type { Location, SectionView, SegmentView, VpcContext } from './vpc-context.ts';
import type { MemberElement } from '../values/group-rules.ts';
import { fencesSection } from '../values/fence-elements.ts';
import { peeringsSection } from '../values/peering-elements.ts';
import { serviceIpsSection } from '../values/service-elements.ts';
import { ownedSection } from './vpc-elements.ts';
import { peeringsAt, serviceIpsAt } from './vpc-reach.ts';

export interface PublishedSection {
  readonly name: string;
  /** Collections of the elements' rows; absent when they are computed from the context. */
  readonly from?: readonly string[];
  /** All elements of a host. Rows of `from` must be loaded. */
  readonly elements: (context: VpcContext, view: SegmentView, event: Heard) => Elements;
}

/** Keys `vni`, `mtu`, `self` and `peer/<host>`. */
const overlay: PublishedSection = {
  name: 'overlay',
  elements: ({ vni, segments }, { facts }) => {
    const peers = living(segments)
      .map((view) => view.facts)
      .filter(({ name }) => name !== facts.name);
    return {
      vni,
      mtu: carriedMtu([facts, ...peers]),
      self: facts,
      ...Object.fromEntries(peers.map((peer) => [`peer/${peer.name}`, peer])),
    };
  },
};

/** Key: the CIDR. Of all networks, on every host. */
const ranges: PublishedSection = {
  name: 'ranges',
  elements: ({ networks: claimed, withdrawing }) =>
    Object.fromEntries(
      Object.entries(claimed)
        .filter(([name]) => withdrawing[name] === undefined)
        .flatMap(([, { spec }]) => spec.subnets.map(({ cidr }) => [cidr, {}] as const)),
    ),
};

/** Key: the network's id. */
const networks: PublishedSection = {
  name: networksSection,
  elements: (context, view) => {
    const specs = Object.keys(view.networks).flatMap((name): (readonly [string, NetworkSpec])[] => {
      const network = context.networks[name];
      return network === undefined ? [] : [[name, network.spec]];
    });
    return Object.fromEntries(specs);
  },
};

/** Key: the network's id. Of the networks of the host, those whose guests may ask for metadata. */
const metadata: PublishedSection = {
  name: 'metadata',
  elements: (context, view) =>
    Object.fromEntries(
      Object.keys(view.networks)
        .filter((name) => context.networks[name]?.spec.metadata === true)
        .map((name) => [name, {}]),
    ),
};

/** Key: the address. All locations except those on the segment's own host. */
const routes: PublishedSection = {
  name: 'routes',
  from: ['location'],
  elements: (_, view, event) => {
    const elsewhere = Object.entries(rows<Location>(event, 'location'))
      .filter(([, { host }]) => host !== view.facts.index)
      .map(([address, { host }]) => [address, { address, host } satisfies RouteSpec] as const);
    return Object.fromEntries(elsewhere);
  },
};

/** Row `peer-member/<address>`: an address of another VPC. */
export interface PeerMember {
  readonly peering: string;
  /** Ids of the groups of its port. */
  readonly groups: readonly string[];
}
export const peerMemberRows = 'peer-member';

/**
 * Key: the address. All ports that have groups, for rules that name a group as the other end; also those of the VPCs
 * that this one is peered with.
 */
const groupMembers: PublishedSection = {
  name: 'group-members',
  from: ['location', peerMemberRows],
  elements: (_, _view, event) =>
    Object.fromEntries(
      Object.entries({ ...rows<PeerMember>(event, peerMemberRows), ...rows<Location>(event, 'location') })
        .filter(([, { groups }]) => groups.length > 0)
        .map(([address, { groups }]) => [address, { groups } satisfies MemberElement] as const),
    ),
};

/** Key: the peering's id. Those of which this host is to have the link. */
const peerings: PublishedSection = { name: peeringsSection, elements: peeringsAt };

/** Key: the service IP's id. Those of the VPC and of the VPCs that it is peered with. */
const serviceIps: PublishedSection = { name: serviceIpsSection, elements: serviceIpsAt };

export const sections: readonly PublishedSection[] = [
  overlay,
  ranges,
  networks,
  metadata,
  routes,
  ownedSection('address-sets'),
  groupMembers,
  ownedSection('security-groups'),
  serviceIps,
  peerings,
  ownedSection('static-routes'),
  ownedSection('gateway'),
  ownedSection('external-addresses'),
  ownedSection(fencesSection),
];
export const sectionNames: readonly string[] = sections.map(({ name }) => name);

/** True when a host has not been sent some section, because a later release added it. */
export const lacksSections = ({ segments }: VpcContext): boolean =>
  living(segments).some((view) => sectionNames.some((name) => view.sections[name] === undefined));

export interface Change {
  readonly put: Elements;
  readonly removed: readonly string[];
}

/** Result of publishing: the views with their new generations, and the messages. */
export interface Published {
  readonly segments: VpcContext['segments'];
  readonly asks: readonly Asked[];
}

function difference(before: Elements, after: Elements): Change {
  const put = Object.entries(after).filter(([key, element]) => !sameJson(before[key], element));
  return { put: Object.fromEntries(put), removed: Object.keys(before).filter((key) => after[key] === undefined) };
}

const isEmpty = ({ put, removed }: Change): boolean => Object.keys(put).length === 0 && removed.length === 0;

const noSection: SectionView = { published: 0, whole: 0, proven: 0, failure: null };

/** Records the generation that proves the published networks. */
const noting = (view: SegmentView, section: string, put: Elements, generation: number): SegmentView['networks'] =>
  section === networksSection
    ? { ...view.networks, ...Object.fromEntries(Object.keys(put).map((name) => [name, generation])) }
    : view.networks;

function wholly(
  view: SegmentView,
  { name }: PublishedSection,
  elements: Elements,
  generation: number,
): { view: SegmentView; update: SectionUpdate } {
  const known = view.sections[name] ?? noSection;
  const section = { ...known, published: generation, whole: generation, failure: null };
  return {
    view: {
      ...view,
      sections: { ...view.sections, [name]: section },
      networks: noting(view, name, elements, generation),
    },
    update: { section: name, generation, elements },
  };
}

function increased(view: SegmentView, name: string, change: Change): { view: SegmentView; update: SectionUpdate } {
  const known = view.sections[name] ?? noSection;
  const [from, to] = [known.published, known.published + 1];
  return {
    view: {
      ...view,
      sections: { ...view.sections, [name]: { ...known, published: to } },
      networks: noting(view, name, change.put, to),
    },
    update: { section: name, from, to, ...change },
  };
}

const message = (context: VpcContext, host: string, updates: readonly SectionUpdate[]): Asked =>
  send(segmentId(context, host), segmentPublish({ vpc: context.id, updates }));

/**
 * Publishes to every segment that is not being removed the differences between the two contexts. A segment that is new,
 * has changed facts or lacks a section gets it whole, for which the rows of all sections must be loaded.
 */
export function publishing(before: VpcContext, after: VpcContext, event: Heard): Published {
  const segments = { ...after.segments };
  const asks: Asked[] = [];
  for (const [host, wanted] of Object.entries(after.segments)) {
    if (wanted.removing) continue;
    const old = before.segments[host];
    const isNew = old === undefined || !sameJson(old.facts, wanted.facts);
    let view = wanted;
    const updates: SectionUpdate[] = [];
    for (const section of sections) {
      const known = wanted.sections[section.name];
      if (isNew || known === undefined) {
        const made = wholly(view, section, section.elements(after, wanted, event), (known?.published ?? 0) + 1);
        view = made.view;
        updates.push(made.update);
        continue;
      }
      if (section.from !== undefined) continue;
      const change = difference(section.elements(before, old, event), section.elements(after, wanted, event));
      if (isEmpty(change)) continue;
      const made = increased(view, section.name, change);
      view = made.view;
      updates.push(made.update);
    }
    segments[host] = view;
    if (updates.length > 0) asks.push(message(after, host, updates));
  }
  return { segments, asks };
}

/** Section -> what changes in it. */
type Changes = Readonly<Record<string, Change>>;

/** Publishes the increments that `changesFor` returns for each host. */
function publishingIncrements(context: VpcContext, changesFor: (view: SegmentView) => Changes): Published {
  const segments = { ...context.segments };
  const asks: Asked[] = [];
  for (const [host, wanted] of Object.entries(context.segments)) {
    if (wanted.removing) continue;
    let view = wanted;
    const updates: SectionUpdate[] = [];
    for (const [name, change] of Object.entries(changesFor(wanted))) {
      // A segment that was never sent the section gets it whole, with this element in it.
      if (view.sections[name] === undefined || isEmpty(change)) continue;
      const made = increased(view, name, change);
      view = made.view;
      updates.push(made.update);
    }
    segments[host] = view;
    if (updates.length > 0) asks.push(message(context, host, updates));
  }
  return { segments, asks };
}

const withElement = (key: string, element: unknown): Change => ({ put: { [key]: element }, removed: [] });
const withoutElement = (key: string): Change => ({ put: {}, removed: [key] });

/**
 * Publishes that the location of an address has changed: its route to the other hosts, its groups to all. On the port's
 * own host its binding makes the route. Undefined stands for no location.
 */
export function publishingLocation(
  context: VpcContext,
  address: string,
  before: Location | undefined,
  after: Location | undefined,
): Published {
  const route = ({ facts }: SegmentView): Change | undefined => {
    const isOwn = (at: Location | undefined): boolean => at?.host === facts.index;
    if (after !== undefined && !isOwn(after))
      return before?.host === after.host ? undefined : withElement(address, { address, host: after.host });
    return before === undefined || isOwn(before) ? undefined : withoutElement(address);
  };
  const [had, has] = [before?.groups ?? [], after?.groups ?? []];
  const groups = has.length > 0 ? withElement(address, { groups: has }) : withoutElement(address);
  return publishingIncrements(context, (view) => {
    const changed = route(view);
    return {
      ...(changed === undefined ? {} : { [routes.name]: changed }),
      ...(sameJson(had, has) ? {} : { [groupMembers.name]: groups }),
    };
  });
}

/** Publishes which addresses of peered VPCs belong to which groups. */
export const publishingMembers = (context: VpcContext, change: Change): Published =>
  publishingIncrements(context, () => ({ [groupMembers.name]: change }));

/**
 * Publishes these sections whole to a host that misses increments. @param beyond section -> generation that the new one
 * must exceed
 */
export function publishingAnew(
  context: VpcContext,
  host: string,
  beyond: Readonly<Record<string, number>>,
  event: Heard,
): Published {
  let view = context.segments[host];
  if (view === undefined || view.removing) return { segments: context.segments, asks: [] };
  const updates: SectionUpdate[] = [];
  for (const section of sections.filter(({ name }) => beyond[name] !== undefined)) {
    const generation = Math.max(view.sections[section.name]?.published ?? 0, beyond[section.name] ?? 0) + 1;
    const made = wholly(view, section, section.elements(context, view, event), generation);
    view = made.view;
    updates.push(made.update);
  }
  const asks = updates.length === 0 ? [] : [message(context, host, updates)];
  return { segments: { ...context.segments, [host]: view }, asks };
}

/** Publishes unproven sections again, so that a segment with a permanent failure retries. */
export function repeating(context: VpcContext, host: string, event: Heard): readonly Asked[] {
  const view = context.segments[host];
  if (view === undefined || view.removing) return [];
  const updates = sections.flatMap((section): SectionUpdate[] => {
    const known = view.sections[section.name];
    if (known === undefined || (known.failure === null && known.proven >= known.published)) return [];
    return [{ section: section.name, generation: known.published, elements: section.elements(context, view, event) }];
  });
  return updates.length === 0 ? [] : [message(context, host, updates)];
}
