/**
 * Opens a file below an allowed root without following symbolic links (docs/threats.md#t5, #t6). The worker is root and
 * could read every file, so it imports only what the host shows to everybody, or what belongs to the image owner that
 * the operator has named; and no file with a second name, which may be a file from elsewhere. The root itself was
 * named by the operator and may be private. Called by copy-store.ts. Node has no openat2, so each part of the path is
 * opened with O_NOFOLLOW below the descriptor of its parent, through /proc/self/fd: a rename or a link made meanwhile
 * has no effect. The caller reads from the returned descriptor and never opens the path again.
 */
import { constants, type Stats } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { refuseImage } from './image-errors.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, S_IRUSR, S_IXUSR, S_IROTH, S_IXOTH } = constants;

export interface ImageFolders {
  readonly allowedRoots: readonly string[];
  readonly imageOwnerUid: number | null;
}

/** @throws defeat `path_*` */
export async function openBeneath({ allowedRoots, imageOwnerUid }: ImageFolders, file: string): Promise<FileHandle> {
  const shown = JSON.stringify(file.slice(0, 300));
  const plain =
    path.isAbsolute(file) &&
    file
      .slice(1)
      .split('/')
      .every((part) => part !== '' && part !== '.' && part !== '..');
  if (!plain || file.includes('\0')) throw refuseImage('path_not_absolute', `${shown} is not a plain absolute path`);
  const root = allowedRoots.find((one) => file.startsWith(one.endsWith('/') ? one : `${one}/`));
  if (root === undefined) throw refuseImage('path_outside_roots', `${shown} is outside the allowed folders`);
  const parts = file
    .slice(root.length)
    .split('/')
    .filter((part) => part !== '');
  // The root was configured by the operator and may itself be a link.
  let at = await openPart(root, O_DIRECTORY, shown);
  for (const [index, part] of parts.entries()) {
    const flags = index === parts.length - 1 ? O_NONBLOCK | O_NOFOLLOW : O_DIRECTORY | O_NOFOLLOW;
    const parent = at;
    try {
      at = await openPart(`/proc/self/fd/${parent.fd}/${part}`, flags, shown);
    } finally {
      await parent.close();
    }
    const refusal = refusalOf(await at.stat(), index === parts.length - 1, imageOwnerUid, shown);
    if (refusal === null) continue;
    await at.close();
    throw refusal;
  }
  return at;
}

/** Why a file, or a folder on its path, must not be used; null when it may. */
function refusalOf(found: Stats, isLast: boolean, imageOwnerUid: number | null, shown: string): Error | null {
  if (isLast && !found.isFile()) return refuseImage('path_not_regular', `${shown} is not a regular file`);
  const [forOwner, forAll] = isLast ? [S_IRUSR, S_IROTH] : [S_IXUSR, S_IXOTH];
  const isOwners = found.uid === imageOwnerUid && (found.mode & forOwner) !== 0;
  if (!isOwners && (found.mode & forAll) === 0)
    return refuseImage('path_private', `${shown} is not readable by everybody on the host`);
  if (isLast && found.nlink > 1) return refuseImage('path_has_links', `${shown} has ${found.nlink} names`);
  return null;
}

async function openPart(at: string, flags: number, shown: string): Promise<FileHandle> {
  try {
    return await open(at, O_RDONLY | flags);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ELOOP') throw refuseImage('path_is_link', `${shown} contains a link`);
    if (errno === 'ENOTDIR') {
      const link = (await lstat(at)).isSymbolicLink();
      throw refuseImage(link ? 'path_is_link' : 'path_missing', `${shown} cannot be reached`);
    }
    if (errno === 'ENOENT') throw refuseImage('path_missing', `${shown} does not exist`);
    if (errno === 'ENXIO' || errno === 'ENODEV')
      throw refuseImage('path_not_regular', `${shown} is not a regular file`);
    if (errno === 'EACCES' || errno === 'EPERM') throw refuseImage('path_unreadable', `${shown} may not be read`);
    throw fileError(`opening ${shown}`, error);
  }
}
