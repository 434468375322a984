/** The conversation of every counted object with its tenant. Here because all counted kinds and the tenant hold it. */
import { z } from 'zod';
import { failureSchema } from './failures.ts';
import { message } from './kind.ts';

export const quotaClaim = message(
  'quota.claim',
  'Asks the tenant for a place within its quota; asked again, answered alike.',
  {
    kind: z.string(),
    claimant: z.string(),
  },
);
export const quotaRelease = message('quota.release', 'Gives the place back.', {
  kind: z.string(),
  claimant: z.string(),
});
export const quotaGranted = message('quota.granted', 'The claimant has a place.', {
  kind: z.string(),
  /** To a network: how many ports it may have, which it counts itself. */
  ports: z.int().optional(),
});
export const quotaRefused = message(
  'quota.refused',
  'The tenant has no place left, is being deleted, or does not exist.',
  {
    kind: z.string(),
    error: failureSchema,
  },
);
