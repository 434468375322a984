/**
 * What goes wrong on the hosts of a simulated cloud: operations fail, guests end by themselves, hosts are reset, an
 * operator deletes interfaces behind our back. Nodes, links and the store have their faults from fault-plan.ts. All
 * from the seed. `heal` ends everything: after it the cloud must come to rest (K13).
 */
import type { Chance } from '../seeded-random.ts';
import type { Simulation } from '../simulation.ts';
import type { CloudHosts } from './cloud-hosts.ts';
import { calmRates, type FaultRates } from './dataplane-fate.ts';
import type { SimulatedKernel } from './simulated-kernel.ts';

function drawRates(chance: Chance): FaultRates {
  const rate = (most: number): number => (chance.happens(0.75) ? chance.between(0, most) : 0);
  return {
    fault: rate(0.1),
    defeat: rate(0.01),
    unanswered: rate(0.05),
    lost: rate(0.05),
    half: rate(0.05),
    stall: rate(0.04),
    stallMs: chance.pick([5_000, 15_000, 30_000]),
    longestMs: chance.pick([20, 200, 1_000]),
  };
}

export class CloudFaults {
  private readonly simulation: Simulation;
  private readonly hosts: CloudHosts;
  private readonly chance: Chance;
  private running = true;

  constructor(simulation: Simulation, hosts: CloudHosts) {
    this.simulation = simulation;
    this.hosts = hosts;
    this.chance = simulation.chance.split('cloud faults');
  }

  begin(): void {
    const { simulation, hosts, chance } = this;
    hosts.rates = drawRates(chance);
    this.armed('host reset', 120_000, () => {
      const kernel = this.kernel();
      simulation.processOf(kernel.host)?.kill();
      kernel.reset();
    });
    this.armed('guest ended', 15_000, () => this.endGuest());
    this.armed('operator meddled', 40_000, () => meddle(this.kernel(), chance));
  }

  heal(): void {
    this.running = false;
    this.hosts.rates = calmRates;
    for (const kernel of this.hosts.kernels.values())
      for (const machine of kernel.machines.values()) machine.hung = false;
  }

  private kernel(): SimulatedKernel {
    return this.chance.pick([...this.hosts.kernels.values()]);
  }

  private armed(what: string, meanMs: number, strike: () => void): void {
    if (this.chance.happens(0.7)) this.every(what, meanMs * this.chance.between(0.5, 1.5), strike);
  }

  private every(what: string, meanMs: number, strike: () => void): void {
    this.simulation.time.after(this.chance.around(meanMs), undefined, what, () => {
      if (!this.running) return;
      this.simulation.fault(what);
      strike();
      this.every(what, meanMs, strike);
    });
  }

  private endGuest(): void {
    const { chance: random } = this;
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

function meddle(kernel: SimulatedKernel, random: Chance): void {
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
