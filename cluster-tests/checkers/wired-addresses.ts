/**
 * K3 and K4 at every instant, over all hosts: an address and a MAC of a network are wired to one tap only, and a port
 * has one wired tap only. A pure function of what hosts were seen to do.
 */
import type { KernelFact, Violation } from './kernel-facts.ts';

type Wired = Extract<KernelFact, { fact: 'tap.wired' }>;

/** What two taps may not share, and which promise that is. */
const claims: readonly (readonly [string, (tap: Wired) => string])[] = [
  ['K3', (tap) => `address ${tap.address} of ${tap.network}`],
  ['K4', (tap) => `MAC ${tap.mac} of ${tap.network}`],
  ['K4', (tap) => `port ${tap.port}`],
];

export function checkWiredAddresses(facts: readonly KernelFact[]): Violation[] {
  const wired = new Map<string, Wired>();
  const violations: Violation[] = [];
  for (const fact of facts) {
    if (fact.fact === 'tap.gone') wired.delete(`${fact.host}:${fact.tap}`);
    if (fact.fact !== 'tap.wired') continue;
    const place = `${fact.host}:${fact.tap}`;
    for (const [other, tap] of wired) {
      if (other === place || tap.vpc !== fact.vpc) continue;
      for (const [checker, claim] of claims) {
        if (claim(tap) !== claim(fact)) continue;
        const what = `${claim(fact)} is wired to ${place} (${fact.port}) and to ${other} (${tap.port})`;
        violations.push({ checker, atMs: fact.atMs, what });
      }
    }
    wired.set(place, fact);
  }
  return violations;
}
