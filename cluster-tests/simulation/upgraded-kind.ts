/**
 * A kind in three releases, whose stored form changes with each: a state is renamed, a key is added, a key is renamed.
 * For simulated-releases.ts, which runs them mixed; held to G9 by cluster-tests/checkers/legal-snapshots.ts.
 */
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { assign, setup } from 'xstate';
import { z } from 'zod';

export const newestRelease = 3;

interface UpgradedEvent {
  readonly type: string;
  readonly watts?: number;
}

type Form = Parameters<NonNullable<ActorDefinition['upgrades']>[number]>[0];
type UpgradedContext = Readonly<Record<string, number>>;

/** Names of what each release stores. */
const lit = (release: number): string => (release === 1 ? 'on' : 'lit');
const count = (release: number): string => (release === 3 ? 'lightings' : 'times');
const firstContext = (release: number): UpgradedContext => ({
  [count(release)]: 0,
  ...(release === 1 ? {} : { watts: 0 }),
});

const upgrades = {
  1: ({ state, context }: Form): Form => {
    const { times } = context as { times: number };
    // What the second release would have counted: it is not zero, so that a step that was left out is seen.
    return { state: state === 'on' ? 'lit' : state, context: { times, watts: times * 10 } };
  },
  2: ({ state, context }: Form): Form => {
    const { times, watts } = context as { times: number; watts: number };
    return { state, context: { lightings: times, watts: watts + 1 } };
  },
};

const command = (creates: boolean, description: string) =>
  ({ params: z.any(), permission: 'scope', creates, description }) as const;

export function upgradedOf(release: number): ActorDefinition {
  const [on, times] = [lit(release), count(release)];
  return {
    kind: 'upgraded',
    chartVersion: release,
    placement: 'sharded',
    createdBy: [],
    effects: {},
    input: () => undefined,
    view: () => ({ spec: {}, status: {} }),
    commands: { light: command(true, 'Lights it.'), douse: command(false, 'Puts it out.') },
    upgrades,
    machine: setup({
      types: { context: {} as UpgradedContext, events: {} as UpgradedEvent },
      actions: {
        lighten: assign(({ context, event }) => ({
          [times]: (context[times] ?? Number.NaN) + 1,
          ...(release === 1 ? {} : { watts: event.watts ?? 0 }),
        })),
      },
    }).createMachine({
      context: firstContext(release),
      initial: 'off',
      states: {
        off: { description: 'Dark.', tags: 'steady', on: { 'upgraded.light': { target: on, actions: 'lighten' } } },
        [on]: {
          description: 'Lit.',
          tags: 'steady',
          on: { 'upgraded.douse': 'off', 'upgraded.light': { actions: 'lighten' } },
        },
      },
    }),
  };
}

/** Whether a stored context is one of this release. */
export const isUpgradedContext = (release: number, context: unknown): boolean =>
  typeof context === 'object' &&
  context !== null &&
  Object.keys(context).toSorted().join(' ') === Object.keys(firstContext(release)).toSorted().join(' ') &&
  Object.values(context).every((value) => Number.isFinite(value));
