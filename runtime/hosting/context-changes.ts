/**
 * What a step did to an actor's context, as the history keeps it: enough to fold the entries into the very context
 * that the snapshot of that version holds (G10). Values are compared by identity, for charts replace what they change.
 * A value that is undefined has no place in JSON, so its key stands among those that are gone. Called by
 * commit-staging.ts and step.ts; the fold is history-fold.ts of the archive.
 */
import type { HistoryEntry } from '../contract/journal.ts';
import type { Activation } from './activation.ts';
import type { ChartSnapshot } from './decide.ts';
import type { CommitBuilder } from './commit-builder.ts';

export type Context = Readonly<Record<string, unknown>>;

/** From `before` (undefined: there was no actor) to the actor's present context. */
export function changesOf(
  actor: Activation,
  before: Context | undefined,
): Pick<HistoryEntry, 'changed' | 'gone' | 'whole'> {
  const after = actor.snapshot?.context as Context | undefined;
  if (after === undefined || before === after) return { changed: {} };
  const changed: Record<string, unknown> = {};
  const gone: string[] = [];
  for (const key of Object.keys(after)) {
    if (before?.[key] === after[key]) continue;
    if (after[key] === undefined) gone.push(key);
    else changed[key] = after[key];
  }
  if (before === undefined) return { changed, whole: chartVersionOf(actor) };
  for (const key of Object.keys(before)) if (!(key in after)) gone.push(key);
  return gone.length === 0 ? { changed } : { changed, gone };
}

const chartVersionOf = ({ kind }: Activation): number => kind?.definition.chartVersion ?? 0;

/**
 * Goes before everything else of the actor's first commit after an upgrade: no other entry tells what the upgrade did,
 * and without it the entries behind could not be folded.
 */
export function stageUpgrade(builder: CommitBuilder, snapshot: ChartSnapshot, at: number): void {
  const { actor } = builder;
  const value = snapshot.value as unknown;
  const version = chartVersionOf(actor);
  actor.upgraded = undefined;
  builder.history.unshift({
    version: builder.expectedVersion,
    at,
    event: { type: 'actor.upgraded', chartVersion: version },
    cause: `upgrade:${version}`,
    from: value,
    to: value,
    kind: 'upgraded',
    asked: [],
    changed: { ...(snapshot.context as Context) },
    whole: version,
  });
}
