/**
 * Spec, commands and messages of a service IP: an address of a network with a life of its own, at which every host of
 * the VPC leads flows to backends.
 */
import { z } from 'zod';
import { addressAllocate, addressAllocated, addressConfirm } from '../network/network-protocol.ts';
import { addressRefused, addressRelease } from '../network/network-protocol.ts';
import {
  checkDelayed,
  checkDrop,
  checkEnded,
  checkEnsure,
  checkObserved,
} from '../service-check/service-check-protocol.ts';
import { hostFollow, hostStands, hostUnfollow } from '../host/host-protocol.ts';
import { portAddress, portFollow, portLost, portUnfollow } from '../port/port-protocol.ts';
import { nameSchema, portNameSchema } from '../values/identifiers.ts';
import { declare, defineKind, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { referenceAdd, referenceConfirm, referenceDrop, referenceMissing } from '../values/references.ts';
import { affinitySchema, healthCheckSchema, maxBackends, maxServicePorts } from '../values/service-elements.ts';
import { servicePortSchema } from '../values/service-elements.ts';
import { elementDelayed, elementPut, elementRealized, elementRemove, elementRemoved } from '../vpc/vpc-protocol.ts';
import { membersChanged, membersMatched, membersUnwatch, membersWatch } from '../vpc/vpc-protocol.ts';

const labelSelector = z
  .record(z.string().min(1).max(63), z.string().max(63))
  .refine((all) => Object.keys(all).length >= 1 && Object.keys(all).length <= 8, 'must have 1 to 8 labels');

const backendsSchema = z
  .union([
    z.strictObject({
      selector: labelSelector.describe(
        'Every port of the VPC with all of these labels; those of a VM have its labels.',
      ),
    }),
    z.strictObject({
      ports: z
        .array(portNameSchema)
        .max(maxBackends)
        .refine((names) => new Set(names).size === names.length, 'names must differ')
        .describe('Names of ports, <vm>.<nic> for those of a VM. One that does not exist yet is no error.'),
    }),
  ])
  .describe(
    'The ports that serve, chosen by their labels or by their names. A port serves while it is wired on a host.',
  );

export const serviceIpSpec = z
  .strictObject({
    network: nameSchema.describe('Name of the network that the address belongs to; it cannot change.'),
    address: z
      .ipv4()
      .nullable()
      .default(null)
      .describe('Requested address in a subnet of the network, or null for the next free one; it cannot change.'),
    ports: z
      .array(servicePortSchema)
      .min(1)
      .max(maxServicePorts)
      .describe('Ports at which it serves, each with the port of the backends that it leads to.'),
    backends: backendsSchema,
    healthCheck: healthCheckSchema
      .nullable()
      .default(null)
      .describe('How the host of a backend finds out whether it serves; null: every wired backend serves.'),
    affinity: affinitySchema
      .default('none')
      .describe('none: each flow to any backend; source: all flows of a source address to one, while it serves.'),
    retain: z
      .boolean()
      .default(false)
      .describe('Whether a deletion keeps the address: it is then parked, no host has it, and apply brings it back.'),
  })
  .meta({ id: 'ServiceIpSpec' });

const shownBackends = (backends: unknown): string => (Array.isArray(backends) ? String(backends.length) : '');

export const serviceIpKind = defineKind({
  kind: 'service-ip',
  says: 'An address of a network with a life of its own, at which every host of the VPC leads flows to backends.',
  placement: 'sharded',
  declared: declare(serviceIpSpec, {
    changes: {
      network: 'replace',
      address: 'replace',
      ports: 'in place',
      backends: 'in place',
      healthCheck: 'in place',
      affinity: 'in place',
      retain: 'in place',
    },
    parents: ['tenant', 'network'],
    // Ports come and go while the service IP stays: they are no references.
    references: ({ network }) => [{ path: 'network', kind: 'network', name: network }],
    quota: 20,
    columns: {
      network: ({ network }) => network,
      address: (_, { address }) => address,
      ports: ({ ports }) => ports.map(({ protocol, port }) => `${port}/${protocol}`).join(', '),
      serving: (_, { serving }) => shownBackends(serving),
      members: (_, { members }) => shownBackends(members),
    },
    says: {
      create: 'Declares a service IP. Answered once it has its address; it serves as soon as it has backends.',
      update: 'Changes ports, backends, health check or affinity; flows to backends that stay go on.',
      delete:
        'Takes it off every host and releases its address. Rejected in_use while rules or external addresses use it.',
    },
  }),
  commands: {},
  takes: [
    quotaGranted,
    quotaRefused,
    addressAllocated,
    addressRefused,
    addressConfirm,
    referenceAdd,
    referenceDrop,
    membersMatched,
    membersChanged,
    elementRealized,
    elementDelayed,
    elementRemoved,
    checkObserved,
    checkDelayed,
    checkEnded,
    hostStands,
    portFollow,
    portUnfollow,
  ],
  // One that does not exist gives back what is held for it, and answers those that refer to it.
  startedBy: [addressConfirm, referenceAdd, referenceDrop, portFollow],
  fromNode: [],
  sends: [
    portAddress,
    portLost,
    quotaClaim,
    quotaRelease,
    addressAllocate,
    addressRelease,
    referenceMissing,
    referenceConfirm,
    membersWatch,
    membersUnwatch,
    elementPut,
    elementRemove,
    checkEnsure,
    checkDrop,
    hostFollow,
    hostUnfollow,
  ],
  effects: [],
});

export type ServiceIpEvent = EventOf<typeof serviceIpKind>;
export type ServiceIpSpec = SpecOf<typeof serviceIpKind>;

type Problem = { readonly code: string; readonly path: string; readonly message: string };

function portProblems({ ports }: ServiceIpSpec): readonly Problem[] {
  return ports.flatMap(({ protocol, port }, at): Problem[] => {
    const first = ports.findIndex((one) => one.protocol === protocol && one.port === port);
    if (first === at) return [];
    const message = `${port}/${protocol} is already ports.${first}; remove one, a flow is led to one target port`;
    return [{ code: 'port_twice', path: `spec.ports.${at}.port`, message }];
  });
}

function checkProblems({ ports, healthCheck }: ServiceIpSpec): readonly Problem[] {
  if (healthCheck === null) return [];
  const { protocol, port, path, intervalSeconds, timeoutSeconds } = healthCheck;
  const at = 'spec.healthCheck';
  const problems: Problem[] = [];
  if (port === null && !ports.some((one) => one.protocol === 'tcp')) {
    const message =
      'no port of the service IP is tcp, which checks need; say the tcp port that backends are checked at';
    problems.push({ code: 'check_port_missing', path: `${at}.port`, message });
  }
  if (protocol === 'tcp' && path !== null) {
    const message = 'a check by tcp has no path; remove it, or say http';
    problems.push({ code: 'check_path_unused', path: `${at}.path`, message });
  }
  if (timeoutSeconds > intervalSeconds) {
    const message = `${timeoutSeconds} s are more than the interval of ${intervalSeconds} s; check less often`;
    problems.push({ code: 'check_timeout_long', path: `${at}.timeoutSeconds`, message });
  }
  return problems;
}

/** @returns what is wrong with a spec of the right form: ports given twice, a health check that cannot be made */
export const problemsOf = (spec: ServiceIpSpec): readonly Problem[] => [...portProblems(spec), ...checkProblems(spec)];
