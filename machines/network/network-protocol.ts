/** Spec, commands and messages of a network: for clients, the ports that get addresses from it, and its VPC. */
import { z } from 'zod';
import { eraAsk, eraCleared } from '../cluster/cluster-protocol.ts';
import { failureSchema } from '../values/failures.ts';
import { nameSchema } from '../values/identifiers.ts';
import { command, declare, defineKind, message, noParams, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { networkSpecSchema } from '../values/wiring.ts';
import {
  networkClaim,
  networkClaimed,
  networkDelayed,
  networkRealized,
  networkRefused,
  networkRelease,
  networkWithdrawn,
} from '../vpc/vpc-protocol.ts';
import { subnetChanges } from './network-spec.ts';

export const addressAllocate = message('address.allocate', 'A port requests a given address, or the next free one.', {
  port: z.string(),
  address: z.string().nullable(),
  mac: z.string().nullable(),
});
export const addressAllocated = message(
  'address.allocated',
  'The port has the address and MAC until it releases them.',
  {
    address: z.string(),
    mac: z.string(),
    prefixLength: z.int(),
    gateway: z.string(),
    vpc: z.string(),
    network: networkSpecSchema,
  },
);
/** Code of the refusal of an address while the only free ones rest. */
export const addressesResting = 'addresses_resting';
export const addressRefused = message('address.refused', 'The port cannot have the address.', {
  error: failureSchema,
  path: z.string(),
});
export const addressConfirm = message(
  'address.confirm',
  'The network asks a port whether it has this address; a port that does not exist, or has another, releases it.',
  { network: z.string(), address: z.string() },
);
export const addressRelease = message(
  'address.release',
  'A port releases its address, which rests before another port gets it.',
  {
    port: z.string(),
    /** Null: the address that the port has. */
    address: z.string().nullable(),
  },
);

const address = z.ipv4();
/** To a DHCP server 0.0.0.0 is not an address but a word of its own: the server itself. */
const serverAddress = address.refine((one) => one !== '0.0.0.0', 'must be the address of a server, not 0.0.0.0');
const domain = z
  .string()
  .max(253)
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/, 'must be a domain name');

const subnet = z.strictObject({
  name: nameSchema.optional(),
  cidr: z.string().max(40).describe('IPv4 such as 10.0.0.0/24: prefix 8 to 28, no host bits.'),
  gateway: address.nullable().default(null).describe('Gateway address; default: the first usable address.'),
});

/** Each option has its own type: free text of a tenant never reaches the configuration of the DHCP server. */
const dhcp = z.strictObject({
  leaseSeconds: z.int().min(120).max(86_400).default(3_600),
  dns: z.array(serverAddress).max(5).default([]),
  domain: domain.nullable().default(null),
  search: z.array(domain).max(6).default([]).describe('Domains that guests try for a name without dots.'),
  ntp: z.array(serverAddress).max(5).default([]),
});

export const networkSpec = z
  .strictObject({
    vpc: nameSchema.default('main').describe('Name of the VPC; it cannot change.'),
    subnets: z
      .array(subnet)
      .min(1)
      .max(16)
      .describe('Subnets can be added later; an existing one can be neither changed nor removed.'),
    mtu: z.int().min(1_280).max(9_000).default(1_450).describe('At most the MTU of the underlay minus 50.'),
    dhcp: dhcp.prefault({}),
  })
  .meta({ id: 'NetworkSpec' });

export const networkKind = defineKind({
  kind: 'network',
  says: 'Subnets of a VPC with one bridge and DHCP on every host that has a port of it.',
  placement: 'sharded',
  declared: declare(networkSpec, {
    changes: {
      vpc: 'replace',
      subnets: subnetChanges,
      mtu: 'replace',
      dhcp: 'in place',
    },
    parents: ['tenant', 'vpc'],
    references: ({ vpc }) => [{ path: 'vpc', kind: 'vpc', name: vpc }],
    quota: 64,
    columns: { vpc: ({ vpc }) => vpc, subnets: ({ subnets }) => subnets.map(({ cidr }) => cidr).join(', ') },
    says: {
      create: 'Declares a network. Answered once its CIDRs are claimed; a host gets it when a port there needs it.',
      update: 'Changes DHCP options and adds subnets, on every host that has the network, without interruption.',
      delete: 'Removes a network from every host. Rejected in_use while a port has an address in it.',
    },
  }),
  commands: {
    addresses: command(
      z.strictObject({ after: z.ipv4().nullable().default(null).describe('Address after which to begin.') }),
      'Lists allocated addresses with their owners, in order, 200 at a time.',
    ),
    verify: command(noParams, 'Compares everything that is recorded of the addresses; changes nothing.'),
  },
  takes: [
    quotaGranted,
    quotaRefused,
    networkClaimed,
    networkRefused,
    networkRealized,
    networkDelayed,
    networkWithdrawn,
    addressAllocate,
    addressRelease,
    eraCleared,
  ],
  startedBy: [],
  fromNode: [],
  sends: [
    quotaClaim,
    quotaRelease,
    networkClaim,
    networkRelease,
    addressAllocated,
    addressRefused,
    addressConfirm,
    eraAsk,
  ],
  effects: [],
});

export type NetworkEvent = EventOf<typeof networkKind>;
export type NetworkDeclaration = SpecOf<typeof networkKind>;
