/**
 * Generates documents from the zod schemas: the JSON Schema bundle, which is also the answer of `rpc.discover`, and the
 * AsyncAPI document. schema-main.ts writes them to files; a test compares the files.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { ActorRegistry } from '../contract/actor-definition.ts';
import { defaultApiLimits, toldLimitsOf, type ApiLimits } from './api-limits.ts';
import { apiMethods, apiNotifications, apiPath, apiProtocol, commandEnvelope, wireShapes } from './api-schema.ts';
import { commandResult } from './operator-schema.ts';
import { wireRules } from './wire-rules.ts';

type Json = Record<string, unknown>;

/** The address of the JSON Schema version that zod writes, 2020-12. */
const { $schema: metaSchema } = z.toJSONSchema(z.unknown());

/** JSON Schema 2020-12. Fields with defaults are optional in params (`input`) and required in results (`output`). */
export const jsonSchemaOf = (schema: z.ZodType, io: 'input' | 'output' = 'input'): Json => {
  const whole = z.toJSONSchema(schema, { io, unrepresentable: 'any', cycles: 'ref' }) as Json;
  // The bundle declares it once for all.
  delete whole['$schema'];
  return whole;
};

/** Without a registry, the bundle contains only the methods that every installation has. */
export function schemaBundle(registry?: ActorRegistry, limits: ApiLimits = defaultApiLimits): Json {
  const methods: Json = {};
  for (const [name, { description, params, result }] of Object.entries(apiMethods)) {
    methods[name] = { description, params: jsonSchemaOf(params), result: jsonSchemaOf(result, 'output') };
  }
  for (const definition of registry?.kinds.values() ?? []) {
    for (const [name, command] of Object.entries(definition.commands)) {
      methods[`${definition.kind}.${name}`] = {
        description: command.description,
        params: jsonSchemaOf(commandEnvelope.extend({ params: command.params })),
        result: jsonSchemaOf(commandResult, 'output'),
      };
    }
  }
  const opening = methods['watch.open'] as { params: { properties: { ids: Json } } };
  opening.params.properties.ids['maxItems'] = limits.maxWatchIds;
  const shapes: Json = {};
  for (const [name, schema] of Object.entries(wireShapes)) shapes[name] = jsonSchemaOf(schema, 'output');
  const notifications: Json = {};
  for (const [name, schema] of Object.entries(apiNotifications)) notifications[name] = jsonSchemaOf(schema, 'output');
  return {
    $schema: metaSchema,
    title: `Control API ${apiProtocol}`,
    rules: wireRules,
    limits: toldLimitsOf(limits),
    methods,
    command: {
      description: "Every `<kind>.<command>`; `params` is the command's own schema, see kinds.list.",
      params: jsonSchemaOf(commandEnvelope),
      result: jsonSchemaOf(commandResult, 'output'),
    },
    notifications,
    shapes,
  };
}

export const schemaHash = (bundle: Json): string =>
  createHash('sha256').update(JSON.stringify(bundle)).digest('hex').slice(0, 16);

export function asyncApiDocument(): Json {
  const notifications = Object.entries(apiNotifications).map(([name, schema]) => [
    name,
    {
      name,
      summary: `Server notification ${name}`,
      payload: envelopeOf({ method: { const: name }, params: jsonSchemaOf(schema, 'output') }, ['method', 'params']),
    },
  ]);
  const requests = Object.entries(apiMethods).map(([name, { description, params }]) => [
    name,
    {
      name,
      summary: description,
      payload: envelopeOf(
        { id: { type: ['string', 'integer'] }, method: { const: name }, params: jsonSchemaOf(params) },
        ['id', 'method'],
      ),
    },
  ]);
  const response = { name: 'response', payload: jsonSchemaOf(wireShapes.responseFrame, 'output') };
  const messages = Object.fromEntries([...notifications, ...requests, ['response', response]]) as Json;
  const refs = (names: readonly unknown[]): Json[] =>
    names.map((name) => ({ $ref: `#/channels/api/messages/${String(name)}` }));
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Control API',
      version: apiProtocol,
      description:
        'JSON-RPC 2.0 in WebSocket text frames. The subprotocol is the major version. Where hello names the feature ' +
        'batch, a frame may be an array of requests; a client that has sent such a frame gets all answers and ' +
        'notifications of one event loop tick as one array, whatever batch they belong to.',
    },
    channels: { api: { address: apiPath, messages } },
    operations: {
      call: { action: 'receive', channel: { $ref: '#/channels/api' }, messages: refs(requests.map(([name]) => name)) },
      answer: {
        action: 'send',
        channel: { $ref: '#/channels/api' },
        messages: refs(['response', ...notifications.map(([name]) => name)]),
      },
    },
  };
}

function envelopeOf(properties: Json, required: readonly string[]): Json {
  return {
    type: 'object',
    required: ['jsonrpc', ...required],
    properties: { jsonrpc: { const: '2.0' }, ...properties },
  };
}
