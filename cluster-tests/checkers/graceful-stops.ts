/**
 * K15 of docs/promises.md: a node that is asked to stop hands its shards over (G12). Judges one graceful stop in a
 * cluster without faults: no message was delivered a second time, no effect that had ended before its shard was handed
 * over was started again, the node owned no shard when it ended, and the named successor took each shard at once
 * instead of after a silence timeout. Pure. Called by simulation/drain-check.ts.
 */
import { parseGrant } from '@photoncloud/runtime/journal/store-keys';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { shardOf } from '@photoncloud/runtime/journal/shard-placement';
import type { Performance } from './runtime-promises.ts';
import type { StoreFact } from './store-facts.ts';

export interface Handover {
  readonly atMs: number;
  /** Label of the process. */
  readonly by: string;
  readonly shard: string;
}

export interface GracefulStop {
  /** Label of the process that stopped. */
  readonly by: string;
  readonly askedMs: number;
  /** When its process ended. */
  readonly endedMs: number;
  /** Messages that any node was sent again, during the stop and afterwards. */
  readonly repeats: number;
  readonly handovers: readonly Handover[];
}

/** One heartbeat of the successor, and its store commands on the slowest simulated store. */
const takenWithinMs = 5_000;
/** Shards are handed over in eight groups, each as slow as its slowest commit and delivery. */
const stoppedWithinMs = 12_000;

export function checkGracefulStop(
  facts: readonly StoreFact[],
  performances: readonly Performance[],
  stop: GracefulStop,
): string[] {
  const { by, askedMs, endedMs, repeats } = stop;
  return [
    ...(repeats > 0 ? [`K15: ${repeats} messages were delivered again around the stop of ${by}`] : []),
    ...(endedMs - askedMs > stoppedWithinMs ? [`K15: ${by} took ${Math.round(endedMs - askedMs)} ms to stop`] : []),
    ...checkEffects(performances, stop),
    ...checkGrants(facts, stop),
  ];
}

function checkEffects(performances: readonly Performance[], { askedMs, handovers }: GracefulStop): string[] {
  return performances.flatMap((first) => {
    const { actor, effectId, by, atMs, endedMs } = first;
    if (endedMs === undefined || endedMs < askedMs) return [];
    // A refused commit drops the activation and the results of its effects; then the second run counts.
    if (performances.some((other) => other.effectId === effectId && other.by === by && other.atMs > atMs)) return [];
    const shard = shardOf(actorId(actor));
    const given = handovers.find((one) => one.shard === shard && one.by === by && one.atMs > endedMs);
    const again = performances.find((other) => other.effectId === effectId && other.by !== by && other.atMs > endedMs);
    if (given === undefined || again === undefined) return [];
    return [`K15: ${effectId} had ended on ${by} before its shard was handed over, and ${again.by} started it again`];
  });
}

function checkGrants(facts: readonly StoreFact[], { by, askedMs, endedMs }: GracefulStop): string[] {
  const name = by.slice(0, by.lastIndexOf('.'));
  /** Claimed by this process and not handed over. Shards that others hand to it meanwhile return at their next beat. */
  const own = new Set<string>();
  const named = new Map<string, { readonly to: string; readonly atMs: number }>();
  const broken: string[] = [];
  let left = false;
  for (const fact of facts) {
    if (fact.fact !== 'grant') continue;
    if (fact.atMs > endedMs && !left) {
      left = true;
      for (const shard of own) broken.push(`K15: ${by} ended and still owned ${shard}`);
    }
    const { node } = parseGrant(fact.grant);
    if (node === name && fact.by === by) own.add(fact.shard);
    else own.delete(fact.shard);
    const given = named.get(fact.shard);
    if (fact.by === by && fact.atMs >= askedMs && node !== name && node !== '') {
      named.set(fact.shard, { to: node, atMs: fact.atMs });
    } else if (given !== undefined) {
      named.delete(fact.shard);
      const tookMs = Math.round(fact.atMs - given.atMs);
      if (tookMs > takenWithinMs || node !== given.to)
        broken.push(`K15: ${by} handed ${fact.shard} to ${given.to}, and ${fact.by} took it ${tookMs} ms later`);
    }
  }
  for (const shard of named.keys()) broken.push(`K15: ${by} handed over ${shard}, and no node took it`);
  return broken;
}
