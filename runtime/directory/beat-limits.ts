/**
 * How often a node beats (raises its counter in the store), and after which silence others take its shards. Each is a
 * row of docs/limits.md, which says why they are shorter than the timeouts of the links between nodes. node.json may
 * override them; all nodes of a cluster must have the same values. Read by cluster-membership.ts.
 */
export interface BeatLimits {
  readonly beatMs: number;
  /** Observed silence after which a controller's shards may be taken. */
  readonly silenceMs: number;
}

export const defaultBeatLimits: BeatLimits = { beatMs: 500, silenceMs: 2_000 };
