/**
 * Where a run of an incarnation keeps its things, and who it belongs to: sockets and pidfile below /run (a unix
 * socket's path holds 107 bytes, a host's folder may be deeper), the console below the host's folder. Called by the
 * hypervisor folder and host/. Promise: one folder per (actor, uid, run epoch), its owner in it before QEMU is started,
 * so that a sweep can tell whose a process is.
 */
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { hashName } from '../kernel-names.ts';
import { aliasOf, ownerOfAlias } from '../owner-alias.ts';
import type { IncarnationFiles } from './qemu-arguments.ts';

export interface IncarnationPlace extends IncarnationFiles {
  readonly id: string;
  readonly runFolder: string;
  readonly keptFolder: string;
  readonly ownerFile: string;
  /** How the run ended, once it is known. */
  readonly endFile: string;
}

const runRoot = (site: DataplaneSite): string => path.join(site.folders.run, 'incarnations');

export const incarnationId = (owner: OwnerToken): string =>
  hashName(`${owner.actor} ${owner.uid} ${owner.runEpoch}`, 20);

export function placeOf(site: DataplaneSite, owner: OwnerToken): IncarnationPlace {
  return placeOfId(site, incarnationId(owner));
}

export function placeOfId(site: DataplaneSite, id: string): IncarnationPlace {
  const runFolder = path.join(runRoot(site), id);
  const keptFolder = path.join(site.folders.incarnations, id);
  return {
    id,
    runFolder,
    keptFolder,
    ownerFile: path.join(runFolder, 'owner'),
    endFile: path.join(runFolder, 'end'),
    pidFile: path.join(runFolder, 'pid'),
    agentSocket: path.join(runFolder, 'agent'),
    toolingSocket: path.join(runFolder, 'tooling'),
    console: path.join(keptFolder, 'console'),
  };
}

export async function makePlace(site: DataplaneSite, place: IncarnationPlace, owner: OwnerToken): Promise<void> {
  try {
    for (const folder of [place.runFolder, place.keptFolder]) {
      await mkdir(folder, { recursive: true });
      await chmod(folder, 0o700);
    }
    for (const left of [place.pidFile, place.agentSocket, place.toolingSocket, place.endFile])
      await rm(left, { force: true });
    await writeFile(place.ownerFile, aliasOf(site.options.cluster, owner), { mode: 0o600 });
  } catch (error) {
    throw fileError(`making the folder of ${owner.actor}`, error);
  }
}

/** @returns false when there was none */
export async function removePlace(place: IncarnationPlace): Promise<boolean> {
  try {
    const there =
      (await entries(path.dirname(place.runFolder))).includes(place.id) ||
      (await entries(path.dirname(place.keptFolder))).includes(place.id);
    await rm(place.runFolder, { recursive: true, force: true });
    await rm(place.keptFolder, { recursive: true, force: true });
    return there;
  } catch (error) {
    throw fileError(`removing ${place.runFolder}`, error);
  }
}

/** Every run that has a folder on this host. */
export async function listPlaces(
  site: DataplaneSite,
): Promise<{ place: IncarnationPlace; owner: OwnerToken | null }[]> {
  const ids = new Set([...(await entries(runRoot(site))), ...(await entries(site.folders.incarnations))]);
  return Promise.all(
    [...ids].map(async (id) => {
      const place = placeOfId(site, id);
      return { place, owner: ownerOfAlias(site.options.cluster, await textOf(place.ownerFile)) };
    }),
  );
}

export async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw fileError(`reading ${file}`, error);
  }
}

async function entries(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw fileError(`listing ${folder}`, error);
  }
}
