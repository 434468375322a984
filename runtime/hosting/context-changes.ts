/**
 * What a step did to an actor's context, as the history keeps it: enough to fold the entries into the very context
 * that the snapshot of that version holds (G10). Values are compared by identity, for charts replace what they change.
 * A value that is undefined has no place in JSON, so its key stands among those that are gone. Called by draft.ts and
 * draft-keeping.ts; the fold is history-fold.ts of the archive.
 */
import type { HistoryEntry } from '../contract/journal.ts';
import type { Activation } from './activation.ts';

export type Context = Readonly<Record<string, unknown>>;

/**
 * From `before` (undefined: there was no actor) to the actor's present context. The first entry after an upgrade holds
 * all of it, since no entry tells what the upgrade did.
 */
export function changesOf(
  actor: Activation,
  before: Context | undefined,
): Pick<HistoryEntry, 'changed' | 'gone' | 'whole'> {
  const after = actor.snapshot?.context as Context | undefined;
  if (after === undefined) return { changed: {} };
  const whole = before === undefined || actor.rewritten;
  if (!whole && before === after) return { changed: {} };
  actor.rewritten = false;
  const changed: Record<string, unknown> = {};
  const gone: string[] = [];
  for (const key of Object.keys(after)) {
    if (after[key] === undefined) {
      if (before?.[key] !== undefined) gone.push(key);
    } else if (whole || before[key] !== after[key]) changed[key] = after[key];
  }
  for (const key of Object.keys(before ?? {})) if (!(key in after)) gone.push(key);
  if (whole) return { changed, whole: actor.kind?.definition.chartVersion ?? 0 };
  return gone.length === 0 ? { changed } : { changed, gone };
}
