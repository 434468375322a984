/** What the schema of an external network cannot express. */
import { poolProblems, type PoolProblem } from '../network/address-pools.ts';
import * as addresses from '../values/addresses.ts';
import { spaceOf } from './external-network-claims.ts';
import type { ExternalNetworkSpec } from './external-network-protocol.ts';

/** Two addresses besides network and broadcast: one for the next hop, one for us. */
const longestPrefix = 30;

/** @returns every problem of the declaration, with path, reason and what to do */
export function problemsOf(spec: ExternalNetworkSpec): readonly PoolProblem[] {
  const wrong = addresses.cidrProblem(spec.cidr, longestPrefix);
  if (wrong !== undefined) return [{ code: 'cidr_invalid', path: 'spec.cidr', message: wrong }];
  const cidr = addresses.cidrOf(spec.cidr);
  const gateway = spec.gateway === null ? undefined : addresses.addressOf(spec.gateway);
  const isOutside = gateway !== undefined && (gateway <= cidr.base || gateway >= addresses.lastOf(cidr));
  const message = `${spec.gateway} is not a usable address of ${spec.cidr}; name the router of that network`;
  const twice = spec.hosts.length > 1 && spec.hosts[0] === spec.hosts[1];
  const again = `${spec.hosts[1]} stands there already; name another host, or only one`;
  return [
    ...(isOutside ? [{ code: 'gateway_outside_subnet', path: 'spec.gateway', message }] : []),
    ...(twice ? [{ code: 'host_twice', path: 'spec.hosts.1', message: again }] : []),
    ...poolProblems(spaceOf(spec), 'spec.pools'),
  ];
}
