/**
 * K7: an effect begins only after the commit that asked for it, under the grant of the process that performs it, and
 * under the version that asked. Pure. Called by runtime-promises.ts.
 */
import { parseGrant } from '@photoncloud/runtime/journal/store-keys';
import type { Performance } from './runtime-promises.ts';
import type { StoreFact } from './store-facts.ts';

interface Outcome {
  readonly type?: string;
  readonly error?: { readonly group?: string };
}

/**
 * What is taken as an effect's result: only of one that is pending, and an unknown one as unknown. Pending are those
 * of the actor's last record, and those that the same commit has asked for.
 */
export function checkOutcomes(facts: readonly StoreFact[]): string[] {
  const pending = new Map<string, ReadonlySet<string>>();
  const broken: string[] = [];
  for (const fact of facts) {
    if (fact.fact === 'rolled back') return broken;
    if (fact.fact === 'record' && fact.fields['head'] !== undefined) {
      const { effects = [] } = JSON.parse(fact.fields['head']) as { effects?: { effectId: string }[] };
      pending.set(fact.actor, new Set(effects.map(({ effectId }) => effectId)));
    } else if (fact.fact === 'history') {
      const { cause, kind, event, asked, version } = fact.entry;
      const own = new Set([
        ...(pending.get(fact.actor) ?? []),
        ...asked.map((what) => what.replace(/^effect:[^:]+:/, '')),
      ]);
      pending.set(fact.actor, own);
      if (!cause.startsWith('effect:')) continue;
      const id = cause.slice('effect:'.length);
      if (kind === 'transition' && !own.delete(id))
        broken.push(`K7: ${fact.actor} took a result of ${id} at version ${version}, which it no longer waited for`);
      const { type = '', error } = event as Outcome;
      if (error?.group === 'unknown' && type.endsWith('.failed'))
        broken.push(`G7: ${id} was unknown and is told as ${type}`);
    }
  }
  return broken;
}

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
      if (match !== null && (asked.get(match[1] ?? '')?.atMs ?? Infinity) > fact.atMs)
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
