/** Errors of a segment as a whole; those of its parts are in overlay-, bridge-, dhcp- and firewall-errors.ts. */
import { PhotonError } from '@photoncloud/runtime/contract/errors';

export const mtuTooLarge = (network: string, wanted: number, carried: number): PhotonError =>
  new PhotonError(
    'defeat',
    'mtu_too_large',
    `${network} declares an MTU of ${wanted}, but the underlay of the hosts of its VPC carries ` +
      `${carried} inside the overlay; lower the network's MTU or raise the underlay's.`,
  );

export const segmentMissing = (vpc: string): PhotonError =>
  new PhotonError('fault', 'segment_missing', `There is no segment of ${vpc} on this host; ensure it first.`);

export const segmentInUse = (vpc: string, tap: string): PhotonError =>
  new PhotonError('fault', 'segment_in_use', `The segment of ${vpc} still has port ${tap}; remove its ports first.`);

export const segmentDrifted = (vpc: string, drift: readonly string[]): PhotonError =>
  new PhotonError(
    'fault',
    'segment_drifted',
    `The segment of ${vpc} was made, but reads back differently: ${drift.join('; ')}. Ensure it again.`,
  );
