/** The kind `external-address`: an address of an external network, and the target to which it leads. */
import { externalAddressMachine } from '@photoncloud/machines/external-address/external-address-machine';
import type { ExternalAddressContext } from '@photoncloud/machines/external-address/external-address-messages';
import { externalAddressKind } from '@photoncloud/machines/external-address/external-address-protocol';
import { defineActor } from '../kind/kind-definition.ts';

export const externalAddressDefinition = defineActor(externalAddressKind, {
  chartVersion: 1,
  machine: externalAddressMachine,
  status: ({ address, followed, attached, isRealized }: ExternalAddressContext) => ({
    address,
    target: followed,
    vpc: attached?.vpc ?? null,
    inside: attached?.inside ?? null,
    isRealized,
  }),
  ignored: [
    'quota.granted',
    'quota.refused',
    'external.granted',
    'external.refused',
    'external.confirm',
    'port.address',
    'port.lost',
    'element.realized',
    'element.delayed',
    'element.removed',
  ],
});
