/**
 * The context fields that one step changed, with values before and after. A history entry contains the changed keys and
 * their new values, or the whole context; the value before is the newest one in an earlier entry. It is unknown when
 * that entry is older than the history that was read. Pure.
 */
import type { HistoryRow } from './inspector-feed.ts';

export interface ChangedKey {
  readonly key: string;
  /** undefined: unknown; null: the key did not exist. */
  readonly before: string | null | undefined;
  /** null: the key was removed. */
  readonly after: string | null;
}

/**
 * @param history oldest first
 * @param index of the entry in it: several entries may share a version, and each has changes of its own
 */
export function changesOf(history: readonly HistoryRow[], index: number): readonly ChangedKey[] {
  const row = history[index];
  if (row === undefined) return [];
  const earlier = history.slice(0, index).reverse();
  const isRead = (history[0]?.version ?? 0) <= 1;
  const after = new Map(Object.entries(row.changed));
  for (const key of row.gone ?? []) after.set(key, undefined);
  if (row.whole !== undefined && row.from !== null) {
    // It repeats what has not changed, and does not name what is gone.
    for (const key of keysBefore(earlier)) if (!after.has(key)) after.set(key, undefined);
  }
  const changes = [...after].map(([key, value]) => {
    const before = row.from === null ? null : valueBefore(earlier, key);
    return { key, before: before === undefined && isRead ? null : before, after: printed(value) };
  });
  return row.whole === undefined ? changes : changes.filter(({ before, after: now }) => before !== now);
}

/** @param earlier newest first */
function valueBefore(earlier: readonly HistoryRow[], key: string): string | null | undefined {
  for (const row of earlier) {
    if (Object.hasOwn(row.changed, key)) return printed(row.changed[key]);
    if (row.gone?.includes(key) === true || row.whole !== undefined || row.to === null) return null;
  }
  return undefined;
}

/** All keys that the entries since the last whole context name; some of them may be gone. */
function keysBefore(earlier: readonly HistoryRow[]): ReadonlySet<string> {
  const end = earlier.findIndex((row) => row.whole !== undefined);
  const rows = earlier.slice(0, end === -1 ? undefined : end + 1);
  return new Set(rows.flatMap((row) => Object.keys(row.changed)));
}

const printed = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value, null, 1));
