/**
 * Commands of a network, validated at the door; what only arithmetic can tell (ranges, gateways, overlaps) the chart
 * says.
 */
import { idOf, nameSchema, partsOfId, tenantId } from '@photoncloud/machines/values/identifiers';
import type { CommandDefinition, Reference } from '@photoncloud/runtime/contract/actor-definition';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import { z } from 'zod';

const address = z.ipv4();
const domain = z
  .string()
  .max(253)
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/, 'must be a domain name');

const subnet = z.strictObject({
  name: nameSchema.optional(),
  cidr: z.string().max(40).describe('IPv4 such as 10.0.0.0/24: prefix 8 to 28, no host bits.'),
  gateway: address.nullable().default(null).describe('First usable address unless given.'),
});

/** Options are typed one by one: no text of a tenant ever reaches a DHCP server's configuration as it is. */
const dhcp = z.strictObject({
  leaseSeconds: z.int().min(120).max(86_400).default(3_600),
  dns: z.array(address).max(5).default([]),
  domain: domain.nullable().default(null),
  ntp: z.array(address).max(5).default([]),
});

export const networkCreateParams = z
  .strictObject({
    vpc: nameSchema.default('main'),
    subnets: z.array(subnet).min(1).max(16),
    mtu: z.int().min(1_280).max(9_000).optional().describe('At most the underlay less 50; 1450 unless given.'),
    dhcp: dhcp.prefault({}),
  })
  .meta({ id: 'NetworkSpec' });

const references = (params: z.infer<typeof networkCreateParams>, id: ActorId): Reference[] => [
  { path: 'tenant', to: actorId(tenantId(partsOfId(id).tenant)) },
  { path: 'spec.vpc', to: actorId(idOf('vpc', partsOfId(id).tenant, params.vpc)) },
];

export const networkCommands: Record<string, CommandDefinition> = {
  create: {
    params: networkCreateParams,
    permission: 'scope',
    creates: true,
    references,
    description:
      'Declares a network. Answered once its CIDRs are claimed in the VPC; hosts get it when a port needs it.',
  },
  delete: {
    params: z.strictObject({}),
    permission: 'scope',
    description: 'Removes a network from every host. Rejected in_use while a port has an address of it.',
  },
};
