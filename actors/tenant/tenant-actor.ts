/** The kind `tenant`: a quota and a VPC. Everything a tenant owns claims its place here. */
import { tenantMachine } from '@photoncloud/machines/tenant/tenant-machine';
import type { TenantContext } from '@photoncloud/machines/tenant/tenant-messages';
import type { ActorDefinition, RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import { tenantCommands } from './tenant-commands.ts';

function needs(event: ActorEvent): RowKey[] {
  if (event.type === 'quota.claim' || event.type === 'quota.release')
    return [{ collection: 'claim', key: String(event['claimant']) }];
  return event.type === 'tenant.delete' ? [{ collection: 'claim', key: '*' }] : [];
}

export const tenantDefinition: ActorDefinition = {
  kind: 'tenant',
  chartVersion: 1,
  machine: tenantMachine,
  placement: 'sharded',
  input: (id) => ({ id }),
  commands: tenantCommands,
  createdBy: ['quota.claim'],
  effects: {},
  needs,
  view: ({ quota, uid, used }: TenantContext) => ({ spec: { quota }, status: { uid, used } }),
  ignored: ['vpc.opened', 'quota.release'],
};
