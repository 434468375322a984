/**
 * Folders and files of an incarnation, its owner file, and the end of all of them. Sockets and pidfile are below /run,
 * because the path of a unix socket is limited to 107 bytes and the host's folder may be longer; the console is below
 * the host's folder.
 * Called by hypervisor/ and host/. Promise: one folder per (actor, uid, run epoch); its owner file is written before
 * QEMU is started, so that the sweep can tell to whom a process belongs.
 */
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { IncarnationDisk, OwnerToken } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { fileError } from '../kernel-errors.ts';
import { hashName } from '../kernel-names.ts';
import { aliasOf, ownerOfAlias } from '../owner-alias.ts';
import { inBatches } from '../process-lookup.ts';
import { createFile, listFolder, readTextFile } from '../storage-files.ts';
import type { IncarnationFiles } from './qemu-arguments.ts';
import { removeGroup } from './qemu-cgroup.ts';

export interface IncarnationPaths extends IncarnationFiles {
  readonly id: string;
  readonly runFolder: string;
  readonly keptFolder: string;
  readonly ownerFile: string;
  /** Written once, when it is known how the run ended. */
  readonly endFile: string;
  /** The user as whom QEMU runs. */
  readonly uidFile: string;
  /** Which volume is which disk of QEMU, in its order. */
  readonly disksFile: string;
  /** There while its guest was asked to freeze its file systems, and has not thawed them yet. */
  readonly frozenFile: string;
  /** Its control group; null when guests have none on this host. */
  readonly group: string | null;
}

const runRoot = (site: DataplaneSite): string => path.join(site.folders.run, 'incarnations');

export const incarnationId = (owner: OwnerToken): string =>
  hashName(`${owner.actor} ${owner.uid} ${owner.runEpoch}`, 20);

export function pathsOf(site: DataplaneSite, owner: OwnerToken): IncarnationPaths {
  return pathsOfId(site, incarnationId(owner));
}

export function pathsOfId(site: DataplaneSite, id: string): IncarnationPaths {
  const runFolder = path.join(runRoot(site), id);
  const keptFolder = path.join(site.folders.incarnations, id);
  return {
    id,
    runFolder,
    keptFolder,
    ownerFile: path.join(runFolder, 'owner'),
    endFile: path.join(runFolder, 'end'),
    uidFile: path.join(runFolder, 'uid'),
    disksFile: path.join(runFolder, 'disks'),
    frozenFile: path.join(runFolder, 'frozen'),
    group: site.guestGroups === null ? null : path.join(site.guestGroups, id),
    emptyFolder: path.join(runFolder, 'empty'),
    pidFile: path.join(runFolder, 'pid'),
    agentSocket: path.join(runFolder, 'agent'),
    toolingSocket: path.join(runFolder, 'tooling'),
    guestSocket: path.join(runFolder, 'guest'),
    seed: path.join(runFolder, 'seed'),
    consoleSocket: path.join(runFolder, 'console'),
    console: path.join(keptFolder, 'console'),
  };
}

export async function makeRunFolders(site: DataplaneSite, paths: IncarnationPaths, owner: OwnerToken): Promise<void> {
  try {
    for (const folder of [paths.runFolder, paths.keptFolder]) {
      await mkdir(folder, { recursive: true });
      await chmod(folder, 0o700);
    }
    await mkdir(paths.emptyFolder, { recursive: true, mode: 0o555 });
    const sockets = [paths.agentSocket, paths.toolingSocket, paths.guestSocket, paths.consoleSocket];
    for (const left of [paths.pidFile, ...sockets, paths.endFile, paths.frozenFile]) await rm(left, { force: true });
    await writeFile(paths.ownerFile, aliasOf(site.options.cluster, owner), { mode: 0o600 });
  } catch (error) {
    throw fileError(`making the folder of ${owner.actor}`, error);
  }
}

const disksSchema = z.array(
  z.object({
    volume: z.string(),
    uid: z.string(),
    /** Absent in what an older release has written: its place in the list. */
    slot: z.int().optional(),
    /** The guest was asked to release it. */
    leaving: z.boolean().optional(),
  }),
);

/** Which volume is in a slot of a QEMU; written before QEMU is told of it, and removed after it has forgotten it. */
export interface KeptDisk {
  readonly volume: string;
  readonly uid: string;
  readonly slot: number;
  readonly leaving: boolean;
}

export const keptDisk = (slot: number, { volume, volumeUid }: IncarnationDisk): KeptDisk => ({
  volume,
  uid: volumeUid,
  slot,
  leaving: false,
});

/** Called before QEMU is started, and before one that runs gets or loses a disk. */
export const keepDisks = (paths: IncarnationPaths, disks: readonly KeptDisk[]): Promise<void> =>
  createFile(paths.disksFile, async (_, handle) => handle.writeFile(JSON.stringify(disks)));

/** None of a run that an older release has started. */
export async function readDisks(paths: IncarnationPaths): Promise<readonly KeptDisk[]> {
  const text = await readTextFile(paths.disksFile);
  const disks = text === undefined ? [] : disksSchema.parse(JSON.parse(text));
  return disks.map(({ slot, leaving = false, ...disk }, index) => ({ ...disk, slot: slot ?? index, leaving }));
}

/** Called when its QEMU has ended. @returns false when there was nothing */
export async function removeRun(paths: IncarnationPaths): Promise<boolean> {
  const hadGroup = await removeGroup(paths.group);
  try {
    const there =
      hadGroup ||
      (await listFolder(path.dirname(paths.runFolder))).includes(paths.id) ||
      (await listFolder(path.dirname(paths.keptFolder))).includes(paths.id);
    await rm(paths.runFolder, { recursive: true, force: true });
    await rm(paths.keptFolder, { recursive: true, force: true });
    return there;
  } catch (error) {
    throw fileError(`removing ${paths.runFolder}`, error);
  }
}

/** Every run that has a folder on this host, with its owner. */
export async function listRuns(site: DataplaneSite): Promise<{ paths: IncarnationPaths; owner: OwnerToken | null }[]> {
  const ids = new Set([...(await listFolder(runRoot(site))), ...(await listFolder(site.folders.incarnations))]);
  return inBatches([...ids], async (id) => {
    const paths = pathsOfId(site, id);
    return { paths, owner: ownerOfAlias(site.options.cluster, await readTextFile(paths.ownerFile)) };
  });
}
