/** Spec, commands and messages of a volume: for clients, its holder and its replica. */
import { z } from 'zod';
import { imageFree, imageNeed, imageOf, imageProvided, imageRefused } from '../image/image-protocol.ts';
import {
  replicaDrop,
  replicaEnsure,
  replicaFailed,
  replicaReady,
  replicaRemoved,
} from '../replica/replica-protocol.ts';
import {
  roomClaim,
  roomGranted,
  roomRefused,
  roomRelease,
  volumeHostFound,
  volumeHostLost,
} from '../cluster/cluster-protocol.ts';
import {
  exportDrop,
  exportDropped,
  exportEnsure,
  exportFailed,
  exportServing,
} from '../volume-export/volume-export-protocol.ts';
import {
  snapshotBegin,
  snapshotBegun,
  snapshotEnded,
  snapshotFree,
  snapshotHindered,
  snapshotNeed,
  snapshotProvided,
  snapshotRefused,
} from '../snapshot/snapshot-protocol.ts';
import { incarnationResize, incarnationResized } from '../incarnation/incarnation-protocol.ts';
import { failureSchema } from '../values/failures.ts';
import { nameSchema } from '../values/identifiers.ts';
import { command, declare, defineKind, message, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { diskFormatSchema, diskSourceSchema, hostFactsSchema } from '../values/wiring.ts';

export const volumeLocate = message('volume.locate', 'A VM requests the host of the bytes.', { vm: z.string() });
export const volumeLocated = message('volume.located', 'The host of the bytes; null before they are created.', {
  volume: z.string(),
  host: z.string().nullable(),
  sizeMib: z.int(),
  /** True: a VM on any host can use them. Absent: only one on the host of the bytes. */
  shared: z.boolean().optional(),
  /** Of the last run that used the volume, of whichever VM; the next move needs a higher one. Absent: none has. */
  runEpoch: z.int().optional(),
});
export const volumeAttach = message('volume.attach', 'A VM requests the volume on a host.', {
  vm: z.string(),
  host: hostFactsSchema,
  runEpoch: z.int(),
});
export const volumeAttached = message('volume.attached', 'The VM holds the volume, and its bytes are on the host.', {
  volume: z.string(),
  uid: z.string(),
  serial: z.string(),
  format: diskFormatSchema,
  host: z.string(),
  /** Null or absent: a file of that host. */
  source: diskSourceSchema.nullable().optional(),
});
export const volumeRefused = message('volume.refused', 'The volume is not available to the VM, or does not exist.', {
  volume: z.string(),
  error: failureSchema,
});
export const volumeAway = message(
  'volume.away',
  'The storage host of the volume is silent: its guest stands still once it reads or writes.',
  { volume: z.string() },
);
export const volumeBack = message('volume.back', 'The storage host of the volume is back.', { volume: z.string() });
export const volumeDetach = message(
  'volume.detach',
  'The VM no longer holds the volume. Its last run, where it was on a host, tells which bytes are the newest.',
  { vm: z.string(), host: z.string().optional(), runEpoch: z.int().optional() },
);

export const volumeStandby = message(
  'volume.standby',
  'A migration requests the volume on a second host, for the run that is to come, while its VM goes on.',
  { vm: z.string(), host: hostFactsSchema, runEpoch: z.int() },
);
export const volumeStood = message('volume.stood', 'The volume can be opened on the second host by that run.', {
  volume: z.string(),
  uid: z.string(),
  serial: z.string(),
  format: diskFormatSchema,
  host: z.string(),
  runEpoch: z.int(),
  /** The disk there is empty: the migration copies the bytes. */
  copies: z.boolean(),
  source: diskSourceSchema.nullable(),
});
export const volumeActivate = message(
  'volume.activate',
  'The VM has changed to that run, and the former run is gone: the second host is the one of the volume.',
  { vm: z.string(), runEpoch: z.int() },
);
export const volumeActivated = message('volume.activated', 'Only that run can write.', {
  volume: z.string(),
  runEpoch: z.int(),
});
export const volumeDropStandby = message('volume.drop-standby', 'The migration ended before the VM changed its run.', {
  runEpoch: z.int(),
});
export const volumeDropped = message('volume.dropped', 'Nothing is left of what was prepared for that run.', {
  volume: z.string(),
  runEpoch: z.int(),
});

export const volumeClassSchema = z.enum(['local', 'shared']);

export const volumeSpec = z
  .strictObject({
    class: volumeClassSchema
      .default('local')
      .describe('`local`: its bytes are on the host of its VM. `shared`: on a storage host, for a VM on any host.'),
    sizeMib: z.int().min(1).max(1_048_576).describe('Size the guest sees, MiB. It can grow.'),
    format: diskFormatSchema.default('raw'),
    image: nameSchema.nullable().default(null).describe('Image that the volume is filled from; null for an empty one.'),
    snapshot: nameSchema
      .nullable()
      .default(null)
      .describe(
        'Snapshot of the same tenant that the volume is filled from, as a whole copy that does not need the snapshot ' +
          'afterwards; null for none. The size is that of the snapshot or a larger one. A local volume gets its ' +
          'bytes on the host of the snapshot, and so its VM is placed there.',
      ),
  })
  .meta({ id: 'VolumeSpec' });

/** Why a volume is of no use on a host that does not have its bytes; undefined when it is. */
export const sharedVolume = (spec: unknown): string | undefined =>
  ((spec ?? {}) as { readonly class?: string }).class === 'shared'
    ? undefined
    : 'has its bytes on one host, which hostFailurePolicy elsewhere leaves; name a volume of class shared';

export const volumeKind = defineKind({
  kind: 'volume',
  says: 'A disk that is kept across restarts and deletions of the VMs that use it.',
  placement: 'sharded',
  declared: declare(volumeSpec, {
    changes: { class: 'replace', sizeMib: 'in place', format: 'replace', image: 'replace', snapshot: 'replace' },
    parents: ['tenant', 'image'],
    // The snapshot itself says whether it is there: a volume outlives it, and may be declared again afterwards.
    references: ({ image }) =>
      image === null
        ? []
        : [{ path: 'image', kind: 'image', name: image, misfit: imageOf(...diskFormatSchema.options) }],
    madeFrom: ({ snapshot }) => (snapshot === null ? [] : [{ kind: 'snapshot', name: snapshot }]),
    quota: 100,
    columns: {
      size: ({ sizeMib }) => `${sizeMib} MiB`,
      class: (spec) => spec.class,
      holder: (_, { holder }) => holder,
      host: (_, { host }) => host,
    },
    says: {
      create:
        'Declares a volume, for which a host must have room. The bytes of a local one are created on the host of the ' +
        'first VM that attaches it, those of a shared one on a storage host. One that is made from a snapshot is ' +
        'filled at once.',
      update:
        'Changes labels, protection and the size, which can only grow. A guest that uses the volume sees that at ' +
        'once; where it does not, the condition RestartRequired says why.',
      delete: 'Removes the volume and its bytes. Rejected in_use while a VM holds it, or a snapshot is being taken.',
    },
  }),
  commands: {
    restore: command(
      z.strictObject({ snapshot: nameSchema.describe('Snapshot of the same tenant, not larger than the volume.') }),
      'Replaces the bytes of the volume by those of a snapshot, all at once; what was written since is lost. ' +
        'Rejected in_use while a VM holds it: stop that VM first. Answered when the bytes are those of the snapshot.',
    ),
  },
  takes: [
    quotaGranted,
    quotaRefused,
    roomGranted,
    roomRefused,
    volumeHostLost,
    volumeHostFound,
    volumeLocate,
    volumeAttach,
    volumeDetach,
    volumeStandby,
    volumeActivate,
    volumeDropStandby,
    imageProvided,
    imageRefused,
    replicaReady,
    replicaFailed,
    replicaRemoved,
    exportServing,
    exportFailed,
    exportDropped,
    incarnationResized,
    snapshotBegin,
    snapshotEnded,
    snapshotProvided,
    snapshotRefused,
  ],
  // A VM may name a volume that was deleted while the VM was stopped, and a snapshot one that never was: it is refused.
  startedBy: [volumeLocate, volumeAttach, snapshotBegin],
  fromNode: [],
  sends: [
    quotaClaim,
    quotaRelease,
    roomClaim,
    roomRelease,
    volumeLocated,
    volumeAttached,
    volumeRefused,
    volumeStood,
    volumeActivated,
    volumeDropped,
    volumeAway,
    volumeBack,
    imageNeed,
    imageFree,
    replicaEnsure,
    replicaDrop,
    exportEnsure,
    exportDrop,
    incarnationResize,
    snapshotBegun,
    snapshotHindered,
    snapshotNeed,
    snapshotFree,
  ],
  effects: [],
});

export type VolumeEvent = EventOf<typeof volumeKind>;
export type VolumeSpec = SpecOf<typeof volumeKind>;
