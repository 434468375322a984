/**
 * K1: at every instant at most one machine of a VM runs, on all hosts together.
 * A pure function of what hosts were seen to do; what the control plane believes is not asked.
 */
import type { KernelFact, Violation } from './kernel-facts.ts';

export function checkRunningIncarnations(facts: readonly KernelFact[]): Violation[] {
  const running = new Map<string, Map<string, string>>();
  const violations: Violation[] = [];
  for (const fact of facts) {
    if (fact.fact !== 'incarnation.runs' && fact.fact !== 'incarnation.rests') continue;
    const ofVm = running.get(fact.vm) ?? new Map<string, string>();
    running.set(fact.vm, ofVm);
    const process = `${fact.host}:${fact.pid}`;
    if (fact.fact === 'incarnation.rests') {
      ofVm.delete(process);
      continue;
    }
    for (const [other, incarnationUid] of ofVm) {
      const here = `${process} (${fact.incarnationUid})`;
      const what = `${fact.vm} runs as ${here} while ${other} (${incarnationUid}) still runs`;
      violations.push({ checker: 'K1', atMs: fact.atMs, what });
    }
    ofVm.set(process, fact.incarnationUid);
  }
  return violations;
}
