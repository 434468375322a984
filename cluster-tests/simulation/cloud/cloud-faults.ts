/**
 * Faults of the hosts of a simulated cloud, drawn from the seed: dataplane operations fail, guests end by themselves or
 * stand still on a full disk, hosts are reset, an administrator deletes kernel objects by hand, hosts lose power and
 * are fenced by an operator who has seen that they are off. Faults of nodes, links and the store come from
 * fault-plan.ts. `heal` ends everything; after it the cloud must settle (K13). Used by cloud-scenario.ts.
 */
import { hostId } from '@photoncloud/machines/values/identifiers';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import type { Chance } from '../seeded-random.ts';
import type { SimulatedClients } from '../simulated-clients.ts';
import type { Simulation } from '../simulation.ts';
import type { CloudHosts } from './cloud-hosts.ts';
import { noFaults, type FaultRates } from './dataplane-faults.ts';
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
  private readonly clients: SimulatedClients;
  private readonly poweredOff = new Set<string>();
  private running = true;

  constructor(simulation: Simulation, hosts: CloudHosts, clients: SimulatedClients) {
    this.simulation = simulation;
    this.hosts = hosts;
    this.clients = clients;
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
    this.armed('disk full', 30_000, () => this.fillDisk(this.kernel()));
    this.armed('kernel objects deleted by hand', 40_000, () => deleteByHand(this.kernel(), chance));
    this.armed('host powered off', 90_000, () => this.powerOff(this.kernel()));
  }

  heal(): void {
    this.running = false;
    this.hosts.rates = noFaults;
    for (const host of this.poweredOff) this.simulation.switchOn(host);
    for (const kernel of this.hosts.kernels.values()) {
      for (const incarnation of kernel.incarnations.values()) incarnation.hung = false;
      freeDisk(kernel);
    }
  }

  /** Most hosts stay off until an operator has fenced them, and some time after; the others come back unfenced. */
  private powerOff(kernel: SimulatedKernel): void {
    const { host } = kernel;
    if (this.poweredOff.has(host)) return;
    this.poweredOff.add(host);
    this.simulation.switchOff(host);
    kernel.reset();
    const isFenced = this.chance.happens(0.8);
    this.later(this.chance.around(8_000), () => (isFenced ? this.fence(host) : this.powerOn(host)));
  }

  private fence(host: string): void {
    const event = { type: 'host.fence', poweredOff: true, reason: 'it has no power' };
    this.clients.ask(actorId(hostId(host)), event, 'operator', ({ outcome }) => {
      if (outcome === 'ok') this.simulation.reach('a host was fenced');
      if (outcome === 'ok') this.later(this.chance.around(20_000), () => this.powerOn(host));
      else this.later(5_000, () => this.fence(host));
    });
  }

  private powerOn(host: string): void {
    this.poweredOff.delete(host);
    this.simulation.switchOn(host);
  }

  private later(delayMs: number, task: () => void): void {
    this.simulation.time.after(delayMs, undefined, 'operator', () => {
      if (this.running) task();
    });
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

  /** Some guests of the host stand still until there is space again. */
  private fillDisk(kernel: SimulatedKernel): void {
    const running = [...kernel.incarnations.values()].filter(({ status }) => status === 'running');
    kernel.diskFull = true;
    for (const incarnation of running) if (this.chance.happens(0.7)) incarnation.stalled = true;
    kernel.changed();
    this.later(this.chance.around(15_000), () => freeDisk(kernel));
  }

  private endGuest(): void {
    const { chance: random } = this;
    const kernel = this.kernel();
    const running = [...kernel.incarnations.values()].filter((incarnation) => incarnation.status === 'running');
    if (running.length === 0) return;
    const incarnation = random.pick(running);
    const roll = random.fraction();
    if (roll < 0.4)
      kernel.rest(incarnation, 'shutdown', { reason: 'guest_shutdown', detail: 'The guest powered off.' });
    else if (roll < 0.6) kernel.rest(incarnation, 'dead', { reason: 'crash', detail: 'The guest panicked.' });
    else if (roll < 0.9) kernel.rest(incarnation, 'dead', { reason: 'gone', detail: 'QEMU was killed.' });
    else incarnation.hung = true;
  }
}

function freeDisk(kernel: SimulatedKernel): void {
  kernel.diskFull = false;
  kernel.changed();
}

function deleteByHand(kernel: SimulatedKernel, random: Chance): void {
  const segments = [...kernel.segments.values()];
  const taps = [...kernel.taps.values()];
  const roll = random.fraction();
  if (roll < 0.4 && taps.length > 0) kernel.deleteTap(random.pick(taps).name);
  else if (segments.length > 0) {
    const segment = random.pick(segments);
    const servers = [...segment.served.values()];
    if (roll < 0.6 && servers.length > 0) random.pick(servers).pid = null;
    else if (roll < 0.75) segment.vxlanIfindex = null;
    else if (roll < 0.95) segment.bridges.delete(random.pick([...segment.bridges.keys()]));
    else kernel.deleteSegment(segment.vpc);
  }
  kernel.changed();
}
