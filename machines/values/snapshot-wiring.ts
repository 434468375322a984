/** What is asked of a host for a snapshot, and what is read of it: see wiring.ts. */
import { z } from 'zod';
import type { ValueOf } from './kind.ts';
import { diskFormatSchema, ownerTokenSchema } from './wiring.ts';

/** The bytes of a volume at one moment, kept on the host of that volume. */
export const snapshotSpecSchema = z.object({
  owner: ownerTokenSchema,
  snapshotUid: z.string(),
  volumeUid: z.string(),
  /** Format of the volume; the copy is always qcow2. */
  format: diskFormatSchema,
  sizeMib: z.number(),
});
export type SnapshotSpec = ValueOf<typeof snapshotSpecSchema>;

/** What is read of a copy. */
export const snapshotProofSchema = z.object({
  /** Size of the disk that a guest would see. */
  sizeBytes: z.number(),
  allocatedBytes: z.number(),
  /** The moment whose bytes it has: wall time of the host, ms since the epoch. */
  takenAt: z.number(),
  /** Of the file systems. `crash`: as after a power cut; absent in a copy that an older release has taken: `crash`. */
  consistency: z.enum(['frozen', 'crash']).optional(),
});
export type SnapshotProof = ValueOf<typeof snapshotProofSchema>;
