/**
 * The owners of an image copy: a file beside the copy with one owner mark per line. The copy is deleted with its last
 * owner. Called by copy-store.ts, storage-operations.ts and the sweep. Promise: two changes of one copy's owners never
 * overlap.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import type { ImageFormat, OwnerToken } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { aliasOf, ownerOfAlias } from '../owner-alias.ts';
import { blobPath, ownersPath } from './copy-paths.ts';

export async function readOwners(site: DataplaneSite, sha256: string, format: ImageFormat): Promise<OwnerToken[]> {
  try {
    const lines = (await readFile(ownersPath(site.folders.images, sha256, format), 'utf8')).split('\n');
    return lines.map((line) => ownerOfAlias(site.options.cluster, line)).filter((owner) => owner !== null);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw fileError(`reading the owners of ${sha256}`, error);
  }
}

async function writeOwners(
  site: DataplaneSite,
  sha256: string,
  format: ImageFormat,
  owners: readonly OwnerToken[],
): Promise<void> {
  const file = ownersPath(site.folders.images, sha256, format);
  await writeFile(`${file}.new`, owners.map((owner) => `${aliasOf(site.options.cluster, owner)}\n`).join(''), {
    mode: 0o600,
  });
  await rename(`${file}.new`, file);
}

const lockOf = (sha256: string, format: ImageFormat): string => `owners ${sha256}.${format}`;
const sameActorAndUid = (a: OwnerToken, b: OwnerToken): boolean => a.actor === b.actor && a.uid === b.uid;

export function addOwner(site: DataplaneSite, sha256: string, format: ImageFormat, owner: OwnerToken): Promise<void> {
  return site.locks.hold(lockOf(sha256, format), async () => {
    const others = (await readOwners(site, sha256, format)).filter((one) => !sameActorAndUid(one, owner));
    await writeOwners(site, sha256, format, [...others, owner]);
  });
}

/** @returns whether the copy itself was deleted */
export function dropOwners(
  site: DataplaneSite,
  sha256: string,
  format: ImageFormat,
  leaves: (owner: OwnerToken) => boolean,
): Promise<boolean> {
  return site.locks.hold(lockOf(sha256, format), async () => {
    const left = (await readOwners(site, sha256, format)).filter((one) => !leaves(one));
    if (left.length > 0) {
      await writeOwners(site, sha256, format, left);
      return false;
    }
    try {
      await rm(blobPath(site.folders.images, sha256, format), { force: true });
      await rm(ownersPath(site.folders.images, sha256, format), { force: true });
      return true;
    } catch (error) {
      throw fileError(`removing the copy ${sha256}`, error);
    }
  });
}
