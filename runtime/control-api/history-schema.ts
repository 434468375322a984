/**
 * The wire of the methods that read the past: history, an actor at a version, what differs between two. Part of
 * api-schema.ts, which holds the rules; the methods are history-methods.ts.
 */
import { z } from 'zod';
import { count, idText } from './wire-terms.ts';

const version = z.number().int().min(1);

export const historyEntry = z.object({
  version: count,
  at: z.number(),
  event: z.unknown(),
  cause: z.string(),
  from: z.unknown(),
  to: z.unknown(),
  kind: z.enum(['transition', 'ignored', 'rejected', 'dropped', 'operated', 'upgraded']),
  asked: z.array(z.string()),
  taken: z
    .array(z.string())
    .optional()
    .meta({ description: 'Transitions of the chart that were taken, `<state>:<event>`, in order; at most 16' }),
  changed: z.record(z.string(), z.unknown()),
  gone: z.array(z.string()).optional().meta({ description: 'Fields of the context that have no value any more' }),
  whole: count.optional().meta({ description: 'Chart version; present when `changed` is the whole context' }),
  trace: z.string().optional(),
});

const context = z.unknown().meta({ description: 'For operators only' });

const actorAt = z.object({
  id: z.string(),
  version: count,
  chartVersion: count,
  state: z.unknown().meta({ description: 'Null when there was no such actor: not born yet, or removed' }),
  stateName: z.string(),
  spec: z.unknown(),
  status: z.unknown(),
  context: context.optional(),
  entry: historyEntry.meta({ description: 'The last entry of this version' }),
});

const difference = z.object({
  path: z.string().meta({ description: 'Dotted: `state`, `status.address`' }),
  before: z.unknown().optional().meta({ description: 'Absent: there was no such field' }),
  after: z.unknown().optional().meta({ description: 'Absent: there is no such field any more' }),
});

export const historyShapes = {
  'actor.history': {
    description:
      'Transitions and recorded non-transitions, newest last, with version above `after` and up to `to`; when there ' +
      'are more than `limit`, the newest of them. Reaches into the archives of all nodes.',
    params: z.strictObject({
      id: idText,
      after: count.default(0),
      to: version.optional(),
      limit: z.number().int().min(1).max(500).default(100),
    }),
    result: z.object({ entries: z.array(historyEntry) }),
  },
  'actor.at': {
    description: 'An actor as it was after the last entry of a version, rebuilt from its history.',
    params: z.strictObject({ id: idText, version }),
    result: actorAt,
  },
  'actor.diff': {
    description: 'What differs between two versions of an actor.',
    params: z.strictObject({ id: idText, from: version, to: version }),
    result: z.object({ id: z.string(), from: version, to: version, differences: z.array(difference) }),
  },
  'archive.status': {
    description: 'How the node that answers is getting on with archiving history.',
    params: z.strictObject({}),
    result: z.object({
      node: z.string(),
      archivedEntries: count.meta({ description: 'Since its process started' }),
      waiting: count.meta({ description: 'Actors that wait to be looked at' }),
      nearCap: count.meta({ description: 'Actors whose hot history is about to be lost at the cap' }),
      lostVersions: count.meta({ description: 'Dropped at the cap before they were archived' }),
      trouble: z.object({ message: z.string(), sinceMs: z.number() }).optional(),
    }),
  },
} as const;
