/** Errors of a volume's file, and error messages of qemu-img with the error that each becomes. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ErrorRule } from '../kernel-errors.ts';

export const replicaErrors: readonly ErrorRule[] = [
  {
    matches: /Failed to get .*lock/i,
    group: 'fault',
    code: 'disk_locked',
    advice: 'An incarnation still has the volume open; stop it first.',
  },
  {
    matches: /not in qcow2 format|Image is corrupt|Invalid|refcount/i,
    group: 'defeat',
    code: 'disk_damaged',
    advice: 'The image cannot be read; import it again.',
  },
  {
    // Unless the host lacks something, an image that cannot be opened now cannot be opened later.
    matches: /Could not open (?!.*(No space|Cannot allocate|Too many open|temporarily))/i,
    group: 'defeat',
    code: 'disk_damaged',
    advice: 'The image cannot be used here; create it again with qemu-img, then import it.',
  },
];

export const replicaDiffers = (volumeUid: string, why: string): PhotonError =>
  new PhotonError(
    'defeat',
    'replica_differs',
    `Volume ${volumeUid} is on this host already, but ${why}; it was not changed.`,
  );

export const imageLarger = (imageBytes: number, volumeBytes: number): PhotonError =>
  new PhotonError(
    'defeat',
    'image_larger',
    `The image is ${imageBytes} bytes and the volume only ${volumeBytes}; make the volume larger.`,
  );

export const snapshotLarger = (snapshotUid: string, snapshotBytes: number, volumeBytes: number): PhotonError =>
  new PhotonError(
    'defeat',
    'snapshot_larger',
    `Snapshot ${snapshotUid} is ${snapshotBytes} bytes and the volume only ${volumeBytes}; make the volume larger.`,
  );

export const replicaInUse = (volumeUid: string): PhotonError =>
  new PhotonError(
    'fault',
    'replica_in_use',
    `Volume ${volumeUid} is still open in a process of this host; its bytes were not replaced. Stop its VM first.`,
  );
