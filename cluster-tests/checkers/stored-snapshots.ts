/**
 * K11: every stored snapshot is one its chart can be in, at a chart version this release reads.
 * A pure function of what is stored and of the registry; called at the end of a run for every live actor.
 */
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import { partsOf, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import type { Violation } from './kernel-facts.ts';

type Snapshot = Pick<StoredActor, 'chartVersion' | 'state' | 'context' | 'status'> & { readonly id: ActorId };

export function checkStoredSnapshots(registry: ActorRegistry, stored: readonly Snapshot[], atMs: number): Violation[] {
  return stored.flatMap((actor) => {
    const wrong = wrongWith(registry, actor);
    return wrong === null ? [] : [{ checker: 'K11', atMs, what: `${actor.id}: ${wrong}` }];
  });
}

function wrongWith(registry: ActorRegistry, { id, status, chartVersion, state, context }: Snapshot): string | null {
  const definition = registry.kinds.get(partsOf(id).kind);
  if (definition === undefined) return 'no such kind';
  if (status === 'removed') return null;
  if (chartVersion > definition.chartVersion) return `chart version ${chartVersion} is newer than the chart`;
  for (let version = chartVersion; version < definition.chartVersion; version += 1)
    if (definition.upgrades?.[version] === undefined) return `chart version ${version} has no upgrade`;
  if (chartVersion < definition.chartVersion) return null;
  try {
    const snapshot = definition.machine.resolveState({ value: state as never, context: context as never });
    if (snapshot.status !== 'active') return `stored as live in the final state ${JSON.stringify(state)}`;
    return null;
  } catch (error) {
    return `the chart has no state ${JSON.stringify(state)}: ${String(error)}`;
  }
}
