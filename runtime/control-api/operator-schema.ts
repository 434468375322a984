/**
 * The wire of operators' verbs and of dead letters: the part of api-schema.ts that only operators may ask for. What is
 * validated here is carried out by operator-methods.ts.
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
    .meta({ description: 'What the commit behind the answer has reached; absent where nothing had to be written' }),
});

const waitMs = z.number().int().min(1).optional();
const deadLetterIdSchema = z.string().min(1).max(40);
/** Of every verb of operators. */
const verb = {
  id: idText,
  idempotencyKey: keyText,
  ifVersion: count.optional(),
  waitMs,
  reason: z.string().min(1).max(500).meta({ description: 'Kept in the history with the principal' }),
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
    description: 'For operators. The actor takes no commands, messages, timers or effects until it is resumed.',
    params: z.strictObject(verb),
    result: commandResult,
  },
  'actor.resume': {
    description: 'For operators. Ends a pause or a quarantine; what waited goes on.',
    params: z.strictObject(verb),
    result: commandResult,
  },
  'actor.skip': {
    description: 'For operators. Drops dead letters: those named, or the one behind a quarantine, which then ends.',
    params: z.strictObject({ ...verb, deadLetters }),
    result: commandResult,
  },
  'actor.redrive': {
    description: 'For operators. Delivers dead letters again, once each: those named, or all of the actor.',
    params: z.strictObject({ ...verb, deadLetters }),
    result: commandResult,
  },
  'actor.reset': {
    description: 'For operators. Enters a state as the chart would; a dry run says what would change.',
    params: z.strictObject({
      ...verb,
      to: z.string().min(1).max(500).meta({ description: '`running`, `preparing.tap`; regions joined by commas' }),
      patch: z.record(z.string(), z.unknown()).optional().meta({ description: 'Top-level fields of the context' }),
      dryRun: z.boolean().optional(),
    }),
    result: commandResult,
  },
  'deadletters.list': {
    description: 'For operators. Inputs that could not be applied, oldest first, with the reason.',
    params: z.strictObject({
      id: idText.optional(),
      scope: word.optional(),
      limit: z.number().int().min(1).max(500).default(100),
      after: deadLetterIdSchema.optional(),
    }),
    result: z.object({ deadLetters: z.array(deadLetter), next: z.string().nullable() }),
  },
} as const;
