/**
 * What a tenant is to clients and to other actors. Everything a tenant owns claims its place here (values/quota.ts).
 */
import { z } from 'zod';
import { countedKinds } from '../tenant-kinds.ts';
import { declare, defineKind, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { vpcClose, vpcOpen, vpcOpened } from '../vpc/vpc-protocol.ts';

const limit = z.int().min(0).max(100_000);

export const defaultPortsPerNetwork = 4_000;

/**
 * One number for each kind of which a tenant's objects are counted, and how many ports each of its networks may have.
 */
const quotaFields: Readonly<Record<string, z.ZodDefault<z.ZodInt>>> = {
  ...Object.fromEntries(
    countedKinds.map(({ kind, quota }) => [kind, (kind === 'vpc' ? limit.min(1) : limit).default(quota)]),
  ),
  portsPerNetwork: limit.default(defaultPortsPerNetwork),
};

export const quotaSchema = z.strictObject(quotaFields);

export const tenantSpec = z
  .strictObject({
    quota: quotaSchema
      .prefault({})
      .describe('How many objects of each kind it may have at once, and how many ports each of its networks.'),
  })
  .meta({ id: 'TenantSpec' });

export const tenantKind = defineKind({
  kind: 'tenant',
  says: 'An owner of objects, with a quota and a VPC named main. Its name is the scope of everything it owns.',
  placement: 'sharded',
  declared: declare(tenantSpec, {
    changes: { quota: 'in place' },
    parents: [],
    references: () => [],
    naming: 'tenant',
    permission: 'admin',
    columns: {},
    says: {
      create: 'Makes a tenant and its VPC main. Answered when the VPC has its number.',
      update:
        'Changes the quota. What exceeds a lower one stays; a network keeps the number of ports it was made with.',
      delete: 'Removes an empty tenant. Rejected in_use otherwise.',
    },
  }),
  commands: {},
  takes: [quotaClaim, quotaRelease, vpcOpened],
  // A claim of an object whose tenant is not there is answered: it will never be granted.
  startedBy: [quotaClaim],
  fromNode: [],
  sends: [quotaGranted, quotaRefused, vpcOpen, vpcClose],
  effects: [],
});

export type TenantEvent = EventOf<typeof tenantKind>;
export type TenantSpec = SpecOf<typeof tenantKind>;
/** By kind, and `portsPerNetwork`. */
export type Quota = Readonly<Record<string, number>>;

export const defaultQuota: Quota = quotaSchema.parse({});
