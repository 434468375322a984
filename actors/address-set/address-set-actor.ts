/** The kind `address-set`: a named list of CIDRs, realized as a set in the kernel of hosts. */
import { addressSetMachine } from '@photoncloud/machines/address-set/address-set-machine';
import { addressSetKind } from '@photoncloud/machines/address-set/address-set-protocol';
import { defineActor } from '../kind/kind-definition.ts';

export const addressSetDefinition = defineActor(addressSetKind, {
  chartVersion: 1,
  machine: addressSetMachine,
  status: () => ({}),
  ignored: ['quota.granted', 'element.realized', 'element.delayed', 'element.removed'],
});
