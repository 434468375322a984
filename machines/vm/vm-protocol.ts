/** Spec, commands and events of a VM. */
import { z } from 'zod';
import {
  lossAsk,
  lossGranted,
  lossRefused,
  place,
  placeChanged,
  placed,
  placeRefused,
  placeRelease,
  vmHostFound,
  vmHostLost,
} from '../cluster/cluster-protocol.ts';
import { vmEvacuate, vmEvacuation } from '../drain/drain-protocol.ts';
import { imageFree, imageNeed, imageOf, imageProvided, imageRefused } from '../image/image-protocol.ts';
import {
  incarnationEnded,
  incarnationPause,
  incarnationPaused,
  incarnationPlug,
  incarnationPlugged,
  incarnationReset,
  incarnationResume,
  incarnationRunning,
  incarnationStalled,
  incarnationStart,
  incarnationStop,
} from '../incarnation/incarnation-protocol.ts';
import { lossDelayMs } from '../host/host-protocol.ts';
import { migrateLimits } from '../values/migration-limits.ts';
import {
  migrationAbandon,
  migrationBegun,
  migrationBusy,
  migrationCommit,
  migrationCommitted,
  migrationEnded,
  migrationRecall,
  migrationRefused,
  migrationStart,
} from '../migration/migration-protocol.ts';
import {
  groupReferences,
  macSchema,
  portAbandon,
  portActive,
  portBind,
  portClaim,
  portDelayed,
  portFailed,
  portGone,
  portReady,
  portSecurityField,
  portRefused,
  portRelease,
  portRest,
  portTapped,
  portUnbound,
  securityGroupsSchema,
} from '../port/port-protocol.ts';
import { addressPairsSchema, dnsNameSchema, portSecuritySchema } from '../values/address-pairs.ts';
import { addressSchema } from '../values/address-schema.ts';
import { secretSchema } from '../values/sealed.ts';
import { keyedItems } from '../values/spec-changes.ts';
import { nameSchema } from '../values/identifiers.ts';
import { command, declare, defineKind, noParams, type EventOf, type SpecOf, type ValueOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import {
  volumeAttach,
  volumeAttached,
  volumeDetach,
  volumeLocate,
  volumeLocated,
  sharedVolume,
  volumeRefused,
  volumeAway,
  volumeBack,
} from '../volume/volume-protocol.ts';

const nic = z.strictObject({
  name: nameSchema.default('eth0').describe('The port is `<vm>.<name>`.'),
  network: nameSchema,
  address: addressSchema.nullable().default(null),
  mac: macSchema.nullable().default(null),
  securityGroups: securityGroupsSchema,
  addressPairs: addressPairsSchema,
  portSecurity: portSecuritySchema,
  dnsName: dnsNameSchema,
});
const disk = z.strictObject({ volume: nameSchema });

const boot = z.strictObject({
  kernel: nameSchema.describe('Image of format kernel.'),
  initrd: nameSchema.describe('Image of format initrd.'),
  commandLine: z
    .string()
    .max(1_024)
    .regex(/^[\x20-\x7e]*$/, 'must be printable ASCII on one line')
    .default(''),
});

const sshKey = z
  .string()
  .max(4_096)
  .regex(
    /^(sk-)?(ssh|ecdsa)-[a-z0-9-]{1,40}(@openssh\.com)? [A-Za-z0-9+/]{16,}={0,3}( [\x20-\x7e]*)?$/,
    'must be a public key on one line, as in id_ed25519.pub: its type, the key, a comment',
  );

/** The seed disk: cloud-init's data source NoCloud. */
const seed = z.strictObject({
  userData: secretSchema(65_536)
    .nullable()
    .default(null)
    .describe(
      'Given to the guest as it is, at most 64 KiB; secret. What is shown of it is a mark; the mark keeps it as it is.',
    ),
  sshKeys: z.array(sshKey).max(16).default([]).describe('Public keys that may log in as the default user.'),
  network: z.boolean().default(true).describe('Whether the disk says how the NICs are configured: DHCP, and the MTU.'),
});

const placement = z.strictObject({
  antiAffinity: z
    .strictObject({
      group: nameSchema.describe('VMs of the tenant that name the same group are kept on different hosts.'),
      policy: z
        .enum(['hard', 'soft'])
        .default('soft')
        .describe('hard: rather wait than share a host; soft: share one when there is no other.'),
    })
    .nullable()
    .default(null),
});

const unique = (names: readonly string[]): boolean => new Set(names).size === names.length;

export const vmSpec = z
  .strictObject({
    cpus: z.int().min(1).max(64).default(1),
    memoryMib: z.int().min(64).max(1_048_576).default(256),
    machineType: z
      .string()
      .regex(/^pc-q35-[0-9]{1,2}\.[0-9]{1,2}$/, 'must be a versioned q35 type such as pc-q35-10.0')
      .nullable()
      .default(null)
      .describe('Versioned machine type; null pins the default of the host at the first start.'),
    restart: z
      .enum(['always', 'on-failure', 'once', 'manual', 'never'])
      .default('on-failure')
      .describe(
        'When it is started without a command. always: also after its guest has powered itself off; on-failure: ' +
          'after a crash; once: as declared, and not again; manual: never, whatever `running` says. never is an ' +
          'older name of once.',
      ),
    running: z.boolean().default(true).describe('Whether it should run; a command says otherwise until it changes.'),
    host: nameSchema.nullable().default(null).describe('Required host, or null for any.'),
    placement: placement.prefault({}).describe('Which other VMs it is kept away from.'),
    hostFailurePolicy: z
      .enum(['none', 'elsewhere'])
      .default('none')
      .describe(
        'When its host is silent. none: it waits for the host, or for an operator who fences it; elsewhere: it is ' +
          'given up there and starts on another host. Needs volumes of class shared, or none.',
      ),
    hostFailureSeconds: z
      .int()
      .min(lossDelayMs / 1_000)
      .max(3_600)
      .default(20)
      .describe('With elsewhere: for so long its host is silent before.'),
    nics: z
      .array(nic)
      .min(1)
      .max(8)
      .refine((nics) => unique(nics.map((each) => each.name)), 'names must differ'),
    disks: z
      .array(disk)
      .max(8)
      .refine((disks) => unique(disks.map((each) => each.volume)), 'volumes must differ')
      .default([]),
    boot: boot.nullable().default(null).describe('Direct boot; null boots the first disk.'),
    seed: seed.prefault({}).describe('What the guest finds on its seed disk, the last one, when it boots.'),
    guestAgent: z
      .boolean()
      .default(false)
      .describe(
        'Whether the guest has a port for the QEMU guest agent. What the agent says of its system and addresses is ' +
          'shown by `photon describe` and believed by nothing.',
      ),
  })
  .refine((spec) => spec.boot !== null || spec.disks.length > 0, {
    path: ['boot'],
    message: 'needs boot images or a disk to boot from',
  })
  .refine((spec) => spec.hostFailurePolicy === 'none' || spec.host === null, {
    path: ['hostFailurePolicy'],
    message: 'elsewhere needs another host to go to, and spec.host names the only one; set it to null',
  })
  .refine((spec) => spec.hostFailurePolicy === 'none' || spec.nics.every(({ portSecurity }) => portSecurity), {
    path: ['hostFailurePolicy'],
    message: 'elsewhere needs port security on every NIC: what a silent host still sends is recognized by its address',
  })
  .meta({ id: 'VmSpec' });

export type VmNic = ValueOf<typeof nic>;
type VmDisk = ValueOf<typeof disk>;

const grace = z.strictObject({
  graceMs: z
    .int()
    .min(0)
    .max(120_000)
    .default(10_000)
    .describe('Time for the guest to power off, ms; 0 ends it at once.'),
});

const migrate = migrateLimits.extend({
  to: nameSchema.nullable().default(null).describe('Host to move it to, or null for any that has room.'),
});

export const vmKind = defineKind({
  kind: 'vm',
  says: 'A virtual machine: its declaration, its placement, and its restart policy.',
  placement: 'sharded',
  declared: declare(vmSpec, {
    changes: {
      cpus: 'next start',
      memoryMib: 'next start',
      machineType: 'next start',
      restart: 'in place',
      running: 'in place',
      host: 'next start',
      placement: 'next start',
      hostFailurePolicy: 'in place',
      hostFailureSeconds: 'in place',
      nics: keyedItems<VmNic>('name', {
        added: 'in place',
        removed: 'in place',
        changed: 'replace',
        fields: {
          securityGroups: 'in place',
          addressPairs: 'in place',
          portSecurity: 'in place',
          dnsName: 'in place',
        },
      }),
      disks: keyedItems<VmDisk>('volume', { added: 'in place', removed: 'in place', changed: 'next start' }),
      boot: 'next start',
      seed: 'next start',
      guestAgent: 'next start',
    },
    parents: ['network', 'security-group', 'volume', 'image'],
    references: ({ nics, disks, boot: direct, hostFailurePolicy }) => [
      ...nics.flatMap(({ network, securityGroups }, at) => [
        { path: `nics.${at}.network`, kind: 'network', name: network },
        ...groupReferences(`nics.${at}.securityGroups`, securityGroups),
      ]),
      ...disks.map(({ volume }, at) => ({
        path: `disks.${at}.volume`,
        kind: 'volume',
        name: volume,
        ...(hostFailurePolicy === 'elsewhere' ? { misfit: sharedVolume } : {}),
      })),
      ...(direct === null
        ? []
        : [
            { path: 'boot.kernel', kind: 'image', name: direct.kernel, misfit: imageOf('kernel') },
            { path: 'boot.initrd', kind: 'image', name: direct.initrd, misfit: imageOf('initrd') },
          ]),
    ],
    operatorsOnly: ({ nics }) =>
      nics.flatMap(({ portSecurity }, at) => portSecurityField(`nics.${at}.portSecurity`, portSecurity)),
    quota: 1_000,
    columns: {
      host: (_, { host }) => host,
      addresses: (_, { ports }) =>
        Object.values((ports ?? {}) as Readonly<Record<string, { readonly address: string }>>)
          .map(({ address }) => address)
          .join(', '),
      cpus: ({ cpus }) => cpus,
      memory: ({ memoryMib }) => `${memoryMib} MiB`,
    },
    says: {
      create: 'Declares a VM. Answered once its ports have addresses; it is then started unless running is false.',
      update:
        'Changes restart policy, security groups, disks and NICs at once; cpus, memory, boot, seed and the port of ' +
        'the guest agent at the next start.',
      delete: 'Stops it, releases its addresses and removes it. Its volumes are kept. Answered when it is gone.',
    },
  }),
  secrets: ['seed.userData'],
  commands: {
    start: command(noParams, 'Starts the VM.'),
    stop: command(grace, 'Stops the VM: power button, then, after the grace time, power off.'),
    restart: command(grace, 'Stops the run and starts another on the same host.'),
    pause: command(noParams, 'Makes the guest stand still where it is; the VM keeps its host, and all of its memory.'),
    resume: command(noParams, 'Lets a paused guest go on.'),
    reset: command(noParams, 'Presses the reset button: the guest boots anew, in the same run.'),
    migrate: command(
      migrate,
      'Moves it to another host while it runs. Answered once a host is reserved; the migration shows how far it is.',
    ),
  },
  takes: [
    quotaGranted,
    quotaRefused,
    portReady,
    portRefused,
    portTapped,
    portActive,
    portFailed,
    portDelayed,
    portUnbound,
    portGone,
    volumeLocated,
    volumeAttached,
    volumeRefused,
    volumeAway,
    volumeBack,
    imageProvided,
    imageRefused,
    placed,
    placeChanged,
    placeRefused,
    incarnationRunning,
    incarnationPaused,
    incarnationPlugged,
    incarnationStalled,
    incarnationEnded,
    migrationBegun,
    migrationBusy,
    migrationCommit,
    migrationEnded,
    vmEvacuate,
    vmHostLost,
    vmHostFound,
    lossGranted,
    lossRefused,
  ],
  startedBy: [],
  fromNode: [],
  sends: [
    quotaClaim,
    quotaRelease,
    portClaim,
    portBind,
    portRest,
    portAbandon,
    portRelease,
    volumeLocate,
    volumeAttach,
    volumeDetach,
    imageNeed,
    imageFree,
    place,
    placeRelease,
    lossAsk,
    incarnationStart,
    incarnationStop,
    incarnationPause,
    incarnationResume,
    incarnationReset,
    incarnationPlug,
    migrationStart,
    migrationRecall,
    migrationAbandon,
    migrationCommitted,
    migrationRefused,
    vmEvacuation,
  ],
  effects: [],
});

export type VmEvent = EventOf<typeof vmKind>;
export type VmSpec = SpecOf<typeof vmKind>;
