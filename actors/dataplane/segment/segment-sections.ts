/**
 * The sections of a segment, each after those it stands on; they are removed in reverse. A new section is one more
 * entry here, with its own folder. What each holds the VPC says (machines/vpc/vpc-sections.ts).
 */
import { addressSetsSection } from '../address-set/address-sets-section.ts';
import { networksSection } from '../bridge/networks-section.ts';
import { overlaySection } from '../overlay/overlay-section.ts';
import { routesSection } from '../overlay/routes-section.ts';
import { groupMembersSection } from '../security-group/group-members-section.ts';
import { securityGroupsSection } from '../security-group/security-groups-section.ts';
import type { SegmentSection } from './segment-section.ts';

export const segmentSections: readonly SegmentSection[] = [
  overlaySection,
  networksSection,
  routesSection,
  addressSetsSection,
  securityGroupsSection,
  groupMembersSection,
];
