/**
 * The sequence that a message's number belongs to, as one word: the field that keeps the highest number applied.
 *
 * A sender counts anew with every life, and one that was rewound with its store uses its numbers again, for other
 * content, but in a newer era: so each life and era has a watermark of its own. The first era bears no number: most
 * clusters never see a second.
 */
import type { Message } from './envelope.ts';
import type { ActorId } from './identifiers.ts';

export interface WatermarkedSequence {
  readonly from: ActorId;
  readonly senderUid: string;
}

export const watermarkOf = ({ from, senderUid, era }: Pick<Message, 'from' | 'senderUid' | 'era'>): string =>
  era > 1 ? `${from}~${senderUid}~${era}` : `${from}~${senderUid}`;

/** What `watermarkOf` has put together. */
export function sequenceOf(watermark: string): WatermarkedSequence {
  const [from = '', senderUid = ''] = watermark.split('~');
  return { from: from as ActorId, senderUid };
}
