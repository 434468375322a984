/**
 * Rebuilds an actor at a version from its history: from the last entry that holds the whole context and the changes
 * since then. The result equals the snapshot of that version exactly (hosting/commit-staging.ts writes the changes).
 * Pure.
 */
import { PhotonError } from '../contract/errors.ts';
import type { RebuiltActor } from '../contract/historian.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { HistoryEntry } from '../contract/journal.ts';
import { isUnreadable } from '../journal/record-decoding.ts';

const whereItWent = 'the missing entries were dropped at the cap, or archived on a lost disk';

/** Whether no older entry is needed: the entry holds the whole context, or the actor did not exist after it. */
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
    if (isUnreadable(entry)) throw incomplete(id, `the stored entry of version ${version} is corrupt`);
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

/** @param what why the requested version cannot be rebuilt */
export function incomplete(id: ActorId, what: string): PhotonError {
  const text = `the history of ${id} is incomplete: ${what}`;
  return new PhotonError('defeat', 'history_incomplete', text, { public: true, actor: id });
}
