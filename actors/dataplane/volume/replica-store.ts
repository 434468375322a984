/**
 * A volume's file on this host: made empty or from an image copy, named by the volume's uid, removed. Its format is
 * always that of the spec; the content, which the guest writes, is never probed (docs/threats.md#t8). qemu-img gets
 * both formats explicitly and runs with limits on memory, time and file size (docs/threats.md#t9). Called by
 * storage-operations.ts and host/. Promise: a file with its final name is complete; an existing file is never
 * overwritten.
 */
import { open, rm, stat, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { DiskFormat, OwnerToken, ReplicaSpec } from '@photoncloud/machines/values/wiring';
import type { ReplicaProof, ReplicaRef } from '../contract/storage-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { blobPath } from '../image/copy-paths.ts';
import { readCopy } from '../image/copy-store.ts';
import { blobMissing } from '../image/image-errors.ts';
import { inspectHeader } from '../image/image-header.ts';
import { runQemuImage, showToQemuImage, sourceFile, targetFile } from '../image/qemu-image.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { aliasOf, ownerOfAlias, refuseOlder, sameOwner } from '../owner-alias.ts';
import { resizeInGuest } from '../hypervisor/qemu-resize.ts';
import type { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { copySparse, createFile, readTextFile, requireSpace } from '../storage-files.ts';
import { checkCount, checkDigest, checkOwner, checkUid } from '../wiring-checks.ts';
import { removeFloor } from '../export/export-folder.ts';
import { imageLarger, replicaDiffers, replicaErrors } from './replica-errors.ts';
import { diskFormats, replicaOwnerPath, replicaPath } from './replica-paths.ts';

const convertTimeoutMs = 600_000;
const mib = 1 << 20;

export async function makeReplica(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  spec: ReplicaSpec,
  signal: AbortSignal,
): Promise<ReplicaProof> {
  checkReplica(spec);
  const owner = await readReplicaOwner(site, spec.volumeUid);
  refuseOlder(`volume ${spec.volumeUid}`, spec.owner, owner);
  const present = await findReplica(site, spec.volumeUid);
  if (present !== null) {
    if (present.format !== spec.format)
      throw replicaDiffers(spec.volumeUid, `as ${present.format}, not ${spec.format}`);
    if (present.virtualBytes > spec.sizeMib * mib)
      throw replicaDiffers(spec.volumeUid, `it holds ${present.virtualBytes} bytes, not ${spec.sizeMib} MiB`);
  }
  if (owner === null || !sameOwner(owner, spec.owner)) await writeOwner(site, spec);
  if (present === null) await fillReplica(site, spec, signal);
  else if (present.virtualBytes < spec.sizeMib * mib) await growReplica(site, sessions, spec, present.file, signal);
  const made = await findReplica(site, spec.volumeUid);
  if (made === null)
    throw new PhotonError(
      'fault',
      'storage_failed',
      `Volume ${spec.volumeUid} was made, but its file is missing; try again.`,
    );
  return { sizeBytes: made.virtualBytes, allocatedBytes: made.allocatedBytes, created: present === null };
}

function checkReplica(spec: ReplicaSpec): void {
  checkOwner(spec.owner);
  checkUid('volumeUid', spec.volumeUid);
  checkCount('sizeMib', spec.sizeMib, 1, 16 << 20);
  const formats = spec.image === null ? [spec.format] : [spec.format, spec.image.format];
  if (!formats.every((format) => diskFormats.includes(format)))
    throw new PhotonError('defeat', 'spec_invalid', `A disk is raw or qcow2, not ${formats.join(', ')}.`);
  if (spec.image !== null) checkDigest('image.sha256', spec.image.sha256);
}

interface FoundReplica {
  readonly format: DiskFormat;
  readonly file: string;
  readonly virtualBytes: number;
  readonly allocatedBytes: number;
}

export async function findReplica(site: DataplaneSite, volumeUid: string): Promise<FoundReplica | null> {
  for (const format of diskFormats) {
    const file = replicaPath(site.folders.volumes, volumeUid, format);
    try {
      const { size, blocks } = await stat(file);
      return {
        format,
        file,
        virtualBytes: format === 'raw' ? size : await qcow2Size(file),
        allocatedBytes: blocks * 512,
      };
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw fileError(`reading volume ${volumeUid}`, error);
    }
  }
  return null;
}

/** Reads only the size from the header, which QEMU may be writing now; the format was checked when it was made. */
async function qcow2Size(file: string): Promise<number> {
  return withFile(file, 'r', async (handle) => {
    const { buffer } = await handle.read(Buffer.alloc(8), 0, 8, 24);
    return Number(buffer.readBigUInt64BE(0));
  });
}

async function withFile<Result>(
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

export async function readReplicaOwner(site: DataplaneSite, volumeUid: string): Promise<OwnerToken | null> {
  return ownerOfAlias(site.options.cluster, await readTextFile(replicaOwnerPath(site.folders.volumes, volumeUid)));
}

async function writeOwner(site: DataplaneSite, spec: ReplicaSpec): Promise<void> {
  const file = replicaOwnerPath(site.folders.volumes, spec.volumeUid);
  await createFile(file, async (_, handle) => {
    await writeFile(handle, aliasOf(site.options.cluster, spec.owner));
  });
}

async function fillReplica(site: DataplaneSite, spec: ReplicaSpec, signal: AbortSignal): Promise<void> {
  const { image, format } = spec;
  const sizeBytes = spec.sizeMib * mib;
  const copy = image === null ? null : await readCopy(site, image.sha256, image.format);
  if (image !== null && copy === null) throw blobMissing(image.sha256);
  if (copy !== null && copy.virtualSizeBytes > sizeBytes) throw imageLarger(copy.virtualSizeBytes, sizeBytes);
  await requireSpace(site.folders.volumes, copy?.sizeBytes ?? mib);
  const source = image === null ? null : blobPath(site.folders.images, image.sha256, image.format);
  await createFile(replicaPath(site.folders.volumes, spec.volumeUid, format), async (fresh, target) => {
    const qemuImage = (args: readonly string[], from?: FileHandle): Promise<unknown> =>
      runQemuImage({ ...imageLimits(spec), target, signal, ...(from === undefined ? {} : { source: from }) }, args);
    const convert = async (from: FileHandle, imageFormat: DiskFormat): Promise<void> => {
      // Copies that older versions of this program stored are not shown yet.
      await showToQemuImage(from);
      await qemuImage(['convert', '-f', imageFormat, '-O', format, sourceFile, targetFile], from);
    };
    if (source !== null && image?.format === 'raw' && format === 'raw') {
      await withFile(source, 'r', (from) => copySparse(from, target, signal));
    } else if (source !== null && image !== null) {
      await withFile(source, 'r', (from) => convert(from, image.format));
    } else if (format === 'qcow2') {
      await qemuImage(['create', '-q', '-f', 'qcow2', targetFile, String(sizeBytes)]);
    }
    if (format === 'raw') await target.truncate(sizeBytes);
    else if (source !== null) await qemuImage(['resize', '-q', '-f', 'qcow2', targetFile, String(sizeBytes)]);
    if (format === 'qcow2') await withFile(fresh, 'r', (made) => inspectHeader(made, 'qcow2', spec.volumeUid));
  });
}

/** A QEMU that has it open changes the size itself, and its guest sees that; otherwise the file is changed. */
async function growReplica(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  spec: ReplicaSpec,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const sizeBytes = spec.sizeMib * mib;
  if (await resizeInGuest(site, sessions, file, sizeBytes)) return;
  await withFile(file, 'r+', async (target) => {
    if (spec.format === 'raw') await target.truncate(sizeBytes);
    else {
      const limits = { ...imageLimits(spec), target, signal };
      await runQemuImage(limits, ['resize', '-q', '-f', 'qcow2', targetFile, String(sizeBytes)]);
    }
    await target.sync();
  });
}

const imageLimits = (spec: ReplicaSpec) => ({
  what: `making volume ${spec.volumeUid}`,
  cpuSeconds: 600,
  timeoutMs: convertTimeoutMs,
  fileBytes: (spec.sizeMib + 1024) * mib,
  rules: replicaErrors,
});

export async function dropReplica(site: DataplaneSite, ref: ReplicaRef): Promise<{ removed: boolean }> {
  checkOwner(ref.owner);
  checkUid('volumeUid', ref.volumeUid);
  refuseOlder(`volume ${ref.volumeUid}`, ref.owner, await readReplicaOwner(site, ref.volumeUid));
  return eraseReplica(site, ref.volumeUid);
}

/** The owner file is removed last, so that the residue shows the owner until the volume is gone. */
export async function eraseReplica(site: DataplaneSite, volumeUid: string): Promise<{ removed: boolean }> {
  const found = await findReplica(site, volumeUid);
  try {
    if (found !== null) await rm(found.file, { force: true });
    await removeFloor(site, volumeUid);
    await rm(replicaOwnerPath(site.folders.volumes, volumeUid), { force: true });
  } catch (error) {
    throw fileError(`removing volume ${volumeUid}`, error);
  }
  return { removed: found !== null };
}
