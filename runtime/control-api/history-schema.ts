/**
 * The wire format of the methods that read history: entries, an actor at a version, differences between two versions.
 * Part of api-schema.ts; the methods are in history-methods.ts.
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
  gone: z.array(z.string()).optional().meta({ description: 'Fields that were removed from the context' }),
  whole: count.optional().meta({ description: 'Chart version; present when `changed` is the whole context' }),
  trace: z.string().optional(),
});

const context = z.unknown().meta({ description: 'For operators only' });

const actorAt = z.object({
  id: z.string(),
  version: count,
  chartVersion: count,
  state: z.unknown().meta({ description: 'Null when the actor did not exist: not created yet, or removed' }),
  stateName: z.string(),
  spec: z.unknown(),
  status: z.unknown(),
  context: context.optional(),
  entry: historyEntry.meta({ description: 'The last entry of this version' }),
});

const difference = z.object({
  path: z.string().meta({ description: 'Dotted: `state`, `status.address`' }),
  before: z.unknown().optional().meta({ description: 'Absent when the field did not exist before' }),
  after: z.unknown().optional().meta({ description: 'Absent when the field was removed' }),
});

const olderThan = z.enum(['more', 'none', 'lost', 'not_archived']).meta({
  description:
    'What precedes the first entry in the range. `more`: another page. `none`: nothing. `lost`: entries that are no ' +
    'longer kept. `not_archived`: the answering node has no archive and only the newest entries',
});

export const historyShapes = {
  'actor.history': {
    description:
      'History entries with version above `after` and up to `to`, newest last; of more than `limit`, the newest. ' +
      'Entries without a transition (ignored, rejected, dropped) are included. Reads the archives of all nodes. ' +
      'For the page before: `to` the version of the first entry, `skip` the number of entries of that version.',
    params: z.strictObject({
      id: idText,
      after: count.default(0),
      to: version.optional(),
      skip: count.default(0).meta({ description: 'So many of the newest entries of this range are left out' }),
      limit: z.number().int().min(1).max(500).default(100),
    }),
    result: z.object({ entries: z.array(historyEntry), older: olderThan }),
  },
  'actor.at': {
    description: 'An actor as it was after the last entry of a version, rebuilt from its history.',
    params: z.strictObject({ id: idText, version }),
    result: actorAt,
  },
  'actor.diff': {
    description: 'The differences between two versions of an actor.',
    params: z.strictObject({ id: idText, from: version, to: version }),
    result: z.object({ id: z.string(), from: version, to: version, differences: z.array(difference) }),
  },
  'archive.status': {
    description: 'The status of the history archive of the answering node.',
    params: z.strictObject({}),
    result: z.object({
      node: z.string(),
      archivedEntries: count.meta({ description: 'Since its process started' }),
      waiting: count.meta({ description: 'Actors whose history waits to be archived' }),
      nearCap: count.meta({
        description: 'Actors whose history in the store is close to its cap, beyond which entries are dropped',
      }),
      lostVersions: count.meta({ description: 'Versions dropped at the cap before they were archived' }),
      trouble: z.object({ message: z.string(), sinceMs: z.number() }).optional(),
    }),
  },
} as const;
