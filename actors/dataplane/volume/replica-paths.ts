/** Paths of a volume's files, derived from its uid: renaming or moving changes nothing (docs/threats.md#t19). */
import path from 'node:path';
import type { DiskFormat } from '@photoncloud/machines/values/wiring';

export const diskFormats: readonly DiskFormat[] = ['raw', 'qcow2'];
export const replicaPath = (folder: string, volumeUid: string, format: DiskFormat): string =>
  path.join(folder, `${volumeUid}.${format}`);
export const replicaOwnerPath = (folder: string, volumeUid: string): string => path.join(folder, `${volumeUid}.owner`);
/** Uid of the restoration that was made last; a volume that never was restored has none. */
export const replicaRestoredPath = (folder: string, volumeUid: string): string =>
  path.join(folder, `${volumeUid}.restored`);
/** There when the copy of a snapshot was begun while the file systems of the guest were frozen. */
export const replicaFrozenPath = (folder: string, snapshotUid: string): string =>
  path.join(folder, `${snapshotUid}.frozen`);
