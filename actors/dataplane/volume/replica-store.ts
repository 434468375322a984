/**
 * A volume's file on this host: made (replica-filling.ts), grown, named by the volume's uid, removed. Its format is
 * always that of the spec; the content, which the guest writes, is never probed (docs/threats.md#t8). Called by
 * storage-operations.ts and host/. Promise: a file with its final name is complete; an existing file is overwritten
 * only by a restoration, as a whole.
 */
import { rm, stat } from 'node:fs/promises';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { DiskFormat, ReplicaSpec } from '@photoncloud/machines/values/wiring';
import type { ReplicaProof, ReplicaRef } from '../contract/storage-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { removeFloor } from '../export/export-folder.ts';
import { removeRecords } from '../export/export-record.ts';
import { resizeInGuest } from '../hypervisor/qemu-resize.ts';
import type { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { runQemuImage, targetFile } from '../image/qemu-image.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { refuseOlder, sameOwner } from '../owner-alias.ts';
import { checkCount, checkDigest, checkOwner, checkUid } from '../wiring-checks.ts';
import { replicaDiffers } from './replica-errors.ts';
import { fillingLimits, fillReplica, isUnrestored, restoreReplica, withFile } from './replica-filling.ts';
import { readReplicaOwner, writeReplicaOwner } from './replica-owner.ts';
import { diskFormats, replicaFrozenPath, replicaOwnerPath, replicaPath, replicaRestoredPath } from './replica-paths.ts';

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
  if (owner === null || !sameOwner(owner, spec.owner)) await writeReplicaOwner(site, spec.volumeUid, spec.owner);
  if (await isUnrestored(site, spec)) await restoreReplica(site, sessions, spec, signal);
  else if (present === null) await fillReplica(site, spec, signal);
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
  if (spec.snapshot !== undefined) checkUid('snapshot.uid', spec.snapshot.uid);
  if (typeof spec.snapshot?.restore === 'string') checkUid('snapshot.restore', spec.snapshot.restore);
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

/** A QEMU that has it open changes the size itself, and its guest sees that; otherwise the file is changed. */
async function growReplica(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  spec: ReplicaSpec,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const sizeBytes = spec.sizeMib * mib;
  if (await resizeInGuest(site, sessions, spec.volumeUid, file, sizeBytes)) return;
  await withFile(file, 'r+', async (target) => {
    if (spec.format === 'raw') await target.truncate(sizeBytes);
    else {
      const limits = { ...fillingLimits(spec), target, signal };
      await runQemuImage(limits, ['resize', '-q', '-f', 'qcow2', targetFile, String(sizeBytes)]);
    }
    await target.sync();
  });
}

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
    await removeRecords(site, volumeUid);
    await rm(replicaRestoredPath(site.folders.volumes, volumeUid), { force: true });
    await rm(replicaFrozenPath(site.folders.volumes, volumeUid), { force: true });
    await rm(replicaOwnerPath(site.folders.volumes, volumeUid), { force: true });
  } catch (error) {
    throw fileError(`removing volume ${volumeUid}`, error);
  }
  return { removed: found !== null };
}
