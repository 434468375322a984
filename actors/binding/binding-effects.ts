/** Effects of a binding on its host's network. */
import type { bindingKind } from '@photoncloud/machines/binding/binding-protocol';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { NetworkDataplane } from '../dataplane/contract/network-contract.ts';

export function bindingEffects(network: NetworkDataplane): PerformersOf<typeof bindingKind> {
  return {
    'tap.create': { timeoutMs: 15_000, perform: ({ spec }, call) => network.createTap(spec, call) },
    'tap.wire': {
      timeoutMs: 15_000,
      perform: async ({ spec }, call) => ({ proof: await network.wireTap(spec, call) }),
    },
    'tap.watch': { timeoutMs: null, perform: ({ spec }, call) => network.watchTap(spec, call) },
    'tap.remove': {
      timeoutMs: 15_000,
      perform: async ({ spec }, call) => {
        await network.removeTap(spec, call);
        return {};
      },
    },
  };
}
