/**
 * Whether this program may go on from a stored snapshot (G9): the snapshot is of exactly its chart version and shape,
 * or the chain of upgrades brings it there, or it is refused. Nothing is guessed: a snapshot of the same version with
 * another shape was written by another chart. Called at load, where a refusal quarantines that one actor, and by
 * population-check.ts for all actors before a release is admitted.
 */
import { PhotonError } from '../contract/errors.ts';
import type { StoredActor } from '../contract/journal.ts';
import { restore } from './decide.ts';
import type { ChartSnapshot } from './decide.ts';
import type { RegisteredKind } from './registration.ts';

interface Form {
  readonly state: unknown;
  readonly context: unknown;
}

/** @throws PhotonError defeat `snapshot_refused` with the reason. */
export function admitSnapshot(kind: RegisteredKind | undefined, stored: StoredActor): ChartSnapshot {
  if (kind === undefined) throw refused(stored, 'its kind is not registered on this node');
  const { state, context } = upgraded(kind, stored);
  try {
    return restore(kind.machine, state, context);
  } catch (cause) {
    throw refused(stored, 'the chart has no such state', cause);
  }
}

function upgraded(kind: RegisteredKind, stored: StoredActor): Form {
  const { chartVersion, upgrades } = kind.definition;
  if (stored.chartVersion > chartVersion) throw refused(stored, `this node's chart is of version ${chartVersion}`);
  if (stored.chartVersion === chartVersion && stored.schemaHash !== kind.schemaHash) {
    const shapes = `${stored.schemaHash || 'unknown'} in the store, ${kind.schemaHash} on this node`;
    throw refused(stored, `the chart was changed and its version was not raised (schema ${shapes})`);
  }
  let at: Form = { state: stored.state, context: stored.context };
  for (let version = stored.chartVersion; version < chartVersion; version += 1) {
    const upgrade = upgrades?.[version];
    if (upgrade === undefined) throw refused(stored, `there is no upgrade from version ${version}`);
    try {
      at = upgrade(at);
    } catch (cause) {
      throw refused(stored, `the upgrade from version ${version} failed`, cause);
    }
  }
  return at;
}

function refused(stored: StoredActor, why: string, cause?: unknown): PhotonError {
  const text = `${stored.id}: snapshot of chart version ${stored.chartVersion} refused: ${why}. `;
  return new PhotonError('defeat', 'snapshot_refused', `${text}Install a program that knows this version.`, {
    cause,
    actor: stored.id,
  });
}
