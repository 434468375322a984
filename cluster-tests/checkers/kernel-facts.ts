/**
 * What an observer outside the control plane sees happen on hosts, one fact per change in the order of time, and the
 * checkers that judge these facts: K1, K3, K4, K10, K20 and K22 of docs/promises.md. The control plane is asked for
 * nothing but which port moves, and what was given up on a silent host. Pure. The simulated kernel writes the facts;
 * cloud-scenario.ts calls the checkers at the end of a run.
 */
import { Fences, nothingGivenUp, type GivenUp } from './given-up-runs.ts';

export type KernelFact = { readonly atMs: number; readonly host: string } & (
  | {
      readonly fact: 'incarnation.runs';
      readonly vm: string;
      readonly incarnationUid: string;
      readonly pid: number;
      /** Only the simulated kernel tells it. */
      readonly runEpoch?: number;
      /** Actor ids of the volumes that it writes; only the simulated kernel tells them. */
      readonly volumes?: readonly string[];
    }
  /** What a QEMU process has open from now on, whether its guest runs or not: nothing once it has ended. */
  | {
      readonly fact: 'incarnation.disks';
      readonly vm: string;
      readonly pid: number;
      readonly runEpoch: number;
      readonly volumes: readonly { readonly volume: string; readonly uid: string }[];
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
  /** A guest that runs has a NIC more. */
  | { readonly fact: 'nic.given'; readonly vm: string; readonly port: string; readonly tap: string }
  | {
      readonly fact: 'segment.up';
      readonly vpc: string;
      readonly vni: number;
      /** Of the host among those of the cluster; only the simulated kernel tells it. */
      readonly index?: number;
    }
  | { readonly fact: 'segment.gone'; readonly vpc: string }
  /** What the host drops in the VPC from now on: `<index of a host> <address>` each. */
  | { readonly fact: 'segment.fenced'; readonly vpc: string; readonly dropped: readonly string[] }
  /** From now on only these runs can use the volume over the network. */
  | { readonly fact: 'volume.served'; readonly volume: string; readonly runs: readonly number[] }
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

type Run = Extract<KernelFact, { fact: 'incarnation.runs' }>;

/**
 * K1: at every instant at most one incarnation of a VM runs, on all hosts together, besides those that the VM has given
 * up on silent hosts.
 */
export function checkRunningIncarnations(facts: readonly KernelFact[], givenUp: GivenUp = nothingGivenUp): Violation[] {
  const running = new Map<string, Map<string, Run>>();
  /** Process -> when it has begun. */
  const since = new Map<string, number>();
  const violations: Violation[] = [];
  for (const fact of facts) {
    const isBegun = fact.fact === 'incarnation.disks' || fact.fact === 'incarnation.runs';
    if (isBegun && !since.has(`${fact.host}:${fact.pid}`)) since.set(`${fact.host}:${fact.pid}`, fact.atMs);
    if (fact.fact !== 'incarnation.runs' && fact.fact !== 'incarnation.rests') continue;
    const ofVm = running.get(fact.vm) ?? new Map<string, Run>();
    running.set(fact.vm, ofVm);
    const process = `${fact.host}:${fact.pid}`;
    if (fact.fact === 'incarnation.rests') {
      ofVm.delete(process);
      continue;
    }
    const isLeft = (run: Run, of: string): boolean =>
      givenUp.hasRun(fact.vm, { ...run, sinceMs: since.get(of) ?? 0 }, fact.atMs);
    for (const [other, run] of ofVm) {
      if (isLeft(run, other) || isLeft(fact, process)) continue;
      const here = `${process} (${fact.incarnationUid})`;
      const what = `${fact.vm} runs as ${here} while ${other} (${run.incarnationUid}) still runs`;
      violations.push({ checker: 'K1', atMs: fact.atMs, what });
    }
    ofVm.set(process, fact);
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
 * tap only, and a port has one wired tap only, except while it moves, and for what it has given up on a silent host: of
 * that nothing reaches a guest on another one.
 */
export function checkWiredAddresses(
  facts: readonly KernelFact[],
  moves: Moves = () => false,
  givenUp: GivenUp = nothingGivenUp,
): Violation[] {
  const wired = new Map<string, Placed>();
  const fences = new Fences();
  const violations: Violation[] = [];
  const compare = (place: string, here: Placed): void => {
    for (const [other, tap] of wired) {
      if (other === place || tap.vpc !== here.vpc || isMove(tap, here, moves)) continue;
      if (isFencedOff([tap, here], [...wired.values(), here], fences, givenUp, here.atMs)) continue;
      for (const [checker, properties] of exclusiveProperties) {
        const theirs = properties(tap);
        for (const property of properties(here).filter((one) => theirs.includes(one))) {
          const what = `${property} is wired to ${place} (${here.port}) and to ${other} (${tap.port})`;
          violations.push({ checker, atMs: here.atMs, what });
        }
      }
    }
  };
  for (const fact of facts) {
    fences.take(fact);
    if (fact.fact === 'tap.gone') wired.delete(`${fact.host}:${fact.tap}`);
    if (fact.fact === 'segment.fenced')
      for (const [place, tap] of wired) if (tap.vpc === fact.vpc) compare(place, { ...tap, atMs: fact.atMs });
    if (fact.fact !== 'tap.wired') continue;
    const place = `${fact.host}:${fact.tap}`;
    compare(place, fact);
    wired.set(place, fact);
  }
  return violations;
}

/** Of two taps of a port one was given up, and every host with a guest in the VPC drops what comes from there. */
function isFencedOff(
  [one, other]: readonly [Placed, Placed],
  all: readonly Placed[],
  fences: Fences,
  givenUp: GivenUp,
  atMs: number,
): boolean {
  if (one.port !== other.port) return false;
  const left = (one.runEpoch ?? 0) < (other.runEpoch ?? 0) ? one : other;
  const absent = givenUp.absentFor(left.port, left, atMs);
  if (absent === undefined) return false;
  const hosts = all.filter(({ vpc, host }) => vpc === left.vpc && host !== left.host && !absent.includes(host));
  return hosts.every(({ host }) => fences.drops(host, left.vpc, left.host, addressesOf(left)));
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

/** K20: a guest that runs gets no NIC whose tap is not wired. */
export function checkGivenNics(facts: readonly KernelFact[]): Violation[] {
  const wired = new Set<string>();
  const violations: Violation[] = [];
  for (const fact of facts) {
    if (fact.fact === 'tap.wired') wired.add(`${fact.host} ${fact.tap}`);
    if (fact.fact === 'tap.gone') wired.delete(`${fact.host} ${fact.tap}`);
    if (fact.fact !== 'nic.given' || wired.has(`${fact.host} ${fact.tap}`)) continue;
    const what = `${fact.vm} got the NIC of ${fact.port} on ${fact.host} before tap ${fact.tap} was wired`;
    violations.push({ checker: 'K20', atMs: fact.atMs, what });
  }
  return violations;
}
