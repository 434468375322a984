/**
 * K11: every snapshot that was ever written is one that the chart of its version has: state and context are restored by
 * that chart itself. A life's chart version never falls, and what an upgrade made of a snapshot is what the chain of
 * upgrades makes of the one stored before it, step by step (G9). Pure. Called by runtime-promises.ts.
 */
import type { ActorDefinition } from '@photoncloud/runtime/contract/actor-definition';
import { describeCause } from '@photoncloud/runtime/contract/errors';
import { restore } from '@photoncloud/runtime/hosting/decide';
import type { StoreFact } from './store-facts.ts';

export interface Charts {
  readonly of: (kind: string, chartVersion: number) => ActorDefinition | undefined;
  /** What a chart cannot tell: whether a context has the keys of its version. */
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
      // An id that was only ever refused something has a record and no chart.
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
    if (definition === undefined) throw new Error('nobody knows the kind');
    restore(definition.machine, state, context);
    legal.add(known);
    return [];
  } catch (error) {
    return [`K11: ${where} was written in state ${JSON.stringify(state)}: ${describeCause(error)}`];
  }
}

function checkUpgrade({ actor, entry, by }: Entry, before: Snapshot | undefined, charts: Charts): string[] {
  // The store went back: what it held then is not known here.
  if (before === undefined) return [];
  const { whole = 0, to, changed } = entry;
  const upgrades = charts.of(kindOf(actor), whole)?.upgrades;
  let form: Pick<Snapshot, 'state' | 'context'> | undefined = before;
  for (let version = before.chartVersion; version < whole; version += 1)
    form = form === undefined ? undefined : upgrades?.[version]?.(form);
  if (form !== undefined && sorted(form.state, form.context) === sorted(to, changed)) return [];
  return [
    `K11: ${by} brought ${actor} from chart version ${before.chartVersion} to ${whole} as ${sorted(to, changed)}, ` +
      `and the chain gives ${sorted(form?.state, form?.context)}`,
  ];
}

/** The order of keys is no part of a context. */
const sorted = (state: unknown, context: unknown): string =>
  JSON.stringify([state, Object.entries(context ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
