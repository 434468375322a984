/** What a segment asks of its host's network. */
import type { EnsureAsk, RemoveAsk, RouteAsk } from '@photoncloud/machines/segment/segment-context';
import type { EffectBinding, EffectContext } from '@photoncloud/runtime/contract/effect';
import { done } from '@photoncloud/runtime/contract/outcome';
import type { NetworkDataplane } from '../dataplane/contract/network-contract.ts';

export function segmentEffects(network: NetworkDataplane): Record<string, EffectBinding> {
  return {
    'segment.ensure': {
      timeoutMs: 30_000,
      perform: async ({ spec }: EnsureAsk, call: EffectContext) =>
        done({ proof: await network.ensureSegment(spec, call) }),
    },
    'segment.route': {
      timeoutMs: 10_000,
      perform: async (change: RouteAsk, call: EffectContext) => done({ ...(await network.setRoutes(change, call)) }),
    },
    'segment.watch': {
      timeoutMs: null,
      perform: async ({ spec }: EnsureAsk, call: EffectContext) =>
        done({ ...(await network.watchSegment(spec, call)) }),
    },
    'segment.remove': {
      timeoutMs: 30_000,
      perform: async ({ spec }: RemoveAsk, call: EffectContext) =>
        done({ ...(await network.removeSegment(spec, call)) }),
    },
  };
}
