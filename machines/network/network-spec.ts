/** Resolves the declared spec of a network (names and gateways) and validates it. */
import * as addresses from '../values/addresses.ts';
import { keyedItems } from '../values/spec-changes.ts';
import { sameJson } from '../values/failures.ts';
import type { ItemRule, SpecChange } from '../values/kind.ts';
import type { Issue } from '../values/telling.ts';
import type { SubnetSpec } from '../values/wiring.ts';
import { routeProblems, type DhcpRoute } from '../values/dhcp-routes.ts';
import { poolProblems, type AddressSpace, type Pool } from './address-pools.ts';

interface DeclaredSubnet {
  readonly name?: string | undefined;
  readonly cidr: string;
  readonly gateway: string | null;
  /** Absent in what was stored before there were pools. */
  readonly pools?: readonly Pool[] | null;
}

/** Defaults of a subnet: a name that does not depend on other subnets, and the first usable address as gateway. */
export function resolvedSubnet({ name, cidr, gateway }: DeclaredSubnet): SubnetSpec {
  const parsed = addresses.parseCidr(cidr);
  const first = parsed === undefined ? '' : addresses.defaultGateway(parsed);
  return { name: name ?? `subnet-${cidr.replaceAll(/[./]/g, '-')}`, cidr, gateway: gateway ?? first };
}

/** What the allocation of the subnet's addresses knows of it; hosts need only `resolvedSubnet`. */
export const spaceOf = (subnet: DeclaredSubnet): AddressSpace => ({
  ...resolvedSubnet(subnet),
  reservedHead: addresses.reservedHead,
  pools: subnet.pools ?? null,
});

const byCidr = keyedItems<SubnetSpec & Pick<AddressSpace, 'pools'>>('cidr', {
  added: 'in place',
  removed: 'replace',
  changed: 'replace',
  fields: { pools: 'in place' },
});

const comparable = (subnet: DeclaredSubnet) => ({ ...resolvedSubnet(subnet), pools: subnet.pools ?? null });

function changesOf(
  before: readonly DeclaredSubnet[],
  after: readonly DeclaredSubnet[],
  path: string,
): readonly SpecChange[] {
  const [had, has] = [before.map(comparable), after.map(comparable)];
  return sameJson(had, has) ? [] : byCidr(had, has, path);
}

/**
 * A subnet may be added, and pools change; an existing one can be neither changed otherwise nor removed. Defaults are
 * compared as if written.
 */
export const subnetChanges: ItemRule<readonly DeclaredSubnet[]> = Object.assign(changesOf, {
  says: byCidr.says,
  fields: byCidr.fields,
});

export interface Problem extends Issue {
  readonly code: string;
}

function gatewayProblem(subnet: SubnetSpec, path: string): readonly Problem[] {
  const cidr = addresses.cidrOf(subnet.cidr);
  const gateway = addresses.parseAddress(subnet.gateway);
  if (gateway !== undefined && gateway > cidr.base && gateway < addresses.lastOf(cidr)) return [];
  const message = `the gateway ${subnet.gateway} is not a usable address of ${subnet.cidr}`;
  return [{ code: 'gateway_outside_subnet', path: `${path}.gateway`, message }];
}

/** What may be declared of a network, as far as its problems go. */
export interface DeclaredNetwork {
  readonly subnets: readonly DeclaredSubnet[];
  readonly dhcp?: { readonly routes: readonly DhcpRoute[] };
}

/** @returns every problem within the declaration; the VPC checks overlaps with other networks. */
export function problemsOf({ dhcp, subnets }: DeclaredNetwork): readonly Problem[] {
  const problems = subnetProblems(subnets);
  if (problems.some(({ code }) => code === 'cidr_invalid')) return problems;
  return [...problems, ...routeProblems(dhcp?.routes ?? [], subnets.map(resolvedSubnet), 'spec.dhcp.routes')];
}

function subnetProblems(declared: readonly DeclaredSubnet[]): readonly Problem[] {
  const subnets = declared.map(resolvedSubnet);
  const problems: Problem[] = [];
  for (const [index, subnet] of subnets.entries()) {
    const path = `spec.subnets.${index}`;
    const wrong = addresses.cidrProblem(subnet.cidr);
    if (wrong !== undefined) {
      problems.push({ code: 'cidr_invalid', path: `${path}.cidr`, message: wrong });
      continue;
    }
    problems.push(...gatewayProblem(subnet, path));
    problems.push(...poolProblems(spaceOf(declared[index] ?? subnet), `${path}.pools`));
    for (const [before, other] of subnets.slice(0, index).entries()) {
      const isCidr = addresses.cidrProblem(other.cidr) === undefined;
      if (isCidr && addresses.overlap(addresses.cidrOf(other.cidr), addresses.cidrOf(subnet.cidr))) {
        const how = other.cidr === subnet.cidr ? 'is already the CIDR' : `overlaps ${other.cidr}`;
        const message = `${subnet.cidr} ${how} of subnet ${before}`;
        problems.push({ code: 'cidr_overlap', path: `${path}.cidr`, message });
      }
      if (other.name === subnet.name) {
        const message = `subnet ${before} has the same name ${subnet.name}`;
        problems.push({ code: 'subnet_name_taken', path: `${path}.name`, message });
      }
    }
  }
  return problems;
}
