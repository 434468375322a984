/**
 * The bounds of a host (G11), one per row of docs/limits.md, and how far they are used at this moment. Every overflow
 * is an answer, never growth. A node's configuration may override single values. The figures are read by metrics,
 * status pages and the checks of the bounds.
 */
import type { ActorId } from '../contract/identifiers.ts';
import type { Activation } from './activation.ts';
import type { PoolFigures } from './effect-runner.ts';
import type { StepContext } from './step-context.ts';

export interface HostLimits {
  /** Messages and commands waiting for one actor; beyond it messages are told `busy`, commands `overloaded`. */
  readonly mailboxDepth: number;
  /** Unacknowledged messages of one actor; beyond it its commands are told `overloaded`. */
  readonly outboxDepth: number;
  /** Events that become one commit. */
  readonly eventsPerCommit: number;
  /** Commits of one actor in flight. */
  readonly commitsInFlight: number;
  /**
   * Actors in memory; beyond it the longest idle ones leave, and when none can, callers of further actors are told to
   * retry later.
   */
  readonly activations: number;
  /** How long an actor with nothing going on stays in memory. */
  readonly idleMs: number;
  /**
   * Places of effects with a deadline: so many run at once. One scope gets at most half of them (effect-places.ts);
   * watches need none.
   */
  readonly effects: number;
  /** Places of each pool that kinds declare. */
  readonly pooledEffects: number;
  /** Effects of one scope waiting for a place; beyond it its commands are told `overloaded`, its messages `busy`. */
  readonly effectsWaiting: number;
  /**
   * Watermarks that an actor keeps before those of senders that are gone are pruned; afterwards the bound is twice the
   * number that had to stay, if that is more.
   */
  readonly watermarks: number;
  /**
   * How long the watermark of a sender that is gone stays at least: longer than the rollback of a single primary of a
   * cluster can reach back.
   */
  readonly watermarkGraceMs: number;
  /**
   * Answered commands remembered per actor; beyond it the oldest are forgotten, and commits let the store check whether
   * their commands have a receipt already.
   */
  readonly receiptsRemembered: number;
  /** Loads running at once during recovery. */
  readonly loads: number;
  /** Pause before a failed read is tried again. */
  readonly readAgainMs: number;
  /** How long `ask` looks for an owner. */
  readonly askMs: number;
  /** How long a hand-over or the end of the host waits for inputs, commits and messages in flight. */
  readonly drainMs: number;
}

export const defaultLimits: HostLimits = {
  mailboxDepth: 256,
  outboxDepth: 512,
  eventsPerCommit: 64,
  commitsInFlight: 2,
  activations: 10_000,
  idleMs: 60_000,
  effects: 32,
  pooledEffects: 8,
  effectsWaiting: 256,
  watermarks: 1_000,
  watermarkGraceMs: 86_400_000,
  receiptsRemembered: 256,
  loads: 64,
  readAgainMs: 100,
  askMs: 30_000,
  drainMs: 10_000,
};

export interface HostFigures {
  readonly shards: number;
  readonly activations: number;
  /** Inputs waiting in all mailboxes. */
  readonly mailboxDepth: number;
  readonly commitsInFlight: number;
  readonly outboxDepth: number;
  readonly timers: number;
  readonly effects: number;
  /** Of these, what holds one of the bounded places, and what waits for one, pool by pool. */
  readonly effectPools: readonly PoolFigures[];
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
    else if (actor.ahead.hold !== undefined) held.push({ actor: actor.id, reason: actor.ahead.hold.reason });
  }
  return {
    shards,
    activations: activations.size,
    mailboxDepth,
    commitsInFlight,
    outboxDepth: outbox.size,
    timers: timers.size,
    effects: effects.size,
    effectPools: effects.figures(),
    fullest,
    held,
  };
}
