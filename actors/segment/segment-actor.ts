/** The kind `segment`: a VPC on a host. Only its VPC sends messages to it. */
import { isHostGone } from '@photoncloud/machines/values/failures';
import {
  collectionOf,
  isApplicable,
  queueLength,
  queueLimit,
  type SegmentContext,
} from '@photoncloud/machines/segment/segment-context';
import { segmentMachine } from '@photoncloud/machines/segment/segment-machine';
import { segmentKind, type SegmentEvent } from '@photoncloud/machines/segment/segment-protocol';
import type { ActorDefinition, RowKey } from '@photoncloud/runtime/contract/actor-definition';
import type { NetworkDataplane } from '../dataplane/contract/network-contract.ts';
import { defineActor } from '../kind/kind-definition.ts';
import { segmentPerformers } from './segment-effects.ts';

const wholeOf = (sections: Iterable<string>): readonly RowKey[] =>
  [...new Set(sections)].map((section) => ({ collection: collectionOf(section), key: '*' }));

/** Increments load the rows that they name; all rows are loaded only when all sections may be realized or removed. */
function needs(event: SegmentEvent, context: SegmentContext): readonly RowKey[] {
  const known = Object.keys(context.sections);
  switch (event.type) {
    case 'segment.publish':
      if (!isApplicable(context, event.updates))
        return wholeOf([...known, ...event.updates.map(({ section }) => section)]);
      return event.updates.flatMap((update) => {
        const keys = 'elements' in update ? [] : [...update.removed, ...Object.keys(update.put)];
        return keys.map((key) => ({ collection: collectionOf(update.section), key }));
      });
    case 'segment.realize.done':
    case 'segment.change.done':
      return context.outdated || queueLength(context) > queueLimit ? wholeOf(known) : [];
    case 'segment.realize.failed':
    case 'segment.change.failed':
    case 'segment.watch.failed':
    case 'segment.remove.failed':
      return isHostGone(event) ? wholeOf(known) : [];
    case 'segment.realize.unknown':
    case 'segment.change.unknown':
    case 'segment.watch.unknown':
    case 'segment.remove.unknown':
      return [];
    default:
      return wholeOf(known);
  }
}

export const segmentDefinition = (network: NetworkDataplane): ActorDefinition =>
  defineActor(segmentKind, {
    chartVersion: 1,
    machine: segmentMachine,
    performers: segmentPerformers(network),
    needs: (event, context) => needs(event as unknown as SegmentEvent, context),
    spec: ({ vpc }: SegmentContext) => ({ vpc }),
    status: ({ sections, proof, failure, tries }: SegmentContext) => ({ sections, proof, failure, tries }),
    ignored: ['segment.publish', 'segment.withdraw'],
  });
