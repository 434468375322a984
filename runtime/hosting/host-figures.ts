/**
 * Counts of this moment on a host, for metrics, status pages and whoever holds it to its limits (G11). Reads only.
 * Called by host.ts.
 */
import type { ActorId } from '../contract/identifiers.ts';
import type { Activation } from './activation.ts';
import type { StepContext } from './step-context.ts';

export interface HostFigures {
  readonly shards: number;
  readonly activations: number;
  /** Inputs waiting in all mailboxes. */
  readonly mailboxDepth: number;
  readonly commitsInFlight: number;
  readonly outboxDepth: number;
  readonly timers: number;
  readonly effects: number;
  /** Of these, what holds one of the bounded places, and what waits for one. */
  readonly effectsPlaced: number;
  readonly effectsWaiting: number;
  /** The most that one actor has of each, as its limits count it. */
  readonly fullest: {
    readonly mailbox: number;
    readonly outbox: number;
    readonly commitsInFlight: number;
    readonly receipts: number;
  };
  /** Actors here that take no inputs, and why. */
  readonly held: readonly { readonly actor: ActorId; readonly reason: string }[];
}

interface Population {
  readonly size: number;
  all(): Iterable<Activation>;
}

export function figuresOf(
  { outbox, timers, effects }: Pick<StepContext, 'outbox' | 'timers' | 'effects'>,
  activations: Population,
  shards: number,
): HostFigures {
  let mailboxDepth = 0;
  let commitsInFlight = 0;
  const fullest = { mailbox: 0, outbox: 0, commitsInFlight: 0, receipts: 0 };
  const held: { actor: ActorId; reason: string }[] = [];
  for (const actor of activations.all()) {
    mailboxDepth += actor.mailbox.length;
    commitsInFlight += actor.inFlight.length;
    fullest.mailbox = Math.max(fullest.mailbox, actor.mailbox.offered);
    fullest.outbox = Math.max(fullest.outbox, outbox.depthOf(actor.id));
    fullest.commitsInFlight = Math.max(fullest.commitsInFlight, actor.inFlight.length);
    fullest.receipts = Math.max(fullest.receipts, actor.answered.size);
    if (actor.phase === 'quarantined') held.push({ actor: actor.id, reason: actor.quarantineReason });
    else if (actor.hold !== undefined) held.push({ actor: actor.id, reason: actor.hold.reason });
  }
  return {
    shards,
    activations: activations.size,
    mailboxDepth,
    commitsInFlight,
    outboxDepth: outbox.size,
    timers: timers.size,
    effects: effects.size,
    effectsPlaced: effects.placed,
    effectsWaiting: effects.waiting,
    fullest,
    held,
  };
}
