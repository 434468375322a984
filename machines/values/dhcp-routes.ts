/**
 * Classless routes that DHCP gives to guests (option 121): which routes a declaration may have, and which of them the
 * guests of a subnet get. Pure; the network's chart and the configuration of the DHCP server use it.
 */
import * as addresses from './addresses.ts';
import type { Issue } from './telling.ts';
import type { SubnetSpec } from './wiring.ts';

export interface DhcpRoute {
  readonly destination: string;
  readonly via: string;
}

/** A DHCP option has one byte for its length. */
const optionBytes = 255;

const encodedBytes = ({ destination }: DhcpRoute): number =>
  1 + Math.ceil(addresses.cidrOf(destination).prefix / 8) + 4;

/**
 * The routes of option 121 for guests of a subnet: those whose next hop is in it, since a guest reaches no other, and
 * the default route, because a guest that gets option 121 ignores option 3 (RFC 3442). None without a route of its own.
 */
export function routesFor(
  subnet: Pick<SubnetSpec, 'cidr' | 'gateway'>,
  routes: readonly DhcpRoute[],
): readonly DhcpRoute[] {
  const cidr = addresses.cidrOf(subnet.cidr);
  const own = routes.filter(({ via }) => addresses.contains(cidr, addresses.addressOf(via)));
  return own.length === 0 ? [] : [...own, { destination: '0.0.0.0/0', via: subnet.gateway }];
}

type RouteProblem = Issue & { readonly code: string };

function destinationProblem({ destination }: DhcpRoute, earlier: readonly DhcpRoute[]): string | undefined {
  const cidr = addresses.cidrOf(destination);
  if (cidr.prefix === 0) return 'is the default route, which is always the gateway of the subnet; leave it out';
  const local = ['127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].find((range) =>
    addresses.overlap(addresses.cidrOf(range), cidr),
  );
  if (local !== undefined) return `overlaps ${local}, which is never routed; leave it out`;
  const same = earlier.findIndex((one) => one.destination === destination);
  return same === -1 ? undefined : `is already the destination of route ${same}; a guest has one next hop for it`;
}

function viaProblem({ via }: DhcpRoute, subnets: readonly SubnetSpec[]): string | undefined {
  const at = addresses.addressOf(via);
  const subnet = subnets.find(({ cidr }) => addresses.contains(addresses.cidrOf(cidr), at));
  if (subnet === undefined) {
    const cidrs = subnets.map(({ cidr }) => cidr).join(', ');
    return `is in no subnet of the network, so no guest reaches it; choose an address in ${cidrs}`;
  }
  const cidr = addresses.cidrOf(subnet.cidr);
  if (via === subnet.gateway || !addresses.isReserved(cidr, at)) return undefined;
  return (
    `is reserved in ${subnet.cidr}, so it is nobody's; ` +
    `choose the address of a port, or the gateway ${subnet.gateway}`
  );
}

/** @param path of the list, such as `spec.dhcp.routes` */
export function routeProblems(
  routes: readonly DhcpRoute[],
  subnets: readonly SubnetSpec[],
  path: string,
): readonly RouteProblem[] {
  const problems = routes.flatMap((route, index): readonly RouteProblem[] => {
    const [destination, via] = [destinationProblem(route, routes.slice(0, index)), viaProblem(route, subnets)];
    const issue = (field: 'destination' | 'via', why: string | undefined): readonly RouteProblem[] =>
      why === undefined
        ? []
        : [{ code: `route_${field}_invalid`, path: `${path}.${index}.${field}`, message: `${route[field]} ${why}` }];
    return [...issue('destination', destination), ...issue('via', via)];
  });
  if (problems.length > 0) return problems;
  return subnets.flatMap((subnet): readonly RouteProblem[] => {
    const bytes = routesFor(subnet, routes).reduce((sum, route) => sum + encodedBytes(route), 0);
    if (bytes <= optionBytes) return [];
    const message =
      `the routes of ${subnet.cidr} take ${bytes} bytes of DHCP option 121, and ${optionBytes} fit; ` +
      'leave some out, or merge destinations';
    return [{ code: 'routes_too_long', path, message }];
  });
}
