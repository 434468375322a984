/**
 * K15: a node that is asked to stop hands over (G12). Judges one stop in a cluster where nothing fails: no message came
 * a second time, no effect that had ended before its shard was given away was begun anew, the node owned nothing at its
 * end, and whoever was named took each shard at once, not when somebody had been found silent. Pure. Called by
 * simulation/drain-check.ts.
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

export interface GentleStop {
  /** Label of the process that stopped. */
  readonly by: string;
  readonly askedMs: number;
  /** When its process ended. */
  readonly endedMs: number;
  /** Of all nodes, while it stopped and afterwards. */
  readonly repeats: number;
  readonly handovers: readonly Handover[];
}

/** A beat of who is named, and what the slowest store takes for the commands of it. */
const takenWithinMs = 5_000;
/** Eight groups of shards, each as slow as its slowest commit and delivery. */
const stoppedWithinMs = 12_000;

export function checkGentleStop(
  facts: readonly StoreFact[],
  performances: readonly Performance[],
  stop: GentleStop,
): string[] {
  const { by, askedMs, endedMs, repeats } = stop;
  return [
    ...(repeats > 0 ? [`K15: ${repeats} messages came again around the stop of ${by}`] : []),
    ...(endedMs - askedMs > stoppedWithinMs ? [`K15: ${by} took ${Math.round(endedMs - askedMs)} ms to stop`] : []),
    ...checkEffects(performances, stop),
    ...checkGrants(facts, stop),
  ];
}

function checkEffects(performances: readonly Performance[], { askedMs, handovers }: GentleStop): string[] {
  return performances.flatMap((first) => {
    const { actor, effectId, by, atMs, endedMs } = first;
    if (endedMs === undefined || endedMs < askedMs) return [];
    // A refused commit drops an activation and what its effects have come to; then it is the second run that counts.
    if (performances.some((other) => other.effectId === effectId && other.by === by && other.atMs > atMs)) return [];
    const shard = shardOf(actorId(actor));
    const given = handovers.find((one) => one.shard === shard && one.by === by && one.atMs > endedMs);
    const again = performances.find((other) => other.effectId === effectId && other.by !== by && other.atMs > endedMs);
    if (given === undefined || again === undefined) return [];
    return [`K15: ${effectId} had ended on ${by} before its shard was given away, and ${again.by} began it anew`];
  });
}

function checkGrants(facts: readonly StoreFact[], { by, askedMs, endedMs }: GentleStop): string[] {
  const name = by.slice(0, by.lastIndexOf('.'));
  /** Taken by this process and not given away; what others gave it as it left goes to them again at their next beat. */
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
        broken.push(`K15: ${fact.shard}, given to ${given.to} by ${by}, was taken by ${fact.by} ${tookMs} ms later`);
    }
  }
  for (const shard of named.keys()) broken.push(`K15: ${shard}, given away by ${by}, was taken by nobody`);
  return broken;
}
