/**
 * The fields of a status that mean the same in every kind: what a kind's `view` promises to the inspector, to
 * `photon describe` and to clients. A kind leaves out what it has not; beside these fields it shows what it likes.
 *
 *   conditions   facts about the object; each object that clients declare has at least `Ready`, the only one of which
 *                True is good and False is not
 *   failure      why the object is not as declared, or null; whatever state stands for a failure or a refusal has one,
 *                or a condition with a message
 *   hosts        of a kind that publishes sections to hosts: per host what was published and what it has proved
 *   progress     of a kind that moves bytes: how many of how many, and how fast; null while it moves none
 *
 * A test holds every kind of the product to this (actors/photon/shown-kinds.test.ts).
 */
import { z } from 'zod';

const shownCondition = z.object({
  /** `Ready`, `Realized` ... */
  type: z.string(),
  status: z.enum(['True', 'False', 'Unknown']),
  /** One word, CamelCase. */
  reason: z.string(),
  /** For a person; empty when the reason says it all. */
  message: z.string(),
  /** Wall time of the last change of `status`, ms since the epoch. */
  since: z.number(),
});

const shownFailure = z.object({
  code: z.string(),
  /** What is wrong, and what to do. */
  message: z.string(),
  /** The actor tries again by itself. */
  retryable: z.boolean(),
});

const shownSection = z.object({ published: z.number(), proven: z.number(), failure: shownFailure.nullable() });

const shownHost = z.object({
  host: z.string(),
  /** By name. A host lags in a section when `proven` differs from `published`. */
  sections: z.record(z.string(), shownSection),
  failure: shownFailure.nullable(),
});

/** Either the bytes that are left or those that have come are known. Rates are bytes per second. */
const shownProgress = z.object({
  phase: z.string().optional(),
  /** Null while nobody knows. */
  totalBytes: z.number().nullable(),
  remainingBytes: z.number().optional(),
  receivedBytes: z.number().optional(),
  rate: z.number().optional(),
  /** What is written meanwhile and has to be moved again. */
  dirtyRate: z.number().optional(),
});

/** A status has other fields too; `hosts` that is no list is one of them. */
export const shownStatus = z.looseObject({
  conditions: z.array(shownCondition).optional(),
  failure: shownFailure.nullable().optional(),
  progress: shownProgress.nullable().optional(),
  hosts: z.union([z.array(shownHost), z.record(z.string(), z.unknown())]).optional(),
});

export type ShownCondition = z.output<typeof shownCondition>;
export type ShownFailure = z.output<typeof shownFailure>;
export type ShownSection = z.output<typeof shownSection>;
export type ShownProgress = z.output<typeof shownProgress>;
export type ShownHost = z.output<typeof shownHost>;
