/** Quota messages between counted objects and their tenant. */
import { z } from 'zod';
import { failureSchema } from './failures.ts';
import { message } from './kind.ts';

export const quotaClaim = message(
  'quota.claim',
  'Claims quota for one object; a repeated claim gets the same answer, one with another size changes that.',
  {
    kind: z.string(),
    claimant: z.string(),
    /** Size of a volume; all volumes of a tenant together have a quota of their own. */
    mib: z.int().optional(),
  },
);
export const quotaRelease = message('quota.release', 'Releases the quota of the object.', {
  kind: z.string(),
  claimant: z.string(),
});
export const quotaGranted = message('quota.granted', 'The quota is granted to the claimant.', {
  kind: z.string(),
  /** For a network: its maximum number of ports, which it counts itself. */
  ports: z.int().optional(),
});
export const quotaRefused = message(
  'quota.refused',
  'The quota is exhausted, or the tenant is being deleted or does not exist.',
  {
    kind: z.string(),
    error: failureSchema,
  },
);
