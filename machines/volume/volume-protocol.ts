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
import { roomClaim, roomGranted, roomRefused, roomRelease } from '../cluster/cluster-protocol.ts';
import { failureSchema } from '../values/failures.ts';
import { nameSchema } from '../values/identifiers.ts';
import { declare, defineKind, message, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { diskFormatSchema, hostFactsSchema } from '../values/wiring.ts';

export const volumeLocate = message('volume.locate', 'A VM requests the host of the bytes.', { vm: z.string() });
export const volumeLocated = message('volume.located', 'The host of the bytes; null before they are created.', {
  volume: z.string(),
  host: z.string().nullable(),
  sizeMib: z.int(),
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
});
export const volumeRefused = message('volume.refused', 'The volume is not available to the VM, or does not exist.', {
  volume: z.string(),
  error: failureSchema,
});
export const volumeDetach = message('volume.detach', 'The VM no longer holds the volume.', { vm: z.string() });

export const volumeSpec = z
  .strictObject({
    sizeMib: z.int().min(1).max(1_048_576).describe('Size the guest sees, MiB.'),
    format: diskFormatSchema.default('raw'),
    image: nameSchema.nullable().default(null).describe('Image that the volume is filled from; null for an empty one.'),
  })
  .meta({ id: 'VolumeSpec' });

export const volumeKind = defineKind({
  kind: 'volume',
  says: 'A disk that is kept across restarts and deletions of the VMs that use it.',
  placement: 'sharded',
  declared: declare(volumeSpec, {
    changes: { sizeMib: 'replace', format: 'replace', image: 'replace' },
    parents: ['tenant', 'image'],
    references: ({ image }) =>
      image === null
        ? []
        : [{ path: 'image', kind: 'image', name: image, misfit: imageOf(...diskFormatSchema.options) }],
    quota: 100,
    columns: {
      size: ({ sizeMib }) => `${sizeMib} MiB`,
      holder: (_, { holder }) => holder,
      host: (_, { host }) => host,
    },
    says: {
      create:
        'Declares a volume, for which a host must have room. Its bytes are created on the host of the first VM that ' +
        'attaches it.',
      update: 'Changes labels and protection; size, format and image cannot change.',
      delete: 'Removes the volume and its bytes. Rejected in_use while a VM holds it.',
    },
  }),
  commands: {},
  takes: [
    quotaGranted,
    quotaRefused,
    roomGranted,
    roomRefused,
    volumeLocate,
    volumeAttach,
    volumeDetach,
    imageProvided,
    imageRefused,
    replicaReady,
    replicaFailed,
    replicaRemoved,
  ],
  // A VM may name a volume that was deleted while the VM was stopped: the request is refused.
  startedBy: [volumeLocate, volumeAttach],
  fromNode: [],
  sends: [
    quotaClaim,
    quotaRelease,
    roomClaim,
    roomRelease,
    volumeLocated,
    volumeAttached,
    volumeRefused,
    imageNeed,
    imageFree,
    replicaEnsure,
    replicaDrop,
  ],
  effects: [],
});

export type VolumeEvent = EventOf<typeof volumeKind>;
export type VolumeSpec = SpecOf<typeof volumeKind>;
