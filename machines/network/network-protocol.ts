/** Spec, commands and messages of a network: for clients, the ports that get addresses from it, and its VPC. */
import { z } from 'zod';
import { eraAsk, eraCleared } from '../cluster/cluster-protocol.ts';
import { addressPairsSchema } from '../values/address-pairs.ts';
import { addressSchema, cidrSchema, ipv6Schema } from '../values/address-schema.ts';
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

/**
 * Uid of the port that asks or is answered: a later one of the same name may come while a request of the former, or its
 * answer, is on its way. Absent: of an older release, or of a service IP.
 */
const portUid = z.string().optional();

export const addressAllocate = message('address.allocate', 'A port requests a given address, or the next free one.', {
  port: z.string(),
  portUid,
  address: z.string().nullable(),
  mac: z.string().nullable(),
  /** Allowed address pairs and DNS name, allocated together with the address or not at all. */
  pairs: addressPairsSchema.optional(),
  dnsName: z.string().nullable().optional(),
  /** Addresses of pairs that a repeated request gives up; the network completes the list. */
  had: z.array(z.string()).optional(),
});
export const addressRevise = message(
  'address.revise',
  'A port that has its address requests other allowed address pairs, or another DNS name, all at once.',
  {
    port: z.string(),
    pairs: addressPairsSchema,
    dnsName: z.string().nullable(),
    /** Addresses of pairs that the port has: those that it does not request any more are released. */
    had: z.array(z.string()),
  },
);
export const addressRevised = message('address.revised', 'The port has what it requested beside its address.', {
  network: z.string(),
  pairs: addressPairsSchema,
  dnsName: z.string().nullable(),
});
export const addressUnrevised = message('address.unrevised', 'The port keeps what it had beside its address.', {
  network: z.string(),
  error: failureSchema,
  path: z.string(),
});
export const addressAllocated = message(
  'address.allocated',
  'The port has the address and MAC until it releases them.',
  {
    portUid,
    address: z.string(),
    mac: z.string(),
    prefixLength: z.int(),
    gateway: z.string(),
    vpc: z.string(),
    network: networkSpecSchema,
    /** What it was requested with. */
    pairs: addressPairsSchema.optional(),
    dnsName: z.string().nullable().optional(),
  },
);
/** Code of the refusal of an address while the only free ones rest. */
export const addressesResting = 'addresses_resting';
export const addressRefused = message('address.refused', 'The port cannot have the address.', {
  portUid,
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
    /** The address stays with a later port of the same name. */
    portUid,
    /** Null: the address that the port has. */
    address: z.string().nullable(),
    /** Addresses of its pairs, which are released with it; the network completes the list. */
    had: z.array(z.string()).optional(),
  },
);

const address = addressSchema;
/** To a DHCP server 0.0.0.0 is not an address but a word of its own: the server itself. */
const serverAddress = address.refine((one) => one !== '0.0.0.0', 'must be the address of a server, not 0.0.0.0');
const domain = z
  .string()
  .max(253)
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/, 'must be a domain name');

/** Both ends are included. Of a subnet, or of an external network. */
export const poolSchema = z.strictObject({ from: address, to: address });

const subnet = z.strictObject({
  name: nameSchema.optional(),
  cidr: z.string().max(40).describe('IPv4 such as 10.0.0.0/24: prefix 8 to 28, no host bits.'),
  gateway: address.nullable().default(null).describe('Gateway address; default: the first usable address.'),
  pools: z
    .array(poolSchema)
    .max(16)
    .nullable()
    .default(null)
    .describe(
      'Ranges in which addresses are chosen; null: all but the first five and the last. Changed in place. A port may ' +
        'request an address outside of them.',
    ),
  ipv6: ipv6Schema,
});

const dhcpRoute = z.strictObject({
  destination: cidrSchema.describe('CIDR with a prefix of 1 to 32.'),
  via: address.describe('Next hop: an address of a subnet of the network, or its gateway.'),
});

/** Each option has its own type: free text of a tenant never reaches the configuration of the DHCP server. */
const dhcp = z.strictObject({
  leaseSeconds: z.int().min(120).max(86_400).default(3_600),
  dns: z.array(serverAddress).max(5).default([]),
  domain: domain.nullable().default(null),
  search: z.array(domain).max(6).default([]).describe('Domains that guests try for a name without dots.'),
  ntp: z.array(serverAddress).max(5).default([]),
  routes: z
    .array(dhcpRoute)
    .max(30)
    .default([])
    .describe(
      'Classless routes for guests of the subnet that the next hop is in; their default route stays the gateway of ' +
        'their subnet. In a VPC all networks reach each other without any.',
    ),
});

export const networkSpec = z
  .strictObject({
    vpc: nameSchema.default('main').describe('Name of the VPC; it cannot change.'),
    subnets: z
      .array(subnet)
      .min(1)
      .max(16)
      .describe(
        'Subnets can be added later; an existing one can be neither changed, except for its pools, nor removed.',
      ),
    mtu: z.int().min(1_280).max(9_000).default(1_450).describe('At most the MTU of the underlay minus 50.'),
    dhcp: dhcp.prefault({}),
    metadata: z
      .boolean()
      .default(false)
      .describe(
        'Whether VMs may ask http://169.254.169.254 what their seed disks say, with a token. cloud-init reads ' +
          'the seed disk and does not need it.',
      ),
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
      metadata: 'in place',
    },
    parents: ['tenant', 'vpc'],
    references: ({ vpc }) => [{ path: 'vpc', kind: 'vpc', name: vpc }],
    quota: 64,
    columns: { vpc: ({ vpc }) => vpc, subnets: ({ subnets }) => subnets.map(({ cidr }) => cidr).join(', ') },
    says: {
      create: 'Declares a network. Answered once its CIDRs are claimed; a host gets it when a port there needs it.',
      update:
        'Changes DHCP options and pools and adds subnets, on every host that has the network, without interruption.',
      delete: 'Removes a network from every host. Rejected in_use while a port has an address in it.',
    },
  }),
  commands: {
    addresses: command(
      z.strictObject({ after: addressSchema.nullable().default(null).describe('Address after which to begin.') }),
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
    addressRevise,
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
    addressAllocate,
    addressAllocated,
    addressRefused,
    addressRevise,
    addressRevised,
    addressUnrevised,
    addressConfirm,
    eraAsk,
  ],
  effects: [],
});

export type NetworkEvent = EventOf<typeof networkKind>;
export type NetworkDeclaration = SpecOf<typeof networkKind>;
