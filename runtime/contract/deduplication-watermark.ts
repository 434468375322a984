/**
 * The name of a deduplication watermark: the field of a receiver's record that keeps the highest sequence number it has
 * applied of one sender.
 *
 * A sender starts its sequence anew when it is removed and created again (another uid). After a store rollback it uses
 * numbers again for other content, but in a newer era. So each uid and era has a watermark of its own. The name leaves
 * the first era out, because most clusters never see a second one.
 */
import type { Message } from './envelope.ts';
import type { ActorId } from './identifiers.ts';

export interface WatermarkedSequence {
  readonly from: ActorId;
  readonly senderUid: string;
}

export const watermarkOf = ({ from, senderUid, era }: Pick<Message, 'from' | 'senderUid' | 'era'>): string =>
  era > 1 ? `${from}~${senderUid}~${era}` : `${from}~${senderUid}`;

/** The parts of a name that `watermarkOf` made. */
export function sequenceOf(watermark: string): WatermarkedSequence {
  const [from = '', senderUid = ''] = watermark.split('~');
  return { from: from as ActorId, senderUid };
}
