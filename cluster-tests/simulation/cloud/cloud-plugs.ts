/**
 * A tenant of some seeds of the cloud simulation whose VMs get and lose disks while they run: only their `disks` are
 * declared anew, local and shared ones, again before the last change is done, the same volumes for two VMs. Meanwhile
 * VMs stop, move, are reset and deleted, and the worker or a controller is killed. Draws from a stream of its own. Used
 * by cloud-scenario.ts.
 */
import type { Chance } from '../seeded-random.ts';
import type { Simulation } from '../simulation.ts';
import type { CloudWorkload, Request } from './cloud-workload.ts';
import type { QemuProcess, SimulatedKernel } from './simulated-kernel.ts';

const tenant = 'tenant-1';
const beginMs = 18_000;
/** Part of the seeds. */
const share = 0.4;

const vms = ['plugger', 'rival'] as const;
const volumes = { 'loose-1': 'local', 'loose-2': 'local', 'loose-3': 'shared', 'loose-4': 'shared' } as const;
type Volume = keyof typeof volumes;
const names = Object.keys(volumes) as readonly Volume[];

export class CloudPlugs {
  private readonly simulation: Simulation;
  private readonly workload: CloudWorkload;
  private readonly kernels: readonly SimulatedKernel[];
  private readonly random: Chance;
  private readonly disks = new Map<string, readonly Volume[]>();
  private asking = true;

  constructor(simulation: Simulation, workload: CloudWorkload, kernels: readonly SimulatedKernel[]) {
    this.simulation = simulation;
    this.workload = workload;
    this.kernels = kernels;
    this.random = simulation.chance.split('plugs');
  }

  start(): void {
    if (!this.random.happens(share)) return;
    const meanMs = this.random.pick([1_000, 3_000, 8_000]);
    this.after(beginMs, () => {
      for (const name of names) this.ask(this.volume(name));
      for (const vm of vms) this.want(vm, []);
      this.plan(meanMs);
    });
  }

  stop(): void {
    this.asking = false;
  }

  private after(ms: number, task: () => void): void {
    this.simulation.time.after(ms, undefined, 'plugs', () => {
      if (this.asking) task();
    });
  }

  private plan(meanMs: number): void {
    this.after(this.random.around(meanMs), () => {
      const { random } = this;
      const vm = random.pick(vms);
      if (random.happens(0.75)) this.change(vm, meanMs);
      else this.ask(this.request(vm));
      this.plan(meanMs);
    });
  }

  /** One disk comes or goes, or several at once; in part of the cases back again while that is under way. */
  private change(vm: string, meanMs: number): void {
    const { random } = this;
    const before = this.disks.get(vm) ?? [];
    const chosen = random.pick(names);
    const one = before.includes(chosen) ? before.filter((name) => name !== chosen) : [...before, chosen];
    const after = random.happens(0.7) ? one : random.happens(0.8) ? names.filter(() => random.happens(0.5)) : [];
    this.want(vm, after);
    if (random.happens(0.3)) this.after(random.between(0, meanMs / 2), () => this.want(vm, before));
    if (random.happens(0.08)) this.after(random.between(0, 3_000), () => this.kill(vm));
  }

  /** The worker of its host, or a controller. */
  private kill(vm: string): void {
    const { simulation, random } = this;
    const has = ({ spec, status }: QemuProcess): boolean => spec.vm === `vm/${tenant}/${vm}` && status !== 'dead';
    const hosts = this.kernels
      .filter(({ incarnations }) => [...incarnations.values()].some(has))
      .map(({ host }) => host);
    const nodes = simulation
      .nodes()
      .filter(({ role, process }) => role === 'controller' || hosts.includes(process.name));
    if (nodes.length === 0) return;
    const { process } = random.pick(nodes);
    simulation.fault('a node was killed while disks changed', process.label);
    process.kill();
  }

  private want(vm: string, disks: readonly Volume[]): void {
    this.disks.set(vm, disks);
    const boot = { kernel: 'kernel', initrd: 'initrd' };
    const spec = { memoryMib: 256, restart: 'always', nics: [{ network: 'front' }], boot };
    this.ask(['vm.apply', vm, { ...spec, disks: disks.map((volume) => ({ volume })) }]);
  }

  private ask(request: Request): void {
    this.workload.ask(tenant, request, 'plugs', () => {});
  }

  private request(vm: string): Request {
    const { random } = this;
    const volume = random.pick(names);
    const drawn = random.whole(1, 20);
    if (drawn <= 4) return ['vm.start', vm, {}];
    if (drawn <= 6) return ['vm.stop', vm, { graceMs: random.pick([0, 500]) }];
    if (drawn <= 8) return ['vm.reset', vm, {}];
    if (drawn <= 9) return ['vm.restart', vm, {}];
    if (drawn <= 10) return ['vm.pause', vm, {}];
    if (drawn <= 12) return ['vm.resume', vm, {}];
    if (drawn <= 15) return ['vm.migrate', vm, {}];
    if (drawn <= 16) return ['vm.delete', vm, {}];
    if (drawn <= 18) return ['volume.delete', volume, {}];
    return this.volume(volume);
  }

  private volume(name: Volume): Request {
    return ['volume.create', name, { class: volumes[name], sizeMib: 8 }];
  }
}
