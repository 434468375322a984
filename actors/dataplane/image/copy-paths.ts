/** Where image copies stand: by digest and format, never by a name somebody chose. */
import path from 'node:path';
import type { ImageFormat } from '@photoncloud/machines/values/wiring';

export const imageFormats: readonly ImageFormat[] = ['raw', 'qcow2', 'kernel', 'initrd'];

export const blobPath = (folder: string, sha256: string, format: ImageFormat): string =>
  path.join(folder, `${sha256}.${format}`);
/** One owner alias per line. */
export const ownersPath = (folder: string, sha256: string, format: ImageFormat): string =>
  `${blobPath(folder, sha256, format)}.owners`;
