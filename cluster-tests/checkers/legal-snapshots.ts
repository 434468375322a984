/**
 * K11 of docs/promises.md, in two forms; both are pure.
 * `checkSnapshots` (for runtime-promises.ts) judges every snapshot that was ever written: the chart of its version can
 * restore its state and context, the chart version of one uid never falls, and the result of an upgrade equals what the
 * chain of upgrades makes of the snapshot that was stored before, step by step (G9).
 * `checkStoredSnapshots` (for cloud-scenario.ts) judges what is stored at the end of a run against the registry.
 */
import type { ActorDefinition, ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import { describeCause } from '@photoncloud/runtime/contract/errors';
import { partsOf, type ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { StoredActor } from '@photoncloud/runtime/contract/journal';
import { restore } from '@photoncloud/runtime/hosting/decide';
import type { Violation } from './kernel-facts.ts';
import type { StoreFact } from './store-facts.ts';

export interface Charts {
  readonly of: (kind: string, chartVersion: number) => ActorDefinition | undefined;
  /** Whether a context has the keys of its version, which a chart cannot check by itself. */
  readonly hasShape?: (kind: string, chartVersion: number, context: unknown) => boolean;
}

interface Snapshot {
  readonly uid: string;
  readonly status: 'live' | 'removed';
  readonly chartVersion: number;
  readonly state: unknown;
  readonly context: unknown;
}

type Entry = Extract<StoreFact, { fact: 'history' }>;

const kindOf = (actor: string): string => actor.slice(0, actor.indexOf('/'));

export function checkSnapshots(facts: readonly StoreFact[], charts: Charts): string[] {
  const legal = new Set<string>();
  const stored = new Map<string, Snapshot>();
  const broken: string[] = [];
  for (const fact of facts) {
    if (fact.fact === 'rolled back') stored.clear();
    else if (fact.fact === 'history' && fact.entry.kind === 'upgraded')
      broken.push(...checkUpgrade(fact, stored.get(fact.actor), charts));
    else if (fact.fact === 'record' && fact.fields['head'] !== undefined) {
      const now = snapshotOf(fact.fields);
      // An id whose every command was rejected has a record and no snapshot.
      if (now.status === 'removed' || now.state === null) stored.delete(fact.actor);
      else {
        broken.push(...checkOne(fact.actor, now, stored.get(fact.actor), charts, legal));
        stored.set(fact.actor, now);
      }
    }
  }
  return broken;
}

function snapshotOf({ head = '{}', context = 'null' }: Readonly<Record<string, string>>): Snapshot {
  const { uid, status, chartVersion, state } = JSON.parse(head) as Snapshot;
  return { uid, status, chartVersion, state, context: JSON.parse(context) };
}

function checkOne(
  actor: string,
  now: Snapshot,
  before: Snapshot | undefined,
  charts: Charts,
  legal: Set<string>,
): string[] {
  const kind = kindOf(actor);
  const { chartVersion, state, context } = now;
  const where = `${actor} at chart version ${chartVersion}`;
  if (before?.uid === now.uid && before.chartVersion > chartVersion)
    return [`K11: ${where} was written over a snapshot of version ${before.chartVersion}`];
  if (charts.hasShape?.(kind, chartVersion, context) === false)
    return [`K11: ${where} was written with the context ${JSON.stringify(context)}`];
  const known = `${kind} ${chartVersion} ${JSON.stringify(state)}`;
  if (legal.has(known)) return [];
  const definition = charts.of(kind, chartVersion);
  try {
    if (definition === undefined) throw new Error('the kind is unknown');
    restore(definition.machine, state, context);
    legal.add(known);
    return [];
  } catch (error) {
    return [`K11: ${where} was written in state ${JSON.stringify(state)}: ${describeCause(error)}`];
  }
}

function checkUpgrade({ actor, entry, by }: Entry, before: Snapshot | undefined, charts: Charts): string[] {
  // After a store rollback the snapshot that preceded the upgrade is not known here.
  if (before === undefined) return [];
  const { whole = 0, to, changed } = entry;
  const upgrades = charts.of(kindOf(actor), whole)?.upgrades;
  let form: Pick<Snapshot, 'state' | 'context'> | undefined = before;
  for (let version = before.chartVersion; version < whole; version += 1)
    form = form === undefined ? undefined : upgrades?.[version]?.(form);
  if (form !== undefined && sorted(form.state, form.context) === sorted(to, changed)) return [];
  return [
    `K11: ${by} upgraded ${actor} from chart version ${before.chartVersion} to ${whole} as ${sorted(to, changed)}; ` +
      `the chain of upgrades gives ${sorted(form?.state, form?.context)}`,
  ];
}

/** Contexts are equal whatever the order of their keys. */
const sorted = (state: unknown, context: unknown): string =>
  JSON.stringify([state, Object.entries(context ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1))]);

type LastSnapshot = Pick<StoredActor, 'chartVersion' | 'state' | 'context' | 'status'> & { readonly id: ActorId };

/** Every stored snapshot is one that its chart can be in, at a chart version that this release reads. */
export function checkStoredSnapshots(
  registry: ActorRegistry,
  stored: readonly LastSnapshot[],
  atMs: number,
): Violation[] {
  return stored.flatMap((actor) => {
    const wrong = wrongWith(registry, actor);
    return wrong === null ? [] : [{ checker: 'K11', atMs, what: `${actor.id}: ${wrong}` }];
  });
}

function wrongWith(registry: ActorRegistry, { id, status, chartVersion, state, context }: LastSnapshot): string | null {
  const definition = registry.kinds.get(partsOf(id).kind);
  if (definition === undefined) return 'the registry has no such kind';
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
