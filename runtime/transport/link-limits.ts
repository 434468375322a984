/**
 * Bounds of the links between nodes (G11 in docs/promises.md: overflow causes an answer, not growth). Each is a row of
 * docs/limits.md; node.json may override single values.
 */
export interface PeerLimits {
  /** Longest WebSocket frame in either direction; the `ws` default of 100 MiB would let one peer exhaust another. */
  readonly maxFrameBytes: number;
  /** Unsent bytes at which a side pauses: callers get `busy`, the answering side stops reading. */
  readonly pauseBytes: number;
  /** Unsent bytes at which the link is cut. */
  readonly closeBytes: number;
  /** Unanswered requests per link and direction. */
  readonly maxInFlight: number;
  /** Links that one peer may hold open; a further one closes the oldest, so a peer that lost its end can reconnect. */
  readonly maxLinksPerPeer: number;
  /** Connections without a proven certificate; above it the one that is open longest is closed. */
  readonly maxIdleSockets: number;
  readonly heartbeatMs: number;
  /** After this silence the link is cut. Whether the node is dead is decided by beats in the store. */
  readonly silenceMs: number;
  /** Time for a new link until its hello was accepted. */
  readonly connectTimeoutMs: number;
  readonly deliverTimeoutMs: number;
  /** Longer than any client waits, because a command may be answered by a deferred reply. */
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
  maxIdleSockets: 256,
  heartbeatMs: 1_000,
  silenceMs: 10_000,
  connectTimeoutMs: 5_000,
  deliverTimeoutMs: 10_000,
  commandTimeoutMs: 130_000,
  backoffMinMs: 100,
  backoffMaxMs: 5_000,
};
