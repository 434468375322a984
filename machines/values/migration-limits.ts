/** What a client may say about a migration, and from which versions of QEMU a guest may run while it is sent. */
import { z } from 'zod';
import type { MigrationMethod } from './wiring.ts';

export const migrateLimits = z.strictObject({
  maxDowntimeMs: z
    .int()
    .min(10)
    .max(10_000)
    .default(300)
    .describe('The longest pause of the guest that is planned for, ms. It is never made longer.'),
  stallSeconds: z
    .int()
    .min(5)
    .max(600)
    .default(30)
    .describe('The move stalls when so long no less was left to send than before.'),
  onStall: z
    .enum(['abort', 'throttle', 'pause'])
    .default('abort')
    .describe(
      'abort: it stays where it is. throttle: QEMU slows the guest down, from the beginning. pause: the guest stands ' +
        'still for the rest.',
    ),
  deadlineSeconds: z.int().min(10).max(86_400).default(3_600).describe('The move is ended after so long.'),
});

/** Versions from which a guest may run while it is sent: without, and with mirrored volumes (docs/decisions/0019). */
export function methodFor(version: string, mirrors: number): MigrationMethod {
  const [major = 0, minor = 0, micro = 0] = version.split('.').map(Number);
  const isFrom = (wanted: number): boolean => major > 10 || (major === 10 && (minor > 0 || micro >= wanted));
  return isFrom(mirrors === 0 ? 0 : 9) ? 'live' : 'stopped';
}
