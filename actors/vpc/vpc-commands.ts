/** Commands of a VPC. Every tenant has `main`, made with the tenant. */
import { partsOfId, tenantId } from '@photoncloud/machines/values/identifiers';
import type { CommandDefinition, Reference } from '@photoncloud/runtime/contract/actor-definition';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import { z } from 'zod';

const none = z.strictObject({}).meta({ id: 'VpcSpec' });

const references = (_: never, id: ActorId): Reference[] => [
  { path: 'tenant', to: actorId(tenantId(partsOfId(id).tenant)) },
];

export const vpcCommands: Record<string, CommandDefinition> = {
  create: {
    params: none,
    permission: 'scope',
    creates: true,
    references,
    description:
      'Makes a routing domain of its own: its CIDRs may equal those of other VPCs. Answered when it has its number.',
  },
  delete: {
    params: none,
    permission: 'scope',
    description: 'Removes an empty VPC. Rejected in_use while it has networks.',
  },
};
