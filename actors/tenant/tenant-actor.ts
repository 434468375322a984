/** The kind `tenant`: a quota and a VPC. Every counted object of a tenant claims quota here. */
import { tenantMachine } from '@photoncloud/machines/tenant/tenant-machine';
import type { TenantContext } from '@photoncloud/machines/tenant/tenant-messages';
import { tenantKind } from '@photoncloud/machines/tenant/tenant-protocol';
import type { RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { defineActor } from '../kind/kind-definition.ts';

function needs(event: ActorEvent): RowKey[] {
  if (event.type === 'quota.claim' || event.type === 'quota.release')
    return [{ collection: 'claim', key: String(event['claimant']) }];
  return event.type === 'tenant.delete' ? [{ collection: 'claim', key: '*' }] : [];
}

export const tenantDefinition = {
  ...defineActor(tenantKind, {
    chartVersion: 1,
    machine: tenantMachine,
    needs,
    status: ({ used }: TenantContext) => ({ used }),
    ignored: ['vpc.opened', 'quota.release'],
  }),
  // Numbers by kind: an added kind has its default, so stored tenants need no upgrade.
  specShape: 'quota: number by kind',
};
