/**
 * A tenant of some seeds of the cloud simulation who changes the NICs of a VM, and nothing else of it: ports come to
 * its guest and go from it while it runs, is moved, reset, paused, restarted and stopped, in any order. Draws from a
 * stream of its own. Used by cloud-scenario.ts.
 */
import type { Chance } from '../seeded-random.ts';
import type { Simulation } from '../simulation.ts';
import type { CloudWorkload, Request } from './cloud-workload.ts';

const tenant = 'tenant-1';
const vm = 'joined';
const beginMs = 15_000;
const meanMs = 2_500;
/** Part of the seeds. */
const share = 0.35;

const [first, ...others] = [
  { name: 'eth0', network: 'front' },
  { name: 'eth1', network: 'back' },
  { name: 'eth2', network: 'front' },
  { name: 'eth3', network: 'back' },
];

export class CloudNics {
  private readonly simulation: Simulation;
  private readonly workload: CloudWorkload;
  private readonly random: Chance;
  private asking = true;

  constructor(simulation: Simulation, workload: CloudWorkload) {
    this.simulation = simulation;
    this.workload = workload;
    this.random = simulation.chance.split('nics');
  }

  start(): void {
    if (this.random.happens(share)) this.plan(beginMs);
  }

  stop(): void {
    this.asking = false;
  }

  private plan(delayMs: number): void {
    this.simulation.time.after(delayMs, undefined, 'nics', () => {
      if (!this.asking) return;
      this.workload.ask(tenant, this.request(), 'nics', () => {});
      this.plan(this.random.around(meanMs));
    });
  }

  private request(): Request {
    const { random } = this;
    const nics = [first, ...others.filter(() => random.happens(0.5))];
    const spec = { memoryMib: 256, restart: 'always', nics, boot: { kernel: 'kernel', initrd: 'initrd' } };
    // Most requests change the NICs; the first creates the VM.
    if (random.happens(0.7)) return ['vm.apply', vm, spec];
    return random.pick<Request>([
      ['vm.migrate', vm, {}],
      ['vm.migrate', vm, {}],
      ['vm.reset', vm, {}],
      ['vm.pause', vm, {}],
      ['vm.resume', vm, {}],
      ['vm.restart', vm, { graceMs: 0 }],
      ['vm.stop', vm, { graceMs: 0 }],
      ['vm.start', vm, {}],
      ['vm.start', vm, {}],
    ]);
  }
}
