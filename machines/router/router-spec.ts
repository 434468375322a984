/**
 * Whether the routes of a router make sense: by themselves, and in their VPC. Pure functions of a declaration, the
 * subnets of the VPC and the external network.
 */
import * as addresses from '../values/addresses.ts';
import type { Issue } from '../values/telling.ts';
import { everywhere } from '../values/router-elements.ts';
import { overlapProblem } from '../vpc/vpc-outside.ts';
import type { VpcRange } from '../vpc/vpc-protocol.ts';
import type { RouterSpec } from './router-protocol.ts';

export interface RouteProblem extends Issue {
  readonly code: string;
}

const isInside = (inner: addresses.Cidr, outer: addresses.Cidr): boolean =>
  inner.prefix >= outer.prefix && addresses.contains(outer, inner.base);

function destinationProblem(
  { routes, external }: RouterSpec,
  at: number,
): { code: string; message: string } | undefined {
  const destination = routes[at]?.destination ?? '';
  const wrong = addresses.canonicalProblem(destination);
  if (wrong !== undefined) return { code: 'cidr_invalid', message: wrong };
  if (destination === everywhere && external !== null) {
    const message = `${everywhere} leads through ${external.network}; leave out the route, or the external network`;
    return { code: 'default_route', message };
  }
  const special = addresses.specialWithin(addresses.cidrOf(destination));
  if (special !== undefined)
    return { code: 'destination_special', message: `${destination} ${special}; it cannot be routed` };
  const first = routes.findIndex((one) => one.destination === destination);
  return first < at
    ? { code: 'route_twice', message: `${destination} is the destination of route ${first}; keep one of the two` }
    : undefined;
}

/** @returns what is wrong with a declaration by itself */
export function problemsOf(spec: RouterSpec): readonly RouteProblem[] {
  const { routes, external } = spec;
  const message = 'a router without snat has no address; leave it null, or set snat';
  return [
    ...(external !== null && !external.snat && external.address !== null
      ? [{ code: 'address_unused', path: 'spec.external.address', message }]
      : []),
    ...routes.flatMap((_, at) => {
      const found = destinationProblem(spec, at);
      return found === undefined ? [] : [{ ...found, path: `spec.routes.${at}.destination` }];
    }),
  ];
}

function hopProblem(address: string, ranges: readonly VpcRange[]): { code: string; message: string } | undefined {
  const at = addresses.addressOf(address);
  const range = ranges.find(({ cidr }) => addresses.contains(addresses.cidrOf(cidr), at));
  if (range === undefined) {
    const known = ranges.map(({ cidr }) => cidr).join(', ') || 'none yet';
    return { code: 'next_hop_outside', message: `${address} is in no subnet of the VPC (${known}); name a port of it` };
  }
  if (range.gateway === address) {
    const message = `${address} is the gateway of ${range.cidr}, which would send it back; name the address of a port`;
    return { code: 'next_hop_gateway', message };
  }
  return addresses.isReserved(addresses.cidrOf(range.cidr), at)
    ? { code: 'next_hop_reserved', message: `${address} is reserved in ${range.cidr}, and no port has it` }
    : undefined;
}

/** What the VPC and the external network say against a declaration. */
export function misfitsOf(
  { routes }: RouterSpec,
  ranges: readonly VpcRange[],
  external: { readonly network: string; readonly cidr: string } | null,
): readonly RouteProblem[] {
  const overlapping = external === null ? undefined : overlapProblem(external, ranges);
  const outside = overlapping === undefined ? [] : [{ ...overlapping, path: 'spec.external.network' }];
  const wrong = routes.flatMap(({ destination, via }, at) => {
    const path = `spec.routes.${at}`;
    const cidr = addresses.cidrOf(destination);
    const own = ranges.find((range) => isInside(cidr, addresses.cidrOf(range.cidr)));
    if (own !== undefined) {
      const message = `${destination} is inside ${own.cidr} of ${own.network}; its addresses need no route`;
      return [{ code: 'destination_own', path: `${path}.destination`, message }];
    }
    if (external !== null && isInside(cidr, addresses.cidrOf(external.cidr))) {
      const message = `${destination} is inside ${external.cidr}, the external network, which needs no route`;
      return [{ code: 'destination_external', path: `${path}.destination`, message }];
    }
    const found = typeof via === 'object' && 'address' in via ? hopProblem(via.address, ranges) : undefined;
    return found === undefined ? [] : [{ ...found, path: `${path}.via.address` }];
  });
  return [...outside, ...wrong];
}
