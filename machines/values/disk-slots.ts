/**
 * Disks of a run by their slots: where the guest has each, and what becomes of one that comes or goes while the guest
 * runs. Plain JSON, as the rest of what hosts are told (wiring.ts).
 */
import { z } from 'zod';
import { failureSchema } from './failures.ts';
import type { ValueOf } from './kind.ts';
import type { IncarnationDisk } from './wiring.ts';

/** Each disk of a run with its slot. */
export const slotted = (
  disks: readonly IncarnationDisk[],
): readonly (readonly [slot: number, disk: IncarnationDisk])[] =>
  disks.map((disk, index) => [disk.slot ?? index, disk]);

/** What a run has of a disk that it was told to have, or not to have any more. */
export const diskStandingSchema = z.object({
  volume: z.string(),
  /** `leaving`: its guest was asked to release it, and has not yet. */
  standing: z.enum(['plugged', 'leaving', 'failed']),
  error: failureSchema.nullable(),
});
export type DiskStanding = ValueOf<typeof diskStandingSchema>;
