/**
 * Bounds of the links between nodes (promise G11: overflow is an answer, never growth).
 * One per row of docs/limits.md; a node's configuration may override single values.
 */
export interface PeerLimits {
  /** Longest WebSocket frame in either direction; the `ws` default of 100 MiB would let one peer exhaust another. */
  readonly maxFrameBytes: number;
  /** Unsent bytes at which a side stops: the caller is told `busy`, the answering side stops reading. */
  readonly pauseBytes: number;
  /** Unsent bytes at which the link is cut. */
  readonly closeBytes: number;
  /** Unanswered requests per link and direction. */
  readonly maxInFlight: number;
  /** Links one peer may hold open; the oldest is superseded, so that a peer that lost its end can come back. */
  readonly maxLinksPerPeer: number;
  readonly heartbeatMs: number;
  /** A peer that says nothing for so long is dead to routing; whether it is dead is decided by beats in the store. */
  readonly silenceMs: number;
  /** From the first TCP packet to the accepted hello. */
  readonly connectTimeoutMs: number;
  readonly deliverTimeoutMs: number;
  /** Longer than any client waits: a command may be answered by a deferred reply. */
  readonly commandTimeoutMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
}

export const defaultPeerLimits: PeerLimits = {
  maxFrameBytes: 1024 * 1024,
  pauseBytes: 4 * 1024 * 1024,
  closeBytes: 16 * 1024 * 1024,
  maxInFlight: 4096,
  maxLinksPerPeer: 4,
  heartbeatMs: 1_000,
  silenceMs: 10_000,
  connectTimeoutMs: 5_000,
  deliverTimeoutMs: 10_000,
  commandTimeoutMs: 130_000,
  backoffMinMs: 100,
  backoffMaxMs: 5_000,
};
