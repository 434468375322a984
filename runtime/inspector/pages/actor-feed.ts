/** Follows one actor: reads its record, history and dead letters again after every change that the watch reports. */
import { useEffect, useState } from 'preact/hooks';
import type { ActorDetail, DeadLetter, HistoryRow, InspectorFeed } from './inspector-feed.ts';

export interface LiveActor {
  readonly detail: ActorDetail | null;
  /** Oldest first; entries that were read stay, also when the store has trimmed them since. */
  readonly history: readonly HistoryRow[];
  /** Inputs that could not be processed; empty for a principal who may not see them. */
  readonly deadLetters: readonly DeadLetter[];
  readonly gone: boolean;
  readonly failure: string | null;
}

const nothing: LiveActor = { detail: null, history: [], deadLetters: [], gone: false, failure: null };

export function useActor(feed: InspectorFeed, id: string): LiveActor {
  const [live, setLive] = useState<LiveActor>(nothing);
  useEffect(() => {
    setLive(nothing);
    return followActor(feed, id, setLive);
  }, [feed, id]);
  return live;
}

/** Only one read runs at a time, so a burst of changes causes two reads, not one per change. */
export function followActor(feed: InspectorFeed, id: string, publish: (live: LiveActor) => void): () => void {
  let ended = false;
  let reading = false;
  let again = false;
  let live = nothing;
  const update = (change: Partial<LiveActor>): void => {
    live = { ...live, ...change };
    if (!ended) publish(live);
  };
  const read = async (): Promise<void> => {
    // Entries of the newest version are read again: operator verbs and ignored inputs have no version of their own.
    const known = Math.max(0, (live.history.at(-1)?.version ?? 0) - 1);
    const [detail, rows, deadLetters] = await Promise.all([
      feed.get(id),
      feed.history(id, known),
      feed.deadLetters(id),
    ]);
    // Another uid: the actor was removed and created again, so the old history does not belong to it.
    const recreated = live.detail !== null && live.detail.uid !== detail.uid;
    const history = recreated ? await feed.history(id, 0) : merged(live.history, rows);
    update({ detail, history, deadLetters: deadLetters ?? [], gone: detail.gone, failure: null });
  };
  const refresh = (): void => {
    if (ended) return;
    if (reading) {
      again = true;
      return;
    }
    reading = true;
    read()
      .catch((error: unknown) => {
        if (!live.gone) update({ failure: error instanceof Error ? error.message : String(error) });
      })
      .finally(() => {
        reading = false;
        if (again) {
          again = false;
          refresh();
        }
      });
  };
  refresh();
  const end = feed.watch(
    { ids: [id] },
    {
      row: (row) => {
        if (row.gone) update({ gone: true });
        // Also for the same version: the begin and the end of a hold do not change it.
        refresh();
      },
      removed: () => {
        update({ gone: true });
        refresh();
      },
      synced: () => {},
      reset: () => {},
    },
  );
  return () => {
    ended = true;
    end();
  };
}

function merged(known: readonly HistoryRow[], more: readonly HistoryRow[]): readonly HistoryRow[] {
  const [first] = more;
  if (first === undefined) return known;
  return [...known.filter((row) => row.version < first.version), ...more];
}
