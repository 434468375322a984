/**
 * What goes wrong in the cloud simulation, and when: nodes are killed, paused, cut off, hosts reset, the store stalls,
 * links reset, guests end by themselves, and an operator deletes interfaces behind our back. All from the seed.
 * `heal` ends everything: after it the cloud must come to rest (K13).
 */
import type { CloudWorld } from './cloud-world.ts';
import { calmRates, type FaultRates } from './dataplane-fate.ts';
import type { SimulatedKernel } from './simulated-kernel.ts';
import { SeededRandom } from './cloud-time.ts';

export interface FaultPlan {
  /** Mean time between two faults of a kind, ms; 0 never. */
  readonly killMs: number;
  readonly pauseMs: number;
  readonly cutMs: number;
  readonly stallMs: number;
  readonly resetHostMs: number;
  readonly guestMs: number;
  readonly operatorMs: number;
  readonly linkResets: number;
  readonly rates: FaultRates;
}

/** The seed's own mix: some runs are calm in one respect, so that faults do not hide each other. */
export function drawPlan(seed: number): FaultPlan {
  const random = new SeededRandom(seed, 'plan');
  const sometimes = (meanMs: number): number => (random.chance(0.7) ? meanMs * (0.5 + random.fraction()) : 0);
  const rate = (most: number): number => (random.chance(0.75) ? random.fraction() * most : 0);
  return {
    killMs: sometimes(25_000),
    pauseMs: sometimes(40_000),
    cutMs: sometimes(30_000),
    stallMs: sometimes(60_000),
    resetHostMs: sometimes(120_000),
    guestMs: sometimes(15_000),
    operatorMs: sometimes(40_000),
    linkResets: rate(0.03),
    rates: {
      fault: rate(0.1),
      defeat: rate(0.01),
      unanswered: rate(0.05),
      lost: rate(0.05),
      half: rate(0.05),
      stall: rate(0.04),
      stallMs: random.pick([5_000, 15_000, 30_000]),
      longestMs: random.pick([20, 200, 1_000]),
    },
  };
}

export class CloudFaults {
  private readonly world: CloudWorld;
  private readonly plan: FaultPlan;
  private readonly random: SeededRandom;
  private running = false;

  constructor(world: CloudWorld, plan: FaultPlan) {
    this.world = world;
    this.plan = plan;
    this.random = new SeededRandom(world.options.seed, 'faults');
  }

  begin(): void {
    const { world, plan, random } = this;
    this.running = true;
    world.rates = plan.rates;
    world.links.resetRate = plan.linkResets;
    const nodes = [...world.controllerNames, ...world.workerNames];
    this.every('node killed', plan.killMs, () => this.restart(random.pick(nodes), random.wait(4_000)));
    this.every('node paused', plan.pauseMs, () => world.nodes.get(random.pick(nodes))?.clock.pause(random.wait(5_000)));
    this.every('node cut off', plan.cutMs, () => this.cut(random.pick(nodes), nodes));
    this.every('store stalled', plan.stallMs, () => {
      world.store.stalledUntilMs = world.time.nowMs + random.wait(2_500);
    });
    this.every('host reset', plan.resetHostMs, () => {
      const host = random.pick(world.workerNames);
      this.restart(host, 3_000 + random.wait(4_000));
      world.kernels.get(host)?.reset();
    });
    this.every('guest ended', plan.guestMs, () => this.endGuest());
    this.every('operator meddled', plan.operatorMs, () => meddle(this.kernel(), random));
  }

  /** Every node runs, nothing is cut, nothing fails from now on. */
  heal(): void {
    const { world } = this;
    this.running = false;
    world.rates = calmRates;
    world.links.heal();
    world.store.stalledUntilMs = 0;
    for (const node of world.nodes.values()) node.way.cutUntilMs = 0;
    for (const name of [...world.controllerNames, ...world.workerNames]) world.start(name);
    for (const kernel of world.kernels.values()) for (const machine of kernel.machines.values()) machine.hung = false;
  }

  private kernel(): SimulatedKernel {
    return this.world.kernels.get(this.random.pick(this.world.workerNames)) as SimulatedKernel;
  }

  private every(what: string, meanMs: number, happen: () => void): void {
    if (meanMs === 0) return;
    this.world.time.after(this.random.wait(meanMs), () => {
      if (!this.running) return;
      this.world.count(what);
      happen();
      this.every(what, meanMs, happen);
    });
  }

  private restart(name: string, afterMs: number): void {
    this.world.kill(name);
    this.world.time.after(afterMs, () => this.world.start(name));
  }

  /** From the store, or from one peer in one direction or both. */
  private cut(name: string, nodes: readonly string[]): void {
    const { world, random } = this;
    const forMs = random.wait(6_000);
    if (random.chance(0.4)) {
      const way = world.nodes.get(name)?.way;
      if (way !== undefined) way.cutUntilMs = world.time.nowMs + forMs;
      return;
    }
    const other = random.pick(nodes);
    world.links.cut(name, other, forMs);
    if (random.chance(0.5)) world.links.cut(other, name, forMs);
  }

  private endGuest(): void {
    const { random } = this;
    const kernel = this.kernel();
    const running = [...kernel.machines.values()].filter((machine) => machine.status === 'running');
    if (running.length === 0) return;
    const machine = random.pick(running);
    const roll = random.fraction();
    if (roll < 0.4) kernel.rest(machine, 'shutdown', { reason: 'guest_shutdown', detail: 'The guest powered off.' });
    else if (roll < 0.6) kernel.rest(machine, 'dead', { reason: 'crash', detail: 'The guest panicked.' });
    else if (roll < 0.9) kernel.rest(machine, 'dead', { reason: 'gone', detail: 'Killed by somebody.' });
    else machine.hung = true;
  }
}

function meddle(kernel: SimulatedKernel, random: SeededRandom): void {
  const segments = [...kernel.segments.values()];
  const taps = [...kernel.taps.values()];
  const roll = random.fraction();
  if (roll < 0.4 && taps.length > 0) kernel.deleteTap(random.pick(taps).name);
  else if (segments.length > 0) {
    const segment = random.pick(segments);
    if (roll < 0.6) segment.dnsmasqPid = null;
    else if (roll < 0.75) segment.vxlanIfindex = null;
    else if (roll < 0.95) segment.bridges.delete(random.pick([...segment.bridges.keys()]));
    else kernel.deleteSegment(segment.vpc);
  }
  kernel.changed();
}
