/** The kind `address-set`: a named list of CIDRs, realized as a set in the kernel of hosts. */
import { addressSetMachine, type AddressSetContext } from '@photoncloud/machines/address-set/address-set-machine';
import { addressSetKind } from '@photoncloud/machines/address-set/address-set-protocol';
import { holderNeeds } from '../kind/holder-needs.ts';
import { defineActor } from '../kind/kind-definition.ts';

export const addressSetDefinition = defineActor(addressSetKind, {
  chartVersion: 1,
  machine: addressSetMachine,
  needs: holderNeeds(['address-set.delete', 'quota.refused']),
  status: ({ holders }: AddressSetContext) => ({ holders }),
  ignored: ['quota.granted', 'quota.refused', 'element.realized', 'element.delayed', 'element.removed'],
});
