/**
 * The dry run of an upgrade (G9): every live actor of the store is checked exactly as it would be checked at load by
 * this program, and nothing is written. Called by `photon upgrade check` with the charts of the new release, before
 * that release is admitted.
 */
import type { ActorRegistry } from '../contract/actor-definition.ts';
import { describeCause, PhotonError } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import { partsOf } from '../contract/identifiers.ts';
import type { Reader } from '../contract/reader.ts';
import type { StoredActor } from '../contract/journal.ts';
import { stateNameOf } from './decide.ts';
import { registerKinds, type RegisteredKind } from './registration.ts';
import { admitSnapshot } from './snapshot-admission.ts';

const readsAtOnce = 32;

/** Actors that share kind, stored version, state and outcome. */
export interface PopulationRow {
  readonly kind: string;
  /** 0 when the record could not be read. */
  readonly storedVersion: number;
  /** Undefined when this program does not know the kind. */
  readonly programVersion: number | undefined;
  readonly stateName: string;
  readonly verdict: 'exact' | 'upgraded' | 'refused';
  actors: number;
}

export interface PopulationCheck {
  /** By kind, version, state. */
  readonly rows: readonly PopulationRow[];
  readonly refused: readonly { readonly actor: ActorId; readonly reason: string }[];
}

/** @throws PhotonError bug `chart_refused` when a kind of the registry cannot be hosted at all */
export async function checkPopulation(reader: Reader, registry: ActorRegistry): Promise<PopulationCheck> {
  const kinds = registerKinds(registry);
  const { items } = await reader.list({});
  const rows = new Map<string, PopulationRow>();
  const refused: { actor: ActorId; reason: string }[] = [];
  for (let from = 0; from < items.length; from += readsAtOnce) {
    const judged = items.slice(from, from + readsAtOnce).map(({ id }) => judge(reader, kinds, id));
    for (const verdict of await Promise.all(judged)) {
      if (verdict === undefined) continue;
      const { row, actor, reason } = verdict;
      const key = JSON.stringify(row);
      const known = rows.get(key) ?? row;
      known.actors += 1;
      rows.set(key, known);
      if (reason !== undefined) refused.push({ actor, reason });
    }
  }
  const order = ({ kind, storedVersion, stateName }: PopulationRow): string => `${kind} ${storedVersion} ${stateName}`;
  return { rows: [...rows.values()].toSorted((a, b) => (order(a) < order(b) ? -1 : 1)), refused };
}

interface Verdict {
  readonly row: PopulationRow;
  readonly actor: ActorId;
  readonly reason?: string;
}

/** @returns undefined for an actor that is gone since the list was read */
async function judge(
  reader: Reader,
  kinds: ReadonlyMap<string, RegisteredKind>,
  actor: ActorId,
): Promise<Verdict | undefined> {
  const { kind } = partsOf(actor);
  const registered = kinds.get(kind);
  const programVersion = registered?.definition.chartVersion;
  let stored: StoredActor | undefined;
  try {
    stored = await reader.get(actor);
    if (stored === undefined || stored.status === 'removed') return undefined;
    admitSnapshot(registered, stored);
    const verdict = stored.chartVersion === programVersion ? 'exact' : 'upgraded';
    return { actor, row: { kind, ...formOf(stored), programVersion, verdict, actors: 0 } };
  } catch (error) {
    if (!(error instanceof PhotonError) || error.record.group === 'fault') throw error;
    const { message, cause } = error.record;
    const reason = cause === undefined ? message : `${message} (${describeCause(cause)})`;
    return { actor, reason, row: { kind, ...formOf(stored), programVersion, verdict: 'refused', actors: 0 } };
  }
}

function formOf(stored: StoredActor | undefined): { storedVersion: number; stateName: string } {
  if (stored === undefined) return { storedVersion: 0, stateName: 'unreadable' };
  return { storedVersion: stored.chartVersion, stateName: stateNameOf(stored.state) };
}
