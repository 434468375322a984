/**
 * Copies of volumes on a simulated host, by the contract in snapshot-contract.ts: what guests have written until then.
 * Called by simulated-dataplane.ts; a copy is kept among the replicas of simulated-kernel.ts, as the file of it is.
 */
import { Readable } from 'node:stream';
import type { SnapshotDataplane } from '@photoncloud/actors/dataplane/contract/snapshot-contract';
import { refuseOlder } from '@photoncloud/actors/dataplane/owner-alias';
import { snapshotMissing, volumeEmpty } from '@photoncloud/actors/dataplane/snapshot/snapshot-errors';
import type { SnapshotSpec } from '@photoncloud/machines/values/snapshot-wiring';
import type { SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';

export function simulatedSnapshots(site: SimulatedSite): SnapshotDataplane {
  const { kernel } = site;
  return {
    takeSnapshot: (spec, call) =>
      site.change('takeSnapshot', 'snapshot', `snapshot ${spec.snapshotUid}`, spec.owner, call, () =>
        take(kernel, spec),
      ),
    openSnapshot: (snapshotUid) => {
      const found = kernel.replicas.get(snapshotUid);
      if (found?.takenAt === undefined) return Promise.reject(snapshotMissing(snapshotUid));
      return Promise.resolve({ stream: Readable.from([]), sizeBytes: found.sizeBytes });
    },
    removeSnapshot: ({ owner, snapshotUid }, call) =>
      site.change('removeSnapshot', 'snapshot', `snapshot ${snapshotUid}`, owner, call, () => {
        refuseOlder(`snapshot ${snapshotUid}`, owner, kernel.replicas.get(snapshotUid)?.owner ?? null);
        return { removed: kernel.replicas.delete(snapshotUid) };
      }),
  };
}

/** Whether a guest of this host, whose agent answers, has the file of the volume open. */
const freezes = (kernel: SimulatedKernel, volumeUid: string): boolean =>
  [...kernel.incarnations.values()].some(
    ({ spec, status, hung, stalled }) =>
      spec.guestAgent === true &&
      status === 'running' &&
      !hung &&
      !stalled &&
      spec.disks.some((disk) => disk.volumeUid === volumeUid && (disk.source ?? null) === null),
  );

function take(kernel: SimulatedKernel, { owner, snapshotUid, volumeUid, format }: SnapshotSpec) {
  const present = kernel.replicas.get(snapshotUid);
  refuseOlder(`snapshot ${snapshotUid}`, owner, present?.owner ?? null);
  const volume = kernel.replicas.get(volumeUid);
  if (present === undefined && volume?.format !== format) throw volumeEmpty(volumeUid);
  const { sizeBytes, rows } = present ?? volume ?? { sizeBytes: 0, rows: 0 };
  const takenAt = present?.takenAt ?? kernel.nowMs();
  const isFrozen = present?.isFrozen ?? freezes(kernel, volumeUid);
  kernel.replicas.set(snapshotUid, { owner, format: 'qcow2', sizeBytes, rows, takenAt, isFrozen });
  return { sizeBytes, allocatedBytes: 0, takenAt, consistency: isFrozen ? 'frozen' : 'crash' } as const;
}
