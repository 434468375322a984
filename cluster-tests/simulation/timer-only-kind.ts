/**
 * A kind that waits for nothing but a timer, for a good while: what a takeover forgets of it nobody else brings back.
 * For runtime-scenario.ts, beside the kinds of runtime/hosting/kinds-for-tests.ts.
 */
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { assign, setup } from 'xstate';
import { z } from 'zod';

interface SleepEvent {
  readonly type: string;
  readonly forMs?: number;
}

export const timerOnly: ActorDefinition = {
  kind: 'timer-only',
  chartVersion: 1,
  placement: 'sharded',
  createdBy: [],
  effects: {},
  input: () => undefined,
  view: () => ({ spec: {}, status: {} }),
  commands: { sleep: { params: z.any(), permission: 'scope', creates: true, description: 'Sleeps for a while.' } },
  machine: setup({
    types: { context: {} as { forMs: number; nights: number }, events: {} as SleepEvent },
    actions: {
      lieDown: assign({ forMs: ({ event }) => event.forMs ?? 1_000 }),
      count: assign({ nights: ({ context }) => context.nights + 1 }),
    },
    delays: { night: ({ context }) => context.forMs },
  }).createMachine({
    context: { forMs: 0, nights: 0 },
    initial: 'awake',
    states: {
      awake: {
        description: 'Waits to be told.',
        tags: 'steady',
        on: { 'timer-only.sleep': { target: 'asleep', actions: 'lieDown' } },
      },
      asleep: { description: 'Wakes by itself.', after: { night: { target: 'awake', actions: 'count' } } },
    },
  }),
};
