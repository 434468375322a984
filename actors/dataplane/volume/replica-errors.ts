/** What goes wrong with a volume's file, and what qemu-img says about it. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { ErrorRule } from '../kernel-errors.ts';

export const replicaErrors: readonly ErrorRule[] = [
  {
    says: /Failed to get .*lock/i,
    group: 'fault',
    code: 'disk_locked',
    advice: 'An incarnation still uses it; stop the incarnation first.',
  },
  {
    says: /not in qcow2 format|Image is corrupt|Invalid|refcount/i,
    group: 'defeat',
    code: 'disk_damaged',
    advice: 'The image cannot be read; import it anew.',
  },
];

export const replicaDiffers = (volumeUid: string, why: string): PhotonError =>
  new PhotonError(
    'defeat',
    'replica_differs',
    `Volume ${volumeUid} is on this host already, but ${why}; it is left as it is.`,
  );

export const imageLarger = (imageBytes: number, volumeBytes: number): PhotonError =>
  new PhotonError(
    'defeat',
    'image_larger',
    `The image is ${imageBytes} bytes and the volume only ${volumeBytes}; make the volume larger.`,
  );
