/** What a port is to clients, to the VM that holds it, and to the actors that give it an address and a tap. */
import { z } from 'zod';
import {
  bindingEnsure,
  bindingFailed,
  bindingReady,
  bindingRemove,
  bindingRemoved,
  bindingTapped,
} from '../binding/binding-protocol.ts';
import { hostMissing, hostResolve, hostResolved } from '../cluster/cluster-protocol.ts';
import { addressAllocate, addressAllocated, addressRefused, addressRelease } from '../network/network-protocol.ts';
import { failureSchema } from '../values/failures.ts';
import { nameSchema } from '../values/identifiers.ts';
import { command, declare, defineKind, message, noParams, type EventOf, type SpecOf } from '../values/kind.ts';
import { hostFactsSchema, tapProofSchema } from '../values/wiring.ts';
import { portLeft, portLocated, segmentNeed, segmentProvided, segmentRefused } from '../vpc/vpc-protocol.ts';

export const macSchema = z.string().regex(/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/, 'must be six lower case hex pairs');

export const portSpec = z
  .strictObject({
    network: nameSchema,
    address: z.ipv4().nullable().default(null).describe('Wanted address, or null for the next free one.'),
    mac: macSchema.nullable().default(null),
    host: nameSchema.nullable().default(null).describe('Host to bind it on at once, without a VM.'),
  })
  .meta({ id: 'PortSpec' });

export const portClaim = message('port.claim', 'A VM wants a port of its own; asked again, answered alike.', {
  spec: portSpec,
  /** Actor id of the VM. */
  holder: z.string(),
});
export const portReady = message('port.ready', 'The port has its address and MAC, for as long as it is.', {
  port: z.string(),
  address: z.string(),
  mac: z.string(),
});
export const portRefused = message('port.refused', 'The port cannot be had as the VM wants it.', {
  port: z.string(),
  error: failureSchema,
  path: z.string(),
});
export const portBind = message('port.bind', 'The VM wants the port on a host, for a run.', {
  holder: z.string(),
  host: hostFactsSchema,
  runEpoch: z.int(),
});
export const portTapped = message('port.tapped', 'A tap is there for QEMU to take.', {
  port: z.string(),
  binding: z.string(),
  bindingUid: z.string(),
  mac: z.string(),
  mtu: z.int(),
  address: z.string(),
  runEpoch: z.int(),
});
export const portActive = message('port.active', 'The port is wired on its host, as proved.', {
  port: z.string(),
  proof: tapProofSchema,
});
export const portFailed = message('port.failed', 'The port cannot be bound on the host.', {
  port: z.string(),
  error: failureSchema,
});
export const portRest = message('port.rest', 'The VM rests: the port leaves its host and keeps its address.', {
  holder: z.string(),
});
export const portUnbound = message('port.unbound', 'The port is on no host.', { port: z.string() });
export const portRelease = message(
  'port.release',
  'The VM gives the port up: it leaves its host, frees its address and ends.',
  {
    holder: z.string(),
  },
);
export const portGone = message('port.gone', 'The port is no more, or never belonged to the VM.', { port: z.string() });

export const portKind = defineKind({
  kind: 'port',
  says: 'An address of a network, and where it is bound: to a VM, or to a host without a VM.',
  placement: 'sharded',
  declared: declare(portSpec, {
    changes: { network: 'replace', address: 'replace', mac: 'replace', host: 'replace' },
    parents: ['network'],
    references: ({ network }) => [{ path: 'network', kind: 'network', name: network }],
    naming: 'vm.nic',
    columns: {
      network: ({ network }) => network,
      address: (_, { address }) => address,
      host: (_, { host }) => host,
    },
    says: {
      create: 'Declares a port. Answered once it has its address and MAC.',
      update: 'Changes labels and protection; what a port is stays as it was made.',
      delete: 'Unbinds it and frees its address. Rejected in_use while a VM has it.',
    },
  }),
  commands: { unbind: command(noParams, 'Takes a port without a VM off its host; it keeps its address.') },
  takes: [
    portClaim,
    portBind,
    portRest,
    portRelease,
    hostResolved,
    hostMissing,
    addressAllocated,
    addressRefused,
    segmentProvided,
    segmentRefused,
    bindingTapped,
    bindingReady,
    bindingFailed,
    bindingRemoved,
  ],
  // `port.release` of a port that is not there is answered: gone is gone.
  startedBy: [portClaim, portRelease],
  fromNode: [],
  sends: [
    portReady,
    portRefused,
    portTapped,
    portActive,
    portFailed,
    portUnbound,
    portGone,
    hostResolve,
    addressAllocate,
    addressRelease,
    segmentNeed,
    portLocated,
    portLeft,
    bindingEnsure,
    bindingRemove,
  ],
  effects: [],
});

export type PortEvent = EventOf<typeof portKind>;
export type PortSpec = SpecOf<typeof portKind>;
