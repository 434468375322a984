/**
 * Test support: small kinds of actors that together use every request a chart can make. Never used in production.
 * counter (commands, versions, removal), relay and sink (messages), oven (effects, timers, deferred replies), shelf
 * (rows).
 */
import { assign, setup } from 'xstate';
import { z } from 'zod';
import type { ActorDefinition, ActorRegistry } from '../contract/actor-definition.ts';
import type { EffectContext } from '../contract/effect.ts';
import type { EffectOutcome } from '../contract/outcome.ts';
import { done } from '../contract/outcome.ts';
import type { ActorId } from '../contract/identifiers.ts';

interface Meta {
  readonly at: number;
  readonly ulid: string;
  readonly commandId?: string;
  readonly rows?: Readonly<Record<string, unknown>>;
}
type Sent = { type: string; [field: string]: unknown };
const request =
  <Params>() =>
  (_: unknown, _params: Params): void => {};
const requests = {
  send: request<{ to: string; event: Sent }>(),
  reply: request<{ commandId?: string | undefined; result?: unknown }>(),
  reject: request<{ commandId?: string; code: string; message: string }>(),
  defer: request<undefined>(),
  'row.put': request<{ collection: string; key: string; value: unknown }>(),
  'row.remove': request<{ collection: string; key: string }>(),
};
const command = (creates = false) =>
  ({ params: z.any(), permission: 'scope', creates, description: 'a command of a test' }) as const;
const base = {
  chartVersion: 1,
  placement: 'sharded',
  createdBy: [],
  effects: {},
  view: () => ({ spec: {}, status: {} }),
} as const;

type CounterEvent = { type: string; by?: number; meta: Meta };

export const counter: ActorDefinition = {
  ...base,
  kind: 'counter',
  createdBy: ['counter.wake'],
  input: (id: ActorId) => ({ id }),
  ignored: ['counter.noise'],
  commands: {
    create: command(true),
    add: command(),
    read: command(),
    burst: command(),
    delete: command(),
    crash: command(),
  },
  machine: setup({
    types: {
      context: {} as { id: string; total: number; uid: string },
      events: {} as CounterEvent,
      input: {} as { id: string },
    },
    actions: {
      ...requests,
      born: assign({ uid: ({ event }) => event.meta.ulid }),
      count: assign({ total: ({ context, event }) => context.total + (event.by ?? 1) }),
      crash: assign(() => {
        throw new Error('counter crashed on purpose');
      }),
    },
    guards: { negative: ({ event }) => (event.by ?? 0) < 0 },
  }).createMachine({
    context: ({ input }) => ({ id: input.id, total: 0, uid: '' }),
    initial: 'absent',
    states: {
      absent: {
        description: 'Not created yet.',
        on: {
          'counter.create': [
            {
              guard: 'negative',
              actions: { type: 'reject', params: { code: 'too_small', message: 'A counter starts at 0.' } },
            },
            { target: 'counting', actions: ['born', 'count'] },
          ],
          'counter.wake': { target: 'counting', actions: 'born' },
        },
      },
      counting: {
        description: 'Counts.',
        tags: 'steady',
        on: {
          'counter.add': [
            {
              guard: 'negative',
              actions: { type: 'reject', params: { code: 'too_small', message: 'Only upwards.' } },
            },
            { actions: 'count' },
          ],
          'counter.read': {
            actions: {
              type: 'reply',
              params: ({ context }) => ({ result: { total: context.total, uid: context.uid } }),
            },
          },
          'counter.burst': {
            actions: ['count', { type: 'send', params: { to: 'sink/t/a', event: { type: 'sink.put', item: 'x' } } }],
          },
          'counter.crash': { actions: 'crash' },
          'counter.delete': 'gone',
        },
      },
      gone: { description: 'Removed.', type: 'final' },
    },
  }),
};

type RelayEvent = { type: string; to: string; as?: string; count: number; meta: Meta };

/** Sends a numbered run of messages to a sink. */
export const relay: ActorDefinition = {
  ...base,
  kind: 'relay',
  input: () => undefined,
  commands: { send: command(true) },
  machine: setup({
    types: { context: {} as { sent: number }, events: {} as RelayEvent },
    actions: {
      ...requests,
      next: assign({ sent: ({ context }) => context.sent + 1 }),
    },
  }).createMachine({
    context: { sent: 0 },
    initial: 'ready',
    states: {
      ready: {
        description: 'Passes on.',
        on: {
          'relay.send': {
            actions: [
              'next',
              {
                type: 'send',
                params: ({ context, event }) => ({
                  to: event.to,
                  event: { type: event.as ?? 'sink.put', item: context.sent },
                }),
              },
            ],
          },
        },
      },
    },
  }),
};

type SinkEvent = { type: string; item: unknown; meta: Meta };

export const sink: ActorDefinition = {
  ...base,
  kind: 'sink',
  createdBy: ['sink.put'],
  input: () => undefined,
  commands: {},
  machine: setup({
    types: { context: {} as { items: readonly unknown[] }, events: {} as SinkEvent },
    actions: {
      keep: assign({
        items: ({ context, event }) => {
          if (event.item === 'poison') throw new Error('poison');
          return [...context.items, event.item];
        },
      }),
    },
  }).createMachine({
    context: { items: [] },
    initial: 'open',
    states: { open: { description: 'Takes everything.', on: { 'sink.put': { actions: 'keep' } } } },
  }),
};

type OvenEvent = { type: string; patienceMs?: number; loaf?: string; error?: { code: string }; meta: Meta };

export type Bake = (params: { loaf: string }, context: EffectContext) => Promise<EffectOutcome>;

/** @param more kind `oven`, and the pool of its effect, unless said otherwise */
export function oven(
  bake: Bake,
  timeoutMs: number | null = 60_000,
  more: { readonly kind?: string; readonly pool?: string } = {},
): ActorDefinition {
  const { kind = 'oven', ...pool } = more;
  return {
    ...base,
    kind,
    input: () => undefined,
    commands: { bake: command(true), stop: command(), finish: command() },
    effects: { 'loaf.bake': { perform: bake as never, timeoutMs, ...pool } },
    machine: setup({
      types: {
        context: {} as { waits: string | undefined; patienceMs: number; loaf: string; tries: number; why: string },
        events: {} as OvenEvent,
      },
      actions: {
        ...requests,
        'loaf.bake': request<{ loaf: string }>(),
        order: assign({
          waits: ({ event }) => event.meta.commandId,
          patienceMs: ({ event }) => event.patienceMs ?? 60_000,
          loaf: ({ event }) => event.loaf ?? 'rye',
        }),
        again: assign({
          tries: ({ context }) => context.tries + 1,
          why: ({ event }) => event.error?.code ?? event.type,
        }),
      },
      delays: { patience: ({ context }) => context.patienceMs, rest: 20 },
    }).createMachine({
      context: { waits: undefined, patienceMs: 60_000, loaf: '', tries: 0, why: '' },
      initial: 'cold',
      states: {
        cold: {
          description: 'Waits for an order.',
          tags: 'steady',
          on: { [`${kind}.bake`]: { target: 'baking', actions: ['order', 'defer'] } },
        },
        baking: {
          description: 'A loaf is in the oven.',
          entry: { type: 'loaf.bake', params: ({ context }) => ({ loaf: context.loaf }) },
          after: { patience: 'burnt' },
          on: {
            'loaf.bake.done': {
              target: 'cold',
              actions: {
                type: 'reply',
                params: ({ context, event }) => ({ commandId: context.waits, result: event.loaf }),
              },
            },
            'loaf.bake.failed': { target: 'resting', actions: 'again' },
            'loaf.bake.unknown': { target: 'resting', actions: 'again' },
            [`${kind}.stop`]: 'cold',
            [`${kind}.finish`]: {
              target: 'cold',
              actions: [
                { type: 'reply', params: ({ context }) => ({ commandId: context.waits, result: 'half done' }) },
                { type: 'reply', params: { result: 'finished' } },
              ],
            },
          },
        },
        resting: { description: 'Cools down before the next try.', after: { rest: 'baking' } },
        burnt: { description: 'Too late.', tags: 'steady', on: { [`${kind}.stop`]: 'cold' } },
      },
    }),
  };
}

type ShelfEvent = { type: string; key: string; value?: unknown; meta: Meta };

export const shelf: ActorDefinition = {
  ...base,
  kind: 'shelf',
  input: () => undefined,
  commands: { put: command(true), take: command(), show: command(), all: command() },
  needs: (event) => [{ collection: 'books', key: typeof event.key === 'string' ? event.key : '*' }],
  machine: setup({
    types: { context: {} as Record<string, never>, events: {} as ShelfEvent },
    actions: requests,
    guards: { taken: ({ event }) => event.meta.rows?.[`books/${event.key}`] !== null },
  }).createMachine({
    context: {},
    initial: 'open',
    states: {
      open: {
        description: 'Holds books.',
        on: {
          'shelf.put': [
            {
              guard: 'taken',
              actions: { type: 'reject', params: { code: 'name_busy', message: 'The place is taken.' } },
            },
            {
              actions: {
                type: 'row.put',
                params: ({ event }) => ({ collection: 'books', key: event.key, value: event.value }),
              },
            },
          ],
          'shelf.take': {
            actions: { type: 'row.remove', params: ({ event }) => ({ collection: 'books', key: event.key }) },
          },
          'shelf.all': {
            actions: { type: 'reply', params: ({ event }) => ({ result: event.meta.rows?.['books/*'] }) },
          },
          'shelf.show': {
            actions: { type: 'reply', params: ({ event }) => ({ result: event.meta.rows?.[`books/${event.key}`] }) },
          },
        },
      },
    },
  }),
};

export function registryOf(...definitions: readonly ActorDefinition[]): ActorRegistry {
  return { kinds: new Map(definitions.map((definition) => [definition.kind, definition])) };
}

export const plainRegistry = (bake: Bake = async (params) => done({ loaf: params.loaf })): ActorRegistry =>
  registryOf(counter, relay, sink, oven(bake), shelf);
