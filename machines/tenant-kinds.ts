/**
 * The kinds of which a tenant may have objects, in the order of their dependencies: created in this order, deleted in
 * the reverse order. Add a new kind here; its quota, document, columns and reference page follow from its schema.
 */
import { addressSetKind } from './address-set/address-set-protocol.ts';
import { imageKind } from './image/image-protocol.ts';
import { networkKind } from './network/network-protocol.ts';
import { portKind } from './port/port-protocol.ts';
import { securityGroupKind } from './security-group/security-group-protocol.ts';
import type { KindSchema } from './values/kind.ts';
import { vmKind } from './vm/vm-protocol.ts';
import { volumeKind } from './volume/volume-protocol.ts';
import { vpcKind } from './vpc/vpc-protocol.ts';

export const tenantKinds: readonly KindSchema[] = [
  vpcKind,
  networkKind,
  addressSetKind,
  securityGroupKind,
  imageKind,
  volumeKind,
  portKind,
  vmKind,
];

/** Those that count against a tenant's quota, with the default number. */
export const countedKinds: readonly { readonly kind: string; readonly quota: number }[] = tenantKinds.flatMap(
  ({ kind, declared }) => (declared?.quota === undefined ? [] : [{ kind, quota: declared.quota }]),
);
