/**
 * The bounds of a host (G11), one per row of docs/limits.md; every overflow is an answer, never growth. A node's
 * configuration may override single values.
 */
export interface HostLimits {
  /** Messages and commands waiting for one actor; beyond it messages are told `busy`, commands `overloaded`. */
  readonly mailboxDepth: number;
  /** Unacknowledged messages of one actor; beyond it its commands are told `overloaded`. */
  readonly outboxDepth: number;
  /** Events that become one commit. */
  readonly eventsPerCommit: number;
  /** Commits of one actor in flight. */
  readonly commitsInFlight: number;
  /** Actors in memory; beyond it the longest idle ones leave, and when none can, newcomers are told to come later. */
  readonly activations: number;
  /** How long an actor with nothing going on stays in memory. */
  readonly idleMs: number;
  /** Effects with a deadline running at once; watches are not counted. */
  readonly effects: number;
  /** Effects waiting for a place; beyond it commands are told `overloaded`, messages `busy`. */
  readonly effectsWaiting: number;
  /**
   * Watermarks of senders that an actor keeps before those of senders that are gone are pruned; then twice what had to
   * stay.
   */
  readonly watermarks: number;
  /**
   * How long the watermark of a sender that is gone stays at least; longer than one primary of a cluster ever goes
   * back.
   */
  readonly watermarkGraceMs: number;
  /** Answered commands remembered per actor; beyond it its commit asks the store for its receipt. */
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
  effects: 16,
  effectsWaiting: 256,
  watermarks: 1_000,
  watermarkGraceMs: 86_400_000,
  receiptsRemembered: 256,
  loads: 64,
  readAgainMs: 100,
  askMs: 30_000,
  drainMs: 10_000,
};
