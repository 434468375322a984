/**
 * Follows one actor: reads its record, history and dead letters again after every change that the watch reports, and
 * older steps when they are asked for.
 */
import { useEffect, useRef, useState } from 'preact/hooks';
import { PhotonError } from '../../contract/errors.ts';
import { covers, olderRange, withNewest, withOlder, withWindow, type Piece, type Pieces } from './history-pieces.ts';
import type { ActorDetail, DeadLetter, InspectorFeed, PastActor } from './inspector-feed.ts';
import type { Loaded } from './page-hooks.ts';

export interface LiveActor {
  readonly detail: ActorDetail | null;
  /** Entries that were read stay, also when the store has trimmed them since. */
  readonly history: Pieces;
  /** Why the last request for older steps has failed. */
  readonly olderFailure: string | null;
  readonly isReadingOlder: boolean;
  /** Inputs that could not be processed; empty for a principal who may not see them. */
  readonly deadLetters: readonly DeadLetter[];
  readonly gone: boolean;
  /** There is no such actor, or none that the principal may see; the page goes on watching for it. */
  readonly missing: boolean;
  readonly failure: string | null;
}

const nothing: LiveActor = {
  detail: null,
  history: [],
  olderFailure: null,
  isReadingOlder: false,
  deadLetters: [],
  gone: false,
  missing: false,
  failure: null,
};

export interface ActorFollower {
  /** Reads the page before a piece. */
  readOlder(piece: Piece): void;
  /** Reads the steps around a version that is not in the history yet. */
  readAround(version: number): void;
  end(): void;
}

export function useActor(feed: InspectorFeed, id: string): readonly [LiveActor, ActorFollower | undefined] {
  const [live, setLive] = useState<LiveActor>(nothing);
  const follower = useRef<ActorFollower | undefined>(undefined);
  useEffect(() => {
    setLive(nothing);
    const following = followActor(feed, id, setLive);
    follower.current = following;
    return () => following.end();
  }, [feed, id]);
  return [live, follower.current];
}

/** Steps beside the wanted one that are read with it. */
const around = 50;

/** Only one read runs at a time, so a burst of changes causes two reads, not one per change. */
export function followActor(feed: InspectorFeed, id: string, publish: (live: LiveActor) => void): ActorFollower {
  let ended = false;
  let live = nothing;
  const update = (change: Partial<LiveActor>): void => {
    live = { ...live, ...change };
    if (!ended) publish(live);
  };
  const refresh = oneAtATime(async () => {
    if (ended) return;
    try {
      const change = await readNow(feed, id, live);
      // Older steps may have been read meanwhile.
      update(change(live));
    } catch (error) {
      if (isNotFound(error) && live.detail === null) update({ missing: true, failure: null });
      else if (!live.gone) update({ failure: textOf(error) });
    }
  });
  const readOlder = async (read: (before: Pieces) => Promise<(now: Pieces) => Pieces>): Promise<void> => {
    if (live.isReadingOlder) return;
    update({ isReadingOlder: true, olderFailure: null });
    try {
      const added = await read(live.history);
      update({ history: added(live.history), isReadingOlder: false });
    } catch (error) {
      update({ isReadingOlder: false, olderFailure: textOf(error) });
    }
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
      refused: (reason) => update({ failure: `This page is no longer updated; reload it. (${reason})` }),
    },
  );
  return {
    readOlder: (piece) =>
      void readOlder(async () => {
        const page = await feed.history(id, olderRange(piece));
        // New steps may have joined the piece meanwhile; its oldest row is the same.
        return (now) => withOlder(now, now.find(({ rows }) => rows[0] === piece.rows[0]) ?? piece, page);
      }),
    readAround: (version) =>
      void readOlder(async (before) => {
        if (covers(before, version)) return (now) => now;
        const page = await feed.history(id, { to: version + around });
        return (now) => withWindow(now, page);
      }),
    end: () => {
      ended = true;
      end();
    },
  };
}

/** @returns what the answers change in what is known when they are there */
async function readNow(
  feed: InspectorFeed,
  id: string,
  before: LiveActor,
): Promise<(now: LiveActor) => Partial<LiveActor>> {
  // Entries of the newest version are read again: operator verbs and ignored inputs have no version of their own.
  const known = Math.max(0, (before.history[0]?.rows.at(-1)?.version ?? 0) - 1);
  const [detail, page, deadLetters] = await Promise.all([
    feed.get(id),
    feed.history(id, { after: known }),
    feed.deadLetters(id),
  ]);
  // Another uid: the actor was removed and created again, maybe with a history of its own.
  const recreated = before.detail !== null && before.detail.uid !== detail.uid;
  const fresh = recreated ? await feed.history(id, {}) : undefined;
  return ({ history }) => ({
    detail,
    history: fresh === undefined ? withNewest(history, page) : withNewest([], fresh),
    deadLetters: deadLetters ?? [],
    gone: detail.gone,
    missing: false,
    failure: null,
  });
}

/** The returned function runs the task; while it runs, further calls cause one more run. */
function oneAtATime(task: () => Promise<void>): () => void {
  let running = false;
  let again = false;
  const run = (): void => {
    if (running) {
      again = true;
      return;
    }
    running = true;
    void task().finally(() => {
      running = false;
      if (again) {
        again = false;
        run();
      }
    });
  };
  return run;
}

const isNotFound = (error: unknown): boolean => error instanceof PhotonError && error.record.code === 'not_found';
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Keys may pass through many versions; only one that is looked at for this long is read. */
const restMs = 120;

/** The actor as it was at a version; undefined for the newest one. */
export function usePast(feed: InspectorFeed, id: string, version: number | null): Loaded<PastActor> | undefined {
  const [past, setPast] = useState<Loaded<PastActor>>();
  useEffect(() => {
    setPast(version === null ? undefined : { state: 'loading' });
    if (version === null) return;
    let wanted = true;
    const timer = setTimeout(() => {
      feed.at(id, version).then(
        (value) => wanted && setPast({ state: 'ready', value }),
        (error: unknown) => wanted && setPast({ state: 'failed', reason: textOf(error) }),
      );
    }, restMs);
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [feed, id, version]);
  return past;
}
