/**
 * Disks and NICs of a run by their slots: where the guest has each, and what becomes of one that comes or goes while
 * the guest runs. Plain JSON, as the rest of what hosts are told (wiring.ts).
 */
import { z } from 'zod';
import { failureSchema } from './failures.ts';
import type { ValueOf } from './kind.ts';

/** Each device of a run with its slot. */
export const slotted = <Device extends { readonly slot?: number | undefined }>(
  devices: readonly Device[],
): readonly (readonly [slot: number, device: Device])[] =>
  devices.map((device, index) => [device.slot ?? index, device]);

/**
 * What a run has of a device that it was told to have, or not to have any more. `opened`: QEMU has its tap, and the
 * guest gets it once the tap is wired; `leaving`: the guest was asked to release it, and has not yet.
 */
export const standingSchema = z.enum(['plugged', 'opened', 'leaving', 'failed']);
export type Standing = ValueOf<typeof standingSchema>;

const standing = { standing: standingSchema, error: failureSchema.nullable() };

export const diskStandingSchema = z.object({ volume: z.string(), ...standing });
export type DiskStanding = ValueOf<typeof diskStandingSchema>;

export const nicStandingSchema = z.object({ port: z.string(), ...standing });
export type NicStanding = ValueOf<typeof nicStandingSchema>;
