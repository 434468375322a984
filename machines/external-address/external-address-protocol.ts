/** Spec and messages of an external address: an address of an external network with a life of its own. */
import { z } from 'zod';
import {
  externalClaim,
  externalConfirm,
  externalGranted,
  externalReference,
  externalRefused,
  externalRelease,
} from '../external-network/external-network-protocol.ts';
import { portAddress, portFollow, portLost, portUnfollow } from '../port/port-protocol.ts';
import { addressSchema } from '../values/address-schema.ts';
import { idOf, nameSchema, partsOfId, portNameSchema } from '../values/identifiers.ts';
import { declare, defineKind, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { elementDelayed, elementPut, elementRealized, elementRemove, elementRemoved } from '../vpc/vpc-protocol.ts';

const target = z.union(
  [
    z.strictObject({ port: portNameSchema.describe('A port of the tenant; <vm>.<nic> for one of a VM.') }),
    z.strictObject({ serviceIp: nameSchema.describe('A service IP of the tenant.') }),
  ],
  'must be {port: NAME}, {serviceIp: NAME} or null',
);

export const externalAddressSpec = z
  .strictObject({
    network: nameSchema.describe('External network that the tenant may use; it cannot change.'),
    address: addressSchema
      .nullable()
      .default(null)
      .describe('Requested address, or null for the next free one; it cannot change.'),
    target: target
      .nullable()
      .default(null)
      .describe('What is reached at the address. null: nothing; the address stays with the tenant.'),
  })
  .meta({ id: 'ExternalAddressSpec' });

type Target = z.output<typeof externalAddressSpec>['target'];

const nameOf = (to: NonNullable<Target>): readonly [kind: string, name: string] =>
  'port' in to ? ['port', to.port] : ['service-ip', to.serviceIp];

/** Actor id of a target; null for none. */
export function targetId(id: string, to: Readonly<Target>): string | null {
  return to === null ? null : idOf(nameOf(to)[0], partsOfId(id).tenant, nameOf(to)[1]);
}

export const externalAddressKind = defineKind({
  kind: 'external-address',
  says: 'An address outside of the cloud that leads to a port or a service IP, and can be moved to another.',
  placement: 'sharded',
  declared: declare(externalAddressSpec, {
    changes: { network: 'replace', address: 'replace', target: 'in place' },
    parents: ['tenant', 'external-network', 'router', 'port'],
    references: ({ network, target: to }) => [
      externalReference('network', network),
      ...(to === null
        ? []
        : [{ path: `target.${'port' in to ? 'port' : 'serviceIp'}`, kind: nameOf(to)[0], name: nameOf(to)[1] }]),
    ],
    quota: 5,
    columns: {
      network: ({ network }) => network,
      address: (_, { address }) => address,
      target: ({ target: to }) => (to === null ? null : nameOf(to).join('/')),
      inside: (_, { inside }) => inside,
      vpc: (_, { vpc }) => vpc,
    },
    says: {
      create: 'Declares an external address. Answered once it has its address, which it keeps until it is deleted.',
      update: 'Attaches it to another target, or to none. Within a VPC it moves at once; the address stays.',
      delete: 'Takes it off every host and gives the address back, which then rests.',
    },
  }),
  commands: {},
  takes: [
    quotaGranted,
    quotaRefused,
    externalGranted,
    externalRefused,
    externalConfirm,
    portAddress,
    portLost,
    elementRealized,
    elementDelayed,
    elementRemoved,
  ],
  // One that does not exist gives back what an external network holds for it.
  startedBy: [externalConfirm],
  fromNode: [],
  sends: [
    quotaClaim,
    quotaRelease,
    externalClaim,
    externalRelease,
    portFollow,
    portUnfollow,
    elementPut,
    elementRemove,
  ],
  effects: [],
});

export type ExternalAddressEvent = EventOf<typeof externalAddressKind>;
export type ExternalAddressSpec = SpecOf<typeof externalAddressKind>;
