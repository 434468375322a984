/**
 * The wire format of operator verbs and dead letters: the part of api-schema.ts for operators only. The methods are in
 * operator-methods.ts.
 */
import { z } from 'zod';
import { durabilities } from '../contract/durability.ts';
import { count, idText, keyText, word } from './wire-terms.ts';

export const commandResult = z.object({
  id: z.string(),
  version: count,
  result: z.unknown(),
  durability: z
    .enum(durabilities)
    .optional()
    .meta({ description: 'Durability level that the commit has reached; absent when nothing had to be written' }),
});

const waitMs = z.number().int().min(1).optional();
const deadLetterIdSchema = z.string().min(1).max(40);
/** Params of every operator verb. */
const verb = {
  id: idText,
  idempotencyKey: keyText,
  ifVersion: count.optional(),
  waitMs,
  reason: z.string().min(1).max(500).meta({ description: 'Recorded in the history with the principal' }),
};
const deadLetters = z.array(deadLetterIdSchema).min(1).max(256).optional();
const deadLetter = z.object({
  deadLetterId: z.string(),
  actor: z.string(),
  event: z.unknown(),
  cause: z.string(),
  from: z.string().optional(),
  reason: z.string(),
  state: z.unknown(),
  version: count,
  at: z.number(),
  trace: z.string().optional(),
});

export const operatorShapes = {
  'actor.pause': {
    description: 'For operators. The actor processes no commands, messages, timers or effects until it is resumed.',
    params: z.strictObject(verb),
    result: commandResult,
  },
  'actor.resume': {
    description: 'For operators. Ends a pause or a quarantine; waiting messages, timers and effects continue.',
    params: z.strictObject(verb),
    result: commandResult,
  },
  'actor.skip': {
    description: 'For operators. Drops the named dead letters, or the one that caused a quarantine, which then ends.',
    params: z.strictObject({ ...verb, deadLetters }),
    result: commandResult,
  },
  'actor.redrive': {
    description: 'For operators. Delivers dead letters again, once each: the named ones, or all of the actor.',
    params: z.strictObject({ ...verb, deadLetters }),
    result: commandResult,
  },
  'actor.reset': {
    description:
      'For operators. Enters a state with its entry effects, messages and timers; a dry run shows what would change.',
    params: z.strictObject({
      ...verb,
      to: z.string().min(1).max(500).meta({ description: '`running`, `preparing.tap`; regions joined by commas' }),
      patch: z.record(z.string(), z.unknown()).optional().meta({ description: 'Top-level fields of the context' }),
      dryRun: z.boolean().optional(),
    }),
    result: commandResult,
  },
  'deadletters.clear': {
    description:
      'For operators. Drops dead letters of one actor, a scope, or all, oldest first, 1000 at once. Each actor ' +
      'records it. Those that hold an actor in quarantine stay: skip them on the actor.',
    params: z.strictObject({
      id: idText.optional(),
      scope: word.optional(),
      idempotencyKey: keyText,
      reason: verb.reason,
    }),
    result: z.object({ cleared: count, held: count, left: count }),
  },
  'deadletters.list': {
    description: 'For operators. Dead letters (inputs that could not be applied) with their reasons, oldest first.',
    params: z.strictObject({
      id: idText.optional(),
      scope: word.optional(),
      limit: z.number().int().min(1).max(500).default(100),
      after: deadLetterIdSchema.optional(),
    }),
    result: z.object({ deadLetters: z.array(deadLetter), next: z.string().nullable() }),
  },
} as const;
