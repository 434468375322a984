/** Commands of a VM, validated at the door. Every name in the spec is of the same tenant and must exist. */
import { idOf, nameSchema, partsOfId } from '@photoncloud/machines/values/identifiers';
import type { CommandDefinition, Reference } from '@photoncloud/runtime/contract/actor-definition';
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import { z } from 'zod';

const address = z.ipv4().nullable().default(null);
const mac = z
  .string()
  .regex(/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/, 'must be six lower case hex pairs')
  .nullable()
  .default(null);

const nic = z.strictObject({ name: nameSchema.default('eth0'), network: nameSchema, address, mac });

const boot = z.strictObject({
  kernel: nameSchema.describe('Image of format kernel.'),
  initrd: nameSchema.describe('Image of format initrd.'),
  commandLine: z
    .string()
    .max(1_024)
    .regex(/^[\x20-\x7e]*$/, 'must be printable ASCII on one line')
    .default(''),
});

const unique = (names: readonly string[]): boolean => new Set(names).size === names.length;

export const vmCreateParams = z
  .strictObject({
    cpus: z.int().min(1).max(64).default(1),
    memoryMib: z.int().min(64).max(1_048_576).default(256),
    machineType: z
      .string()
      .regex(/^pc-q35-[0-9]{1,2}\.[0-9]{1,2}$/, 'must be a versioned q35 type such as pc-q35-10.0')
      .nullable()
      .default(null),
    restart: z.enum(['always', 'on-failure', 'never']).default('on-failure'),
    running: z.boolean().default(true),
    host: nameSchema.nullable().default(null),
    nics: z
      .array(nic)
      .min(1)
      .max(8)
      .refine((nics) => unique(nics.map((each) => each.name)), 'names must differ'),
    disks: z
      .array(z.strictObject({ volume: nameSchema }))
      .max(8)
      .refine((disks) => unique(disks.map((each) => each.volume)), 'volumes must differ')
      .default([]),
    boot: boot.nullable().default(null).describe('Direct boot; null boots the first disk.'),
  })
  .refine((spec) => spec.boot !== null || spec.disks.length > 0, {
    path: ['boot'],
    message: 'needs boot images or a disk to boot from',
  })
  .meta({ id: 'VmSpec' });

function references(params: z.infer<typeof vmCreateParams>, id: ActorId): Reference[] {
  const { tenant } = partsOfId(id);
  const to = (kind: string, name: string): ActorId => actorId(idOf(kind, tenant, name));
  return [
    ...params.nics.map((each, at) => ({ path: `spec.nics.${at}.network`, to: to('network', each.network) })),
    ...params.disks.map((each, at) => ({ path: `spec.disks.${at}.volume`, to: to('volume', each.volume) })),
    ...(params.boot === null
      ? []
      : [
          { path: 'spec.boot.kernel', to: to('image', params.boot.kernel) },
          { path: 'spec.boot.initrd', to: to('image', params.boot.initrd) },
        ]),
  ];
}

const none = z.strictObject({});
const grace = z.strictObject({
  graceMs: z
    .int()
    .min(0)
    .max(120_000)
    .default(10_000)
    .describe('Time the guest gets to power off, ms; 0 pulls the plug.'),
});

export const vmCommands: Record<string, CommandDefinition> = {
  create: {
    params: vmCreateParams,
    permission: 'scope',
    creates: true,
    references,
    description: 'Declares a VM. Answered once its ports have addresses; it is then started unless running is false.',
  },
  start: { params: none, permission: 'scope', description: 'Wants it running.' },
  stop: {
    params: grace,
    permission: 'scope',
    description: 'Wants it stopped: power button, then, after the grace time, power off.',
  },
  restart: { params: grace, permission: 'scope', description: 'Stops the run and starts another on the same host.' },
  delete: {
    params: none,
    permission: 'scope',
    description: 'Stops it, frees its addresses and removes it. Its volumes stay. Answered when it is gone.',
  },
};
