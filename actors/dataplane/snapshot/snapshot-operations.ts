/**
 * Copies of volumes as they are at one moment, each a qcow2 file beside the volumes, named by the uid of the snapshot:
 * taken through the process that has the volume open, or from its file when it rests. Called by linux-dataplane.ts.
 * Promise: a file with its final name is complete and never changes; the lock of the volume is held only for the moment
 * at which a copy begins, so that a run can be cut meanwhile.
 */
import { open, rm, stat, type FileHandle } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { SnapshotProof, SnapshotSpec } from '@photoncloud/machines/values/snapshot-wiring';
import type { DiskFormat } from '@photoncloud/machines/values/wiring';
import type { SnapshotDataplane } from '../contract/snapshot-contract.ts';
import { dropEmptyRunFolders, type DataplaneSite } from '../dataplane-site.ts';
import { requireDescriptors } from '../descriptor-reserve.ts';
import type { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { runQemuImage, showToQemuImage, sourceFile, targetFile } from '../image/qemu-image.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { fencedChange } from '../network-operations.ts';
import { refuseOlder } from '../owner-alias.ts';
import { createFile, readTextFile, requireSpace } from '../storage-files.ts';
import { replicaErrors } from '../volume/replica-errors.ts';
import { readReplicaOwner, writeReplicaOwner } from '../volume/replica-owner.ts';
import { replicaFrozenPath, replicaPath } from '../volume/replica-paths.ts';
import { eraseReplica, findReplica } from '../volume/replica-store.ts';
import { checkCount, checkOwner, checkUid } from '../wiring-checks.ts';
import { openSnapshot } from './snapshot-carrying.ts';
import { snapshotDisturbed, volumeEmpty } from './snapshot-errors.ts';
import { abandon, awaitCopy, beginCopy, findBytesUser, serveCopy, type CopyMoment } from './snapshot-job.ts';

const mib = 1 << 20;
const convertTimeoutMs = 3_600_000;
/** The kernel counts the time of a write in ticks of a few ms; two writes in one tick look like one. */
const tickMs = 20;

export function snapshotOperations(site: DataplaneSite, sessions: IncarnationSessions): SnapshotDataplane {
  const change = fencedChange(site);
  return {
    takeSnapshot: (spec, call) =>
      change('snapshot', `snapshot ${spec.snapshotUid}`, spec.owner, call, async () => {
        await requireDescriptors(`Copying ${spec.volumeUid}`);
        return take(site, sessions, spec, call.signal);
      }),
    openSnapshot: (snapshotUid) => openSnapshot(site, snapshotUid),
    removeSnapshot: ({ owner, snapshotUid }, call) =>
      change('snapshot', `snapshot ${snapshotUid}`, owner, call, async () => {
        checkOwner(owner);
        checkUid('snapshotUid', snapshotUid);
        refuseOlder(`snapshot ${snapshotUid}`, owner, await readReplicaOwner(site, snapshotUid));
        await abandon(site, sessions, snapshotUid);
        const result = await eraseReplica(site, snapshotUid);
        await dropEmptyRunFolders(site);
        return result;
      }),
  };
}

function check(spec: SnapshotSpec): void {
  checkOwner(spec.owner);
  checkUid('snapshotUid', spec.snapshotUid);
  checkUid('volumeUid', spec.volumeUid);
  checkCount('sizeMib', spec.sizeMib, 1, 16 << 20);
}

async function take(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  spec: SnapshotSpec,
  signal: AbortSignal,
): Promise<SnapshotProof> {
  check(spec);
  const { snapshotUid, volumeUid } = spec;
  refuseOlder(`snapshot ${snapshotUid}`, spec.owner, await readReplicaOwner(site, snapshotUid));
  await abandon(site, sessions, snapshotUid);
  const present = await readProof(site, snapshotUid);
  if (present !== null) return present;
  const volume = await findReplica(site, volumeUid);
  if (volume === null || volume.format !== spec.format) throw volumeEmpty(volumeUid);
  await requireSpace(site.folders.volumes, volume.allocatedBytes);
  await writeReplicaOwner(site, snapshotUid, spec.owner);
  const file = replicaPath(site.folders.volumes, snapshotUid, 'qcow2');
  await createFile(file, async (fresh, target) => {
    const { takenAt, isFrozen } = await fill({ site, sessions, spec, fresh, target, signal, ...volume });
    await keepFrozen(site, snapshotUid, isFrozen);
    await target.utimes(takenAt / 1000, takenAt / 1000);
  });
  const made = await readProof(site, snapshotUid);
  if (made === null) throw snapshotDisturbed(volumeUid, 'lost its copy');
  return made;
}

/** The moment of a copy is the time of its file, which nobody writes any more. */
async function readProof(site: DataplaneSite, snapshotUid: string): Promise<SnapshotProof | null> {
  const found = await findReplica(site, snapshotUid);
  if (found === null) return null;
  try {
    const takenAt = Math.round((await stat(found.file)).mtimeMs);
    const frozen = await readTextFile(replicaFrozenPath(site.folders.volumes, snapshotUid));
    const consistency = frozen === undefined ? 'crash' : 'frozen';
    return { sizeBytes: found.virtualBytes, allocatedBytes: found.allocatedBytes, takenAt, consistency };
  } catch (error) {
    throw fileError(`reading snapshot ${snapshotUid}`, error);
  }
}

/** Called before the copy has its final name. */
async function keepFrozen(site: DataplaneSite, snapshotUid: string, isFrozen: boolean): Promise<void> {
  const file = replicaFrozenPath(site.folders.volumes, snapshotUid);
  try {
    // One may be left of an attempt that was broken off.
    await rm(file, { force: true });
  } catch (error) {
    throw fileError(`keeping how snapshot ${snapshotUid} was taken`, error);
  }
  if (isFrozen) await createFile(file, async () => {});
}

interface Filling {
  readonly site: DataplaneSite;
  readonly sessions: IncarnationSessions;
  readonly spec: SnapshotSpec;
  /** The unfinished file, and it open. */
  readonly fresh: string;
  readonly target: FileHandle;
  readonly signal: AbortSignal;
  /** The volume. */
  readonly file: string;
  readonly format: DiskFormat;
  readonly virtualBytes: number;
}

async function fill(filling: Filling): Promise<CopyMoment> {
  const { site, sessions, spec, fresh, signal, virtualBytes } = filling;
  const { snapshotUid, volumeUid } = spec;
  const find = () => findBytesUser(site, sessions, volumeUid, filling.file);
  if ((await find()) === null) return { takenAt: await copyAtRest(filling), isFrozen: false };
  await qemuImage(filling, ['create', '-q', '-f', 'qcow2', targetFile, String(virtualBytes)]);
  try {
    const target = await serveCopy(site, spec, fresh, virtualBytes);
    const begun = await site.locks.hold(`volume ${volumeUid}`, async () => {
      const user = await find();
      if (user === null) throw snapshotDisturbed(volumeUid, 'was closed');
      return { user, moment: await beginCopy(user, target) };
    });
    await awaitCopy(begun.user, snapshotUid, signal);
    return begun.moment;
  } finally {
    await abandon(site, sessions, snapshotUid);
  }
}

/**
 * Nobody has the file open, so it is read as it is. A process that opens it meanwhile is not kept waiting: when the
 * file was written since, the copy is thrown away. @returns the moment whose bytes it has
 */
async function copyAtRest(filling: Filling): Promise<number> {
  const { file, format, spec } = filling;
  const state = async (): Promise<string> => {
    const { ino, mtimeMs, size } = await stat(file);
    return [ino, mtimeMs, size].join(' ');
  };
  try {
    // What was written before the wait and what is written after it have different times.
    await pause(tickMs, undefined, { signal: filling.signal });
    const before = await state();
    const { mtimeMs: takenAt } = await stat(filling.fresh);
    const source = await open(file, 'r');
    try {
      await showToQemuImage(source);
      await qemuImage(filling, ['convert', '-U', '-f', format, '-O', 'qcow2', sourceFile, targetFile], source);
    } finally {
      await source.close();
    }
    if ((await state()) !== before) throw snapshotDisturbed(spec.volumeUid, 'was written');
    return takenAt;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw snapshotDisturbed(spec.volumeUid, 'was removed');
    throw error;
  }
}

async function qemuImage({ spec, target, signal }: Filling, args: readonly string[], source?: FileHandle) {
  const limits = { cpuSeconds: 3_600, timeoutMs: convertTimeoutMs, fileBytes: (spec.sizeMib + 1024) * mib };
  const request = { what: `copying volume ${spec.volumeUid}`, ...limits, rules: replicaErrors, target, signal };
  await runQemuImage(source === undefined ? request : { ...request, source }, args);
}
