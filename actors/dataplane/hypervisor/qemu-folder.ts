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
import type { IncarnationDisk, IncarnationNic, OwnerToken } from '@photoncloud/machines/values/wiring';
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
  /** Which volume is which disk of QEMU, and which port is which NIC. */
  readonly keptFiles: Readonly<Record<DeviceKind, string>>;
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
    keptFiles: { disk: path.join(runFolder, 'disks'), nic: path.join(runFolder, 'nics') },
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

/** What comes to a run and goes from it while its guest runs. */
export type DeviceKind = 'disk' | 'nic';

const keptSchema = z.array(
  z.object({
    volume: z.string().optional(),
    port: z.string().optional(),
    uid: z.string(),
    /** Absent in what an older release has written: its place in the list. */
    slot: z.int().optional(),
    /** The guest was asked to release it. */
    leaving: z.boolean().optional(),
  }),
);

/** What is in a slot of a QEMU; written before QEMU is told of it, and removed after it has forgotten it. */
export interface KeptDevice {
  /** Actor id of the volume, or of the port. */
  readonly name: string;
  /** Of the volume, or of the port's binding, which has the tap. */
  readonly uid: string;
  readonly slot: number;
  readonly leaving: boolean;
}

export const keptDisk = (slot: number, { volume, volumeUid }: IncarnationDisk): KeptDevice => ({
  name: volume,
  uid: volumeUid,
  slot,
  leaving: false,
});
export const keptNic = (slot: number, { port, bindingUid }: IncarnationNic): KeptDevice => ({
  name: port,
  uid: bindingUid,
  slot,
  leaving: false,
});

/** Called before QEMU is started, and before one that runs gets or loses a device. */
export function keepDevices(
  { keptFiles }: IncarnationPaths,
  kind: DeviceKind,
  devices: readonly KeptDevice[],
): Promise<void> {
  const rows = devices.map(({ name, ...rest }) => ({ [kind === 'disk' ? 'volume' : 'port']: name, ...rest }));
  return createFile(keptFiles[kind], async (_, handle) => handle.writeFile(JSON.stringify(rows)));
}

/** None of a run that an older release has started. */
export async function readDevices({ keptFiles }: IncarnationPaths, kind: DeviceKind): Promise<readonly KeptDevice[]> {
  const text = await readTextFile(keptFiles[kind]);
  const rows = text === undefined ? [] : keptSchema.parse(JSON.parse(text));
  return rows.map(({ volume, port, uid, slot, leaving = false }, index) => ({
    name: volume ?? port ?? '',
    uid,
    slot: slot ?? index,
    leaving,
  }));
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
