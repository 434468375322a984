/** Spec and messages of a router: how a VPC is left, by static routes and through an external network. */
import { z } from 'zod';
import {
  externalChanged,
  externalClaim,
  externalConfirm,
  externalGranted,
  externalReference,
  externalRefused,
  externalRelease,
} from '../external-network/external-network-protocol.ts';
import { portAddress, portFollow, portLost, portUnfollow } from '../port/port-protocol.ts';
import { addressSchema } from '../values/address-schema.ts';
import { nameSchema, portNameSchema } from '../values/identifiers.ts';
import { declare, defineKind, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import {
  elementDelayed,
  elementLagging,
  elementPut,
  elementRealized,
  elementRemove,
  elementRemoved,
} from '../vpc/vpc-protocol.ts';
import { rangesTold, rangesUnwatch, rangesWatch } from '../vpc/vpc-protocol.ts';

const via = z.union(
  [
    z.strictObject({ address: addressSchema.describe('Address of a port of the VPC.') }),
    z.strictObject({ port: portNameSchema.describe('A port of the tenant, in the VPC.') }),
    z.literal('blackhole'),
  ],
  'must be {address: 10.0.0.9}, {port: NAME} or blackhole',
);

const external = z.strictObject({
  network: nameSchema.describe('External network that the tenant may use.'),
  snat: z
    .boolean()
    .default(true)
    .describe('Whatever has no external address of its own leaves with that of the router; false: it does not leave.'),
  address: addressSchema
    .nullable()
    .default(null)
    .describe('Requested address of the router; null: the next free one. Only with snat.'),
});

const route = z.strictObject({
  destination: z.string().max(40).describe('IPv4 such as 192.0.2.0/24, not inside a network of the VPC.'),
  via: via.describe('Next hop; `blackhole` answers that the destination is unreachable.'),
});

export const routerSpec = z
  .strictObject({
    vpc: nameSchema.default('main').describe('Name of the VPC; it cannot change.'),
    external: external.nullable().default(null).describe('How everything else is reached; null: not at all.'),
    routes: z.array(route).max(30).default([]).describe('Static routes. The most specific one applies.'),
  })
  .meta({ id: 'RouterSpec' });

export const routerKind = defineKind({
  kind: 'router',
  says: 'How a VPC is left: static routes, and a way out through an external network with address translation.',
  placement: 'sharded',
  declared: declare(routerSpec, {
    changes: { vpc: 'replace', external: 'in place', routes: 'in place' },
    parents: ['tenant', 'vpc', 'external-network', 'port'],
    references: ({ vpc, external: out, routes }) => [
      { path: 'vpc', kind: 'vpc', name: vpc },
      ...(out === null ? [] : [externalReference('external.network', out.network)]),
      ...routes.flatMap(({ via: hop }, at) =>
        typeof hop === 'object' && 'port' in hop
          ? [{ path: `routes.${at}.via.port`, kind: 'port', name: hop.port }]
          : [],
      ),
    ],
    quota: 5,
    columns: {
      vpc: ({ vpc }) => vpc,
      external: ({ external: out }) => out?.network,
      'SNAT address': (_, { snatAddress }) => snatAddress,
      routes: ({ routes }) => routes.length,
    },
    says: {
      create: 'Declares a router. Answered once it has its external address, and its next hops fit the VPC.',
      update: 'Changes routes and the way out on every host, without touching what stays the same.',
      delete: 'Takes routes and the way out off every host, then gives the external address back.',
    },
  }),
  commands: {},
  takes: [
    quotaGranted,
    quotaRefused,
    rangesTold,
    externalGranted,
    externalRefused,
    externalChanged,
    externalConfirm,
    portAddress,
    portLost,
    elementRealized,
    elementDelayed,
    elementLagging,
    elementRemoved,
  ],
  // A router that does not exist gives back what an external network holds for it.
  startedBy: [externalConfirm],
  fromNode: [],
  sends: [
    quotaClaim,
    quotaRelease,
    rangesWatch,
    rangesUnwatch,
    externalClaim,
    externalRelease,
    portFollow,
    portUnfollow,
    elementPut,
    elementRemove,
  ],
  effects: [],
});

export type RouterEvent = EventOf<typeof routerKind>;
export type RouterSpec = SpecOf<typeof routerKind>;
export type RouteSpec = RouterSpec['routes'][number];
