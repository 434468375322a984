/**
 * A kind that is fired by a message and then waits for nothing but its effect: no timer, no client. Only who takes up
 * the effects of an earlier owner finds it again. Part of the runtime's workload (runtime-scenario.ts).
 */
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { setup } from 'xstate';
import type { Bake } from '@photoncloud/runtime/hosting/kinds-for-tests';

const nobody: Bake = () => Promise.reject(new Error('there is nobody here to fire it'));

/** @param fire where it is only looked at, nobody need be able to */
export const effectOnly = (fire = nobody): ActorDefinition => ({
  kind: 'effect-only',
  chartVersion: 1,
  placement: 'sharded',
  createdBy: ['effect-only.fire'],
  commands: {},
  effects: { 'loaf.bake': { perform: fire as never, timeoutMs: 60_000 } },
  input: () => undefined,
  view: () => ({ spec: {}, status: {} }),
  machine: setup({
    types: { events: {} as { type: string } },
    actions: { 'loaf.bake': (_, _params: { loaf: string }) => undefined },
    delays: { mending: 20 },
  }).createMachine({
    initial: 'cold',
    states: {
      cold: { description: 'Waits to be fired.', tags: 'steady', on: { 'effect-only.fire': 'firing' } },
      firing: {
        description: 'Is fired.',
        entry: { type: 'loaf.bake', params: { loaf: 'brick' } },
        on: { 'loaf.bake.done': 'cold', 'loaf.bake.failed': 'cracked', 'loaf.bake.unknown': 'cracked' },
      },
      cracked: { description: 'Is mended, and fired again.', after: { mending: 'firing' } },
    },
  }),
});
