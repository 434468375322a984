/** Context of a router and pure functions on it: what it is to be, what it publishes, and what is wrong. */
import type { WayOut } from '../external-network/external-network-protocol.ts';
import type { DeclaredContext } from '../values/declared.ts';
import { sameJson, type Failure } from '../values/failures.ts';
import { idOf, partsOfId, systemTenant } from '../values/identifiers.ts';
import {
  gatewayKey,
  gatewaySection,
  routesSection,
  type GatewayElement,
  type StaticRouteElement,
} from '../values/router-elements.ts';
import type { Seen } from '../values/telling.ts';
import type { HostFacts } from '../values/wiring.ts';
import type { VpcRange } from '../vpc/vpc-protocol.ts';
import type { RouterEvent, RouterSpec, RouteSpec } from './router-protocol.ts';
import { misfitsOf, type RouteProblem } from './router-spec.ts';

/** A claim that an external network has granted. */
export interface Claimed {
  /** Actor id of the external network. */
  readonly network: string;
  /** Of the router; null without snat. */
  readonly address: string | null;
  /** Null until the external network knows a gateway host. */
  readonly way: WayOut | null;
}

/** Where a next hop is; null when there is no such port. */
export type Hop = { readonly address: string; readonly vpc: string } | null;

/** An element as it was published last. */
export interface Published {
  readonly section: string;
  readonly key: string;
  readonly element: GatewayElement | StaticRouteElement;
  readonly hosts: readonly HostFacts[];
  /** Number of the publication, by which the VPC's answers are told apart. */
  readonly revision: number;
  readonly isRealized: boolean;
  /** The only hosts that have not proven it; absent while they are not known. */
  readonly lagging?: readonly string[];
  readonly failure: Failure | null;
}

/** A declaration that is not in force yet. */
export interface Proposal {
  readonly spec: RouterSpec;
  readonly labels: RouterContext['labels'];
  readonly protect: boolean;
}

export interface RouterContext extends DeclaredContext<RouterSpec> {
  /** A changed declaration while it is being examined; null otherwise. */
  readonly proposed: Proposal | null;
  /** Subnets of the VPC; null until it has told them. */
  readonly ranges: readonly VpcRange[] | null;
  /** The VPC has said that it does not exist. */
  readonly isStranded: boolean;
  readonly external: Claimed | null;
  /** By actor id of the port; of those followed that have answered. */
  readonly hops: Readonly<Record<string, Hop>>;
  /** By section and key. */
  readonly published: Readonly<Record<string, Published>>;
  /** Removed elements that some host may still have: `<section> <key>`. */
  readonly leaving: readonly string[];
  readonly revision: number;
}

export type At = Seen<RouterContext, RouterEvent>;

/** The declaration that is examined or in force. @throws TypeError before the first */
export function candidateOf({ id, proposed, spec }: RouterContext): RouterSpec {
  const candidate = proposed?.spec ?? spec;
  if (candidate === null) throw new TypeError(`${id} has no spec`);
  return candidate;
}

/** Nothing of it is in force yet. */
export const isNew = ({ observedGeneration, published, proposed }: RouterContext): boolean =>
  proposed === null && observedGeneration === 0 && Object.keys(published).length === 0;

export const vpcOf = ({ id, spec }: RouterContext): string => idOf('vpc', partsOfId(id).tenant, spec?.vpc ?? 'main');
export const networkIdOf = (name: string): string => idOf('external-network', systemTenant, name);

const portIn = ({ id }: RouterContext, { via }: RouteSpec): string | undefined =>
  typeof via === 'object' && 'port' in via ? idOf('port', partsOfId(id).tenant, via.port) : undefined;

/** Ids of the ports that a declaration names as next hops. */
export const portsIn = (context: RouterContext, spec: RouterSpec | null): readonly string[] => [
  ...new Set((spec?.routes ?? []).flatMap((route) => portIn(context, route) ?? [])),
];

/** The VPC and all next hops have answered. */
export const isSurveyed = (context: RouterContext): boolean =>
  context.isStranded ||
  (context.ranges !== null &&
    portsIn(context, candidateOf(context)).every((port) => Object.hasOwn(context.hops, port)));

// What is wrong

function portProblems(context: RouterContext, spec: RouterSpec): readonly RouteProblem[] {
  return spec.routes.flatMap((route, at) => {
    const port = portIn(context, route);
    const hop = port === undefined ? undefined : context.hops[port];
    const path = `spec.routes.${at}.via.port`;
    if (port === undefined || hop === undefined) return [];
    if (hop === null)
      return [{ code: 'next_hop_missing', path, message: `there is no ${port}; declare it, or name another port` }];
    if (hop.vpc === vpcOf(context)) return [];
    const message = `${port} is in ${hop.vpc}, not in ${vpcOf(context)}; name a port of the same VPC`;
    return [{ code: 'next_hop_elsewhere', path, message }];
  });
}

/** The external network with its CIDR, when the declaration is about the one that is claimed. */
function outOf(
  { external }: RouterContext,
  spec: RouterSpec,
): { readonly network: string; readonly cidr: string } | null {
  const isSame = spec.external !== null && external?.network === networkIdOf(spec.external.network);
  return isSame && external.way !== null ? { network: external.network, cidr: external.way.cidr } : null;
}

/** Why a declaration does not fit the VPC, its ports and the external network. */
export const problemsWith = (context: RouterContext, spec: RouterSpec): readonly RouteProblem[] => [
  ...misfitsOf(spec, context.ranges ?? [], outOf(context, spec)),
  ...portProblems(context, spec),
];

/** Why traffic does not get where it is to; empty when all is well. */
export function troublesOf(context: RouterContext): readonly string[] {
  const { spec, external, isStranded } = context;
  if (spec === null) return [];
  const way = external?.way ?? null;
  const isShut = spec.external !== null && (way === null || way.active === null);
  return [
    ...(isStranded ? [`there is no ${vpcOf(context)}`] : []),
    ...problemsWith(context, spec).map(({ path, message }) => `${path}: ${message}`),
    ...(isShut ? [`no gateway host of external-network ${spec.external?.network} can be used now`] : []),
  ];
}

// What is published

type Wanted = Pick<Published, 'section' | 'key' | 'element' | 'hosts'>;

/** A next hop that is missing is no reason to let the packets out another way. */
function viaOf(context: RouterContext, route: RouteSpec): string | null {
  if (route.via === 'blackhole') return null;
  if ('address' in route.via) return route.via.address;
  const hop = context.hops[portIn(context, route) ?? ''] ?? null;
  return hop?.vpc === vpcOf(context) ? hop.address : null;
}

/** The elements that the declaration in force demands. */
export function wantedElements(context: RouterContext): readonly Wanted[] {
  const { spec, external } = context;
  if (spec === null) return [];
  const routes = spec.routes.map((route): Wanted => {
    const element = { via: viaOf(context, route) };
    return { section: routesSection, key: route.destination, element, hosts: [] };
  });
  const way = external?.way ?? null;
  if (spec.external === null || external === null || way === null) return routes;
  const element: GatewayElement = { ...way, network: external.network, snat: external.address };
  return [...routes, { section: gatewaySection, key: gatewayKey, element, hosts: way.gateways }];
}

export const slotOf = ({ section, key }: Pick<Published, 'section' | 'key'>): string => `${section} ${key}`;

export const isPublished = ({ published }: RouterContext, wanted: Wanted): boolean => {
  const known = published[slotOf(wanted)];
  return known !== undefined && sameJson([known.element, known.hosts], [wanted.element, wanted.hosts]);
};

export const allRealized = ({ published, leaving }: RouterContext): boolean =>
  leaving.length === 0 && Object.values(published).every(({ isRealized }) => isRealized);

/** For whom the VPC still waits; empty while that is not known of every element. Names of hosts are for operators. */
export function laggingHosts({ published, leaving }: RouterContext): readonly string[] {
  const open = Object.values(published).filter(({ isRealized }) => !isRealized);
  if (leaving.length > 0 || !open.every(({ lagging }) => lagging !== undefined)) return [];
  return [...new Set(open.flatMap(({ lagging = [] }) => lagging))].sort();
}

/** How many hosts have not proven everything, and whether the leading gateway host has; null: that is not known. */
export function lagOf(context: RouterContext): string | null {
  const hosts = laggingHosts(context);
  if (hosts.length === 0) return null;
  const behind = `${hosts.length === 1 ? 'one host has' : `${hosts.length} hosts have`} not proven it yet`;
  const way = context.external?.way ?? null;
  const leader = way?.gateways.find(({ index }) => index === way.active)?.name;
  if (leader === undefined) return `${behind}; every other host has`;
  return hosts.includes(leader)
    ? `${behind}, among them the gateway host that leads; every other host has`
    : `${behind}; every other host has, also the gateway host that leads`;
}
