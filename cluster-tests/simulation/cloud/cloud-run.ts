/**
 * One run of the cloud simulation from one seed: a calm start, faults under load, healing, and the demand to come to
 * rest; then the checkers judge. The same seed gives the same events, which `hash` shows.
 * Called by cloud-simulation.test.ts and by `npm run simulate`.
 */
import { createHash } from 'node:crypto';
import type { Violation } from '../../checkers/kernel-facts.ts';
import { checkReplayedAnswers } from '../../checkers/replayed-answers.ts';
import { checkRunningMachines } from '../../checkers/running-machines.ts';
import { unsettledParts, type CloudListing } from '../../checkers/settled-cloud.ts';
import { checkStoredSnapshots } from '../../checkers/stored-snapshots.ts';
import { checkTenantSegments } from '../../checkers/tenant-segments.ts';
import { checkWiredAddresses } from '../../checkers/wired-addresses.ts';
import type { Commit } from '@photoncloud/runtime/contract/journal';
import type { Log } from '@photoncloud/runtime/contract/log';
import { CloudFaults, drawPlan, type FaultPlan } from './cloud-faults.ts';
import { CloudWorkload, type Answer } from './cloud-workload.ts';
import { CloudWorld, type CloudOptions } from './cloud-world.ts';
import { SeededRandom } from './cloud-time.ts';

export interface CloudResult {
  readonly seed: number;
  readonly options: Omit<CloudOptions, 'log'> & { readonly tenants: number; readonly plan: FaultPlan };
  readonly violations: readonly Violation[];
  readonly hash: string;
  readonly simulatedMs: number;
  readonly events: number;
  readonly commits: number;
  readonly answers: Readonly<Record<Answer['outcome'], number>>;
  /** After healing, until everything agreed. */
  readonly settledMs: number;
  readonly counts: ReadonlyMap<string, number>;
  /** The last events, oldest first. */
  readonly tail: readonly string[];
}

const tailLength = 200;
/** K13 demands it within a simulated minute. */
const settleLimitMs = 60_000;
const quietLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => quietLog };

export interface CloudRunOptions {
  /** Simulated time under faults. */
  readonly minutes: number;
  readonly log?: Log;
  /** Hears of every commit, for whoever looks into one run. */
  readonly onEvent?: (line: string) => void;
}

export async function runCloud(
  seed: number,
  { minutes, log = quietLog, onEvent = () => {} }: CloudRunOptions,
): Promise<CloudResult> {
  const random = new SeededRandom(seed, 'options');
  const options = {
    seed,
    controllers: random.between(1, 3),
    workers: random.between(1, 3),
    memoryMib: random.pick([1_200, 2_400, 8_000]),
    tenants: random.between(1, 3),
    plan: drawPlan(seed),
  };
  const world = new CloudWorld({ ...options, log });
  const digest = createHash('sha256');
  const tail: string[] = [];
  let commits = 0;
  world.store.onCommit = (commit) => {
    commits += 1;
    const line = lineOf(commit, world.time.nowMs);
    digest.update(line);
    if (tail.push(line) > tailLength) tail.shift();
    onEvent(line);
    noteBranches(commit, world);
  };
  const workload = new CloudWorkload(world, options.tenants);
  const faults = new CloudFaults(world, options.plan);
  await world.open();
  await workload.prepare();
  faults.begin();
  workload.begin(random.pick([2_000, 5_000, 10_000]));
  await world.time.runUntil(world.time.nowMs + minutes * 60_000);
  workload.end();
  faults.heal();
  const { settledMs, unsettled } = await settle(world);
  const nowMs = world.time.nowMs;
  for (const fact of world.facts) digest.update(JSON.stringify(fact));
  return {
    seed,
    options,
    violations: [
      ...checkRunningMachines(world.facts),
      ...checkWiredAddresses(world.facts),
      ...checkTenantSegments(world.facts),
      ...checkStoredSnapshots(world.registry, world.store.stored(), nowMs),
      ...checkReplayedAnswers(workload.answers),
      ...quarantined(world),
      ...unsettled.map((what) => ({ checker: 'K13', atMs: nowMs, what })),
    ],
    hash: digest.digest('hex').slice(0, 16),
    simulatedMs: nowMs,
    events: world.time.events,
    commits,
    answers: tally(workload.answers),
    settledMs,
    counts: world.counts,
    tail,
  };
}

const lineOf = ({ actor, version, history, state }: Commit, atMs: number): string => {
  const causes = history.map(
    ({ event, kind }) => `${(event as { type?: string }).type}${kind === 'transition' ? '' : ` (${kind})`}`,
  );
  return `${(atMs / 1_000).toFixed(3)} ${actor}@${version} ${causes.join(', ')} -> ${state}`;
};

async function settle(world: CloudWorld): Promise<{ settledMs: number; unsettled: readonly string[] }> {
  const healedMs = world.time.nowMs;
  for (;;) {
    await world.time.runUntil(world.time.nowMs + 1_000);
    const waitedMs = world.time.nowMs - healedMs;
    const unsettled = unsettledParts(listingOf(world));
    if (unsettled.length === 0) return { settledMs: waitedMs, unsettled };
    if (waitedMs >= settleLimitMs)
      return {
        settledMs: waitedMs,
        unsettled,
      };
  }
}

function listingOf(world: CloudWorld): CloudListing {
  const actors = world.store.stored();
  const networks = actors.filter(({ id, status }) => id.startsWith('network/') && status === 'live');
  return {
    registry: world.registry,
    actors,
    owners: new Map(
      networks.map(({ id }) => [
        String(id),
        world.store.rowsOf(id, 'owner') as ReadonlyMap<string, { port: string; mac: string }>,
      ]),
    ),
    hosts: [...world.kernels.values()].map((kernel) => ({
      host: kernel.host,
      machines: [...kernel.machines.values()].map(({ spec, owner, status }) => ({
        vm: spec.vm,
        life: owner.uid,
        owner: owner.actor,
        runs: status === 'running',
      })),
      taps: [...kernel.taps.values()].map(({ name, owner, wiring }) => ({
        tap: name,
        owner: owner.actor,
        port: wiring?.port ?? null,
        address: wiring?.address ?? null,
        mac: wiring?.mac ?? null,
      })),
      segments: [...kernel.segments.values()].map(({ vpc, owner }) => ({ vpc, owner: owner.actor })),
      leases: [...kernel.segments.values()].flatMap(({ vpc, dhcpHosts }) =>
        [...dhcpHosts].map(([address, { mac, tap }]) => ({ vpc, address, mac, tap })),
      ),
    })),
  };
}

/** A quarantined actor stands still for ever: the production charts may never come to that. */
function quarantined(world: CloudWorld): Violation[] {
  return [...world.nodes.values()].flatMap((node) =>
    node.host.figures().held.map(({ actor, reason }) => ({
      checker: 'K13',
      atMs: world.time.nowMs,
      what: `${actor} is quarantined: ${reason}`,
    })),
  );
}

function tally(answers: readonly Answer[]): Record<Answer['outcome'], number> {
  const counts = { ok: 0, rejected: 0, unknown: 0 };
  for (const { outcome } of answers) counts[outcome] += 1;
  return counts;
}

/** Rare branches that a campaign must reach, told from the history itself. */
function noteBranches({ actor, history }: Commit, world: CloudWorld): void {
  for (const { event, kind } of history) {
    const { type = '' } = event as { type?: string };
    if (kind === 'dropped' && / done|\.done$/.test(type)) world.count('a late result was dropped');
    if (type.endsWith('.unknown')) world.count(`${actor.split('/')[0]} saw an unknown outcome`);
    if (type === 'address.refused') world.count('an address was refused');
    if (type === 'place.refused') world.count('no host had room');
    if (type === 'host.silent') world.count('a host fell silent');
  }
}
