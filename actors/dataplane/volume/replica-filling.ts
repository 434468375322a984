/**
 * The first bytes of a volume's file, and other bytes in their place: none, those of an image copy, or those of a
 * snapshot. qemu-img gets both formats explicitly and runs with limits on memory, time and file size
 * (docs/threats.md#t9). Called by replica-store.ts under the volume's lock. Promise: the file with the final name is
 * complete, before and after; a restoration that was answered is never made again.
 */
import { open, writeFile, type FileHandle } from 'node:fs/promises';
import type { DiskFormat, ReplicaSpec } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import type { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { blobPath } from '../image/copy-paths.ts';
import { readCopy } from '../image/copy-store.ts';
import { blobMissing } from '../image/image-errors.ts';
import { inspectHeader } from '../image/image-header.ts';
import { runQemuImage, showToQemuImage, sourceFile, targetFile } from '../image/qemu-image.ts';
import { withSnapshot } from '../snapshot/snapshot-carrying.ts';
import { findBytesUser } from '../snapshot/snapshot-job.ts';
import { copySparse, createFile, readTextFile, requireSpace } from '../storage-files.ts';
import { imageLarger, replicaErrors, replicaInUse, snapshotLarger } from './replica-errors.ts';
import { replicaPath, replicaRestoredPath } from './replica-paths.ts';

const mib = 1 << 20;

/** How long one conversion may take: of an image, which anybody may have made, and of a copy of a volume. */
const imageSeconds = 600;
const snapshotSeconds = 3_600;

export const fillingLimits = (spec: ReplicaSpec) => {
  const seconds = spec.snapshot === undefined ? imageSeconds : snapshotSeconds;
  return {
    what: `making volume ${spec.volumeUid}`,
    cpuSeconds: seconds,
    timeoutMs: seconds * 1_000,
    fileBytes: (spec.sizeMib + 1024) * mib,
    rules: replicaErrors,
  };
};

export async function fillReplica(site: DataplaneSite, spec: ReplicaSpec, signal: AbortSignal): Promise<void> {
  if (spec.snapshot !== undefined) {
    const { snapshot } = spec;
    await withSnapshot(site, snapshot, signal, async (from) => {
      const snapshotBytes = await inspectHeader(from, 'qcow2', snapshot.uid);
      if (snapshotBytes > spec.sizeMib * mib) throw snapshotLarger(snapshot.uid, snapshotBytes, spec.sizeMib * mib);
      await writeFresh({ site, spec, signal }, { from, format: 'qcow2' });
    });
    return;
  }
  const { image } = spec;
  const copy = image === null ? null : await readCopy(site, image.sha256, image.format);
  if (image !== null && copy === null) throw blobMissing(image.sha256);
  if (copy !== null && copy.virtualSizeBytes > spec.sizeMib * mib)
    throw imageLarger(copy.virtualSizeBytes, spec.sizeMib * mib);
  await requireSpace(site.folders.volumes, copy?.sizeBytes ?? mib);
  if (image === null) return writeFresh({ site, spec, signal }, null);
  const { format } = image;
  await withFile(blobPath(site.folders.images, image.sha256, format), 'r', async (from) => {
    // Copies that older versions of this program stored are not shown yet.
    if (format !== 'raw' || spec.format !== 'raw') await showToQemuImage(from);
    await writeFresh({ site, spec, signal }, { from, format });
  });
}

interface Filling {
  readonly site: DataplaneSite;
  readonly spec: ReplicaSpec;
  readonly signal: AbortSignal;
}

/** @param source open, readable for qemu-img; null: the disk is empty */
async function writeFresh(
  { site, spec, signal }: Filling,
  source: { readonly from: FileHandle; readonly format: DiskFormat } | null,
): Promise<void> {
  const { format } = spec;
  const sizeBytes = spec.sizeMib * mib;
  await createFile(replicaPath(site.folders.volumes, spec.volumeUid, format), async (fresh, target) => {
    const qemuImage = (args: readonly string[], from?: FileHandle): Promise<unknown> =>
      runQemuImage({ ...fillingLimits(spec), target, signal, ...(from === undefined ? {} : { source: from }) }, args);
    if (source !== null && source.format === 'raw' && format === 'raw') await copySparse(source.from, target, signal);
    else if (source !== null)
      await qemuImage(['convert', '-f', source.format, '-O', format, sourceFile, targetFile], source.from);
    else if (format === 'qcow2') await qemuImage(['create', '-q', '-f', 'qcow2', targetFile, String(sizeBytes)]);
    if (format === 'raw') await target.truncate(sizeBytes);
    else if (source !== null) await qemuImage(['resize', '-q', '-f', 'qcow2', targetFile, String(sizeBytes)]);
    if (format === 'qcow2') await withFile(fresh, 'r', (made) => inspectHeader(made, 'qcow2', spec.volumeUid));
  });
}

/** Whether the restoration of this uid is still to be made. */
export async function isUnrestored(site: DataplaneSite, spec: ReplicaSpec): Promise<boolean> {
  const uid = spec.snapshot?.restore ?? null;
  return uid !== null && uid !== (await readTextFile(replicaRestoredPath(site.folders.volumes, spec.volumeUid)));
}

/**
 * Puts the bytes of the snapshot in the place of those that are there. Which restoration that was is noted before it is
 * answered: a late repetition changes nothing. @throws fault `replica_in_use`
 */
export async function restoreReplica(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  spec: ReplicaSpec,
  signal: AbortSignal,
): Promise<void> {
  const file = replicaPath(site.folders.volumes, spec.volumeUid, spec.format);
  if ((await findBytesUser(site, sessions, spec.volumeUid, file)) !== null) throw replicaInUse(spec.volumeUid);
  await fillReplica(site, spec, signal);
  await createFile(replicaRestoredPath(site.folders.volumes, spec.volumeUid), async (_, handle) =>
    writeFile(handle, spec.snapshot?.restore ?? ''),
  );
}

export async function withFile<Result>(
  file: string,
  flags: string,
  work: (handle: FileHandle) => Promise<Result>,
): Promise<Result> {
  const handle = await open(file, flags);
  try {
    return await work(handle);
  } finally {
    await handle.close();
  }
}
