/**
 * Spec, commands and messages of a VPC: networks claim their CIDRs in it; ports request their network on a host and
 * report where they are bound. Publications to segments are in segment-protocol.ts.
 */
import { z } from 'zod';
import { vniAllocate, vniAllocated, vniRelease } from '../cluster/cluster-protocol.ts';
import {
  segmentFailed,
  segmentMissed,
  segmentProven,
  segmentPublish,
  segmentRemoved,
  segmentWithdraw,
} from '../segment/segment-protocol.ts';
import { failureSchema } from '../values/failures.ts';
import { declare, defineKind, message, type EventOf, type SpecOf, type ValueOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { hostFactsSchema, networkSpecSchema } from '../values/wiring.ts';
import { peerMembers, peerService, reachFollow, reachTold, reachUnfollow } from './vpc-peer-protocol.ts';

export const vpcOpen = message('vpc.open', 'A tenant requests its VPC main.', {});
export const vpcClose = message(
  'vpc.close',
  'A tenant that is being deleted requests the removal of its VPC main.',
  {},
);
export const vpcOpened = message('vpc.opened', 'The VPC can be used.', { vpc: z.string() });

export const networkClaim = message(
  'network.claim',
  'A network claims its CIDRs and publishes its newest spec to the hosts of the VPC.',
  { network: networkSpecSchema, generation: z.int() },
);
export const networkClaimed = message(
  'network.claimed',
  'The CIDRs are granted to the network, and its newest spec is being published.',
  {
    vpc: z.string(),
    generation: z.int(),
  },
);
export const networkRefused = message('network.refused', 'The CIDRs are refused; earlier claims stay.', {
  generation: z.int(),
  error: failureSchema,
  path: z.string(),
});
export const networkRealized = message(
  'network.realized',
  'Every host that has the network has proven this generation of it.',
  {
    generation: z.int(),
  },
);
export const networkDelayed = message(
  'network.delayed',
  'A host could not realize this generation of the network yet.',
  {
    generation: z.int(),
    host: z.string(),
    error: failureSchema,
    /** It had realized it, and has lost it: the host makes it again by itself. */
    lost: z.boolean().optional(),
  },
);
export const networkRelease = message('network.release', 'A network that is being deleted releases its CIDRs.', {
  network: z.string(),
});
export const networkWithdrawn = message('network.withdrawn', 'No host has the network any more; its CIDRs are free.', {
  vpc: z.string(),
});

const requirementSchema = z.object({
  section: z.string(),
  key: z.string(),
  /** Fields that the required element must have, with these values. */
  fields: z.record(z.string(), z.unknown()),
});
export type Requirement = ValueOf<typeof requirementSchema>;

export const elementPut = message(
  'element.put',
  'An object publishes an element of its own to every host of the VPC.',
  {
    section: z.string(),
    key: z.string(),
    /** Its shape depends on the section. */
    element: z.unknown(),
    /** Generation of the object's newest declaration. */
    generation: z.int(),
    /** Hosts on which the VPC has a segment because of the element, with or without a port. */
    hosts: z.array(hostFactsSchema).optional(),
    /** An element that this one is of no use without; until the VPC has it, this one is reported as delayed. */
    requires: requirementSchema.optional(),
    /** The owner wants to know the hosts that the VPC still waits for, once they are few. */
    tellsLagging: z.boolean().optional(),
    /** Names of hosts that are silent: nobody waits until they have proven it. */
    absent: z.array(z.string()).optional(),
  },
);
export const elementRealized = message('element.realized', 'Every host has proven this generation of the element.', {
  section: z.string(),
  key: z.string(),
  generation: z.int(),
});
export const elementDelayed = message('element.delayed', 'A host could not realize the element yet.', {
  section: z.string(),
  key: z.string(),
  generation: z.int(),
  host: z.string(),
  error: failureSchema,
});
export const elementLagging = message(
  'element.lagging',
  'All hosts but a few have proven this generation of the element; sent again when there are fewer.',
  {
    section: z.string(),
    key: z.string(),
    generation: z.int(),
    /** Names of those that have not. */
    hosts: z.array(z.string()),
  },
);
export const elementRemove = message('element.remove', 'The object removes its element.', {
  section: z.string(),
  key: z.string(),
});
export const elementRemoved = message('element.removed', 'No host has the element any more.', {
  section: z.string(),
  key: z.string(),
});

/** Which ports a watch is about: those with all of the labels, or those with these actor ids. */
export const memberSelectSchema = z.union([
  z.object({ labels: z.record(z.string(), z.string()) }),
  z.object({ ports: z.array(z.string()) }),
]);
export type MemberSelect = ValueOf<typeof memberSelectSchema>;

/** A port that is wired on a host. */
export const memberSchema = z.object({
  port: z.string(),
  address: z.string(),
  /** Name of its host. */
  host: z.string(),
});
export type Member = ValueOf<typeof memberSchema>;

/** Of ports that are wired and not selected: so many are named when none is selected. */
export const nearbyAtMost = 5;
export const nearbySchema = z.object({ port: z.string(), labels: z.record(z.string(), z.string()) });
export type NearbyPort = ValueOf<typeof nearbySchema>;

export const membersWatch = message(
  'members.watch',
  'The sender requests the ports of the VPC that it selects; repeated, it replaces its selection.',
  { select: memberSelectSchema },
);
export const membersUnwatch = message('members.unwatch', 'The sender selects no ports any more.', {});
export const membersMatched = message('members.matched', 'All ports that are selected and wired on a host.', {
  vpc: z.string(),
  members: z.array(memberSchema),
  /** When there are none: some ports of the VPC that are wired, so that a person sees what could be selected. */
  nearby: z.array(nearbySchema).max(nearbyAtMost).optional(),
});
export const membersChanged = message('members.changed', 'Ports came, went or moved since the last message.', {
  vpc: z.string(),
  added: z.array(memberSchema),
  removed: z.array(memberSchema),
});

/** A subnet of a network of the VPC. */
export const rangeSchema = z.object({ network: z.string(), cidr: z.string(), gateway: z.string() });
export type VpcRange = ValueOf<typeof rangeSchema>;

export const rangesWatch = message(
  'ranges.watch',
  'The sender wants to know the subnets of the VPC, now and at each change. The VPC is not deleted meanwhile.',
  {},
);
export const rangesUnwatch = message('ranges.unwatch', 'The sender does not need the subnets any more.', {});
export const rangesTold = message('ranges.told', 'All subnets of the VPC.', {
  vpc: z.string(),
  /** Null: there is no such VPC. */
  ranges: z.array(rangeSchema).nullable(),
});

export const segmentNeed = message('segment.need', 'A port requests its network on a host.', {
  port: z.string(),
  host: hostFactsSchema,
  network: z.string(),
});
export const segmentProvided = message('segment.provided', 'The host has proven the network.', {
  host: z.string(),
  network: z.string(),
  vpc: z.string(),
});
export const segmentRefused = message('segment.refused', 'The network is not available on the host.', {
  host: z.string(),
  error: failureSchema,
});
export const segmentDelayed = message(
  'segment.delayed',
  'A host could not realize the network yet and tries again; the port still waits.',
  {
    host: z.string(),
    error: failureSchema,
  },
);
export const portLocated = message(
  'port.located',
  'A port is wired on a host, or has other labels: its route is published to the other hosts, its groups to all.',
  {
    port: z.string(),
    address: z.string(),
    /** Index of the host. */
    host: z.int(),
    /** Ids of its security groups. */
    groups: z.array(z.string()),
    labels: z.record(z.string(), z.string()).optional(),
    /** The address is not the port's own, but of one of its allowed address pairs: nobody watches it. */
    pair: z.boolean().optional(),
  },
);
export const portLeft = message(
  'port.left',
  'A port is being unbound, or no longer waits for a host; its routes are withdrawn.',
  {
    port: z.string(),
    address: z.string(),
    host: z.int(),
  },
);

export const vpcSpec = z.strictObject({}).meta({ id: 'VpcSpec' });

export const vpcKind = defineKind({
  kind: 'vpc',
  says: 'A routing domain of a tenant: its networks do not overlap and reach each other, on every host with a port.',
  placement: 'sharded',
  declared: declare(vpcSpec, {
    changes: {},
    parents: ['tenant'],
    references: () => [],
    quota: 5,
    columns: {},
    says: {
      create: 'Creates a routing domain; its CIDRs may overlap those of other VPCs. Answered when it has its VNI.',
      update: 'Changes labels and protection; a VPC has no other field.',
      delete: 'Removes an empty VPC. Rejected in_use while it has networks or a peering.',
    },
  }),
  commands: {},
  takes: [
    vpcOpen,
    vpcClose,
    quotaGranted,
    quotaRefused,
    vniAllocated,
    networkClaim,
    networkRelease,
    elementPut,
    elementRemove,
    membersWatch,
    membersUnwatch,
    reachFollow,
    reachUnfollow,
    peerMembers,
    rangesWatch,
    rangesUnwatch,
    segmentNeed,
    segmentProven,
    segmentMissed,
    segmentFailed,
    segmentRemoved,
    portLocated,
    portLeft,
  ],
  // What a tenant, a peering or a router asks of a VPC that does not exist is answered.
  startedBy: [vpcOpen, vpcClose, reachFollow, reachUnfollow, rangesWatch],
  fromNode: [],
  sends: [
    quotaClaim,
    quotaRelease,
    vniAllocate,
    vniRelease,
    vpcOpened,
    networkClaimed,
    networkRefused,
    networkRealized,
    networkDelayed,
    networkWithdrawn,
    elementRealized,
    elementDelayed,
    elementLagging,
    elementRemoved,
    membersMatched,
    membersChanged,
    reachTold,
    peerMembers,
    peerService,
    rangesTold,
    segmentProvided,
    segmentRefused,
    segmentDelayed,
    segmentPublish,
    segmentWithdraw,
  ],
  effects: [],
});

export type VpcEvent = EventOf<typeof vpcKind>;
export type VpcSpec = SpecOf<typeof vpcKind>;
