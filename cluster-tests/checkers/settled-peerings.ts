/**
 * K13 for peerings, once no fault is active: what a host has of them in its kernel is what the two VPCs declare. Every
 * host with a network of either VPC has both, and on each a link with the CIDRs of both; members of security groups and
 * service IPs are those of the VPC and of the VPCs that it is peered with, and of no others. Pure; called by
 * settled-cloud.ts.
 */
import { cidrOf, overlap } from '@photoncloud/machines/values/addresses';
import { sameJson } from '@photoncloud/machines/values/failures';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';

type Fields = Readonly<Record<string, unknown>>;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

/** A VPC on a host. */
export interface SegmentListing {
  readonly vpc: string;
  readonly owner: string;
  /** Section -> key -> element, of sections that the kernel keeps as they are given. */
  readonly elements?: ReadonlyMap<string, ReadonlyMap<string, unknown>>;
  /** Index of the host among those of the cluster. */
  readonly self?: number;
  /** Address -> index of the host that its route leads to. */
  readonly routes?: ReadonlyMap<string, number>;
}

interface Host {
  readonly host: string;
  readonly segments: readonly SegmentListing[];
}

/** VPC id -> address -> row `location/<address>`. */
export type Locations = ReadonlyMap<
  string,
  ReadonlyMap<string, { readonly groups: readonly string[]; readonly port?: string; readonly host?: number }>
>;

interface Vpc {
  readonly id: string;
  /** Names of the hosts that have a network of it. */
  readonly hosts: readonly string[];
  readonly cidrs: readonly string[];
}

function vpcOf({ id, context }: StoredActor): Vpc {
  const { segments, networks } = fields(context);
  const hosts = Object.entries(fields(segments)).flatMap(([host, view]) => {
    const { networks: here, removing } = fields(view);
    return removing === true || Object.keys(fields(here)).length === 0 ? [] : [host];
  });
  const cidrs = Object.values(fields(networks)).flatMap((network) => {
    const subnets = fields(fields(network)['spec'])['subnets'] as readonly { readonly cidr: string }[];
    return subnets.map(({ cidr }) => cidr);
  });
  return { id, hosts, cidrs };
}

interface Joined {
  readonly id: string;
  readonly state: unknown;
  readonly vpcs: readonly [Vpc, Vpc];
}

const listed = (values: Iterable<string>): string => [...values].toSorted().join(' ');

export function wrongPeerings(
  live: ReadonlyMap<string, StoredActor>,
  hosts: readonly Host[],
  locations: Locations,
): readonly string[] {
  const peerings = [...live.values()].flatMap((actor): Joined[] => {
    const [kind, tenant] = actor.id.split('/');
    const names = (fields(fields(actor.context)['spec'])['vpcs'] ?? []) as readonly string[];
    const [one, other] = names.map((name) => live.get(`vpc/${tenant}/${name}`));
    if (kind !== 'peering' || one === undefined || other === undefined) return [];
    return [{ id: actor.id, state: actor.state, vpcs: [vpcOf(one), vpcOf(other)] }];
  });
  const homes = new Map(
    [...live.values()]
      .filter(({ id }) => id.startsWith('service-ip/'))
      .map(({ id, context }) => [id, fields(fields(context)['grant'])['vpc']] as const),
  );
  return [
    ...peerings.flatMap((peering) => [...overlapping(peering), ...unjoined(peering, hosts)]),
    ...hosts.flatMap((host) => host.segments.flatMap((segment) => unserved(host, segment, peerings, homes))),
    ...hosts.flatMap((host) => host.segments.flatMap((segment) => strangers(host.host, segment, peerings, locations))),
  ];
}

/** CIDRs that overlap are told, and those that do not are no trouble. */
function overlapping({ id, state, vpcs: [one, other] }: Joined): readonly string[] {
  const clash = one.cidrs.find((cidr) => other.cidrs.some((theirs) => overlap(cidrOf(cidr), cidrOf(theirs))));
  if (clash !== undefined && state !== 'rejected')
    return [`${id} is ${String(state)} although ${clash} is in both VPCs`];
  return clash === undefined && state === 'rejected' ? [`${id} is rejected although no CIDR overlaps`] : [];
}

function unjoined({ id, state, vpcs }: Joined, hosts: readonly Host[]): readonly string[] {
  if (state !== 'ready') return [];
  const wanted = new Set(vpcs.flatMap((vpc) => vpc.hosts));
  return hosts.flatMap(({ host, segments }) =>
    vpcs.flatMap((vpc, at) => {
      const peer = vpcs[at === 0 ? 1 : 0];
      const found = segments
        .find((one) => one.vpc === vpc.id)
        ?.elements?.get('peerings')
        ?.get(id);
      if (!wanted.has(host)) return found === undefined ? [] : [`${vpc.id} on ${host} has ${id}, and need not`];
      if (found === undefined) return [`${vpc.id} on ${host} has no link of ${id}`];
      const { cidrs, own, peer: to } = found as { cidrs: string[]; own: string[]; peer: string };
      const fits = to === peer.id && listed(cidrs) === listed(peer.cidrs) && listed(own) === listed(vpc.cidrs);
      return fits ? [] : [`${vpc.id} on ${host} has ${id} as ${JSON.stringify(found)}, not of ${listed(peer.cidrs)}`];
    }),
  );
}

/** Service IPs of a peered VPC that are not as there, and those of a VPC that is not peered. @param homes id -> VPC */
function unserved(
  { host, segments }: Host,
  { vpc, elements }: SegmentListing,
  peerings: readonly Joined[],
  homes: ReadonlyMap<string, unknown>,
): readonly string[] {
  const found = elements?.get('service-ips');
  const ours = peerings.filter(({ vpcs }) => vpcs.some(({ id }) => id === vpc));
  const peers = new Set(ours.flatMap(({ vpcs }) => vpcs.map(({ id }) => id)));
  const joined = ours.filter(({ state, vpcs }) => state === 'ready' && vpcs.some((one) => one.hosts.includes(host)));
  const wrong = [...(found?.keys() ?? [])].filter((key) => {
    const home = homes.get(key);
    return home !== undefined && home !== vpc && !peers.has(String(home));
  });
  const differing = segments
    .filter((other) => other.vpc !== vpc && joined.some(({ vpcs }) => vpcs.some(({ id }) => id === other.vpc)))
    .flatMap((other) => [...(other.elements?.get('service-ips') ?? [])].filter(([key]) => homes.get(key) === other.vpc))
    .filter(([key, element]) => !sameJson(found?.get(key), element));
  return [
    ...wrong.map((key) => `${vpc} on ${host} has ${key} of ${String(homes.get(key))}, with which it is not peered`),
    ...differing.map(([key]) => `${vpc} on ${host} has ${key} otherwise than ${String(homes.get(key))}`),
  ];
}

/** Links of peerings that do not exist, and members of groups of VPCs that are not peered. */
function strangers(
  host: string,
  { vpc, elements }: SegmentListing,
  peerings: readonly Joined[],
  locations: Locations,
): readonly string[] {
  const where = `${vpc} on ${host}`;
  const left = [...(elements?.get('peerings')?.keys() ?? [])].filter((id) => !peerings.some((one) => one.id === id));
  const reached = peerings
    .filter(({ vpcs }) => vpcs.some(({ id }) => id === vpc))
    .flatMap(({ vpcs }) => vpcs.map(({ id }) => id));
  const wanted = [...new Set([vpc, ...reached])]
    .flatMap((id) => [...(locations.get(id) ?? [])])
    .flatMap(([address, { groups }]) => (groups.length === 0 ? [] : [`${address} in ${groups.toSorted().join()}`]));
  const found = [...(elements?.get('group-members') ?? [])].map(
    ([address, element]) => `${address} in ${((element as { groups: string[] }).groups ?? []).toSorted().join()}`,
  );
  // Ports of the two VPCs that have the same address say so in their peering; which of them is a member is open.
  const isOpen = peerings.some(({ state, vpcs }) => state === 'rejected' && vpcs.some(({ id }) => id === vpc));
  return [
    ...left.map((id) => `${where} has a link of ${id}, which does not exist`),
    ...(elements === undefined || isOpen || listed(found) === listed(wanted)
      ? []
      : [`${where} has the members ${listed(found) || 'none'}, and its VPCs have ${listed(wanted) || 'none'}`]),
  ];
}
