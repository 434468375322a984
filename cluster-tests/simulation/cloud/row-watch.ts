/**
 * Guests that write one row after the other to their disks, each acknowledged by the disk, in a simulated cloud: the
 * next row finds all of them there, wherever the guest, or its successor, runs by then (K24). A disk is the replica on
 * the guest's host, or, through an export that has not been cut, the one on another host. Used by cloud-scenario.ts.
 */
import type { IncarnationDisk } from '@photoncloud/machines/values/wiring';
import type { Chance } from '../seeded-random.ts';
import type { Simulation } from '../simulation.ts';
import type { QemuProcess, Replica, SimulatedKernel } from './simulated-kernel.ts';

const lookEveryMs = 700;

export class RowWatch {
  private readonly simulation: Simulation;
  private readonly kernels: readonly SimulatedKernel[];
  private readonly chance: Chance;
  /** Volume uid -> rows that its guests were told are there, and the host of the last one who was. */
  private readonly acknowledged = new Map<string, { readonly rows: number; readonly host: string }>();

  constructor(simulation: Simulation, kernels: readonly SimulatedKernel[]) {
    this.simulation = simulation;
    this.kernels = kernels;
    this.chance = simulation.chance.split('rows');
  }

  begin(): void {
    this.simulation.time.after(this.chance.around(lookEveryMs), undefined, 'rows', () => {
      for (const kernel of this.kernels)
        for (const guest of kernel.incarnations.values())
          if (guest.status === 'running' && !guest.stalled) this.write(kernel, guest);
      this.begin();
    });
  }

  private write(kernel: SimulatedKernel, guest: QemuProcess): void {
    for (const disk of guest.spec.disks) {
      const replica = this.replicaOf(kernel, guest, disk);
      if (replica === undefined) continue;
      const known = this.acknowledged.get(disk.volumeUid);
      const rows = known?.rows ?? 0;
      const who = `${guest.spec.vm} (${guest.owner.uid}) on ${kernel.host}`;
      const told = `${rows} were acknowledged, the last on ${known?.host ?? 'none'}`;
      if (replica.rows !== rows)
        this.simulation.violate(`K24: ${who} finds ${replica.rows} rows on ${disk.volume}, and ${told}`);
      if (known !== undefined && known.host !== kernel.host) this.simulation.reach('rows of another host were found');
      replica.rows += 1;
      this.acknowledged.set(disk.volumeUid, { rows: replica.rows, host: kernel.host });
    }
  }

  /** Undefined when its writes are not answered. */
  private replicaOf(kernel: SimulatedKernel, { owner }: QemuProcess, disk: IncarnationDisk): Replica | undefined {
    const { volumeUid, source = null } = disk;
    if (source === null) return kernel.replicas.get(volumeUid);
    const id = `${volumeUid}.${owner.runEpoch}`;
    const at = this.kernels.find(({ exports }) => exports.has(id));
    return at !== undefined && this.simulation.echoes(kernel.host, at.host) ? at.replicas.get(volumeUid) : undefined;
  }
}
