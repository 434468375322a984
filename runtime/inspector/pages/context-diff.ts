/**
 * Before and after of one step. The journal keeps, per step, the context keys that changed and their new values; the
 * value before is the newest one an earlier step left. Older than the kept history, it is not known, and said so. Pure.
 */
import type { HistoryRow } from './inspector-feed.ts';

export interface ChangedKey {
  readonly key: string;
  /** undefined: not known; null: there was none. */
  readonly before: string | null | undefined;
  /** null: gone. */
  readonly after: string | null;
}

/** @param history oldest first. */
export function changesOf(history: readonly HistoryRow[], version: number): readonly ChangedKey[] {
  const index = history.findIndex((row) => row.version === version);
  const row = history[index];
  if (row === undefined) return [];
  const earlier = history.slice(0, index).reverse();
  const fromBirth = (history[0]?.version ?? 0) <= 1;
  return Object.entries(row.changed).map(([key, value]) => {
    const previous = earlier.find((candidate) => Object.hasOwn(candidate.changed, key));
    const unknown = fromBirth ? null : undefined;
    return { key, before: previous === undefined ? unknown : printed(previous.changed[key]), after: printed(value) };
  });
}

const printed = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value, null, 1));
