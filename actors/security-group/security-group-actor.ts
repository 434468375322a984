/** The kind `security-group`: rules for the ports that have it, published to the VPCs of those ports. */
import { securityGroupMachine } from '@photoncloud/machines/security-group/security-group-machine';
import type { SecurityGroupContext } from '@photoncloud/machines/security-group/security-group-messages';
import { securityGroupKind } from '@photoncloud/machines/security-group/security-group-protocol';
import { platformAllows } from '@photoncloud/machines/values/group-rules';
import { defineActor } from '../kind/kind-definition.ts';
import { holderNeeds } from '../kind/holder-needs.ts';

export const securityGroupDefinition = defineActor(securityGroupKind, {
  chartVersion: 2,
  // A rule may name a service IP; those that were declared before do not.
  upgrades: { 1: (stored) => stored },
  machine: securityGroupMachine,
  needs: holderNeeds(['security-group.delete', 'group.close', 'quota.refused']),
  status: ({ holders, vpcs }: SecurityGroupContext) => ({ holders, vpcs, platform: platformAllows }),
  ignored: [
    'quota.granted',
    'quota.refused',
    'reference.missing',
    'reference.confirm',
    'element.realized',
    'element.delayed',
    'element.removed',
  ],
});
