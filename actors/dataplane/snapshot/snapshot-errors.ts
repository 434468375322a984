/** Errors of copies of volumes. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';

export const volumeEmpty = (volumeUid: string): PhotonError =>
  new PhotonError(
    'defeat',
    'volume_empty',
    `Volume ${volumeUid} has no bytes on this host yet; attach it to a VM first.`,
  );

export const snapshotFailed = (snapshotUid: string, why: string): PhotonError =>
  new PhotonError('fault', 'snapshot_failed', `Copying ${snapshotUid} failed: ${why}; try again.`);

/** The copy was thrown away. */
export const snapshotDisturbed = (volumeUid: string, why: string): PhotonError =>
  new PhotonError('fault', 'snapshot_disturbed', `Volume ${volumeUid} ${why} while it was copied; try again.`);

export const snapshotMissing = (snapshotUid: string): PhotonError =>
  new PhotonError(
    'defeat',
    'snapshot_missing',
    `This host has no copy of snapshot ${snapshotUid}; use another snapshot, or take a new one.`,
  );

export const snapshotUnfetched = (snapshotUid: string, host: string, why: string, cause: unknown): PhotonError =>
  new PhotonError('fault', 'fetch_failed', `Copying snapshot ${snapshotUid} from ${host} failed: ${why}. Try again.`, {
    cause,
  });
