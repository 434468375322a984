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
