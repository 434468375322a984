/**
 * A tenant of some seeds of the cloud simulation who keeps snapshots: VMs write to volumes while snapshots are taken of
 * them, volumes are made from these, grow, and are restored to them while their VM is stopped; VMs are moved, and leave
 * as soon as they run there. All in any order, so that many commands meet and are refused. Draws from a stream of its
 * own. Used by cloud-scenario.ts.
 */
import type { Chance } from '../seeded-random.ts';
import type { Simulation } from '../simulation.ts';
import type { CloudWorkload, Request } from './cloud-workload.ts';
import type { QemuProcess, SimulatedKernel } from './simulated-kernel.ts';

const tenant = 'tenant-1';
const beginMs = 20_000;
const meanMs = 1_500;
/** Part of the seeds. */
const share = 0.35;

const keepers = ['keeper', 'reader'] as const;
/** Disks of the VMs. */
const diskOf = { keeper: 'kept', reader: 'read' } as const;
const snapshots = ['friday', 'monday'];

export class CloudStorage {
  private readonly simulation: Simulation;
  private readonly workload: CloudWorkload;
  private readonly kernels: readonly SimulatedKernel[];
  private readonly random: Chance;
  private readonly arrived = new Set<QemuProcess>();
  private asking = true;

  constructor(simulation: Simulation, workload: CloudWorkload, kernels: readonly SimulatedKernel[]) {
    this.simulation = simulation;
    this.workload = workload;
    this.kernels = kernels;
    this.random = simulation.chance.split('storage');
  }

  start(): void {
    if (!this.random.happens(share)) return;
    this.simulation.time.after(beginMs, undefined, 'storage', () => {
      this.ask(this.volume(diskOf.keeper, null));
      this.ask(this.vm('keeper'));
      this.plan();
      for (const kernel of this.kernels) kernel.onChange(() => this.look(kernel));
    });
  }

  stop(): void {
    this.asking = false;
  }

  private plan(): void {
    this.simulation.time.after(this.random.around(meanMs), undefined, 'storage', () => {
      if (!this.asking) return;
      this.ask(this.request());
      this.plan();
    });
  }

  /** A VM that runs after a move leaves before the move has cleared up, or soon after. */
  private look({ incarnations }: SimulatedKernel): void {
    for (const guest of incarnations.values()) {
      const { spec, status } = guest;
      const vm = keepers.find((name) => spec.vm === `vm/${tenant}/${name}`);
      if (vm === undefined || spec.incoming === undefined || status !== 'running' || this.arrived.has(guest)) continue;
      this.arrived.add(guest);
      if (!this.random.happens(0.5)) continue;
      const request: Request = this.random.pick([
        ['vm.stop', vm, { graceMs: 0 }],
        ['vm.restart', vm, { graceMs: 0 }],
        ['vm.delete', vm, {}],
      ] as const);
      this.simulation.time.after(this.random.between(0, 100), undefined, 'storage', () => {
        if (this.asking) this.ask(request);
      });
    }
  }

  private ask(request: Request): void {
    this.workload.ask(tenant, request, 'storage', () => {});
  }

  private request(): Request {
    const { random } = this;
    const vm = random.pick(keepers);
    const volume = diskOf[vm];
    const snapshot = random.pick(snapshots);
    const requests: readonly (readonly [number, () => Request])[] = [
      [6, () => this.vm(vm)],
      [4, () => ['vm.start', vm, {}]],
      [4, () => ['vm.stop', vm, { graceMs: 0 }]],
      [1, () => ['vm.delete', vm, {}]],
      [6, () => ['vm.migrate', vm, {}]],
      [6, () => this.volume(diskOf.reader, snapshot)],
      [2, () => this.volume(diskOf.keeper, random.happens(0.2) ? snapshot : null)],
      [2, () => ['volume.delete', volume, {}]],
      [8, () => ['snapshot.create', snapshot, { volume }]],
      [2, () => ['snapshot.delete', snapshot, {}]],
      [5, () => ['volume.update', volume, { class: this.kind(), sizeMib: random.pick([8, 12, 16]) }]],
      [8, () => ['volume.restore', volume, { snapshot }]],
    ];
    let drawn = random.whole(
      1,
      requests.reduce((sum, [weight]) => sum + weight, 0),
    );
    for (const [weight, request] of requests) {
      drawn -= weight;
      if (drawn <= 0) return request();
    }
    return this.vm(vm);
  }

  private volume(name: string, snapshot: string | null): Request {
    // Whatever its source had grown to by then has room in it.
    return ['volume.create', name, { class: this.kind(), sizeMib: snapshot === null ? 8 : 16, snapshot }];
  }

  private kind(): 'shared' | 'local' {
    return this.random.happens(0.5) ? 'shared' : 'local';
  }

  private vm(name: (typeof keepers)[number]): Request {
    const boot = { kernel: 'kernel', initrd: 'initrd' };
    const disks = [{ volume: diskOf[name] }];
    return [
      'vm.create',
      name,
      { memoryMib: 256, restart: 'always', nics: [{ network: 'front' }], disks, boot, guestAgent: true },
    ];
  }
}
