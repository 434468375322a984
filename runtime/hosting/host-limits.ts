/**
 * The bounds of a host (G11), with the reasons for their size in docs/limits; every overflow is an answer, never
 * growth.
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
  /** Actors in memory; beyond it the longest idle ones leave. */
  readonly residents: number;
  readonly idleMs: number;
  /** Effects with a deadline running at once; watches are not counted. */
  readonly effects: number;
  /** Answered commands remembered per actor; beyond it a command costs one read. */
  readonly receiptsRemembered: number;
  /** Loads running at once during recovery. */
  readonly loads: number;
  /** Pause before a failed read is tried again. */
  readonly readAgainMs: number;
  /** How long `ask` looks for an owner. */
  readonly askMs: number;
  /** How long `drain` waits for commits in flight. */
  readonly drainMs: number;
}

export const defaultLimits: HostLimits = {
  mailboxDepth: 256,
  outboxDepth: 512,
  eventsPerCommit: 64,
  commitsInFlight: 2,
  residents: 10_000,
  idleMs: 60_000,
  effects: 16,
  receiptsRemembered: 256,
  loads: 64,
  readAgainMs: 100,
  askMs: 30_000,
  drainMs: 10_000,
};
