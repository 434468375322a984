/**
 * Hosts of some seeds of the cloud simulation that fall silent while their guests run on, and VMs of a tenant that then
 * start elsewhere: one with a shared volume, one without any. Commands meet that; the silent worker was killed or stood
 * still, and comes back. With two hosts one is too many: three are the least. Draws from a stream of its own. Used by
 * cloud-scenario.ts.
 */
import type { Chance } from '../seeded-random.ts';
import type { Simulation } from '../simulation.ts';
import type { CloudWorkload, Request } from './cloud-workload.ts';
import type { SimulatedKernel } from './simulated-kernel.ts';

const tenant = 'tenant-1';
const beginMs = 20_000;
const commandMs = 12_000;
const silenceMs = 30_000;
const leastHosts = 3;
/** Part of the seeds that have enough hosts. */
const share = 0.7;

const vms = ['drifter', 'survivor'] as const;
const volume = 'carried';

export class CloudLosses {
  private readonly simulation: Simulation;
  private readonly workload: CloudWorkload;
  private readonly kernels: readonly SimulatedKernel[];
  private readonly random: Chance;
  private readonly silent = new Set<() => void>();
  private going = true;

  constructor(simulation: Simulation, workload: CloudWorkload, kernels: readonly SimulatedKernel[]) {
    this.simulation = simulation;
    this.workload = workload;
    this.kernels = kernels;
    this.random = simulation.chance.split('losses');
  }

  start(): void {
    if (this.kernels.length < leastHosts || !this.random.happens(share)) return;
    this.after(beginMs, () => {
      this.ask(['volume.create', volume, { class: 'shared', sizeMib: 8 }]);
      for (const vm of vms) this.ask(this.vm(vm));
      this.again(commandMs, () => this.ask(this.request()));
      this.again(silenceMs, () => this.silence());
    });
  }

  /** Every silent host is back. */
  stop(): void {
    this.going = false;
    for (const end of this.silent) end();
    this.silent.clear();
  }

  private after(ms: number, task: () => void): void {
    this.simulation.time.after(ms, undefined, 'losses', () => {
      if (this.going) task();
    });
  }

  private again(meanMs: number, task: () => void): void {
    this.after(this.random.around(meanMs), () => {
      task();
      this.again(meanMs, task);
    });
  }

  private ask(request: Request): void {
    this.workload.ask(tenant, request, 'losses', () => {});
  }

  private request(): Request {
    const { random } = this;
    const vm = random.pick(vms);
    const drawn = random.whole(1, 10);
    if (drawn <= 4) return this.vm(vm);
    if (drawn <= 6) return ['vm.start', vm, {}];
    if (drawn === 7) return ['vm.stop', vm, { graceMs: 0 }];
    if (drawn === 8) return ['vm.delete', vm, {}];
    return ['vm.migrate', vm, {}];
  }

  private vm(name: (typeof vms)[number]): Request {
    const { random } = this;
    const isElsewhere = random.happens(0.9);
    const params = {
      memoryMib: 256,
      restart: 'always',
      nics: [{ network: 'front' }],
      disks: name === 'survivor' ? [{ volume }] : [],
      boot: { kernel: 'kernel', initrd: 'initrd' },
      hostFailurePolicy: isElsewhere ? 'elsewhere' : 'none',
      hostFailureSeconds: random.pick([5, 5, 8]),
    };
    return ['vm.apply', name, params];
  }

  /** Of a host with such a VM the worker is killed, or stands still; its guests run on. */
  private silence(): void {
    const { simulation, random } = this;
    const ids = vms.map((vm) => `vm/${tenant}/${vm}`);
    const places = this.kernels.filter(({ incarnations }) =>
      [...incarnations.values()].some(({ spec, status }) => status === 'running' && ids.includes(spec.vm)),
    );
    if (places.length === 0) return;
    const { host } = random.pick(places);
    const process = simulation.processOf(host);
    const ms = random.between(15_000, 45_000);
    if (process === undefined || process.paused) return;
    simulation.fault('host fell silent', process.label);
    if (random.happens(0.5)) {
      process.pause();
      simulation.network.paused(process);
      this.lasts(ms, () => process.resume());
      return;
    }
    simulation.keepDown(host, true);
    process.kill();
    this.lasts(ms, () => {
      simulation.keepDown(host, false);
      simulation.startProcessOf(host);
    });
  }

  private lasts(ms: number, end: () => void): void {
    this.silent.add(end);
    this.after(ms, () => {
      if (this.silent.delete(end)) end();
    });
  }
}
