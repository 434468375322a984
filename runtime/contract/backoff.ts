/**
 * Pauses before something is tried again, with full jitter: the pause is a random part of a window that doubles with
 * every failure. Callers that failed at the same moment, because a server restarted, so do not return at the same
 * moment. Used for connections of clients and for links between nodes.
 */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
  /** Failures in a row before this one. */
  readonly failures: number;
  /** Uniform in [0, 1). */
  readonly fraction: number;
  /** What the other side asked to wait. It comes before the random part, and widens the window to at least the same. */
  readonly atLeastMs?: number;
}

/** Nobody is believed who asks for a longer pause, so that a wrong header does not keep a client away for a day. */
export const longestAskedPauseMs = 300_000;

export function backoffOf({ minMs, maxMs, failures, fraction, atLeastMs = 0 }: Backoff): number {
  const askedMs = Math.min(Math.max(atLeastMs, 0), longestAskedPauseMs);
  const windowMs = Math.min(maxMs, minMs * 2 ** Math.min(failures, 16));
  return askedMs + fraction * Math.max(windowMs, Math.min(askedMs, maxMs));
}
