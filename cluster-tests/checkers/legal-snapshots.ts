/**
 * K11: every snapshot that was ever written is one the chart has: state and context are restored by the chart itself.
 * Pure. Called by runtime-promises.ts.
 */
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { describeCause } from '@photoncloud/runtime/contract/errors';
import { restore } from '@photoncloud/runtime/hosting/decide';
import type { StoreFact } from './store-facts.ts';

/** @param definitions kind -> definition */
export function checkSnapshots(
  facts: readonly StoreFact[],
  definitions: ReadonlyMap<string, ActorDefinition>,
): string[] {
  const legal = new Set<string>();
  const broken: string[] = [];
  for (const fact of facts) {
    if (fact.fact !== 'record' || fact.fields['mode'] === 'removed') continue;
    const { state = 'null', context = 'null' } = fact.fields;
    const kind = fact.actor.slice(0, fact.actor.indexOf('/'));
    // An id that was only ever refused something has a record and no chart.
    if (state === 'null' || legal.has(`${kind} ${state}`)) continue;
    const definition = definitions.get(kind);
    try {
      if (definition === undefined) throw new Error('nobody knows the kind');
      restore(definition.machine, JSON.parse(state), JSON.parse(context));
      legal.add(`${kind} ${state}`);
    } catch (error) {
      broken.push(`K11: ${fact.actor} was written in state ${state}: ${describeCause(error)}`);
    }
  }
  return broken;
}
