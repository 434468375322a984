/** The kind `segment`: a VPC and its networks on a host. Only its VPC speaks to it. */
import type { SegmentContext } from '@photoncloud/machines/segment/segment-context';
import { segmentMachine } from '@photoncloud/machines/segment/segment-machine';
import type { ActorDefinition, RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent } from '@photoncloud/runtime/contract/envelope';
import type { NetworkDataplane } from '../dataplane/contract/network-contract.ts';
import { segmentEffects } from './segment-effects.ts';

/** A change of routes needs the rows it names; everything else may lead to the whole segment being realised anew. */
function needs(event: ActorEvent): RowKey[] {
  if (event.type !== 'segment.route') return [{ collection: 'route', key: '*' }];
  const removed = (event['removed'] ?? []) as readonly { readonly address: string }[];
  return removed.map(({ address }) => ({ collection: 'route', key: address }));
}

export function segmentDefinition(network: NetworkDataplane): ActorDefinition {
  return {
    kind: 'segment',
    chartVersion: 1,
    machine: segmentMachine,
    placement: 'pinned',
    input: (id) => ({ id }),
    commands: {},
    createdBy: ['segment.ensure', 'segment.remove'],
    effects: segmentEffects(network),
    needs,
    view: ({ spec, proof, realizing, failure, tries }: SegmentContext) => ({
      spec,
      status: { proof, realizing, failure, tries },
    }),
    ignored: ['segment.route', 'segment.ensure', 'segment.remove'],
  };
}
