/** What a binding asks of its host's network. */
import type { TapSpec } from '@photoncloud/machines/values/wiring';
import type { EffectBinding, EffectContext } from '@photoncloud/runtime/contract/effect';
import { done } from '@photoncloud/runtime/contract/outcome';
import type { NetworkDataplane } from '../dataplane/contract/network-contract.ts';

interface Spec {
  readonly spec: TapSpec;
}

export function bindingEffects(network: NetworkDataplane): Record<string, EffectBinding> {
  return {
    'tap.create': {
      timeoutMs: 15_000,
      perform: async ({ spec }: Spec, call: EffectContext) => done({ ...(await network.createTap(spec, call)) }),
    },
    'tap.wire': {
      timeoutMs: 15_000,
      perform: async ({ spec }: Spec, call: EffectContext) => done({ proof: await network.wireTap(spec, call) }),
    },
    'tap.watch': {
      timeoutMs: null,
      perform: async ({ spec }: Spec, call: EffectContext) => done({ ...(await network.watchTap(spec, call)) }),
    },
    'tap.remove': {
      timeoutMs: 15_000,
      perform: async ({ spec }: Spec, call: EffectContext) => done({ ...(await network.removeTap(spec, call)) }),
    },
  };
}
