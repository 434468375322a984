/**
 * The kinds of actors of the runtime bench: press (a busy actor with 12 states on 3 levels and a cycle of ten events
 * with guards, entry actions and one timer), beacon (has a pending effect), belfry (ten far timers), fuse (one near
 * timer), toggle (small and idle). Charts only; the rows say what is measured with them.
 */
import { actorId, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { ActorDefinition, ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { PerformEffect } from '@photoncloud/runtime/contract/effect';
import { assign, raise, setup } from 'xstate';
import { z } from 'zod';

interface Pressed {
  readonly type: string;
  readonly amount: number;
  readonly note: string;
}

interface PressContext {
  readonly id: string;
  readonly lot: string;
  readonly pieces: number;
  readonly wanted: number;
  readonly degrees: number;
  readonly limits: { readonly low: number; readonly high: number };
  readonly tool: { readonly name: string; readonly wear: number; readonly changedAt: number };
  readonly readings: readonly number[];
  readonly place: string;
  readonly operator: string;
}

/** One cycle: after the last event the press is idle again. */
const pressCycle = [
  'order',
  'loaded',
  'aligned',
  'start',
  'measure',
  'heated',
  'pressed',
  'cooled',
  'extend',
  'release',
] as const;

/** Name and params of the nth command of a press, from 0. */
export function pressStep(n: number): { readonly command: string; readonly params: { amount: number; note: string } } {
  const command = pressCycle[n % pressCycle.length] as string;
  return { command, params: { amount: n % 90, note: 'from the bench' } };
}

export const pressCycleLength = pressCycle.length;

const base = { chartVersion: 1, placement: 'sharded', effects: {}, view: () => ({ spec: {}, status: {} }) } as const;
const command = (creates: boolean) =>
  ({
    params: z.strictObject({ amount: z.number().int(), note: z.string().max(64) }),
    permission: 'scope',
    creates,
    description: 'One step of the press.',
  }) as const;

const pressSetup = setup({
  types: { context: {} as PressContext, events: {} as Pressed, input: {} as { id: string } },
  actions: {
    take: assign({
      lot: ({ event }) => `lot-${event.amount}-${event.note}`,
      wanted: ({ event }) => event.amount + 1,
      pieces: 0,
    }),
    heat: assign({ degrees: (_, params: { readonly degrees: number }) => params.degrees }),
    read: assign({ readings: ({ context, event }) => [...context.readings.slice(1), event.amount] }),
    stand: assign({ place: (_, params: { readonly place: string }) => params.place }),
    count: assign({ pieces: ({ context }) => context.pieces + 1 }),
    wear: assign({ tool: ({ context }) => ({ ...context.tool, wear: context.tool.wear + 1 }) }),
  },
  guards: {
    fits: ({ event }) => event.amount < 1_000,
    hot: ({ context }) => context.degrees >= context.limits.low,
    cold: ({ context }) => context.degrees < context.limits.low,
    worn: ({ context }) => context.tool.wear > 1_000_000_000,
    known: ({ context }) => context.lot !== '',
    plausible: ({ event }) => event.amount >= 0,
  },
  delays: { patience: ({ context }) => 600_000 + context.wanted },
});

const stood = (place: string) => ({ type: 'stand', params: { place } }) as const;

const press: ActorDefinition = {
  ...base,
  kind: 'press',
  createdBy: ['press.order'],
  input: (id: ActorId) => ({ id }),
  commands: Object.fromEntries(pressCycle.map((name) => [name, command(name === 'order')])),
  machine: pressSetup.createMachine({
    id: 'press',
    context: ({ input }) => ({
      id: input.id,
      lot: '',
      pieces: 0,
      wanted: 0,
      degrees: 20,
      limits: { low: 180, high: 240 },
      tool: { name: 'upper die 4', wear: 0, changedAt: 1_700_000_000_000 },
      readings: [0, 0, 0, 0, 0, 0],
      place: 'hall 2, row 7',
      operator: 'shift B, second line',
    }),
    initial: 'idle',
    states: {
      idle: {
        description: 'Nothing to do.',
        on: {
          'press.order': [
            { guard: 'worn', target: 'halted' },
            { guard: 'fits', target: 'prepare', actions: 'take' },
          ],
        },
      },
      prepare: {
        description: 'Getting ready.',
        entry: stood('at the feeder'),
        initial: 'load',
        states: {
          load: {
            description: 'Material goes in.',
            on: { 'press.loaded': { guard: 'known', target: 'align', actions: 'read' } },
          },
          align: { description: 'Material is aligned.', on: { 'press.aligned': '#press.ready' } },
        },
      },
      ready: { description: 'Waits for the word.', on: { 'press.start': 'work' } },
      work: {
        description: 'A piece is made.',
        entry: stood('in the press'),
        exit: 'count',
        initial: 'heat',
        after: { patience: 'halted' },
        on: { 'press.measure': { guard: 'plausible', actions: 'read' } },
        states: {
          heat: {
            description: 'The die is heated.',
            entry: { type: 'heat', params: ({ context }) => ({ degrees: context.limits.low + 10 }) },
            on: {
              'press.heated': [
                { guard: 'cold', target: 'heat' },
                { guard: 'hot', target: 'press' },
              ],
            },
          },
          press: { description: 'The die is closed.', exit: 'wear', on: { 'press.pressed': 'cool' } },
          cool: {
            description: 'The piece cools.',
            entry: { type: 'heat', params: { degrees: 40 } },
            on: { 'press.cooled': '#press.rest' },
          },
        },
      },
      rest: {
        description: 'The die rests.',
        initial: 'short',
        states: {
          short: { description: 'A short rest.', on: { 'press.extend': 'long' } },
          long: { description: 'A long rest.', entry: stood('on the belt') },
        },
        on: { 'press.release': 'idle' },
      },
      halted: { description: 'Somebody must look.' },
    },
  }),
};

const beacon = (watch: PerformEffect): ActorDefinition => ({
  ...base,
  kind: 'beacon',
  createdBy: ['beacon.light'],
  input: () => undefined,
  commands: {},
  effects: { 'sky.watch': { perform: watch, timeoutMs: null } },
  machine: setup({ actions: { 'sky.watch': (_: unknown, _params: { side: string }): void => {} } }).createMachine({
    context: {},
    initial: 'dark',
    states: {
      dark: { description: 'Not lit yet.', on: { 'beacon.light': 'lit' } },
      lit: {
        description: 'Watches.',
        entry: { type: 'sky.watch', params: { side: 'north' } },
        on: { 'sky.watch.done': 'dark', 'sky.watch.failed': 'dark', 'sky.watch.unknown': 'dark' },
      },
    },
  }),
});

/** Timers that one belfry has pending. */
export const belfryTimers = 10;

const bells = Array.from({ length: belfryTimers }, (_, index) => `ring${index}`);

const belfry: ActorDefinition = {
  ...base,
  kind: 'belfry',
  createdBy: ['belfry.wind'],
  input: () => undefined,
  commands: {},
  machine: setup({
    delays: { far: 86_400_000 },
    actions: Object.fromEntries(bells.map((id) => [id, raise({ type: 'bell.due' }, { delay: 'far' as never, id })])),
  }).createMachine({
    context: {},
    initial: 'still',
    states: {
      still: { description: 'Not wound.', on: { 'belfry.wind': 'wound' } },
      wound: { description: 'Every bell is set.', entry: bells as never, on: { 'bell.due': 'still' } },
    },
  }),
};

const fuse: ActorDefinition = {
  ...base,
  kind: 'fuse',
  createdBy: ['fuse.light'],
  input: () => undefined,
  commands: {},
  machine: setup({
    types: { context: {} as { burnMs: number }, events: {} as { type: string; burnMs: number } },
    actions: { lit: assign({ burnMs: ({ event }) => event.burnMs }) },
    delays: { burn: ({ context }) => context.burnMs },
  }).createMachine({
    context: { burnMs: 0 },
    initial: 'cold',
    states: {
      cold: { description: 'Not lit.', on: { 'fuse.light': { target: 'burning', actions: 'lit' } } },
      burning: { description: 'Burns down.', after: { burn: 'burnt' } },
      burnt: { description: 'Over.' },
    },
  }),
};

const toggle: ActorDefinition = {
  ...base,
  kind: 'toggle',
  createdBy: ['toggle.turn'],
  input: () => undefined,
  historyTail: 1,
  commands: {},
  machine: setup({
    types: { context: {} as { level: number; by: string }, events: {} as { type: string; level: number } },
    actions: { turn: assign({ level: ({ event }) => event.level, by: 'the bench' }) },
  }).createMachine({
    context: { level: 0, by: '' },
    initial: 'off',
    states: {
      off: { description: 'Dark.', on: { 'toggle.turn': { target: 'on', actions: 'turn' } } },
      on: { description: 'Bright.', on: { 'toggle.turn': { actions: 'turn' } } },
    },
  }),
};

const unwatched: PerformEffect = () => new Promise(() => {});

/** @param watch performs the effect of beacons; without it the effect stays pending */
export function benchRegistry(watch: PerformEffect = unwatched): ActorRegistry {
  const kinds = [press, beacon(watch), belfry, fuse, toggle];
  return { kinds: new Map(kinds.map((definition) => [definition.kind, definition])) };
}

export const benchActor = (kind: string, group: string, index: number): ActorId =>
  actorId(`${kind}/bench/${group}${index}`);
