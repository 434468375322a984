/**
 * How a QEMU reaches the exports of its disks (actors/dataplane/export). To one on this host leads a socket. QEMU
 * connects before it changes its root to an empty folder, and again whenever the export was away: so the socket is
 * linked into that folder, where the same path leads to it before and after. For one on another host QEMU has a key.
 * Called by qemu-start.ts and qemu-plug.ts, and by export/ when a daemon was started again.
 */
import { link, mkdir, rename, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { slotted } from '@photoncloud/machines/values/device-slots';
import type { DiskSource, IncarnationSpec } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { exportPaths, type ExportPaths } from '../export/export-folder.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { listFolder } from '../storage-files.ts';
import { writeKeyFolder } from '../tls-key.ts';
import { keyFolder } from './qemu-arguments.ts';
import { fileMissing } from './qemu-errors.ts';
import { listRuns, type IncarnationPaths } from './qemu-folder.ts';

/** Called before QEMU is started. @throws fault `disk_missing` when the export is not served on this host */
export async function openDoors(site: DataplaneSite, paths: IncarnationPaths, spec: IncarnationSpec): Promise<void> {
  try {
    for (const [slot, { volume, source = null }] of slotted(spec.disks)) {
      if (source === null) continue;
      if (source.address === null) await openDoor(site, paths, volume, source);
      else await writeKeyFolder(keyFolder(paths.emptyFolder, slot), site.options.exportKey(source.export));
    }
  } catch (error) {
    throw fileError(`giving ${spec.vm} its disks`, error);
  }
}

/** @throws fault `disk_missing` when the export is not served on this host; errors of the file system as they are */
export async function openDoor(
  site: DataplaneSite,
  paths: IncarnationPaths,
  volume: string,
  source: DiskSource,
): Promise<void> {
  const [volumeUid = '', runEpoch] = source.export.split('.');
  try {
    await linkDoor(paths, exportPaths(site, volumeUid, Number(runEpoch)));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw fileMissing('disk_missing', `The export of ${volume}`);
    throw error;
  }
}

export async function linkDoor(paths: IncarnationPaths, from: ExportPaths): Promise<void> {
  const door = path.join(paths.emptyFolder, from.id);
  await rm(`${door}.new`, { force: true });
  await link(from.door, `${door}.new`);
  await rename(`${door}.new`, door);
  // Below its new root the folder has the path that it had before.
  const inside = path.join(paths.emptyFolder, path.dirname(paths.emptyFolder));
  await mkdir(inside, { recursive: true, mode: 0o755 });
  try {
    await symlink('/', path.join(inside, path.basename(paths.emptyFolder)));
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

/** The daemon of an export was started again, with another socket: every QEMU that had the former one gets it. */
export async function linkDoors(site: DataplaneSite, from: ExportPaths): Promise<void> {
  try {
    for (const { paths } of await listRuns(site))
      if ((await listFolder(paths.emptyFolder)).includes(from.id)) await linkDoor(paths, from);
  } catch (error) {
    throw fileError(`linking the door of export ${from.id}`, error);
  }
}

/** Of every QEMU that was given it. */
export async function unlinkDoors(site: DataplaneSite, from: ExportPaths): Promise<void> {
  try {
    for (const { paths } of await listRuns(site)) await rm(path.join(paths.emptyFolder, from.id), { force: true });
  } catch (error) {
    throw fileError(`removing the door of export ${from.id}`, error);
  }
}

/** QEMU has read the keys. */
export async function removeKeys(paths: IncarnationPaths, spec: IncarnationSpec): Promise<void> {
  try {
    for (const [slot] of slotted(spec.disks))
      await rm(keyFolder(paths.emptyFolder, slot), { recursive: true, force: true });
  } catch (error) {
    throw fileError(`removing the keys of ${spec.vm}`, error);
  }
}
