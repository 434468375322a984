/** Commands of a tenant, for operators. */
import { defaultQuota } from '@photoncloud/machines/tenant/tenant-events';
import type { CommandDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { z } from 'zod';

const limit = z.int().min(0).max(100_000);

export const tenantCreateParams = z
  .strictObject({
    quota: z
      .strictObject({
        vpc: limit.min(1).default(defaultQuota.vpc),
        network: limit.default(defaultQuota.network),
        vm: limit.default(defaultQuota.vm),
        volume: limit.default(defaultQuota.volume),
        image: limit.default(defaultQuota.image),
        portsPerNetwork: limit.default(defaultQuota.portsPerNetwork),
      })
      .prefault({})
      .describe('How many of each kind it may have at once, and how many ports each of its networks.'),
  })
  .meta({ id: 'TenantSpec' });

export const tenantCommands: Record<string, CommandDefinition> = {
  create: {
    params: tenantCreateParams,
    permission: 'admin',
    creates: true,
    description: 'Makes a tenant and its VPC main. Answered when the VPC has its number.',
  },
  delete: {
    params: z.strictObject({}),
    permission: 'admin',
    description: 'Removes an empty tenant. Rejected in_use otherwise.',
  },
};
