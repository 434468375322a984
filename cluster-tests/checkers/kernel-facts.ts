/**
 * What an observer outside the control plane sees happen on hosts, one fact per change in the order of time, and the
 * checkers that judge nothing but these facts: K1, K3, K4, K10 and K22 of docs/promises.md. What the control plane
 * believes is never asked. Pure. The simulated kernel writes the facts; cloud-scenario.ts calls the checkers at the end
 * of a run.
 */
export type KernelFact = { readonly atMs: number; readonly host: string } & (
  | {
      readonly fact: 'incarnation.runs';
      readonly vm: string;
      readonly incarnationUid: string;
      readonly pid: number;
      /** Actor ids of the volumes that it writes; only the simulated kernel tells them. */
      readonly volumes?: readonly string[];
    }
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
      /** Ids of its security groups; only the simulated kernel tells them. */
      readonly groups?: readonly string[];
      /** Its allowed address pairs, an address each; only the simulated kernel tells them. */
      readonly pairs?: readonly { readonly address: string; readonly mac: string }[];
      /** Of its binding; only the simulated kernel tells it. */
      readonly runEpoch?: number;
    }
  | { readonly fact: 'tap.gone'; readonly tap: string }
  | { readonly fact: 'segment.up'; readonly vpc: string; readonly vni: number }
  | { readonly fact: 'segment.gone'; readonly vpc: string }
  | {
      /** A section was read back from the kernel as it is in this generation. */
      readonly fact: 'section.proven';
      readonly vpc: string;
      /** Uid of the segment that asked. */
      readonly owner: string;
      readonly section: string;
      readonly generation: number;
    }
  /** The agent of the host has begun a step of the rollout with this uid, as its record names it. */
  | { readonly fact: 'system.step'; readonly request: string; readonly state: string }
  /** The host forwards for the external network until then, or until another such fact of it. */
  | { readonly fact: 'gateway.permitted'; readonly network: string; readonly untilMs: number }
);

/** A broken promise. */
export interface Violation {
  /** `K1` to `K25`. */
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

const addressesOf = ({ address, pairs = [] }: WiredTap): readonly string[] => [
  address,
  ...pairs.map((pair) => pair.address),
];
const macsOf = ({ mac, pairs = [] }: WiredTap): readonly string[] => [
  ...new Set([mac, ...pairs.map((pair) => pair.mac)]),
];

/** What two wired taps must not share, and the checker that forbids it. */
const exclusiveProperties: readonly (readonly [string, (tap: WiredTap) => readonly string[]])[] = [
  ['K3', (tap) => addressesOf(tap).map((address) => `address ${address} of ${tap.network}`)],
  ['K4', (tap) => macsOf(tap).map((mac) => `MAC ${mac} of ${tap.network}`)],
  ['K4', (tap) => [`port ${tap.port}`]],
];

/** Whether a port moves from one host to another at this time, as it says itself: both may have it until it has. */
export type Moves = (port: string, move: { readonly from: string; readonly to: string }, atMs: number) => boolean;

/**
 * K3 and K4: at every instant, over all hosts, an address (also one of a pair) and a MAC of a network are wired to one
 * tap only, and a port has one wired tap only, except while it moves.
 */
export function checkWiredAddresses(facts: readonly KernelFact[], moves: Moves = () => false): Violation[] {
  const wired = new Map<string, Placed>();
  const violations: Violation[] = [];
  for (const fact of facts) {
    if (fact.fact === 'tap.gone') wired.delete(`${fact.host}:${fact.tap}`);
    if (fact.fact !== 'tap.wired') continue;
    const place = `${fact.host}:${fact.tap}`;
    for (const [other, tap] of wired) {
      if (other === place || tap.vpc !== fact.vpc || isMove(tap, fact, moves)) continue;
      for (const [checker, properties] of exclusiveProperties) {
        const theirs = properties(tap);
        for (const property of properties(fact).filter((one) => theirs.includes(one))) {
          const what = `${property} is wired to ${place} (${fact.port}) and to ${other} (${tap.port})`;
          violations.push({ checker, atMs: fact.atMs, what });
        }
      }
    }
    wired.set(place, fact);
  }
  return violations;
}

type Placed = WiredTap & { readonly host: string };

function isMove(one: Placed, other: Placed, moves: Moves): boolean {
  const [from, to] = (one.runEpoch ?? 0) < (other.runEpoch ?? 0) ? [one, other] : [other, one];
  if (one.port !== other.port || (from.runEpoch ?? 0) === (to.runEpoch ?? 0)) return false;
  return moves(other.port, { from: from.host, to: to.host }, other.atMs);
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

/** K22: at every instant at most one gateway host of an external network may forward for it. */
export function checkGatewayPermits(facts: readonly KernelFact[]): Violation[] {
  const permits = new Map<string, Map<string, number>>();
  const violations: Violation[] = [];
  for (const { atMs, host, ...fact } of facts) {
    if (fact.fact !== 'gateway.permitted') continue;
    const { network, untilMs } = fact;
    const ofNetwork = permits.get(network) ?? new Map<string, number>();
    permits.set(network, ofNetwork);
    const isNew = untilMs > atMs && (ofNetwork.get(host) ?? 0) <= atMs;
    for (const [other, until] of ofNetwork) {
      if (!isNew || other === host || until <= atMs) continue;
      const left = `${Math.round(until - atMs)} ms more`;
      violations.push({ checker: 'K22', atMs, what: `${network} is led by ${host}, and by ${other} for ${left}` });
    }
    ofNetwork.set(host, untilMs);
  }
  return violations;
}
