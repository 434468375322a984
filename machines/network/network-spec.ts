/** From what a tenant declares to what a network is: names and gateways, and every reason why it cannot be. */
import * as addresses from '../values/addresses.ts';
import { keyedItems } from '../values/declared.ts';
import { sameJson } from '../values/failures.ts';
import type { ItemRule, SpecChange } from '../values/kind.ts';
import type { Issue } from '../values/telling.ts';
import type { SubnetSpec } from '../values/wiring.ts';

interface DeclaredSubnet {
  readonly name?: string | undefined;
  readonly cidr: string;
  readonly gateway: string | null;
}

/** A name of its own that stays when other subnets come, and the first usable address as gateway, unless declared. */
export function resolvedSubnet({ name, cidr, gateway }: DeclaredSubnet): SubnetSpec {
  const parsed = addresses.parseCidr(cidr);
  const first = parsed === undefined ? '' : addresses.defaultGateway(parsed);
  return { name: name ?? `subnet-${cidr.replaceAll(/[./]/g, '-')}`, cidr, gateway: gateway ?? first };
}

const byCidr = keyedItems<SubnetSpec>('cidr', { added: 'in place', removed: 'replace', changed: 'replace' });

function changesOf(
  before: readonly DeclaredSubnet[],
  after: readonly DeclaredSubnet[],
  path: string,
): readonly SpecChange[] {
  const [had, has] = [before.map(resolvedSubnet), after.map(resolvedSubnet)];
  return sameJson(had, has) ? [] : byCidr(had, has, path);
}

/** A subnet may come; one that stands may neither change nor go. What is left to its default counts as written. */
export const subnetChanges: ItemRule<readonly DeclaredSubnet[]> = Object.assign(changesOf, { says: byCidr.says });

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

/** @returns every problem of the declaration by itself; overlaps with other networks are the VPC's to find. */
export function problemsOf(spec: { readonly subnets: readonly DeclaredSubnet[] }): readonly Problem[] {
  const subnets = spec.subnets.map(resolvedSubnet);
  const problems: Problem[] = [];
  for (const [index, subnet] of subnets.entries()) {
    const path = `spec.subnets.${index}`;
    const wrong = addresses.cidrProblem(subnet.cidr);
    if (wrong !== undefined) {
      problems.push({ code: 'cidr_invalid', path: `${path}.cidr`, message: wrong });
      continue;
    }
    problems.push(...gatewayProblem(subnet, path));
    for (const [before, other] of subnets.slice(0, index).entries()) {
      const isCidr = addresses.cidrProblem(other.cidr) === undefined;
      if (isCidr && addresses.overlap(addresses.cidrOf(other.cidr), addresses.cidrOf(subnet.cidr))) {
        const message = `${subnet.cidr} overlaps ${other.cidr} of subnet ${before}`;
        problems.push({ code: 'cidr_overlap', path: `${path}.cidr`, message });
      }
      if (other.name === subnet.name) {
        const message = `subnet ${before} has the name ${subnet.name} too`;
        problems.push({ code: 'subnet_name_taken', path: `${path}.name`, message });
      }
    }
  }
  return problems;
}
