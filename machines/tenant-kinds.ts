/**
 * The kinds of which a tenant may have objects, in the order of their dependencies: created in this order, deleted in
 * the reverse order. Add a new kind here; its quota, document, columns and reference page follow from its schema.
 */
import { addressSetKind } from './address-set/address-set-protocol.ts';
import { deploymentKind } from './deployment/deployment-protocol.ts';
import { externalAddressKind } from './external-address/external-address-protocol.ts';
import { imageKind } from './image/image-protocol.ts';
import { networkKind } from './network/network-protocol.ts';
import { peeringKind } from './peering/peering-protocol.ts';
import { portKind } from './port/port-protocol.ts';
import { securityGroupKind } from './security-group/security-group-protocol.ts';
import { serviceIpKind } from './service-ip/service-ip-protocol.ts';
import { routerKind } from './router/router-protocol.ts';
import { snapshotKind } from './snapshot/snapshot-protocol.ts';
import type { KindSchema } from './values/kind.ts';
import { vmKind } from './vm/vm-protocol.ts';
import { volumeKind } from './volume/volume-protocol.ts';
import { vpcKind } from './vpc/vpc-protocol.ts';

export const tenantKinds: readonly KindSchema[] = [
  vpcKind,
  networkKind,
  serviceIpKind,
  peeringKind,
  addressSetKind,
  securityGroupKind,
  imageKind,
  volumeKind,
  snapshotKind,
  portKind,
  vmKind,
  routerKind,
  externalAddressKind,
  deploymentKind,
];

/** Those that count against a tenant's quota, with the default number. */
export const countedKinds: readonly { readonly kind: string; readonly quota: number }[] = tenantKinds.flatMap(
  ({ kind, declared }) => (declared?.quota === undefined ? [] : [{ kind, quota: declared.quota }]),
);
