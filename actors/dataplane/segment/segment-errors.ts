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

export const segmentDrifted = (vpc: string, section: string, drift: readonly string[]): PhotonError =>
  new PhotonError(
    'fault',
    'segment_drifted',
    `Section ${section} of ${vpc} was made, but reads back differently: ${drift.join('; ')}. Realize it again.`,
  );

export const sectionUnknown = (host: string, section: string): PhotonError =>
  new PhotonError(
    'defeat',
    'section_unknown',
    `Host ${host} runs a release that has no section ${section}; upgrade the host.`,
  );

/** A VPC that gives a host another number or other facts publishes the section whole. */
export const overlayOutdated = (vpc: string): PhotonError =>
  new PhotonError(
    'fault',
    'overlay_outdated',
    `The overlay of ${vpc} stands for another VNI or host; it is made anew with the whole section.`,
  );
