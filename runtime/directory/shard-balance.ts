/**
 * Computes which shards should move to which node. Pure; cluster-membership.ts performs the moves, a few per beat.
 * Every node computes the same plan from the same map and performs its own part of it, so no leader is needed.
 *
 * Load is the number of shards: hashing spreads actors evenly over 128 of them. Rejected: moving by measured load
 * (messages per second of a shard); no measurement so far shows shards that differ enough to pay for a handover.
 */
import type { ShardId } from '../contract/identifiers.ts';

export interface ShardMove {
  readonly shard: ShardId;
  readonly from: string;
  readonly to: string;
}

type Holdings = ReadonlyMap<string, readonly ShardId[]>;

/**
 * The fewest moves after which no two nodes differ by more than one shard.
 *
 * @param owners of all shared shards @param nodes that may own them
 * @returns no moves while a shard has no owner among these nodes: a takeover comes first
 */
export function balanceMoves(owners: ReadonlyMap<ShardId, string>, nodes: readonly string[]): readonly ShardMove[] {
  const holdings = new Map<string, ShardId[]>(nodes.map((node) => [node, []]));
  for (const [shard, node] of owners) {
    const held = holdings.get(node);
    if (held === undefined) return [];
    held.push(shard);
  }
  const share = Math.floor(owners.size / nodes.length);
  const larger = owners.size % nodes.length;
  // The remainder goes to the nodes that hold most already: that needs no move.
  const wanted = new Map(fullestFirst(holdings).map((node, at) => [node, share + (at < larger ? 1 : 0)]));
  const surplus = [...holdings].flatMap(([from, held]) =>
    held.slice(wanted.get(from)).map((shard) => ({ shard, from })),
  );
  const room = [...holdings].flatMap(([to, held]) => {
    return Array.from({ length: Math.max(0, (wanted.get(to) ?? 0) - held.length) }, () => to);
  });
  return surplus.map((move, at) => ({ ...move, to: room[at] as string }));
}

/**
 * Distributes all shards of a leaving node over the nodes that stay, always to the one with the fewest.
 * @returns shard -> node; empty when no node stays
 */
export function departureMoves(
  shards: readonly ShardId[],
  owners: ReadonlyMap<ShardId, string>,
  staying: readonly string[],
): ReadonlyMap<ShardId, string> {
  const counts = new Map(staying.map((node) => [node, 0]));
  for (const node of owners.values()) {
    const count = counts.get(node);
    if (count !== undefined) counts.set(node, count + 1);
  }
  const moves = new Map<ShardId, string>();
  for (const shard of shards) {
    const [emptiest] = [...counts].sort(([one, few], [other, more]) => few - more || (one < other ? -1 : 1));
    if (emptiest === undefined) break;
    moves.set(shard, emptiest[0]);
    counts.set(emptiest[0], emptiest[1] + 1);
  }
  return moves;
}

function fullestFirst(holdings: Holdings): string[] {
  const sizes = [...holdings].map(([node, held]) => [node, held.length] as const);
  return sizes.sort(([one, many], [other, few]) => few - many || (one < other ? -1 : 1)).map(([node]) => node);
}
