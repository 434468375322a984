/**
 * Time as a port. Production binds it to the process clock, the simulation to virtual time.
 * Wall time only labels; every decision about silence or delay uses `monotonicMs`, and every stored time the shared
 * clock.
 */
export interface Clock {
  /** Milliseconds since the epoch; may step. */
  wallMs(): number;
  /** Milliseconds on a clock that never goes back; its zero means nothing. */
  monotonicMs(): number;
  /** Runs `task` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, task: () => void): () => void;
}

/**
 * A node's clock. It also knows the clock that all nodes of the cluster share, up to a few ms. Every time that is
 * stored is on the shared clock, because another node may wait for it. It looks like wall time and does not step.
 */
export interface SharedClock extends Clock {
  /** The least that it can be now, whole ms: what waits for a stored time by it is never early. */
  sharedMs(): number;
  /** The most that it can be now, whole ms: a due time that is stored by it is not too soon for any node. */
  sharedAtMostMs(): number;
}
