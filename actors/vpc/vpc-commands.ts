/** Commands of a VPC. Every tenant has `main`, made with the tenant. */
import type { CommandDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { z } from 'zod';

const none = z.strictObject({}).meta({ id: 'VpcSpec' });

export const vpcCommands: Record<string, CommandDefinition> = {
  create: {
    params: none,
    permission: 'scope',
    creates: true,
    description: 'Makes a routing domain of its own: its CIDRs may equal those of other VPCs. Answered when it has its number.',
  },
  delete: { params: none, permission: 'scope', description: 'Removes an empty VPC. Rejected in_use while it has networks.' },
};
