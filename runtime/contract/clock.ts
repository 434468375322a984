/**
 * Time as a port. Production binds it to the process clock, the simulation to virtual time.
 * Wall time only labels; every decision about silence or delay uses `monotonicMs`.
 */
export interface Clock {
  /** Milliseconds since the epoch; may step. */
  wallMs(): number;
  /** Milliseconds on a clock that never goes back; its zero means nothing. */
  monotonicMs(): number;
  /** Runs `task` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, task: () => void): () => void;
}
