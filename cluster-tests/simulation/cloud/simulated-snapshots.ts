/**
 * Copies of volumes on a simulated host, by the contract in snapshot-contract.ts: what guests have written until then.
 * Called by simulated-dataplane.ts; a copy is kept among the replicas of simulated-kernel.ts, as the file of it is.
 */
import { Readable } from 'node:stream';
import type { SnapshotDataplane } from '@photoncloud/actors/dataplane/contract/snapshot-contract';
import { refuseOlder } from '@photoncloud/actors/dataplane/owner-alias';
import {
  snapshotDisturbed,
  snapshotMissing,
  volumeEmpty,
} from '@photoncloud/actors/dataplane/snapshot/snapshot-errors';
import type { SnapshotSpec } from '@photoncloud/machines/values/snapshot-wiring';
import { agentAnswers, thawLeft, whileFrozen } from './simulated-agents.ts';
import { isOnHost } from './simulated-disks.ts';
import type { QemuProcess, SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';

export function simulatedSnapshots(site: SimulatedSite): SnapshotDataplane {
  const { kernel } = site;
  return {
    takeSnapshot: (spec, call) =>
      site.change('takeSnapshot', 'snapshot', `snapshot ${spec.snapshotUid}`, spec.owner, call, () => take(site, spec)),
    openSnapshot: (snapshotUid) => {
      const found = kernel.replicas.get(snapshotUid);
      if (found?.takenAt === undefined) return Promise.reject(snapshotMissing(snapshotUid));
      return Promise.resolve({ stream: Readable.from([]), sizeBytes: found.sizeBytes });
    },
    removeSnapshot: ({ owner, snapshotUid }, call) =>
      site.change('removeSnapshot', 'snapshot', `snapshot ${snapshotUid}`, owner, call, () => {
        refuseOlder(`snapshot ${snapshotUid}`, owner, kernel.replicas.get(snapshotUid)?.owner ?? null);
        thawLeft(kernel.incarnations.values());
        return { removed: kernel.replicas.delete(snapshotUid) };
      }),
  };
}

/** A guest of this host that has the file of the volume open, and whose agent answers. */
const freezable = ({ incarnations }: SimulatedKernel, volumeUid: string): QemuProcess | undefined =>
  [...incarnations.values()].find(
    (guest) => agentAnswers(guest) && guest.spec.disks.some((disk) => disk.volumeUid === volumeUid && isOnHost(disk)),
  );

/** What is left of an attempt that was broken off is cleared away first: a guest may be frozen still. */
async function take(site: SimulatedSite, { owner, snapshotUid, volumeUid, format }: SnapshotSpec) {
  const { kernel } = site;
  const present = kernel.replicas.get(snapshotUid);
  refuseOlder(`snapshot ${snapshotUid}`, owner, present?.owner ?? null);
  thawLeft(kernel.incarnations.values());
  if (present === undefined && kernel.replicas.get(volumeUid)?.format !== format) throw volumeEmpty(volumeUid);
  let copy = present;
  const copyNow = (): void => {
    const volume = kernel.replicas.get(volumeUid);
    if (volume === undefined) throw snapshotDisturbed(volumeUid, 'was removed');
    const { sizeBytes, rows } = volume;
    copy = { owner, format: 'qcow2', sizeBytes, rows, takenAt: kernel.nowMs() };
  };
  const guest = present === undefined ? freezable(kernel, volumeUid) : undefined;
  if (present === undefined && guest === undefined) copyNow();
  const isFrozen = guest === undefined ? present?.isFrozen === true : await whileFrozen(site, guest, copyNow);
  if (copy === undefined) throw volumeEmpty(volumeUid);
  if (isFrozen) site.options.count('a guest was frozen for a snapshot');
  const { sizeBytes, takenAt = kernel.nowMs() } = copy;
  kernel.replicas.set(snapshotUid, { ...copy, owner, isFrozen });
  return { sizeBytes, allocatedBytes: 0, takenAt, consistency: isFrozen ? 'frozen' : 'crash' } as const;
}
