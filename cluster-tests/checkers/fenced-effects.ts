/**
 * K7 of docs/promises.md: an effect starts only after the commit that asked for it (G4), with the fence of a grant that
 * its process held and of the version that asked (G7). Its result is taken only while it is pending, and an unknown
 * outcome is recorded as unknown. Pure. Called by runtime-promises.ts.
 */
import { parseGrant } from '@photoncloud/runtime/journal/store-keys';
import type { Performance } from './runtime-promises.ts';
import type { StoreFact } from './store-facts.ts';

interface Outcome {
  readonly type?: string;
  readonly error?: { readonly group?: string };
}

/** Pending are the effects of the actor's last record, and those that the same commit has asked for. */
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
        broken.push(`K7: ${fact.actor} took a result of ${id} at version ${version}, when ${id} was not pending`);
      const { type = '', error } = event as Outcome;
      if (error?.group === 'unknown' && type.endsWith('.failed'))
        broken.push(`K7: the outcome of ${id} was unknown and is recorded as ${type}`);
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
    if (commit === undefined) return [`K7: ${by} started ${effectId} at ${atMs} ms, and no commit asked for it`];
    if (commit.atMs > atMs) return [`K7: ${by} started ${effectId} ${commit.atMs - atMs} ms before its commit`];
    const node = by.slice(0, by.lastIndexOf('.'));
    if (!grants.has(`${commit.shard} ${fence.era} ${fence.ownerEpoch} ${node}`))
      return [`K7: ${effectId} started with fence ${fence.era}|${fence.ownerEpoch}, which ${by} was never granted`];
    if (!effectId.includes(`#${fence.version}.`))
      return [`K7: ${effectId} was started with the fence of version ${fence.version}`];
    return [];
  });
}
