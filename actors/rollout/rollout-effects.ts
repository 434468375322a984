/** The effects of rollouts, on the port of their node. */
import type { hostRolloutKind } from '@photoncloud/machines/host-rollout/host-rollout-protocol';
import type { rolloutKind } from '@photoncloud/machines/rollout/rollout-protocol';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { RolloutPort } from './rollout-port.ts';

export const rolloutPerformers = (port: RolloutPort): PerformersOf<typeof rolloutKind> => ({
  'rollout.reach': {
    timeoutMs: 20_000,
    perform: async ({ id, hosts }, { signal }) => ({
      results: await Promise.all(
        hosts.map(async (host) => {
          try {
            await port.reach(host, id, signal);
            return { host, error: null };
          } catch (error) {
            // A host that cannot be reached goes back by itself; the others are confirmed.
            return { host, error: error instanceof Error ? error.message : String(error) };
          }
        }),
      ),
    }),
  },
});

export const hostRolloutPerformers = (port: RolloutPort): PerformersOf<typeof hostRolloutKind> => ({
  'system.follow': { timeoutMs: null, perform: (ask, { signal }) => port.follow(ask, signal) },
});
