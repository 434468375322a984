/**
 * The part of the dataplane's interface that copies the bytes of a volume as they are at one moment, also while a guest
 * or an export writes to them. Effects of `snapshot-copy` call it; other hosts read copies through openSnapshot.
 */
import type { Readable } from 'node:stream';
import type { SnapshotProof, SnapshotSpec } from '@photoncloud/machines/values/snapshot-wiring';
import type { OwnerToken } from '@photoncloud/machines/values/wiring';
import type { Call } from './call-contract.ts';

export interface SnapshotRef {
  readonly owner: OwnerToken;
  readonly snapshotUid: string;
}

export interface SnapshotDataplane {
  /**
   * A copy that is complete stays as it is; what was left of an attempt that was broken off is removed, and a new
   * moment is taken. If a guest on this host has the file open, and a guest agent, its file systems are frozen for that
   * moment, as the copy says.
   * @throws fault `storage_full`, `storage_failed`, `snapshot_failed`, `snapshot_disturbed`; defeat `volume_empty`,
   *   `disk_damaged`; unknown `qmp_timeout`
   */
  takeSnapshot(spec: SnapshotSpec, call: Call): Promise<SnapshotProof>;
  /** Opens a copy so that it can be carried to another host. @throws defeat `snapshot_missing` */
  openSnapshot(snapshotUid: string): Promise<{ readonly stream: Readable; readonly sizeBytes: number }>;
  removeSnapshot(snapshot: SnapshotRef, call: Call): Promise<{ readonly removed: boolean }>;
}
