/**
 * An actor at a version, from its history: the last entry that holds the whole context, and what changed since. Exact:
 * equal to the snapshot of that version (context-changes.ts of hosting writes what is folded here). Pure.
 */
import { PhotonError } from '../contract/errors.ts';
import type { RebuiltActor } from '../contract/historian.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { HistoryEntry } from '../contract/journal.ts';
import { isUnreadable } from '../journal/record-decoding.ts';

const whereItWent = 'what is missing was dropped at the cap, or archived on a lost disk';

/** Whether nothing older is needed: the actor was not there, or the entry holds all of it. */
export const isBase = (entry: HistoryEntry): boolean => entry.whole !== undefined || entry.to === null;

/**
 * @param entries oldest first, the first of them a base, none missing between
 * @throws PhotonError defeat `history_incomplete`
 */
export function rebuild(id: ActorId, entries: readonly HistoryEntry[]): RebuiltActor {
  const [first] = entries;
  const last = entries.at(-1);
  if (first === undefined || last === undefined || !isBase(first)) {
    throw incomplete(id, `nothing is known before version ${first?.version ?? 0}; ${whereItWent}`);
  }
  let context: Record<string, unknown> | null = null;
  let chartVersion = 0;
  let version = first.version;
  for (const entry of entries) {
    if (entry.version > version + 1)
      throw incomplete(id, `versions ${version + 1} to ${entry.version - 1} are missing; ${whereItWent}`);
    ({ version } = entry);
    if (isUnreadable(entry)) throw incomplete(id, `what was written of version ${version} is spoilt`);
    if (entry.to === null) context = null;
    else if (entry.whole === undefined) context = changed(context ?? {}, entry);
    else {
      context = { ...entry.changed };
      chartVersion = entry.whole;
    }
  }
  return { id, version, entry: last, chartVersion, state: last.to, context };
}

function changed(before: Readonly<Record<string, unknown>>, entry: HistoryEntry): Record<string, unknown> {
  const after = { ...before, ...entry.changed };
  for (const key of entry.gone ?? []) delete after[key];
  return after;
}

/** @param what is in the way of the version that was asked for */
export function incomplete(id: ActorId, what: string): PhotonError {
  const text = `the history of ${id} is incomplete: ${what}`;
  return new PhotonError('defeat', 'history_incomplete', text, { public: true, actor: id });
}
