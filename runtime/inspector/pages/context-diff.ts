/**
 * The context fields that one step changed, with values before and after. A history entry contains the changed keys and
 * their new values; the value before is the newest one in an earlier entry. It is unknown when that entry is older than
 * the history that was read. Pure.
 */
import type { HistoryRow } from './inspector-feed.ts';

export interface ChangedKey {
  readonly key: string;
  /** undefined: unknown; null: the key did not exist. */
  readonly before: string | null | undefined;
  /** null: the key was removed. */
  readonly after: string | null;
}

/** @param history oldest first. */
export function changesOf(history: readonly HistoryRow[], version: number): readonly ChangedKey[] {
  const index = history.findIndex((row) => row.version === version);
  const row = history[index];
  if (row === undefined) return [];
  const earlier = history.slice(0, index).reverse();
  const isComplete = (history[0]?.version ?? 0) <= 1;
  return Object.entries(row.changed).map(([key, value]) => {
    const previous = earlier.find((candidate) => Object.hasOwn(candidate.changed, key));
    const unknown = isComplete ? null : undefined;
    return { key, before: previous === undefined ? unknown : printed(previous.changed[key]), after: printed(value) };
  });
}

const printed = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value, null, 1));
