/**
 * The wire format of the control API, version photon.v1: the only source for validation, api.schema.json, asyncapi.json
 * and the client's types. Frames are JSON texts: a JSON-RPC 2.0 envelope, or an array of them (batchFeature).
 * Within a version things are only added: the server refuses unknown params with their path, clients ignore unknown
 * fields. The schemas of the params of `<kind>.<command>` belong to the kinds and come from the registry.
 */
import { z } from 'zod';
import { durabilities } from '../contract/durability.ts';
import { defaultApiLimits } from './api-limits.ts';
import { historyEntry, historyShapes } from './history-schema.ts';
import { nodeShapes } from './node-schema.ts';
import { commandResult, operatorShapes } from './operator-schema.ts';
import { watchFrameTexts } from './wire-rules.ts';
import { count, idText, keyText, word } from './wire-terms.ts';

export const apiProtocol = 'photon.v1';
export const apiPath = '/api';
/**
 * A feature listed in hello: a frame may be an array of requests. After a client has sent several requests in one
 * frame, the server sends it arrays too: all answers and notifications of one event loop tick, whatever batch they
 * belong to.
 */
export const batchFeature = 'batch';

const cursor = z.string().min(1).max(16_384);

const issue = z.object({
  path: z.string().meta({ description: 'Dotted, from the root of the command: `spec.disks.0.volume`' }),
  message: z.string(),
});

const problem = z.object({
  type: z.string().meta({ description: '`urn:photon:error:<code>`; programs switch on this, never on text' }),
  title: z.string(),
  detail: z.string().meta({ description: 'What happened to which object, and what to do next' }),
  group: z.enum(['rejection', 'fault', 'defeat', 'unknown', 'ownership_lost', 'bug']),
  retryable: z.boolean(),
  retryAfterMs: count.optional(),
  issues: z.array(issue).optional(),
  actor: z.string().optional(),
  traceId: z.string(),
});

const rpcId = z.union([z.string().min(1).max(64), z.number().int().nonnegative()]);

export const traceparentForm = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** One request. A frame is one of them, or an array of them where hello names the feature `batch`. */
export const requestFrame = z.strictObject({
  jsonrpc: z.literal('2.0'),
  id: rpcId,
  method: z.string().min(1).max(100),
  params: z.record(z.string(), z.unknown()).optional(),
  traceparent: z.string().regex(traceparentForm, 'must be a W3C traceparent').optional(),
});

const responseFrame = z.union([
  z.object({ jsonrpc: z.literal('2.0'), id: rpcId, result: z.unknown() }),
  z.object({
    jsonrpc: z.literal('2.0'),
    id: rpcId.nullable(),
    error: z.object({ code: z.number().int(), message: z.string(), data: problem }),
  }),
]);

const hello = z.object({
  protocol: z.literal(apiProtocol),
  serverVersion: z.string(),
  node: z.string(),
  features: z.array(z.string()),
  schemaHash: z.string(),
  maxFrameBytes: count.meta({ description: 'The same as limits.maxFrameBytes' }),
  limits: z
    .object({
      maxFrameBytes: count.meta({ description: 'Bytes of a frame; a longer one closes the connection with 1009' }),
      maxDepth: count.meta({ description: 'Levels of a request' }),
      maxKeys: count.meta({ description: 'Keys and list elements of a request, all levels together' }),
      maxInFlight: count.meta({ description: 'Requests without an answer' }),
      maxWatches: count.meta({ description: 'Open watches' }),
      maxWatchIds: count.meta({ description: 'Ids of one watch' }),
      watchWindow: count.meta({ description: 'Unacknowledged frames of one watch' }),
      commandsPerS: count.meta({ description: 'Commands per second' }),
      readsPerS: count.meta({ description: 'Reads per second' }),
    })
    .meta({ description: 'Of this connection, in force at this node; docs/limits.md says what happens above them' }),
  heartbeatMs: count,
  authTimeoutMs: count,
  authenticated: z
    .boolean()
    .meta({ description: 'True when the handshake carried a token; `auth` is then not needed' }),
});

const lifecycle = z.enum(['live', 'removed']);
const waitingOn = z.array(z.enum(['timer', 'effect', 'event']));

const refused = z
  .string()
  .optional()
  .meta({ description: 'Why the answering node cannot read the actor; spec and status are then null' });

const reason = z
  .string()
  .optional()
  .meta({ description: 'Why the actor is not as it should be: its failure, or what it waits for; absent when it is' });

const heldKind = z.enum(['paused', 'quarantined']);

const actorSummary = z.object({
  id: z.string(),
  uid: z.string(),
  version: count,
  stateName: z.string(),
  lifecycle,
  waitingOn,
  at: z.number().meta({ description: 'Wall time of the last commit, ms since the epoch' }),
  held: heldKind
    .optional()
    .meta({ description: 'The actor processes no commands and messages; see `hold` of actor.get' }),
});

const actorObject = z.object({
  id: z.string(),
  uid: z.string(),
  version: count,
  chartVersion: count,
  state: z.unknown().meta({ description: 'State value of the chart: a name, or nested names' }),
  stateName: z.string(),
  lifecycle,
  waitingOn,
  spec: z.unknown(),
  status: z.unknown(),
  reason,
  effects: z.array(z.object({ id: z.string(), type: z.string(), state: z.string() })),
  timers: z.array(z.object({ id: z.string(), dueMs: z.number(), eventType: z.string() })),
  hold: z
    .object({ kind: heldKind, reason: z.string(), at: z.number(), by: z.string(), deadLetterId: z.string().optional() })
    .optional(),
  refused,
});

const listedActor = actorSummary.extend({
  spec: z.unknown().optional(),
  status: z.unknown().optional(),
  reason,
  refused,
});

const says = watchFrameTexts;
const numbered = { watch: z.string(), n: count };
const change = { ...numbered, actor: listedActor, cursor };

export const watchFrame = z.discriminatedUnion('type', [
  z.object({ type: z.literal('items'), ...numbered, actors: z.array(listedActor) }).meta(says.items),
  z.object({ type: z.literal('synced'), ...numbered, cursor }).meta(says.synced),
  z.object({ type: z.literal('added'), ...change }).meta(says.added),
  z.object({ type: z.literal('changed'), ...change }).meta(says.changed),
  z.object({ type: z.literal('removed'), ...change }).meta(says.removed),
  z.object({ type: z.literal('bookmark'), ...numbered, cursor }).meta(says.bookmark),
  z.object({ type: z.literal('coalesced'), ...numbered, dropped: count }).meta(says.coalesced),
  z.object({ type: z.literal('reset'), ...numbered, reason: z.string() }).meta(says.reset),
  z.object({ type: z.literal('closed'), ...numbered, error: problem }).meta(says.closed),
]);

/** Params of every `<kind>.<command>`; `params` is replaced by the command's own schema. */
export const commandEnvelope = z.strictObject({
  scope: word,
  name: z.string().min(1).max(130),
  idempotencyKey: keyText.meta({
    description:
      'Chosen by the caller; the same key with the same params gets the same answer. Let it hold the time: ' +
      'milliseconds and a hyphen at its start (1790000000000-x), a ULID, or a UUID of version 7. Then a repeat whose ' +
      'answer was dropped is refused as command_too_old, never done again. A key without a time is good for 24 h',
  }),
  ifVersion: count.optional(),
  dryRun: z
    .boolean()
    .optional()
    .meta({
      description:
        'Commits nothing: refused as the command would be, or answered with what its actor would do (states, ' +
        'effects, messages, timers, changed fields). What other actors decide later, such as a quota, is not asked',
    }),
  durability: z
    .enum(durabilities)
    .optional()
    .meta({ description: 'Durability level of the commit before the answer; default: the level of the kind' }),
  waitMs: z
    .number()
    .int()
    .min(1)
    .optional()
    .meta({ description: 'Without a reply after this time the answer is `unknown`; default 30 s' }),
  params: z.unknown(),
});

const filter = {
  kind: word.optional(),
  scope: word.optional(),
  host: word.optional(),
  search: z.string().max(100).optional(),
};
const detail = z.boolean().optional().meta({ description: 'With spec and status; costs a read per actor' });

/** Every method that is not a command of a kind. */
/** What a node may answer of an object that is asked for its own words. */
export const factsSchema = z
  .array(z.object({ name: z.string().max(256), values: z.array(z.string().max(256)).max(32) }))
  .max(64);

export const apiMethods = {
  auth: {
    description: 'Authenticates the session by a token or a one-use ticket; sent again, it replaces the token.',
    params: z.strictObject({ token: z.string().min(1).max(512).optional(), ticket: z.string().max(128).optional() }),
    result: z.object({
      principal: z.string(),
      scopes: z.union([z.array(z.string()), z.literal('*')]),
      admin: z.boolean(),
    }),
  },
  'auth.secret': {
    description: 'Makes a one-use secret with which a browser opens a session: `/open#<secret>`.',
    params: z.strictObject({ ttlMs: z.number().int().min(1_000).max(3_600_000).optional() }),
    result: z.object({ secret: z.string(), expiresInMs: count }),
  },
  ping: {
    description: 'Answers at once.',
    params: z.strictObject({}),
    result: z.object({
      at: z.number().meta({ description: 'The clock of the cluster, ms since the epoch; times of actors are on it' }),
    }),
  },
  'rpc.discover': {
    description: 'The JSON Schemas of every method and frame, commands of kinds included.',
    params: z.strictObject({}),
    result: z.record(z.string(), z.unknown()),
  },
  'kinds.list': {
    description: 'Actor kinds with their commands.',
    params: z.strictObject({}),
    result: z.object({
      kinds: z.array(
        z.object({
          kind: z.string(),
          chartVersion: count,
          placement: z.enum(['sharded', 'pinned']),
          states: z.array(z.string()).meta({ description: 'State names of its chart: `preparing`, `preparing.tap`' }),
          commands: z.array(
            z.object({
              name: z.string(),
              method: z.string(),
              creates: z.boolean(),
              permission: z.enum(['scope', 'admin']),
              description: z.string(),
              params: z.unknown().meta({ description: 'JSON Schema' }),
            }),
          ),
        }),
      ),
    }),
  },
  'actor.get': {
    description: 'One actor, as last committed.',
    params: z.strictObject({ id: idText }),
    result: actorObject,
  },
  'actor.output': {
    description: 'The last 256 KiB of what an object printed on its node, such as the serial console of a VM.',
    params: z.strictObject({ id: idText }),
    result: z.object({
      node: z.string(),
      text: z.string().meta({ description: 'As the guest printed it, control characters included' }),
    }),
  },
  'actor.figures': {
    description:
      'Figures of an object as they are now on its nodes, such as the bytes that a volume has allocated and that its ' +
      'guest has read; and facts, such as what the guest of a VM says of itself. They are no state: nothing keeps ' +
      'them, and no watch tells them.',
    params: z.strictObject({ id: idText }),
    result: z.object({
      figures: z.record(z.string(), z.number()),
      facts: factsSchema.optional().meta({ description: 'Not checked by anybody; absent from an older release: none' }),
      complete: z.boolean().meta({ description: 'False: a node did not answer, and figures of it are missing' }),
    }),
  },
  'actor.console': {
    description:
      'Makes a token that opens the serial console of a VM, once and within a minute, on the same server: a ' +
      'WebSocket on `path` with the subprotocol photon.console.v1. Its first frame is the text {"token": ...}; the ' +
      'server answers {"open": id}, and from then on binary frames carry bytes both ways. Close codes: 4401 token, ' +
      '4404 no run, 4408 read too slowly, 4409 another client has it, 1000 the run has ended.',
    params: z.strictObject({ id: idText }),
    result: z.object({ token: z.string(), expiresInMs: count, path: z.string() }),
  },
  'actor.put': {
    description:
      'Bytes for an object that waits for them, such as an image that is uploaded. They are taken if they begin at ' +
      'the first missing byte; the answer says how many have come. Without bytes it only asks. A request that is ' +
      'sent again does no harm.',
    params: z.strictObject({
      id: idText,
      offset: z.number().int().min(0),
      bytes: z.base64().max(122_880).meta({ description: 'Base64 of at most 90 KiB' }),
    }),
    result: z.object({
      receivedBytes: z.number().int(),
      totalBytes: z.number().int().nullable(),
      isWhole: z.boolean(),
    }),
  },
  'actor.list': {
    description: 'Live actors ordered by id; the cursor precedes the read, so a watch from it misses nothing.',
    params: z.strictObject({
      ...filter,
      state: z.string().max(200).optional(),
      limit: z.number().int().min(1).max(500).default(100),
      after: idText.optional(),
      held: z.boolean().optional().meta({ description: 'Only actors that are paused or quarantined' }),
      detail,
    }),
    result: z.object({ actors: z.array(listedActor), cursor, next: z.string().nullable() }),
  },
  ...historyShapes,
  ...operatorShapes,
  ...nodeShapes,
  'watch.open': {
    description: 'Snapshot, `synced`, then changes; with `since` the changes after that cursor.',
    params: z.strictObject({
      ...filter,
      ids: z
        .array(idText)
        .min(1)
        .optional()
        .meta({ description: 'May name actors that do not exist yet', maxItems: defaultApiLimits.maxWatchIds }),
      since: cursor.optional(),
      strict: z
        .boolean()
        .optional()
        .meta({ description: 'Close instead of a fresh snapshot when `since` has expired' }),
      detail,
    }),
    result: z.object({ watch: z.string(), window: count }),
  },
  'watch.ack': {
    description: 'Acknowledges all frames up to `upTo`, so that the server may send further frames.',
    params: z.strictObject({ watch: z.string().max(32), upTo: count }),
    result: z.object({}),
  },
  'watch.close': {
    description: 'Ends a watch.',
    params: z.strictObject({ watch: z.string().max(32) }),
    result: z.object({}),
  },
} as const;

/** Notifications of the server, by method name. */
export const apiNotifications = { hello, 'watch.event': watchFrame } as const;

export const wireShapes = { requestFrame, responseFrame, problem, actorObject, actorSummary } as const;

export type ApiMethod = keyof typeof apiMethods;
export type ApiParams<M extends ApiMethod> = z.input<(typeof apiMethods)[M]['params']>;
export type ApiResult<M extends ApiMethod> = z.output<(typeof apiMethods)[M]['result']>;
export type CommandParams = z.input<typeof commandEnvelope>;
export type CommandResult = z.output<typeof commandResult>;
export type RequestFrame = z.output<typeof requestFrame>;
export type RpcId = z.output<typeof rpcId>;
export type Problem = z.output<typeof problem>;
export type Hello = z.output<typeof hello>;
export type ActorSummaryWire = z.output<typeof actorSummary>;
export type ListedActor = z.output<typeof listedActor>;
export type ActorObject = z.output<typeof actorObject>;
export type HistoryItem = z.output<typeof historyEntry>;
export type WatchFrame = z.output<typeof watchFrame>;
/** A watch frame without its watch id and number. */
export type WatchBody = WatchFrame extends infer F ? (F extends unknown ? Omit<F, 'watch' | 'n'> : never) : never;
