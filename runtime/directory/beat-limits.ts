/**
 * How often a node beats in the store, and how long a beat may be missed before others take its shards: one per row of
 * docs/limits.md, which says why they are shorter than those of the links between nodes. A node's configuration may
 * override them, for all nodes of a cluster alike. Read by cluster-membership.ts.
 */
export interface BeatLimits {
  readonly beatMs: number;
  /** Observed silence after which a controller's shards may be taken. */
  readonly silenceMs: number;
}

export const defaultBeatLimits: BeatLimits = { beatMs: 500, silenceMs: 2_000 };
