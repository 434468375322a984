/**
 * Guests that write one row after the other to their disks, the first as soon as they run, each acknowledged by the
 * disk, in a simulated cloud: the next row finds all of them there, wherever the guest, or its successor, runs by then
 * (K24). A disk is the replica on the guest's host, or, through an export that has not been cut, the one on another
 * host. A volume that is made from a snapshot begins with the rows of that snapshot, and a restored one goes on with
 * them (K26). Used by cloud-scenario.ts.
 */
import type { IncarnationDisk } from '@photoncloud/machines/values/wiring';
import { partsOfId } from '@photoncloud/machines/values/identifiers';
import type { Chance } from '../seeded-random.ts';
import type { Simulation } from '../simulation.ts';
import { hasReleased } from './simulated-disks.ts';
import type { Origin, QemuProcess, Replica, SimulatedKernel } from './simulated-kernel.ts';
import { storedActors } from './stored-actors.ts';

const lookEveryMs = 700;

interface Acknowledged {
  readonly rows: number;
  readonly host: string;
  /** Uids of the restorations that the volume has had. */
  readonly restored: ReadonlySet<string>;
}

export class RowWatch {
  private readonly simulation: Simulation;
  private readonly kernels: readonly SimulatedKernel[];
  private readonly chance: Chance;
  /** Volume uid -> rows that its guests were told are there, and the host of the last one who was. */
  private readonly acknowledged = new Map<string, Acknowledged>();
  private readonly running = new Set<QemuProcess>();

  constructor(simulation: Simulation, kernels: readonly SimulatedKernel[]) {
    this.simulation = simulation;
    this.kernels = kernels;
    this.chance = simulation.chance.split('rows');
  }

  begin(): void {
    for (const kernel of this.kernels) kernel.onChange(() => this.look(kernel));
    this.again();
  }

  private again(): void {
    this.simulation.time.after(this.chance.around(lookEveryMs), undefined, 'rows', () => {
      for (const kernel of this.kernels)
        for (const guest of kernel.incarnations.values())
          if (guest.status === 'running' && !guest.stalled && !guest.frozen) this.write(kernel, guest);
      this.again();
    });
  }

  /** A guest that has just begun to run, or goes on. */
  private look(kernel: SimulatedKernel): void {
    for (const guest of kernel.incarnations.values()) {
      if (guest.status !== 'running') this.running.delete(guest);
      else if (!this.running.has(guest)) {
        this.running.add(guest);
        if (!guest.stalled && !guest.frozen) this.write(kernel, guest);
      }
    }
  }

  private write(kernel: SimulatedKernel, guest: QemuProcess): void {
    for (const disk of guest.spec.disks) {
      if (hasReleased(guest, disk.volumeUid, kernel.nowMs())) continue;
      const replica = this.replicaOf(kernel, guest, disk);
      if (replica === undefined) continue;
      const known = this.restoredOr(disk, replica, this.acknowledged.get(disk.volumeUid));
      if (known === undefined) this.checkOrigin(disk, replica);
      const rows = known?.rows ?? replica.origin?.rows ?? 0;
      const who = `${guest.spec.vm} (${guest.owner.uid}) on ${kernel.host}`;
      const told = `${rows} were acknowledged, the last on ${known?.host ?? 'none'}`;
      if (replica.rows !== rows)
        this.simulation.violate(`K24: ${who} finds ${replica.rows} rows on ${disk.volume}, and ${told}`);
      if (known !== undefined && known.host !== kernel.host) this.simulation.reach('rows of another host were found');
      replica.rows += 1;
      const restored = known?.restored ?? new Set([replica.origin?.restore ?? '']);
      this.acknowledged.set(disk.volumeUid, { rows: replica.rows, host: kernel.host, restored });
    }
  }

  /** After a restoration, which counts once, the volume has the rows of the snapshot. */
  private restoredOr(
    { volume }: IncarnationDisk,
    { origin }: Replica,
    known: Acknowledged | undefined,
  ): Acknowledged | undefined {
    const restore = origin?.restore ?? null;
    if (known === undefined || origin === undefined || restore === null || known.restored.has(restore)) return known;
    this.simulation.reach('a volume was restored');
    this.checkTenant(volume, origin);
    return { ...known, rows: origin.rows, restored: new Set([...known.restored, restore]) };
  }

  /** A volume that is made from a snapshot begins with the bytes of its copy (K26). */
  private checkOrigin({ volume, volumeUid }: IncarnationDisk, { origin }: Replica): void {
    const stored = storedActors(this.simulation.server).find(({ id }) => String(id) === volume);
    const { uid, spec } = (stored?.context ?? {}) as { uid?: string; spec?: { snapshot?: string | null } | null };
    if (uid !== volumeUid || typeof spec?.snapshot !== 'string') return;
    if (origin === undefined)
      this.simulation.violate(`K26: ${volume} is used without the bytes of ${spec.snapshot}, which it is made from`);
    else {
      this.simulation.reach('a volume was made from a snapshot');
      const { kind, tenant } = partsOfId(volume);
      const named = kind === 'volume' ? `snapshot-copy/${tenant}/${spec.snapshot}@` : '';
      if (origin.restore === null && !origin.copy.startsWith(named))
        this.simulation.violate(`K26: ${volume} is made from ${spec.snapshot} and has the bytes of ${origin.copy}`);
      this.checkTenant(volume, origin);
    }
  }

  private checkTenant(volume: string, { copy }: Origin): void {
    if (partsOfId(copy).tenant !== partsOfId(volume).tenant)
      this.simulation.violate(`K26: ${volume} has the bytes of ${copy}, which is of another tenant`);
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
