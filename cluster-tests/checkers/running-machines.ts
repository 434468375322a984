/**
 * K1: at every instant at most one machine of a VM runs, on all hosts together.
 * A pure function of what hosts were seen to do; what the control plane believes is not asked.
 */
import type { KernelFact, Violation } from './kernel-facts.ts';

export function checkRunningMachines(facts: readonly KernelFact[]): Violation[] {
  const running = new Map<string, Map<string, string>>();
  const violations: Violation[] = [];
  for (const fact of facts) {
    if (fact.fact !== 'machine.runs' && fact.fact !== 'machine.rests') continue;
    const ofVm = running.get(fact.vm) ?? new Map<string, string>();
    running.set(fact.vm, ofVm);
    const process = `${fact.host}:${fact.pid}`;
    if (fact.fact === 'machine.rests') {
      ofVm.delete(process);
      continue;
    }
    for (const [other, life] of ofVm) {
      const what = `${fact.vm} runs as ${process} (life ${fact.life}) while ${other} (life ${life}) still runs`;
      violations.push({ checker: 'K1', atMs: fact.atMs, what });
    }
    ofVm.set(process, fact.life);
  }
  return violations;
}
