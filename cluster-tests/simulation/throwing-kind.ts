/**
 * A kind whose chart throws on some inputs: commands, messages and timers with a poison item. After an operator's reset
 * has mended an actor, it handles the next poison item without throwing. Part of the workload of runtime-scenario.ts;
 * cluster-tests/checkers/supervised-actors.ts uses `isPoison` to judge G8.
 */
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { assign, setup } from 'xstate';
import { z } from 'zod';

interface ThrowingEvent {
  readonly type: string;
  readonly item?: number;
  readonly forMs?: number;
}

interface ThrowingContext {
  readonly handled: number;
  /** The next poison item is handled. */
  readonly mended: boolean;
  /** Item of the pending timer; undefined while no timer is pending. */
  readonly scheduledItem: number | undefined;
}

/** One of the items on which the chart throws; messages of a relay are numbered and meet one now and then. */
export const poisonItem = 3;
const isPoisonItem = (item: number): boolean => item % 31 === poisonItem;

/** Whether the chart throws on an event in a context. */
export function isPoison(event: ThrowingEvent, { mended, scheduledItem }: ThrowingContext): boolean {
  if (mended) return false;
  return event.type === 'throwing.handle'
    ? isPoisonItem(event.item ?? 0)
    : event.type.startsWith('xstate.after.') && isPoisonItem(scheduledItem ?? 0);
}

/** @throws Error on poison */
function handled(event: ThrowingEvent, context: ThrowingContext): Partial<ThrowingContext> {
  if (isPoison(event, context)) throw new Error(`the chart throws on ${event.type}`);
  const mended = context.mended && !isPoison(event, { ...context, mended: false });
  const isTimer = event.type !== 'throwing.handle';
  return { handled: context.handled + 1, mended, ...(isTimer ? { scheduledItem: undefined } : {}) };
}

const command = (creates: boolean, description: string) =>
  ({ params: z.any(), permission: 'scope', creates, description }) as const;

export const throwing: ActorDefinition = {
  kind: 'throwing',
  chartVersion: 1,
  placement: 'sharded',
  createdBy: ['throwing.handle'],
  effects: {},
  input: () => undefined,
  view: () => ({ spec: {}, status: {} }),
  commands: {
    create: command(true, 'Creates the actor.'),
    handle: command(false, 'Handles an item at once.'),
    schedule: command(false, 'Handles an item when a timer fires.'),
  },
  machine: setup({
    types: { context: {} as ThrowingContext & { forMs: number }, events: {} as ThrowingEvent },
    actions: {
      handle: assign(({ context, event }) => handled(event, context)),
      // Changes nothing; but an event without actions counts as ignored and would not create the actor.
      create: assign({}),
      schedule: assign(({ event }) => ({ scheduledItem: event.item ?? 0, forMs: event.forMs ?? 1_000 })),
    },
    delays: { schedule: ({ context }) => context.forMs },
  }).createMachine({
    context: { handled: 0, mended: false, scheduledItem: undefined, forMs: 0 },
    initial: 'idle',
    on: {
      'throwing.handle': { actions: 'handle' },
      'throwing.create': { actions: 'create' },
      'throwing.schedule': { target: '.scheduled', actions: 'schedule' },
    },
    states: {
      idle: { description: 'No timer is pending.', tags: 'steady' },
      scheduled: {
        description: 'A timer with an item is pending.',
        after: { schedule: { target: 'idle', actions: 'handle' } },
      },
    },
  }),
};
