/**
 * K10: at every instant a VNI belongs to one VPC only, on all hosts together, so no two tenants share a segment.
 * A pure function of what hosts were seen to do.
 */
import type { KernelFact, Violation } from './kernel-facts.ts';

export function checkTenantSegments(facts: readonly KernelFact[]): Violation[] {
  const segments = new Map<string, { readonly vpc: string; readonly vni: number }>();
  const violations: Violation[] = [];
  for (const fact of facts) {
    if (fact.fact === 'segment.gone') segments.delete(`${fact.host} ${fact.vpc}`);
    if (fact.fact !== 'segment.up') continue;
    for (const [place, other] of segments) {
      if (other.vni !== fact.vni || other.vpc === fact.vpc) continue;
      const what = `VNI ${fact.vni} carries ${fact.vpc} on ${fact.host} and ${other.vpc} (${place})`;
      violations.push({ checker: 'K10', atMs: fact.atMs, what });
    }
    segments.set(`${fact.host} ${fact.vpc}`, fact);
  }
  return violations;
}
