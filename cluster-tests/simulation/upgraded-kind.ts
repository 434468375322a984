/**
 * A kind in three releases whose stored form changes with each: release 2 renames a state and adds a key to the
 * context, release 3 renames a key. simulated-releases.ts runs the releases mixed;
 * cluster-tests/checkers/legal-snapshots.ts judges the upgrades (G9).
 */
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { assign, setup } from 'xstate';
import { z } from 'zod';

export const newestRelease = 3;

interface UpgradedEvent {
  readonly type: string;
  readonly load?: number;
}

type StoredForm = Parameters<NonNullable<ActorDefinition['upgrades']>[number]>[0];
type UpgradedContext = Readonly<Record<string, number>>;

/** Name of the second state, as each release stores it. */
const activeState = (release: number): string => (release === 1 ? 'started' : 'running');
/** Key of the counter, as each release stores it. */
const counterKey = (release: number): string => (release === 3 ? 'startCount' : 'starts');
const firstContext = (release: number): UpgradedContext => ({
  [counterKey(release)]: 0,
  ...(release === 1 ? {} : { load: 0 }),
});

const upgrades = {
  1: ({ state, context }: StoredForm): StoredForm => {
    const { starts } = context as { starts: number };
    // Not zero, as a fresh context of release 2 has it: an upgrade that was left out must be visible.
    return { state: state === 'started' ? 'running' : state, context: { starts, load: starts * 10 } };
  },
  2: ({ state, context }: StoredForm): StoredForm => {
    const { starts, load } = context as { starts: number; load: number };
    return { state, context: { startCount: starts, load: load + 1 } };
  },
};

const command = (creates: boolean, description: string) =>
  ({ params: z.any(), permission: 'scope', creates, description }) as const;

export function upgradedOf(release: number): ActorDefinition {
  const [active, starts] = [activeState(release), counterKey(release)];
  return {
    kind: 'upgraded',
    chartVersion: release,
    placement: 'sharded',
    createdBy: [],
    effects: {},
    input: () => undefined,
    view: () => ({ spec: {}, status: {} }),
    commands: { start: command(true, 'Starts it, or starts it again.'), stop: command(false, 'Stops it.') },
    upgrades,
    machine: setup({
      types: { context: {} as UpgradedContext, events: {} as UpgradedEvent },
      actions: {
        countStart: assign(({ context, event }) => ({
          [starts]: (context[starts] ?? Number.NaN) + 1,
          ...(release === 1 ? {} : { load: event.load ?? 0 }),
        })),
      },
    }).createMachine({
      context: firstContext(release),
      initial: 'idle',
      states: {
        idle: {
          description: 'Stopped.',
          tags: 'steady',
          on: { 'upgraded.start': { target: active, actions: 'countStart' } },
        },
        [active]: {
          description: 'Started.',
          tags: 'steady',
          on: { 'upgraded.stop': 'idle', 'upgraded.start': { actions: 'countStart' } },
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
