/**
 * An operator of the cloud simulation who rolls out systems: to some hosts or all of them, a few at a time; holds after
 * the canary, goes on, ends rollouts, deletes them and begins others meanwhile. Draws from a stream of its own. Used by
 * cloud-scenario.ts.
 */
import type { Chance } from '../seeded-random.ts';
import type { Simulation } from '../simulation.ts';
import type { CloudWorkload, Request } from './cloud-workload.ts';

const beginMs = 15_000;
const meanMs = 4_000;
const names = ['monday', 'friday'];
const systemOf = (host: string): string => `/nix/store/${'a'.repeat(32)}-nixos-system-${host}`;

export class CloudRollouts {
  private readonly simulation: Simulation;
  private readonly workload: CloudWorkload;
  private readonly hosts: readonly string[];
  private readonly random: Chance;
  private asking = true;

  constructor(simulation: Simulation, workload: CloudWorkload, hosts: readonly string[]) {
    this.simulation = simulation;
    this.workload = workload;
    this.hosts = hosts;
    this.random = simulation.chance.split('rollouts');
  }

  start(): void {
    this.simulation.time.after(beginMs, undefined, 'rollouts', () => this.plan());
  }

  stop(): void {
    this.asking = false;
  }

  private plan(): void {
    this.simulation.time.after(this.random.around(meanMs), undefined, 'rollouts', () => {
      if (!this.asking) return;
      const request = this.request();
      this.workload.ask('system', request, 'operator', ({ outcome }) => {
        if (outcome === 'ok') this.simulation.reach(`${request[0]} was accepted`);
      });
      this.plan();
    });
  }

  private request(): Request {
    const { random } = this;
    const name = random.pick(names);
    if (random.happens(0.15)) return ['rollout.abort', name, {}];
    if (random.happens(0.3)) return ['rollout.delete', name, {}];
    if (random.happens(0.2)) return ['rollout.confirm', name, {}];
    const hosts = this.hosts.filter(() => random.happens(0.8));
    const chosen = hosts.length === 0 ? this.hosts : hosts;
    return [
      'rollout.create',
      name,
      {
        systems: chosen.map((host) => ({ host, system: systemOf(host) })),
        canary: random.happens(0.5) ? random.pick(chosen) : null,
        maxParallel: random.pick([1, 1, 2]),
        holdAfterCanary: random.happens(0.2),
        deadlineSeconds: random.pick([10, 20, 40]),
      },
    ];
  }
}
