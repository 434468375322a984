/**
 * Spec and messages of an external network: addresses of a network outside of the cloud, and the hosts through which it
 * is reached. It is of tenant `system`. Routers and external addresses of tenants claim addresses here; the answers to
 * a tenant without a grant are those about an external network that does not exist.
 */
import { z } from 'zod';
import { gatewayDrop, gatewayDropped, gatewayEnsure, gatewayStands } from '../gateway/gateway-protocol.ts';
import { hostFollow, hostStands, hostUnfollow } from '../host/host-protocol.ts';
import { addressSchema } from '../values/address-schema.ts';
import { failureSchema } from '../values/failures.ts';
import { nameSchema } from '../values/identifiers.ts';
import {
  command,
  declare,
  defineKind,
  message,
  noParams,
  type EventOf,
  type SpecOf,
  type ValueOf,
} from '../values/kind.ts';
import { externalMtuSchema, gatewayElement, interfaceNameSchema } from '../values/router-elements.ts';

const pool = z.strictObject({ from: addressSchema, to: addressSchema });

export const externalNetworkSpec = z
  .strictObject({
    cidr: z.string().max(40).describe('IPv4 such as 203.0.113.0/24: prefix 8 to 30, no host bits; it cannot change.'),
    gateway: addressSchema
      .nullable()
      .default(null)
      .describe('Next hop to everywhere else; null: only the CIDR itself is reached. It cannot change.'),
    pools: z
      .array(pool)
      .min(1)
      .max(16)
      .describe('Where addresses are chosen. Others of the CIDR are given only when they are requested.'),
    hosts: z
      .array(nameSchema)
      .min(1)
      .max(2)
      .describe('Gateway hosts. The first leads when it can; naming another one first moves the lead there.'),
    interface: interfaceNameSchema.describe('Uplink to the network on each of the hosts.'),
    mtu: externalMtuSchema.default(1_500).describe('Largest packet that the network carries.'),
    tenants: z
      .array(nameSchema)
      .max(1_000)
      .nullable()
      .default(null)
      .describe('Tenants that may use it; null: all. To others it does not exist.'),
  })
  .meta({ id: 'ExternalNetworkSpec' });

/** Whether an external network with this spec may be used by the tenant; `grants` of references. */
export const servesTenant = (spec: unknown, tenant: string): boolean => {
  const { tenants } = spec as Pick<ExternalNetworkSpec, 'tenants'>;
  return tenants === null || tenants.includes(tenant);
};

/** For `references`: the external network that a spec names. */
export const externalReference = (path: string, name: string) => ({
  path,
  kind: 'external-network',
  name,
  grants: servesTenant,
});

/** How an external network is reached; routers publish it to their VPCs. */
export const wayOutSchema = gatewayElement.omit({ network: true, snat: true });
export type WayOut = ValueOf<typeof wayOutSchema>;

export const externalClaim = message(
  'external.claim',
  'A router or an external address wants to use the external network; a repeated claim gets the same answer.',
  {
    by: z.string(),
    /** `router`: it is told how the network is reached, now and at each change. */
    use: z.enum(['router', 'address']),
    /** It needs an address of its own. */
    wantsAddress: z.boolean(),
    /** The address requested; null: any of the pools. */
    address: z.string().nullable(),
  },
);
export const externalGranted = message('external.granted', 'The external network may be used.', {
  /** Actor id. */
  network: z.string(),
  address: z.string().nullable(),
  /** Only to routers. */
  way: wayOutSchema.nullable(),
});
export const externalRefused = message('external.refused', 'The external network, or the address, cannot be used.', {
  network: z.string(),
  error: failureSchema,
  /** Of the field of the spec: `network` or `address`. */
  field: z.enum(['network', 'address']),
});
export const externalChanged = message('external.changed', 'The external network is reached in another way.', {
  network: z.string(),
  way: wayOutSchema,
});
export const externalRelease = message('external.release', 'The network, or an address of it, is not used any more.', {
  by: z.string(),
  /** The address that goes back; null when the sender has none, or does not know it. */
  address: z.string().nullable(),
  /** The network is not used any more; otherwise only the address goes back. */
  ends: z.boolean(),
});
export const externalConfirm = message(
  'external.confirm',
  'The sender asks whether it is used; who does not exist, or does not use it, releases it.',
  {},
);

export const externalNetworkKind = defineKind({
  kind: 'external-network',
  says: 'A network outside of the cloud, with addresses for tenants, reached through one or two gateway hosts.',
  placement: 'sharded',
  declared: declare(externalNetworkSpec, {
    changes: {
      cidr: 'replace',
      gateway: 'replace',
      pools: 'in place',
      hosts: 'in place',
      interface: 'in place',
      mtu: 'in place',
      tenants: 'in place',
    },
    parents: [],
    references: ({ hosts }) => hosts.map((name, at) => ({ path: `hosts.${at}`, kind: 'host', name })),
    permission: 'admin',
    ofSystem: true,
    columns: {
      cidr: ({ cidr }) => cidr,
      used: (_, { used, all }) => `${String(used)}/${String(all)}`,
      active: (_, { active }) => active,
      standby: (_, { standby }) => standby,
      tenants: ({ tenants }) => tenants?.length ?? 'all',
    },
    says: {
      create: 'Declares an external network and its gateway hosts. Operators only.',
      update:
        'Changes pools, gateway hosts, uplink, MTU and grants. Allocated addresses stay. ' +
        'Rejected in_use when a tenant that loses its grant still uses the network.',
      delete: 'Removes the external network from its gateway hosts. Rejected in_use while it is used.',
    },
  }),
  commands: {
    addresses: command(
      z.strictObject({ after: addressSchema.nullable().default(null).describe('Address after which to begin.') }),
      'Lists allocated addresses with their owners, in order, 200 at a time.',
      { permission: 'admin' },
    ),
    verify: command(noParams, 'Compares everything that is recorded of the addresses; changes nothing.', {
      permission: 'admin',
    }),
  },
  takes: [externalClaim, externalRelease, gatewayStands, gatewayDropped, hostStands],
  // One that does not exist refuses claims in the words of one without a grant.
  startedBy: [externalClaim],
  fromNode: [],
  sends: [
    externalGranted,
    externalRefused,
    externalChanged,
    externalConfirm,
    externalRelease,
    gatewayEnsure,
    gatewayDrop,
    hostFollow,
    hostUnfollow,
  ],
  effects: [],
});

export type ExternalNetworkEvent = EventOf<typeof externalNetworkKind>;
export type ExternalNetworkSpec = SpecOf<typeof externalNetworkKind>;
