/**
 * What an observer outside the control plane sees happen on hosts, one fact per change in the order of time, and the
 * checkers that judge nothing but these facts: K1, K3, K4 and K10 of docs/promises.md. What the control plane believes
 * is never asked. Pure. The simulated kernel writes the facts; cloud-scenario.ts calls the checkers at the end of a
 * run.
 */
export type KernelFact = { readonly atMs: number; readonly host: string } & (
  | { readonly fact: 'incarnation.runs'; readonly vm: string; readonly incarnationUid: string; readonly pid: number }
  | { readonly fact: 'incarnation.rests'; readonly vm: string; readonly pid: number; readonly reason: string }
  | {
      readonly fact: 'tap.wired';
      readonly tap: string;
      /** Actor id of the port that the tap belongs to. */
      readonly port: string;
      readonly vpc: string;
      readonly network: string;
      readonly mac: string;
      readonly address: string;
    }
  | { readonly fact: 'tap.gone'; readonly tap: string }
  | { readonly fact: 'segment.up'; readonly vpc: string; readonly vni: number }
  | { readonly fact: 'segment.gone'; readonly vpc: string }
);

/** A broken promise. */
export interface Violation {
  /** `K1` to `K13`. */
  readonly checker: string;
  readonly atMs: number;
  /** One sentence with the names of everything involved. */
  readonly what: string;
}

/** K1: at every instant at most one incarnation of a VM runs, on all hosts together. */
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

type WiredTap = Extract<KernelFact, { fact: 'tap.wired' }>;

/** What two wired taps must not share, and the checker that forbids it. */
const exclusiveProperties: readonly (readonly [string, (tap: WiredTap) => string])[] = [
  ['K3', (tap) => `address ${tap.address} of ${tap.network}`],
  ['K4', (tap) => `MAC ${tap.mac} of ${tap.network}`],
  ['K4', (tap) => `port ${tap.port}`],
];

/**
 * K3 and K4: at every instant, over all hosts, an address and a MAC of a network are wired to one tap only, and a port
 * has one wired tap only.
 */
export function checkWiredAddresses(facts: readonly KernelFact[]): Violation[] {
  const wired = new Map<string, WiredTap>();
  const violations: Violation[] = [];
  for (const fact of facts) {
    if (fact.fact === 'tap.gone') wired.delete(`${fact.host}:${fact.tap}`);
    if (fact.fact !== 'tap.wired') continue;
    const place = `${fact.host}:${fact.tap}`;
    for (const [other, tap] of wired) {
      if (other === place || tap.vpc !== fact.vpc) continue;
      for (const [checker, property] of exclusiveProperties) {
        if (property(tap) !== property(fact)) continue;
        const what = `${property(fact)} is wired to ${place} (${fact.port}) and to ${other} (${tap.port})`;
        violations.push({ checker, atMs: fact.atMs, what });
      }
    }
    wired.set(place, fact);
  }
  return violations;
}

/** K10: at every instant a VNI belongs to one VPC only, on all hosts together, so no two tenants share a segment. */
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
