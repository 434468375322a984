/**
 * Two kinds whose actors wait for one thing only: an effect-only actor for the result of its effect, a timer-only actor
 * for a timer. No client and no message wakes them, so an owner that takes a shard over and forgets a pending effect or
 * timer leaves them waiting for ever, and the run does not settle. Part of the workload of runtime-scenario.ts.
 */
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import type { Bake } from '@photoncloud/runtime/hosting/kinds-for-tests';
import { assign, setup } from 'xstate';
import { z } from 'zod';

const base = {
  chartVersion: 1,
  placement: 'sharded',
  input: () => undefined,
  view: () => ({ spec: {}, status: {} }),
} as const;

const notPerformed: Bake = () => Promise.reject(new Error('effects are not performed here'));

/** @param perform the target of the effect; not needed where the chart is only looked at */
export const effectOnly = (perform = notPerformed): ActorDefinition => ({
  ...base,
  kind: 'effect-only',
  createdBy: ['effect-only.start'],
  commands: {},
  effects: { 'work.perform': { perform: perform as never, timeoutMs: 60_000 } },
  machine: setup({
    types: { events: {} as { type: string } },
    actions: { 'work.perform': (_, _params: { loaf: string }) => undefined },
    delays: { retry: 20 },
  }).createMachine({
    initial: 'idle',
    states: {
      idle: {
        description: 'Waits for a message to start its effect.',
        tags: 'steady',
        on: { 'effect-only.start': 'working' },
      },
      working: {
        description: 'Its effect is pending.',
        entry: { type: 'work.perform', params: { loaf: 'of an effect-only actor' } },
        on: { 'work.perform.done': 'idle', 'work.perform.failed': 'failed', 'work.perform.unknown': 'failed' },
      },
      failed: { description: 'Starts the effect again soon.', after: { retry: 'working' } },
    },
  }),
});

interface WaitEvent {
  readonly type: string;
  readonly forMs?: number;
}

export const timerOnly: ActorDefinition = {
  ...base,
  kind: 'timer-only',
  createdBy: [],
  effects: {},
  commands: { wait: { params: z.any(), permission: 'scope', creates: true, description: 'Arms the timer.' } },
  machine: setup({
    types: { context: {} as { forMs: number; fired: number }, events: {} as WaitEvent },
    actions: {
      arm: assign({ forMs: ({ event }) => event.forMs ?? 1_000 }),
      countFiring: assign({ fired: ({ context }) => context.fired + 1 }),
    },
    delays: { wait: ({ context }) => context.forMs },
  }).createMachine({
    context: { forMs: 0, fired: 0 },
    initial: 'idle',
    states: {
      idle: {
        description: 'Waits for a command to arm its timer.',
        tags: 'steady',
        on: { 'timer-only.wait': { target: 'waiting', actions: 'arm' } },
      },
      waiting: { description: 'Its timer is pending.', after: { wait: { target: 'idle', actions: 'countFiring' } } },
    },
  }),
};
