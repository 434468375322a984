/** Spec and messages of a snapshot: for clients, for the volume that it is of, and for volumes made from it. */
import { z } from 'zod';
import { roomClaim, roomGranted, roomRefused, roomRelease } from '../cluster/cluster-protocol.ts';
import {
  captureDrop,
  captureDropped,
  captureEnsure,
  captureFailed,
  captureTaken,
} from '../snapshot-copy/snapshot-copy-protocol.ts';
import { failureSchema } from '../values/failures.ts';
import { nameSchema } from '../values/identifiers.ts';
import { declare, defineKind, message, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { diskFormatSchema, hostFactsSchema } from '../values/wiring.ts';

/** Where the bytes of a volume are, for its snapshots and for volumes made from them. */
export const volumeFactsSchema = z.object({
  volume: z.string(),
  volumeUid: z.string(),
  class: z.enum(['local', 'shared']),
  format: diskFormatSchema,
  sizeMib: z.int(),
  host: hostFactsSchema,
});

export const snapshotBegin = message('snapshot.begin', 'A snapshot of the volume is to be taken.', {
  snapshot: z.string(),
});
export const snapshotBegun = message(
  'snapshot.begun',
  'The volume keeps place and size until the snapshot has ended.',
  volumeFactsSchema.shape,
);
export const snapshotHindered = message('snapshot.hindered', 'No snapshot can be taken now, or of no such volume.', {
  volume: z.string(),
  error: failureSchema,
});
export const snapshotEnded = message('snapshot.ended', 'The snapshot needs the volume no longer.', {
  snapshot: z.string(),
});

export const snapshotNeed = message('snapshot.need', 'A volume is to have the bytes of the snapshot.', {
  /** Actor id of that volume. */
  volume: z.string(),
  sizeMib: z.int(),
});
export const snapshotProvided = message('snapshot.provided', 'Where the copy is; it stays until snapshot.free.', {
  snapshot: z.string(),
  snapshotUid: z.string(),
  host: hostFactsSchema,
  allocatedBytes: z.number(),
});
export const snapshotRefused = message('snapshot.refused', 'The volume does not get the bytes of the snapshot.', {
  snapshot: z.string(),
  error: failureSchema,
});
export const snapshotFree = message('snapshot.free', 'The volume has its own copy of the bytes, or none.', {
  volume: z.string(),
});

export const snapshotSpec = z
  .strictObject({ volume: nameSchema.describe('Volume whose bytes are copied, as they are at one moment.') })
  .meta({ id: 'SnapshotSpec' });

export const snapshotKind = defineKind({
  kind: 'snapshot',
  says: 'The bytes of a volume as they were at one moment, copied while it may be in use.',
  placement: 'sharded',
  declared: declare(snapshotSpec, {
    changes: { volume: 'replace' },
    parents: ['tenant', 'volume'],
    // The volume itself says whether it is there: a snapshot outlives it, and may be declared again afterwards.
    references: () => [],
    madeFrom: ({ volume }) => [{ kind: 'volume', name: volume }],
    quota: 100,
    columns: {
      volume: ({ volume }) => volume,
      size: (_, { sizeMib }) => (sizeMib === null ? null : `${String(sizeMib)} MiB`),
      taken: (_, { takenAt }) => takenAt,
      consistency: (_, { consistency }) => consistency,
    },
    says: {
      create:
        'Takes a snapshot: a copy of the bytes as they are at one moment, on the host that has them, also while a ' +
        'guest writes. Its file systems are then as after a power cut, or were frozen by the guest agent, as ' +
        '`consistency` says. Answered once there is room for it. Rejected ' +
        'volume_empty while the volume has no bytes: they are made for its first VM, on the host of that VM.',
      update: 'Changes labels and protection; the bytes of a snapshot never change.',
      delete:
        'Removes the copy. No volume is touched, also none that was made from it. Rejected in_use while a volume is ' +
        'being filled from it.',
    },
  }),
  commands: {},
  takes: [
    quotaGranted,
    quotaRefused,
    roomGranted,
    roomRefused,
    snapshotBegun,
    snapshotHindered,
    captureTaken,
    captureFailed,
    captureDropped,
    snapshotNeed,
    snapshotFree,
  ],
  // A volume may name a snapshot that was deleted: the request is answered with a refusal.
  startedBy: [snapshotNeed],
  fromNode: [],
  sends: [
    quotaClaim,
    quotaRelease,
    roomClaim,
    roomRelease,
    snapshotBegin,
    snapshotEnded,
    captureEnsure,
    captureDrop,
    snapshotProvided,
    snapshotRefused,
  ],
  effects: [],
});

export type SnapshotEvent = EventOf<typeof snapshotKind>;
export type DeclaredSnapshot = SpecOf<typeof snapshotKind>;
