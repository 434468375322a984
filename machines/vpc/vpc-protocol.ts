/**
 * What a VPC is to clients and to other actors: networks claim their ranges in it, ports ask it for their network on a
 * host and tell it where they are. What it publishes to its segments is segment-protocol.ts.
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

export const vpcOpen = message('vpc.open', 'A tenant wants its VPC main to exist.', {});
export const vpcClose = message('vpc.close', 'A tenant that ends wants its VPC main to be gone.', {});
export const vpcOpened = message('vpc.opened', 'The VPC can be used.', { vpc: z.string() });

export const networkClaim = message(
  'network.claim',
  'A network wants its address ranges, and to be what the hosts of the VPC have under its name.',
  { network: networkSpecSchema, generation: z.int() },
);
export const networkClaimed = message(
  'network.claimed',
  'The ranges belong to the network; its newest spec is on its way to hosts.',
  {
    vpc: z.string(),
    generation: z.int(),
  },
);
export const networkRefused = message(
  'network.refused',
  'The ranges cannot be had; what was claimed before stays claimed.',
  {
    generation: z.int(),
    error: failureSchema,
    path: z.string(),
  },
);
export const networkRealized = message(
  'network.realized',
  'Every host that has the network has proved this generation of it.',
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
export const networkRelease = message('network.release', 'A network that ends gives its ranges back.', {
  network: z.string(),
});
export const networkWithdrawn = message('network.withdrawn', 'No host has the network any more; its ranges are free.', {
  vpc: z.string(),
});

export const elementPut = message('element.put', 'An object wants an element of its own on every host of the VPC.', {
  section: z.string(),
  key: z.string(),
  /** What it is, the section says. */
  element: z.unknown(),
  /** The object's own: of its newest declaration. */
  generation: z.int(),
});
export const elementRealized = message('element.realized', 'Every host has proved this generation of the element.', {
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
export const elementRemove = message('element.remove', 'The object takes its element back.', {
  section: z.string(),
  key: z.string(),
});
export const elementRemoved = message('element.removed', 'No host has the element any more.', {
  section: z.string(),
  key: z.string(),
});

export const segmentNeed = message('segment.need', 'A port wants its network on a host.', {
  port: z.string(),
  host: hostFactsSchema,
  network: z.string(),
});
export const segmentProvided = message('segment.provided', 'The host has proved that it has the network.', {
  host: z.string(),
  network: z.string(),
  vpc: z.string(),
});
export const segmentRefused = message('segment.refused', 'The network cannot be had on the host.', {
  host: z.string(),
  error: failureSchema,
});
export const portLocated = message(
  'port.located',
  'A port is wired on a host; the other hosts learn the route to it.',
  {
    port: z.string(),
    address: z.string(),
    /** Index of the host. */
    host: z.int(),
  },
);
export const portLeft = message(
  'port.left',
  'A port leaves a host, or stops waiting for one; routes to it are withdrawn.',
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
      create: 'Makes a routing domain: its CIDRs may equal those of other VPCs. Answered when it has its number.',
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
  // `vpc.close` of a VPC that is not there is answered: gone is gone.
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
    segmentPublish,
    segmentWithdraw,
  ],
  effects: [],
});

export type VpcEvent = EventOf<typeof vpcKind>;
export type VpcSpec = SpecOf<typeof vpcKind>;
