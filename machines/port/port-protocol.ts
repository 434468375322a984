/**
 * Spec, commands and messages of a port: for clients, the VM that holds it, and the actors that provide address and
 * tap.
 */
import { z } from 'zod';
import {
  bindingConfirm,
  bindingEnsure,
  bindingFailed,
  bindingReady,
  bindingRemove,
  bindingRemoved,
  bindingTapped,
} from '../binding/binding-protocol.ts';
import { hostMissing, hostResolve, hostResolved } from '../cluster/cluster-protocol.ts';
import {
  addressAllocate,
  addressAllocated,
  addressConfirm,
  addressRefused,
  addressRelease,
  addressRevise,
  addressRevised,
  addressUnrevised,
} from '../network/network-protocol.ts';
import { addressPairsSchema, dnsNameSchema, portSecuritySchema } from '../values/address-pairs.ts';
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
import { referenceAdd, referenceConfirm, referenceDrop, referenceMissing } from '../values/references.ts';
import { hostFactsSchema, tapProofSchema } from '../values/wiring.ts';
import {
  elementDelayed,
  elementPut,
  elementRealized,
  elementRemove,
  elementRemoved,
  portLeft,
  portLocated,
  segmentDelayed,
  segmentNeed,
  segmentProvided,
  segmentRefused,
} from '../vpc/vpc-protocol.ts';

export const macSchema = z.string().regex(/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/, 'must be six lower case hex pairs');

export const securityGroupsSchema = z
  .array(nameSchema)
  .max(5)
  .refine((names) => new Set(names).size === names.length, 'names must differ')
  .nullable()
  .default(null)
  .describe("Security groups of the port. null: the tenant's group default; []: none, so that everything is denied.");

/** For `references`: the security groups that a spec names. */
export const groupReferences = (path: string, names: readonly string[] | null) =>
  (names ?? []).map((name, at) => ({ path: `${path}.${at}`, kind: 'security-group', name }));

export const portSpec = z
  .strictObject({
    network: nameSchema,
    address: addressSchema.nullable().default(null).describe('Requested address, or null for the next free one.'),
    mac: macSchema.nullable().default(null),
    host: nameSchema.nullable().default(null).describe('Host to bind it on at once, without a VM.'),
    securityGroups: securityGroupsSchema,
    addressPairs: addressPairsSchema,
    portSecurity: portSecuritySchema,
    dnsName: dnsNameSchema,
  })
  .meta({ id: 'PortSpec' });

/** For `operatorsOnly`: the fields of a port that only an operator may declare. */
export const portSecurityField = (path: string, portSecurity: boolean) =>
  portSecurity ? [] : [{ path, message: 'only operators may turn port security off; leave it true, or ask one' }];

export const portClaim = message(
  'port.claim',
  'A VM requests a port, or changes its groups or labels; a repeated claim gets the same answer.',
  {
    spec: portSpec,
    /** Actor id of the VM. */
    holder: z.string(),
    /** Those of the VM. */
    labels: z.record(z.string(), z.string()).optional(),
  },
);
/** What is fixed while a port exists, except for its groups. */
export const portFacts = z.object({
  /** Actor id. */
  network: z.string(),
  address: z.string(),
  prefixLength: z.int(),
  gateway: z.string(),
  mac: z.string(),
  mtu: z.int(),
  /** Ids of its security groups. */
  groups: z.array(z.string()),
});
export type PortFacts = ValueOf<typeof portFacts>;

export const portReady = message('port.ready', 'The port has its address and MAC, which it keeps until it ends.', {
  port: z.string(),
  facts: portFacts,
});
export const portRefused = message('port.refused', 'The port cannot be created as the VM requested it.', {
  port: z.string(),
  error: failureSchema,
  path: z.string(),
});
export const portBind = message('port.bind', 'The VM requests the port on a host, for a run.', {
  holder: z.string(),
  host: hostFactsSchema,
  runEpoch: z.int(),
});
export const portTapped = message('port.tapped', 'The tap is ready for QEMU.', {
  port: z.string(),
  binding: z.string(),
  bindingUid: z.string(),
  mac: z.string(),
  mtu: z.int(),
  address: z.string(),
  runEpoch: z.int(),
});
export const portActive = message('port.active', 'The port is wired on its host, with a proof.', {
  port: z.string(),
  proof: tapProofSchema,
});
export const portFailed = message('port.failed', 'The port cannot be bound on the host.', {
  port: z.string(),
  error: failureSchema,
});
export const portDelayed = message(
  'port.delayed',
  'The port waits; it goes on by itself once what is wrong has passed.',
  {
    port: z.string(),
    error: failureSchema,
  },
);
export const portRest = message('port.rest', 'The VM is stopped: the port is unbound and keeps its address.', {
  holder: z.string(),
});
export const portUnbound = message('port.unbound', 'The port is on no host.', { port: z.string() });
export const portAbandon = message(
  'port.abandon',
  'The host is silent and the VM gives up its run there: all other hosts are to drop what comes from there.',
  {
    holder: z.string(),
    /** Name of the host. */
    host: z.string(),
    /** Names of all hosts that are silent, which are not waited for. */
    absent: z.array(z.string()),
  },
);
export const portRelease = message(
  'port.release',
  'The VM no longer needs the port: it is unbound, releases its address and ends.',
  {
    holder: z.string(),
  },
);
export const portGone = message('port.gone', 'The port has ended, or was never held by the VM.', { port: z.string() });

export const portFollow = message(
  'port.follow',
  'The sender, such as an external address, requests the address of a port, and to be told when the port ends.',
  {},
);
export const portUnfollow = message('port.unfollow', 'The sender does not need the port any more.', {});
export const portAddress = message('port.address', 'The address of a followed port, which it keeps until it ends.', {
  port: z.string(),
  vpc: z.string(),
  network: z.string(),
  address: z.string(),
});
export const portLost = message('port.lost', 'The followed port has ended, or does not exist.', { port: z.string() });

// The same as the commands `standby`, `activate` and `drop-standby`, for a port whose VM moves to another host.

export const portStandBy = message(
  'port.stand-by',
  'A migration requests the port on a second host, wired there except for its route.',
  { holder: z.string(), host: hostFactsSchema, runEpoch: z.int() },
);
export const portStandbyTapped = message('port.standby-tapped', 'The tap on the second host is ready for QEMU.', {
  port: z.string(),
  binding: z.string(),
  bindingUid: z.string(),
  mac: z.string(),
  mtu: z.int(),
});
export const portStands = message('port.stands', 'The port is wired on the second host; read back from its kernel.', {
  port: z.string(),
  runEpoch: z.int(),
});
export const portStandbyFailed = message('port.standby-failed', 'The port cannot be prepared on the second host.', {
  port: z.string(),
  error: failureSchema,
});
export const portTakeOver = message(
  'port.take-over',
  'The VM has decided for the second host: the port is active there from now on.',
  { holder: z.string(), host: hostFactsSchema, runEpoch: z.int() },
);
export const portTakenOver = message(
  'port.taken-over',
  'The port is active on its new host; the former one forwards what still comes there.',
  { port: z.string(), runEpoch: z.int() },
);
export const portStandDown = message(
  'port.stand-down',
  'The migration needs the second host no more, or the former one.',
  { holder: z.string() },
);
export const portStoodDown = message('port.stood-down', 'The port is on one host only.', { port: z.string() });

export const portKind = defineKind({
  kind: 'port',
  says: 'An address of a network, and where it is bound: to a VM, or to a host without a VM.',
  placement: 'sharded',
  declared: declare(portSpec, {
    changes: {
      network: 'replace',
      address: 'replace',
      mac: 'replace',
      host: 'replace',
      securityGroups: 'in place',
      addressPairs: 'in place',
      portSecurity: 'in place',
      dnsName: 'in place',
    },
    operatorsOnly: ({ portSecurity }) => portSecurityField('portSecurity', portSecurity),
    parents: ['network', 'security-group'],
    references: ({ network, securityGroups }) => [
      { path: 'network', kind: 'network', name: network },
      ...groupReferences('securityGroups', securityGroups),
    ],
    naming: 'vm.nic',
    columns: {
      network: ({ network }) => network,
      address: (_, { address }) => address,
      host: (_, { host }) => host,
    },
    says: {
      create: 'Declares a port. Answered once it has its address and MAC.',
      update:
        'Changes security groups, address pairs, port security, DNS name, labels and protection, on the present tap. ' +
        'Flows that no group admits any more end.',
      delete: 'Unbinds it and releases its address. Rejected in_use while a VM has it.',
    },
  }),
  commands: {
    unbind: command(noParams, 'Unbinds a port without a VM; it keeps its address.'),
    standby: command(
      z.strictObject({ host: nameSchema.describe('Host to prepare it on.') }),
      'Prepares an active port without a VM on another host: wired there, except for its route. Answered with the ' +
        'run epoch that `activate` takes, and with what was read back from the kernel.',
      { permission: 'admin' },
    ),
    activate: command(
      z.strictObject({
        host: nameSchema.describe('Host on which it stands by.'),
        runEpoch: z.int().positive().describe('Run epoch that `standby` was answered with.'),
      }),
      'Moves a port without a VM to the host on which it stands by. It then stands by on its former host, which ' +
        'forwards what still comes there, until `drop-standby`. Rejected standby_conflict for another run epoch.',
      { permission: 'admin' },
    ),
    'drop-standby': command(noParams, 'Removes the port from the host on which it stands by.', {
      permission: 'admin',
    }),
  },
  takes: [
    portClaim,
    portBind,
    portRest,
    portAbandon,
    portRelease,
    portStandBy,
    portTakeOver,
    portStandDown,
    portFollow,
    portUnfollow,
    hostResolved,
    hostMissing,
    addressAllocated,
    addressConfirm,
    addressRefused,
    addressRevised,
    addressUnrevised,
    segmentProvided,
    segmentRefused,
    segmentDelayed,
    elementRealized,
    elementDelayed,
    elementRemoved,
    bindingTapped,
    bindingReady,
    bindingFailed,
    bindingRemoved,
    bindingConfirm,
    referenceMissing,
    referenceConfirm,
  ],
  // A port that does not exist answers a release with `port.gone`, and gives back what is held for it.
  startedBy: [portClaim, portRelease, portStandDown, portFollow, addressConfirm, bindingConfirm, referenceConfirm],
  fromNode: [],
  sends: [
    portReady,
    portRefused,
    portTapped,
    portActive,
    portFailed,
    portDelayed,
    portUnbound,
    portGone,
    portAddress,
    portLost,
    portStandbyTapped,
    portStands,
    portStandbyFailed,
    portTakenOver,
    portStoodDown,
    hostResolve,
    addressAllocate,
    addressRevise,
    addressRelease,
    segmentNeed,
    portLocated,
    portLeft,
    elementPut,
    elementRemove,
    bindingEnsure,
    bindingRemove,
    referenceAdd,
    referenceDrop,
  ],
  effects: [],
});

export type PortEvent = EventOf<typeof portKind>;
export type PortSpec = SpecOf<typeof portKind>;
