/**
 * What the way out of a VPC rules out. The external network that a router leads to has a CIDR, which no network of the
 * VPC or of a peer overlaps; and everything else has one way, whether through an external network or over a static
 * route. The VPC decides, because routers and networks come to it one after the other. Pure functions.
 */
import { cidrOf, overlap } from '../values/addresses.ts';
import type { Range } from '../values/peering-elements.ts';
import {
  everywhere,
  gatewayElement,
  gatewayKey,
  gatewaySection,
  routesSection,
  type GatewayElement,
} from '../values/router-elements.ts';
import type { VpcContext } from './vpc-context.ts';

interface Way {
  readonly section: string;
  readonly key: string;
}
const outside: Way = { section: gatewaySection, key: gatewayKey };
const overRoute: Way = { section: routesSection, key: everywhere };

interface Problem {
  readonly code: string;
  readonly message: string;
}
/** A CIDR of a network, an external network or a VPC. */
export type Held = Pick<GatewayElement, 'network' | 'cidr'>;

const findIn = ({ elements }: VpcContext, { section, key }: Way) => elements[section]?.[key];
const isWay = (one: Way, way: Way): boolean => one.section === way.section && one.key === way.key;
const meets = (one: string, other: string): boolean => overlap(cidrOf(one), cidrOf(other));

const gatewayIn = (element: unknown): GatewayElement | undefined => gatewayElement.safeParse(element).data;

function gatewayOf(context: VpcContext): { readonly gateway: Held; readonly owner: string } | undefined {
  const found = findIn(context, outside);
  const gateway = gatewayIn(found?.element);
  return found === undefined || gateway === undefined ? undefined : { gateway, owner: found.owner };
}

/** What the VPC reaches outside, and through which router: no VPC that it is peered with may have it. */
export function outsideRanges(context: VpcContext): readonly Range[] {
  const found = gatewayOf(context);
  return found === undefined ? [] : [{ cidr: found.gateway.cidr, by: found.owner }];
}

/** Why a network cannot have this CIDR. */
export function outsideClash(context: VpcContext, cidr: string): string | undefined {
  const found = gatewayOf(context);
  if (found === undefined || !meets(found.gateway.cidr, cidr)) return undefined;
  const { gateway, owner } = found;
  return `${cidr} overlaps ${gateway.cidr} of ${gateway.network}, which ${owner} leads to; choose another range`;
}

/**
 * Why a router's element cannot be taken. One that the VPC has is changed without this question.
 * @param inside what the networks of the VPC and of its peers have
 */
export function wayProblem(
  context: VpcContext,
  put: Way & { readonly element: unknown; readonly owner: string },
  inside: readonly Held[],
): Problem | undefined {
  const rival = isWay(put, overRoute) ? outside : isWay(put, outside) ? overRoute : undefined;
  if (rival === undefined || findIn(context, put) !== undefined) return undefined;
  const other = findIn(context, rival);
  if (other !== undefined && other.owner !== put.owner) {
    const how = rival === outside ? 'through its external network' : `by its route to ${everywhere}`;
    const message = `${other.owner} leads out of ${context.id} already, ${how}; leave out one of the two`;
    return { code: 'way_taken', message };
  }
  const gateway = gatewayIn(put.element);
  return rival === overRoute && gateway !== undefined ? overlapProblem(gateway, inside) : undefined;
}

/** The first network that an external network overlaps. */
export function overlapProblem({ network, cidr }: Held, own: readonly Held[]): Problem | undefined {
  const found = own.find((one) => meets(one.cidr, cidr));
  if (found === undefined) return undefined;
  const message =
    `${cidr} of ${network} overlaps ${found.cidr} of ${found.network}; ` +
    'name another external network, or renumber the network of the VPC';
  return { code: 'cidr_overlap', message };
}
