/**
 * The copy of a snapshot as the source of a volume: read where it is, or carried from the host that has it. Called by
 * volume/replica-filling.ts and, for other hosts, by linux-dataplane.ts. Promise: what comes from another host is
 * examined before a tool opens it, as an image is, and is gone again afterwards.
 */
import { open, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import type { ReplicaSpec } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { inspectHeader } from '../image/image-header.ts';
import { requireUsable, showToQemuImage } from '../image/qemu-image.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { requireSpace, withScratchFile, writeSparse } from '../storage-files.ts';
import { replicaPath } from '../volume/replica-paths.ts';
import { readReplicaOwner } from '../volume/replica-owner.ts';
import { checkUid } from '../wiring-checks.ts';
import { snapshotMissing, snapshotUnfetched } from './snapshot-errors.ts';

type Source = NonNullable<ReplicaSpec['snapshot']>;

/** @throws defeat `snapshot_missing`, also for a volume: only snapshots are told to other hosts */
async function openOwn(site: DataplaneSite, uid: string): Promise<FileHandle> {
  checkUid('snapshot.uid', uid);
  const owner = await readReplicaOwner(site, uid);
  if (owner?.actor.startsWith('snapshot-copy/') !== true) throw snapshotMissing(uid);
  try {
    return await open(replicaPath(site.folders.volumes, uid, 'qcow2'), 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw snapshotMissing(uid);
    throw fileError(`opening snapshot ${uid}`, error);
  }
}

export async function openSnapshot(site: DataplaneSite, uid: string): Promise<{ stream: Readable; sizeBytes: number }> {
  const file = await openOwn(site, uid);
  const { size } = await file.stat();
  return { stream: file.createReadStream({ autoClose: true }), sizeBytes: size };
}

/**
 * Calls `work` with the copy, a qcow2 file that qemu-img may read.
 * @throws defeat `snapshot_missing`, ImageRefusal; fault `storage_full`, `fetch_failed`
 */
export async function withSnapshot<Result>(
  site: DataplaneSite,
  { uid, host, allocatedBytes }: Source,
  signal: AbortSignal,
  work: (from: FileHandle) => Promise<Result>,
): Promise<Result> {
  await requireSpace(site.folders.volumes, host === site.options.host ? allocatedBytes : 2 * allocatedBytes);
  if (host === site.options.host) {
    const from = await openOwn(site, uid);
    try {
      await showToQemuImage(from);
      return await work(from);
    } finally {
      await from.close();
    }
  }
  checkUid('snapshot.uid', uid);
  return withScratchFile(path.join(site.folders.volumes, `${uid}.carried`), async (fresh, target) => {
    await receive(site, uid, host, target, signal);
    const from = await open(fresh, 'r');
    try {
      const shown = `the copy of ${uid} from ${host}`;
      await inspectHeader(from, 'qcow2', shown);
      await showToQemuImage(from);
      await requireUsable(from, shown, signal);
      return await work(from);
    } finally {
      await from.close();
    }
  });
}

async function receive(
  site: DataplaneSite,
  uid: string,
  host: string,
  target: FileHandle,
  signal: AbortSignal,
): Promise<void> {
  let stream: Readable | undefined;
  let position = 0;
  try {
    stream = await site.options.fetchSnapshot(host, uid, signal);
    for await (const piece of stream) {
      const chunk = Buffer.isBuffer(piece) ? piece : Buffer.from(String(piece));
      await writeSparse(target, chunk, position);
      position += chunk.length;
    }
    await target.truncate(position);
  } catch (error) {
    if (error instanceof PhotonError && error.record.code.startsWith('storage_')) throw error;
    throw snapshotUnfetched(uid, host, describeCause(error), error);
  } finally {
    stream?.destroy();
  }
}
