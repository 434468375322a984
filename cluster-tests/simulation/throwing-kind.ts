/**
 * A kind whose chart throws on some inputs: commands, messages and timers that are poison to a throwing break it, once
 * it was mended by an operator's reset it takes one of them. For runtime-scenario.ts; what is poison is asked again by
 * cluster-tests/checkers/supervised-actors.ts, which holds the host to G8.
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
  readonly items: number;
  /** Takes the next poison. */
  readonly mended: boolean;
  /** Of the timer that runs; gone when it has. */
  readonly fuse: number | undefined;
}

/** What a throwing breaks on, of everything that can be put into it. */
export const sharpItem = 3;
const isSharp = (item: number): boolean => item % 31 === sharpItem;

/** Whether the chart throws on an event in a context. */
export function isPoison(event: ThrowingEvent, { mended, fuse }: ThrowingContext): boolean {
  if (mended) return false;
  return event.type === 'throwing.put'
    ? isSharp(event.item ?? 0)
    : event.type.startsWith('xstate.after.') && isSharp(fuse ?? 0);
}

/** @throws Error on poison */
function taken(event: ThrowingEvent, context: ThrowingContext): Partial<ThrowingContext> {
  if (isPoison(event, context)) throw new Error(`the throwing breaks on ${event.type}`);
  const mended = context.mended && !isPoison(event, { ...context, mended: false });
  return { items: context.items + 1, mended, ...(event.type === 'throwing.put' ? {} : { fuse: undefined }) };
}

const command = (creates: boolean, description: string) =>
  ({ params: z.any(), permission: 'scope', creates, description }) as const;

export const throwing: ActorDefinition = {
  kind: 'throwing',
  chartVersion: 1,
  placement: 'sharded',
  createdBy: ['throwing.put'],
  effects: {},
  input: () => undefined,
  view: () => ({ spec: {}, status: {} }),
  commands: {
    make: command(true, 'Makes it.'),
    put: command(false, 'Puts something into it.'),
    wait: command(false, 'Takes something by itself, in a while.'),
  },
  machine: setup({
    types: { context: {} as ThrowingContext & { forMs: number }, events: {} as ThrowingEvent },
    actions: {
      take: assign(({ context, event }) => taken(event, context)),
      // An event that does nothing is not accepted, and nobody is born by it.
      make: assign({}),
      light: assign(({ event }) => ({ fuse: event.item ?? 0, forMs: event.forMs ?? 1_000 })),
    },
    delays: { burning: ({ context }) => context.forMs },
  }).createMachine({
    context: { items: 0, mended: false, fuse: undefined, forMs: 0 },
    initial: 'standing',
    on: {
      'throwing.put': { actions: 'take' },
      'throwing.make': { actions: 'make' },
      'throwing.wait': { target: '.burning', actions: 'light' },
    },
    states: {
      standing: { description: 'Takes what comes.', tags: 'steady' },
      burning: { description: 'Takes something more.', after: { burning: { target: 'standing', actions: 'take' } } },
    },
  }),
};
