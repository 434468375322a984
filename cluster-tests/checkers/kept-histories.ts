/**
 * K16 of docs/promises.md: the history of an actor, read from the store and the archives together, holds every entry
 * that was ever committed for the actor, in order; and folding it gives what was stored at that version (G10). What was
 * committed is taken from the append-only file of the simulated store. Pure. Called by simulation/history-check.ts.
 */
import type { RebuiltActor } from '@photoncloud/runtime/contract/historian';
import type { HistoryEntry } from '@photoncloud/runtime/contract/journal';
import type { RecordHead } from '@photoncloud/runtime/journal/record-decoding';
import type { StoreEntry } from '../simulation/store/simulated-server.ts';
import type { StoreRollback } from '../simulation/store/simulated-store.ts';

interface StoredVersion {
  readonly version: number;
  /** JSON. */
  readonly state: string;
  readonly context: string;
}

export interface ActorPast {
  /** JSON of every history entry. */
  readonly entries: string[];
  /** The last record that was written at each version. */
  readonly records: StoredVersion[];
}

export function pastOf(file: readonly (StoreEntry | StoreRollback)[]): Map<string, ActorPast> {
  const found = new Map<string, ActorPast>();
  for (const entry of file) {
    if ('rolledBackTo' in entry) continue;
    for (const [verb, key = '', ...rest] of entry.effects) {
      const [, keyType = '', actor = ''] = /^[^{]*\{[^}]+\}:([ah]):(.*)$/.exec(key) ?? [];
      let known = found.get(actor);
      if (keyType !== '' && known === undefined) found.set(actor, (known = { entries: [], records: [] }));
      if (known === undefined) continue;
      if (verb === 'XADD' && keyType === 'h') addEntry(known, rest.at(-1) ?? '');
      if (verb === 'HSET' && keyType === 'a') addRecord(known.records, rest);
    }
  }
  return found;
}

function addEntry({ entries, records }: ActorPast, text: string): void {
  entries.push(text);
  const { kind, version } = JSON.parse(text) as HistoryEntry;
  // An upgrade rewrites the state of this version, and the upgraded form is not stored before the next step.
  if (kind === 'upgraded' && records.at(-1)?.version === version) records.pop();
}

function addRecord(records: StoredVersion[], items: readonly string[]): void {
  const field = (name: string): string | undefined => {
    const at = items.indexOf(name);
    return at < 0 || at % 2 !== 0 ? undefined : items[at + 1];
  };
  const version = field('version');
  if (version === undefined) return;
  if (records.at(-1)?.version === Number(version)) records.pop();
  const { state = null } = JSON.parse(field('head') ?? '{}') as Partial<RecordHead>;
  records.push({ version: Number(version), state: JSON.stringify(state), context: field('context') ?? 'null' });
}

/** @param before what was committed when the read began @param after what was committed when it had ended */
export function checkEntries(
  id: string,
  read: readonly HistoryEntry[],
  before: ActorPast,
  after: ActorPast,
): readonly string[] {
  const at = read.findIndex((entry, index) => JSON.stringify(entry) !== after.entries[index]);
  const where = at < 0 ? read.length : at;
  if (at < 0 && read.length >= before.entries.length) return [];
  const next = (JSON.parse(after.entries[where] ?? '{}') as Partial<HistoryEntry>).version;
  return [
    `K16: ${read.length} of ${before.entries.length} history entries of ${id} were read; ` +
      `entry ${where} was committed with version ${next} and read with version ${read[where]?.version}`,
  ];
}

export function checkRebuilt({ id, version, state, context }: RebuiltActor, past: ActorPast): readonly string[] {
  const stored = past.records.find((one) => one.version === version);
  const [wanted, rebuilt] = [
    [stored?.state, sorted(stored?.context)],
    [JSON.stringify(state), sorted(JSON.stringify(context))],
  ];
  if (wanted.join(' ') === rebuilt.join(' ')) return [];
  return [`K16: ${id} at version ${version} was stored as ${wanted.join(' ')} and rebuilt as ${rebuilt.join(' ')}`];
}

/** Contexts are equal whatever the order of their keys. */
function sorted(context = 'null'): string {
  const value = JSON.parse(context) as Record<string, unknown> | null;
  return JSON.stringify(value === null ? null : Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
