/**
 * The sequence that a message's number belongs to, as one word: the field that keeps the highest number applied.
 *
 * A sender counts anew with every life, and one that was rewound with its store uses its numbers again, for other
 * content, but in a newer era: so each life and era has a mark of its own. The first era bears no number: most clusters
 * never see a second.
 */
import type { Message } from './envelope.ts';
import type { ActorId } from './identifiers.ts';

export interface MarkedSequence {
  readonly from: ActorId;
  readonly life: string;
}

export const markOf = ({ from, life, era }: Pick<Message, 'from' | 'life' | 'era'>): string =>
  era > 1 ? `${from}~${life}~${era}` : `${from}~${life}`;

/** What `markOf` has put together. */
export function sequenceOf(mark: string): MarkedSequence {
  const [from = '', life = ''] = mark.split('~');
  return { from: from as ActorId, life };
}
