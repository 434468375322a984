/** Paths of image copies, derived from digest and format, never from a name that a user chose. */
import path from 'node:path';
import type { ImageFormat } from '@photoncloud/machines/values/wiring';

export const imageFormats: readonly ImageFormat[] = ['raw', 'qcow2', 'kernel', 'initrd'];

export const blobPath = (folder: string, sha256: string, format: ImageFormat): string =>
  path.join(folder, `${sha256}.${format}`);
/** The file with one owner mark per line. */
export const ownersPath = (folder: string, sha256: string, format: ImageFormat): string =>
  `${blobPath(folder, sha256, format)}.owners`;
