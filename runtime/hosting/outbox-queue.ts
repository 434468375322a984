/**
 * What the outbox holds of one sender and one receiver: the messages in order, and how far they have got. Values and
 * their order, no sending: outbox.ts, its only caller, does that (G5).
 */
import type { Message } from '../contract/envelope.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';

export const firstBackoffMs = 50;
export const widestWindow = 64;

export interface Queue {
  readonly box: Box;
  readonly to: ActorId;
  items: Message[];
  /** Index of the first one not sent since the last start. */
  next: number;
  /** Sent, and neither answered nor given up: none of them is sent again meanwhile. */
  readonly inFlight: Set<Message>;
  /** How many may be in flight: one after a pause, doubling with every acknowledgement. */
  window: number;
  backoffMs: number;
  /** Set while it pauses. */
  cancelPause: (() => void) | undefined;
  /** It pauses because the receiver's owner is not where it was thought to be, or silent. */
  lost: boolean;
}

export interface Box {
  readonly from: ActorId;
  grant: ShardGrant;
  readonly queues: Map<ActorId, Queue>;
  depth: number;
  acknowledged: number[];
  dropped: boolean;
}

export function newQueue(box: Box, to: ActorId): Queue {
  return {
    box,
    to,
    items: [],
    next: 0,
    inFlight: new Set(),
    window: widestWindow,
    backoffMs: firstBackoffMs,
    cancelPause: undefined,
    lost: false,
  };
}

/** A sender counts anew with every life, and its store may have been rewound before every era. */
export const sameSequence = (one: Message, other: Message): boolean =>
  one.senderUid === other.senderUid && one.era === other.era;

/** The number of the message before it in the queue, where all are of one sequence; 0 when there is none. */
export const before = (items: readonly Message[], index: number): number => items[index - 1]?.seq ?? 0;
