/**
 * From what a tenant declares to what a network is: defaults, and every reason why it cannot be, with the field's
 * path.
 */
import * as addresses from '../values/addresses.ts';
import type { Issue } from '../values/telling.ts';
import type { SubnetSpec } from '../values/wiring.ts';
import type { NetworkRequest, SubnetRequest } from './network-events.ts';

/** The whole declaration with its defaults; equal declarations have equal specs. */
export interface NetworkDeclaration {
  readonly vpc: string;
  readonly subnets: readonly SubnetSpec[];
  readonly mtu: number;
  readonly dhcp: {
    readonly leaseSeconds: number;
    readonly dns: readonly string[];
    readonly domain: string | null;
    readonly ntp: readonly string[];
  };
}

/** 1500 on the underlay less VXLAN over IPv4. */
const defaultMtu = 1450;
const defaultLeaseSeconds = 3_600;

function subnetOf(request: SubnetRequest, index: number): SubnetSpec {
  const cidr = addresses.parseCidr(request.cidr);
  const gateway = request.gateway ?? (cidr === undefined ? '' : addresses.defaultGateway(cidr));
  return { name: request.name ?? `subnet-${index}`, cidr: request.cidr, gateway };
}

export function declarationOf(request: NetworkRequest): NetworkDeclaration {
  const { leaseSeconds = defaultLeaseSeconds, dns = [], domain = null, ntp = [] } = request.dhcp ?? {};
  return {
    vpc: request.vpc ?? 'main',
    subnets: request.subnets.map(subnetOf),
    mtu: request.mtu ?? defaultMtu,
    dhcp: { leaseSeconds, dns, domain, ntp },
  };
}

interface Problem extends Issue {
  readonly code: string;
}

function gatewayProblem(subnet: SubnetSpec, path: string): readonly Problem[] {
  const cidr = addresses.cidrOf(subnet.cidr);
  const gateway = addresses.parseAddress(subnet.gateway);
  if (gateway !== undefined && gateway > cidr.base && gateway < addresses.lastOf(cidr)) return [];
  const message = `the gateway ${subnet.gateway} is not a usable address of ${subnet.cidr}`;
  return [{ code: 'gateway_outside_subnet', path: `${path}.gateway`, message }];
}

/** @returns every problem of the declaration by itself; overlaps with other networks are the VPC's to find. */
export function problemsOf(spec: NetworkDeclaration): readonly Problem[] {
  const problems: Problem[] = [];
  if (spec.subnets.length === 0)
    problems.push({ code: 'cidr_invalid', path: 'spec.subnets', message: 'a network needs a subnet' });
  for (const [index, subnet] of spec.subnets.entries()) {
    const path = `spec.subnets.${index}`;
    const wrong = addresses.cidrProblem(subnet.cidr);
    if (wrong !== undefined) {
      problems.push({ code: 'cidr_invalid', path: `${path}.cidr`, message: wrong });
      continue;
    }
    problems.push(...gatewayProblem(subnet, path));
    for (const [before, other] of spec.subnets.slice(0, index).entries()) {
      if (
        addresses.cidrProblem(other.cidr) === undefined &&
        addresses.overlap(addresses.cidrOf(other.cidr), addresses.cidrOf(subnet.cidr))
      ) {
        problems.push({
          code: 'cidr_overlap',
          path: `${path}.cidr`,
          message: `${subnet.cidr} overlaps ${other.cidr} of subnet ${before}`,
        });
      }
      if (other.name === subnet.name) {
        problems.push({
          code: 'subnet_name_taken',
          path: `${path}.name`,
          message: `subnet ${before} has the name ${subnet.name} too`,
        });
      }
    }
  }
  return problems;
}
