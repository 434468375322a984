/**
 * How far a commit has got when it is acknowledged and what it caused may leave (G3, G4). Weakest first; each includes
 * the ones before it, as far as the store is set up for them.
 *
 *   primary   the store's primary has answered: it is in the primary's memory, and in its file as `appendfsync` says
 *   replicas  and the configured number of replicas has acknowledged it
 *   fsync     and it is on the disk: the primary fsyncs before it answers, or the server was asked (WAITAOF), which
 *             then goes for the replicas too
 *
 * There is no level below `primary`: every step is a commit, or nothing would be exactly once.
 */
export const durabilities = ['primary', 'replicas', 'fsync'] as const;

export type Durability = (typeof durabilities)[number];

/** What the store, as it is set up, can keep. */
export interface DurabilityOffer {
  /** The level where none is asked for: the strongest that is offered, unless configured otherwise. */
  readonly default: Durability;
  readonly offered: readonly Durability[];
}

export function strongerOf(one: Durability | undefined, other: Durability): Durability {
  return one === undefined || durabilities.indexOf(one) < durabilities.indexOf(other) ? other : one;
}
