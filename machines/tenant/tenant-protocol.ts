/** Spec, commands and messages of a tenant. Every counted object of the tenant claims quota here (values/quota.ts). */
import { z } from 'zod';
import { countedKinds } from '../tenant-kinds.ts';
import { declare, defineKind, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { groupClose, groupOpen, groupOpened } from '../security-group/security-group-protocol.ts';
import { vpcClose, vpcOpen, vpcOpened } from '../vpc/vpc-protocol.ts';

const limit = z.int().min(0).max(100_000);

export const defaultPortsPerNetwork = 4_000;
/** 10 TiB. */
export const defaultVolumeMib = 10 << 20;

/** Maximum number of objects of each counted kind, of ports in each network, and of MiB in all volumes. */
const quotaFields: Readonly<Record<string, z.ZodDefault<z.ZodInt>>> = {
  ...Object.fromEntries(
    countedKinds.map(({ kind, quota }) => [kind, (kind === 'vpc' ? limit.min(1) : limit).default(quota)]),
  ),
  portsPerNetwork: limit.default(defaultPortsPerNetwork),
  volumeMib: z
    .int()
    .min(0)
    .max(2 ** 40)
    .default(defaultVolumeMib),
};

export const quotaSchema = z.strictObject(quotaFields);

export const tenantSpec = z
  .strictObject({
    quota: quotaSchema
      .prefault({})
      .describe(
        'Maximum number of objects of each kind, of ports in each network, and of MiB in all volumes together.',
      ),
  })
  .meta({ id: 'TenantSpec' });

export const tenantKind = defineKind({
  kind: 'tenant',
  says: 'An owner of objects, with a quota, a VPC main and a group default. Its name is the scope of what it owns.',
  placement: 'sharded',
  declared: declare(tenantSpec, {
    changes: { quota: 'in place' },
    parents: [],
    references: () => [],
    naming: 'tenant',
    permission: 'admin',
    columns: {},
    says: {
      create: 'Creates a tenant, its VPC main and its group default. Answered when both can be used.',
      update: 'Changes the quota. Objects beyond a lower one stay; a network keeps its number of ports.',
      delete: 'Removes an empty tenant. Rejected in_use otherwise.',
    },
  }),
  commands: {},
  takes: [quotaClaim, quotaRelease, vpcOpened, groupOpened],
  // A claim for a tenant that does not exist is refused.
  startedBy: [quotaClaim],
  fromNode: [],
  sends: [quotaGranted, quotaRefused, vpcOpen, vpcClose, groupOpen, groupClose],
  effects: [],
});

export type TenantEvent = EventOf<typeof tenantKind>;
export type TenantSpec = SpecOf<typeof tenantKind>;
/** By kind, and `portsPerNetwork` and `volumeMib`. */
export type Quota = Readonly<Record<string, number>>;

export const defaultQuota: Quota = quotaSchema.parse({});
