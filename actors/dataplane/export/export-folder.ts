/**
 * Names, folders and the floor of exports. What a daemon needs is below /run and ends with the host; the floor is
 * beside the volume and stays, like the record of an export (export-record.ts). Called by export/, hypervisor/ and
 * host/.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { fileError } from '../kernel-errors.ts';
import { aliasOf, ownerOfAlias } from '../owner-alias.ts';
import { createFile, listFolder, readTextFile } from '../storage-files.ts';

export interface ExportPaths {
  /** `<volume uid>.<run epoch>`. */
  readonly id: string;
  readonly volumeUid: string;
  readonly runEpoch: number;
  readonly folder: string;
  readonly ownerFile: string;
  readonly pidFile: string;
  /** Held by the daemon as long as it lives. */
  readonly lock: string;
  readonly agentSocket: string;
  /** Where a QEMU of this host connects. */
  readonly door: string;
  /** The size of the volume as the daemon knows it, bytes. */
  readonly sizeFile: string;
  readonly keys: string;
}

const exportRoot = (site: DataplaneSite): string => path.join(site.folders.run, 'exports');

export function exportPaths(site: DataplaneSite, volumeUid: string, runEpoch: number): ExportPaths {
  const id = `${volumeUid}.${runEpoch}`;
  const folder = path.join(exportRoot(site), id);
  return {
    id,
    volumeUid,
    runEpoch,
    folder,
    ownerFile: path.join(folder, 'owner'),
    pidFile: path.join(folder, 'pid'),
    lock: path.join(folder, 'lock'),
    agentSocket: path.join(folder, 'agent'),
    door: path.join(folder, 'door'),
    sizeFile: path.join(folder, 'size'),
    keys: path.join(folder, 'keys'),
  };
}

/** Every export that has a folder on this host, with its owner. */
export async function listExports(
  site: DataplaneSite,
): Promise<{ readonly paths: ExportPaths; readonly owner: OwnerToken | null }[]> {
  const names = await listFolder(exportRoot(site));
  return Promise.all(
    names.map(async (name) => {
      const [volumeUid = '', runEpoch] = name.split('.');
      const paths = exportPaths(site, volumeUid, Number(runEpoch));
      return { paths, owner: ownerOfAlias(site.options.cluster, await readTextFile(paths.ownerFile)) };
    }),
  );
}

export async function makeExportFolder(site: DataplaneSite, paths: ExportPaths, owner: OwnerToken): Promise<void> {
  try {
    await mkdir(paths.folder, { recursive: true, mode: 0o700 });
    for (const left of [paths.pidFile, paths.agentSocket, paths.door]) await rm(left, { force: true });
    await writeFile(paths.ownerFile, aliasOf(site.options.cluster, owner), { mode: 0o600 });
  } catch (error) {
    throw fileError(`making the folder of export ${paths.id}`, error);
  }
}

export async function removeExportFolder(paths: ExportPaths): Promise<void> {
  try {
    await rm(paths.folder, { recursive: true, force: true });
  } catch (error) {
    throw fileError(`removing ${paths.folder}`, error);
  }
}

/**
 * What clients ask for by name. After a reboot it is another one: a client that finds its export again would be told
 * that writes are on the disk which the host has lost (docs/threats.md#t80).
 */
export async function freshName(paths: Pick<ExportPaths, 'id'>): Promise<string> {
  try {
    return `${paths.id}.${(await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()}`;
  } catch (error) {
    throw fileError('reading the boot id', error);
  }
}

// The floor

const floorFile = (site: DataplaneSite, volumeUid: string): string =>
  path.join(site.folders.volumes, `${volumeUid}.floor`);

/** The lowest run epoch that may use the volume; 0 before the first. */
export const readFloor = async (site: DataplaneSite, volumeUid: string): Promise<number> =>
  Number((await readTextFile(floorFile(site, volumeUid))) ?? 0);

/** Durable when it resolves. */
export const raiseFloor = (site: DataplaneSite, volumeUid: string, floor: number): Promise<void> =>
  createFile(floorFile(site, volumeUid), async (_, handle) => {
    await writeFile(handle, String(floor));
  });

/** With the volume itself. */
export async function removeFloor(site: DataplaneSite, volumeUid: string): Promise<void> {
  await rm(floorFile(site, volumeUid), { force: true });
}
