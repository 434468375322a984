/**
 * The sections of a segment, each after those it stands on; they are removed in reverse. A new section is one more
 * entry here, with its own folder. What each holds the VPC says (machines/vpc/vpc-sections.ts).
 */
import { addressSetsSection } from '../address-set/address-sets-section.ts';
import { networksSection } from '../bridge/networks-section.ts';
import { metadataSection } from '../metadata/metadata-section.ts';
import { fencesSection } from '../overlay/fences-section.ts';
import { overlaySection } from '../overlay/overlay-section.ts';
import { rangesSection } from '../overlay/ranges-section.ts';
import { routesSection } from '../overlay/routes-section.ts';
import { peeringsSection } from '../peering/peerings-section.ts';
import { groupMembersSection } from '../security-group/group-members-section.ts';
import { securityGroupsSection } from '../security-group/security-groups-section.ts';
import { serviceIpsSection } from '../service-ip/service-ips-section.ts';
import { externalAddressesSection } from '../router/external-addresses-section.ts';
import { gatewaySection } from '../router/gateway-section.ts';
import { staticRoutesSection } from '../router/static-routes-section.ts';
import { leftOutWhenEmpty } from './new-namespaces.ts';
import type { SegmentSection } from './segment-section.ts';

const all: readonly SegmentSection[] = [
  overlaySection,
  rangesSection,
  networksSection,
  metadataSection,
  routesSection,
  addressSetsSection,
  securityGroupsSection,
  groupMembersSection,
  serviceIpsSection,
  peeringsSection,
  staticRoutesSection,
  gatewaySection,
  externalAddressesSection,
  fencesSection,
];

export const segmentSections: readonly SegmentSection[] = all.map(leftOutWhenEmpty);
