/** Effects of a segment on its host's network. */
import type { segmentKind } from '@photoncloud/machines/segment/segment-protocol';
import type { PerformersOf } from '../kind/kind-definition.ts';
import type { NetworkDataplane } from '../dataplane/contract/network-contract.ts';

export const segmentPerformers = (network: NetworkDataplane): PerformersOf<typeof segmentKind> => ({
  'segment.realize': { timeoutMs: 30_000, perform: (ask, call) => network.realizeSegment(ask, call) },
  'segment.change': { timeoutMs: 10_000, perform: (ask, call) => network.changeSegment(ask, call) },
  'segment.watch': { timeoutMs: null, perform: (ask, call) => network.watchSegment(ask, call) },
  'segment.remove': {
    timeoutMs: 30_000,
    perform: async ({ segment }, call) => {
      await network.removeSegment(segment, call);
      return {};
    },
  },
});
