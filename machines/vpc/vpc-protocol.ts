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
import { declare, defineKind, message, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { hostFactsSchema, networkSpecSchema } from '../values/wiring.ts';

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
  },
);
export const networkRelease = message('network.release', 'A network that is being deleted releases its CIDRs.', {
  network: z.string(),
});
export const networkWithdrawn = message('network.withdrawn', 'No host has the network any more; its CIDRs are free.', {
  vpc: z.string(),
});

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
export const elementRemove = message('element.remove', 'The object removes its element.', {
  section: z.string(),
  key: z.string(),
});
export const elementRemoved = message('element.removed', 'No host has the element any more.', {
  section: z.string(),
  key: z.string(),
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
  'A port is wired on a host: its route is published to the other hosts, and its groups to all.',
  {
    port: z.string(),
    address: z.string(),
    /** Index of the host. */
    host: z.int(),
    /** Ids of its security groups. */
    groups: z.array(z.string()),
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
      delete: 'Removes an empty VPC. Rejected in_use while it has networks.',
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
    segmentNeed,
    segmentProven,
    segmentMissed,
    segmentFailed,
    segmentRemoved,
    portLocated,
    portLeft,
  ],
  // `vpc.close` of a VPC that does not exist is answered.
  startedBy: [vpcOpen, vpcClose],
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
    elementRemoved,
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
