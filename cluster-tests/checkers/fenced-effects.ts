/**
 * K7: an effect begins only after the commit that asked for it, under the grant of the process that performs it, and
 * under the version that asked. Pure. Called by runtime-promises.ts.
 */
import { parseGrant } from '@photoncloud/runtime/journal/store-keys';
import type { Performance } from './runtime-promises.ts';
import type { StoreFact } from './store-facts.ts';

export function checkPerformances(facts: readonly StoreFact[], performances: readonly Performance[]): string[] {
  const asked = new Map<string, { readonly atMs: number; readonly shard: string }>();
  const grants = new Set<string>();
  for (const fact of facts) {
    if (fact.fact === 'grant') {
      const { era, ownerEpoch, node } = parseGrant(fact.grant);
      grants.add(`${fact.shard} ${era} ${ownerEpoch} ${node}`);
    }
    if (fact.fact !== 'history') continue;
    for (const what of fact.entry.asked) {
      const match = /^effect:[^:]+:(.+)$/.exec(what);
      if (match !== null && !asked.has(match[1] ?? ''))
        asked.set(match[1] ?? '', { atMs: fact.atMs, shard: fact.shard });
    }
  }
  return performances.flatMap(({ atMs, by, effectId, fence }) => {
    const commit = asked.get(effectId);
    if (commit === undefined) return [`K7: ${effectId} began at ${atMs} ms, by ${by}, and no commit asked for it`];
    if (commit.atMs > atMs) return [`K7: ${effectId} began ${commit.atMs - atMs} ms before its commit, by ${by}`];
    const node = by.slice(0, by.lastIndexOf('.'));
    if (!grants.has(`${commit.shard} ${fence.era} ${fence.ownerEpoch} ${node}`))
      return [`K7: ${effectId} began under ${fence.era}|${fence.ownerEpoch}, which ${by} was never granted`];
    if (!effectId.includes(`#${fence.version}.`)) return [`K7: ${effectId} bears version ${fence.version}`];
    return [];
  });
}
