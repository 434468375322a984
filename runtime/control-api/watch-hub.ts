/**
 * What all watches of a node share: one feed of the store, and the live actors as that feed has left them. A watch that
 * begins takes its snapshot from here, without a read of the store and without a copy; a watch that resumes reads once
 * what it has missed and then shares the feed, too. So watches cost the store and this node little more than one. The
 * first watch fills this memory, and when the last one ends it is given back.
 *
 * A feed that breaks is followed again from its last cursor; a watch is told only when its cursor has expired.
 */
import type { Clock } from '../contract/clock.ts';
import { describeCause, PhotonError } from '../contract/errors.ts';
import type { ActorId } from '../contract/identifiers.ts';
import type { Log } from '../contract/log.ts';
import type { Random } from '../contract/random.ts';
import type { ActorSummary, Cursor, FeedEntry, Reader } from '../contract/reader.ts';

/** The actor before a change; null: it was not live; undefined: that is not known. */
export type Before = ActorSummary | null | undefined;

export interface FeedListener {
  readonly onEntry: (entry: FeedEntry, before: Before) => void;
  /** Changes were lost, so the watch needs a new snapshot (`cursor_expired`), or the feed was refused. */
  readonly onLost: (error: PhotonError) => void;
}

export interface Snapshot {
  /** Ordered by id. */
  readonly items: readonly ActorSummary[];
  /** Precedes the snapshot. */
  readonly cursor: Cursor;
}

/** A place in the feed. */
export interface Joined {
  /** The actors as they are when it is called. It looks at each of them. */
  readonly snapshot: (selection: Selection) => Snapshot;
  readonly leave: () => void;
}

/** Which actors: those of a list of ids, or all that pass. */
export interface Selection {
  readonly ids: ReadonlySet<ActorId> | undefined;
  readonly matches: (entry: ActorSummary) => boolean;
}

export interface WatchHub {
  /** From then on every change; those before the snapshot is taken are in it. */
  join(listener: FeedListener): Promise<Joined>;
  /** Delivers every change after the cursor. @returns a function that ends it */
  resume(cursor: Cursor, listener: FeedListener): () => void;
  /** How many actors are kept for the watches. */
  actors(): number;
  close(): void;
}

interface FeedPorts {
  readonly reader: Reader;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const retryMinMs = 100;
const retryMaxMs = 5_000;

/** A hold begins and ends without a new version; every other change has a new version. */
export function isOld(entry: ActorSummary, known: Pick<ActorSummary, 'version' | 'held'>): boolean {
  return entry.version < known.version || (entry.version === known.version && entry.held === known.held);
}

const byId = (a: ActorSummary, b: ActorSummary): number => (a.id < b.id ? -1 : 1);

/** The live actors, followed by one feed. */
class SharedActors {
  readonly listeners = new Set<FeedListener>();
  readonly ready: Promise<void>;
  readonly live = new Map<ActorId, ActorSummary>();
  readonly #abort = new AbortController();
  readonly #onEnd: () => void;
  /** What the feed delivers while the list is read, removed actors included. */
  #early: Map<ActorId, FeedEntry> | undefined = new Map();
  #cursor: Cursor | undefined;

  /** @param onEnd called when it has no listeners any more, or has lost changes */
  constructor(ports: FeedPorts, onEnd: () => void) {
    this.#onEnd = onEnd;
    this.ready = this.#fill(ports);
  }

  snapshot({ ids, matches }: Selection): Snapshot {
    const candidates = ids === undefined ? this.live.values() : [...ids].map((id) => this.live.get(id));
    const items: ActorSummary[] = [];
    for (const item of candidates) if (item !== undefined && matches(item)) items.push(item);
    return { items: items.sort(byId), cursor: this.#cursor as Cursor };
  }

  leave(listener: FeedListener): void {
    this.listeners.delete(listener);
    if (this.listeners.size === 0) this.end();
  }

  end(): void {
    this.#abort.abort();
    this.listeners.clear();
    this.live.clear();
    this.#onEnd();
  }

  async #fill(ports: FeedPorts): Promise<void> {
    const listener = { onEntry: (entry: FeedEntry) => this.#onEntry(entry), onLost: this.#onLost };
    void followOn(ports, await ports.reader.now(), listener, this.#abort.signal);
    const { items, cursor } = await ports.reader.list({});
    for (const item of items) if (item.status === 'live') this.live.set(item.id, item);
    this.#cursor ??= cursor;
    const early = this.#early ?? new Map<ActorId, FeedEntry>();
    this.#early = undefined;
    for (const entry of early.values()) {
      const listed = this.live.get(entry.id);
      if (listed === undefined || !isOld(entry, listed)) this.#keep(entry);
    }
  }

  #keep({ cursor: _, ...summary }: FeedEntry): void {
    if (summary.status === 'removed') this.live.delete(summary.id);
    else this.live.set(summary.id, summary);
  }

  #onEntry(entry: FeedEntry): void {
    this.#cursor = entry.cursor;
    if (this.#early !== undefined) {
      this.#early.set(entry.id, entry);
      return;
    }
    const before = this.live.get(entry.id) ?? null;
    if (before === null || !isOld(entry, before)) this.#keep(entry);
    for (const listener of this.listeners) listener.onEntry(entry, before);
  }

  readonly #onLost = (error: PhotonError): void => {
    const lost = [...this.listeners];
    this.end();
    // The first watch that takes its new snapshot begins anew.
    for (const listener of lost) listener.onLost(error);
  };
}

export function createWatchHub(ports: FeedPorts): WatchHub {
  let shared: SharedActors | undefined;
  const resuming = new Set<AbortController>();

  const ready = async (listener: FeedListener): Promise<SharedActors> => {
    for (;;) {
      const actors: SharedActors = (shared ??= new SharedActors(ports, () => {
        if (shared === actors) shared = undefined;
      }));
      // Added before the list is read, so that the actors are kept when another watch leaves meanwhile.
      const placeholder: FeedListener = { onEntry: () => {}, onLost: () => {} };
      actors.listeners.add(placeholder);
      try {
        await actors.ready;
      } catch (error) {
        actors.end();
        throw error;
      }
      // Not there any more: changes were lost while the list was read.
      if (!actors.listeners.has(placeholder)) continue;
      actors.listeners.add(listener);
      actors.listeners.delete(placeholder);
      return actors;
    }
  };

  return {
    async join(listener) {
      const actors = await ready(listener);
      return { snapshot: (selection) => actors.snapshot(selection), leave: () => actors.leave(listener) };
    },
    resume(cursor, listener) {
      const abort = new AbortController();
      resuming.add(abort);
      const follower = new ResumedFeed(listener, abort.signal);
      void (async () => {
        let leave = (): void => {};
        abort.signal.addEventListener('abort', () => leave());
        await untilDone(ports, abort.signal, listener, async () => {
          const actors = await ready(follower);
          leave = () => actors.leave(follower);
          if (abort.signal.aborted) leave();
        });
        // Read after the shared feed was joined, so that no change lies between the two.
        await untilDone(ports, abort.signal, listener, () =>
          ports.reader.changes(follower.cursor ?? cursor, (entry) => follower.onMissed(entry), abort.signal),
        );
        follower.goLive();
      })();
      return () => {
        resuming.delete(abort);
        abort.abort();
      };
    },
    actors: () => shared?.live.size ?? 0,
    close() {
      shared?.end();
      for (const abort of resuming) abort.abort();
      resuming.clear();
    },
  };
}

/**
 * A watch that reads what it has missed while the shared feed goes on: what the feed brings meanwhile is kept, the
 * newest change of each actor, and delivered after what was missed.
 */
class ResumedFeed implements FeedListener {
  /** Of the last missed change that was delivered. */
  cursor: Cursor | undefined;
  readonly #listener: FeedListener;
  readonly #signal: AbortSignal;
  /** The newest missed change of each actor; the shared feed may bring older ones. */
  readonly #missed = new Map<ActorId, FeedEntry>();
  #kept: Map<ActorId, { readonly entry: FeedEntry; readonly before: Before }> | undefined = new Map();

  constructor(listener: FeedListener, signal: AbortSignal) {
    this.#listener = listener;
    this.#signal = signal;
  }

  onMissed(entry: FeedEntry): void {
    this.cursor = entry.cursor;
    this.#missed.set(entry.id, entry);
    this.#listener.onEntry(entry, undefined);
  }

  goLive(): void {
    const kept = [...(this.#kept?.values() ?? [])];
    this.#kept = undefined;
    for (const { entry, before } of kept) this.onEntry(entry, before);
  }

  readonly onEntry = (entry: FeedEntry, before: Before): void => {
    if (this.#signal.aborted) return;
    if (this.#kept !== undefined) {
      const first = this.#kept.get(entry.id);
      this.#kept.set(entry.id, { entry, before: first === undefined ? before : first.before });
      return;
    }
    const missed = this.#missed.get(entry.id);
    if (missed === undefined || isOld(entry, missed)) {
      this.#listener.onEntry(entry, missed ?? before);
      return;
    }
    this.#missed.delete(entry.id);
    this.#listener.onEntry(entry, missed.status === 'removed' ? null : missed);
  };

  readonly onLost = (error: PhotonError): void => {
    if (!this.#signal.aborted) this.#listener.onLost(error);
  };
}

/** Tries again until it is done or aborted; what does not pass is told to the listener. Never rejects. */
async function untilDone(
  ports: FeedPorts,
  signal: AbortSignal,
  listener: FeedListener,
  work: () => Promise<void>,
): Promise<void> {
  let pauseMs = retryMinMs;
  while (!signal.aborted) {
    try {
      await work();
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (isRefusal(error)) {
        listener.onLost(error);
        return;
      }
      ports.log.warn({ why: describeCause(error), pauseMs }, 'a watch could not resume; it tries again');
    }
    await pause(ports.clock, pauseMs * (0.5 + ports.random.fraction()), signal);
    pauseMs = Math.min(retryMaxMs, pauseMs * 2);
  }
}

const isRefusal = (error: unknown): error is PhotonError =>
  error instanceof PhotonError && (error.record.group === 'rejection' || error.record.code === 'cursor_expired');

/** Never rejects: it ends when the signal is aborted, or by calling `onLost`. */
async function followOn(
  { reader, clock, random, log }: FeedPorts,
  since: Cursor,
  listener: { readonly onEntry: (entry: FeedEntry) => void; readonly onLost: (error: PhotonError) => void },
  signal: AbortSignal,
): Promise<void> {
  let cursor = since;
  let pauseMs = retryMinMs;
  while (!signal.aborted) {
    try {
      await reader.follow(
        cursor,
        (entry) => {
          if (signal.aborted) return;
          pauseMs = retryMinMs;
          listener.onEntry(entry);
          cursor = entry.cursor;
        },
        signal,
      );
    } catch (error) {
      if (signal.aborted) return;
      if (isRefusal(error)) {
        listener.onLost(error);
        return;
      }
      log.warn({ why: describeCause(error), pauseMs }, 'the feed broke; it is followed again from its last cursor');
    }
    if (signal.aborted) return;
    // A random delay, so that feeds that broke together do not reconnect together.
    await pause(clock, pauseMs * (0.5 + random.fraction()), signal);
    pauseMs = Math.min(retryMaxMs, pauseMs * 2);
  }
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      signal.removeEventListener('abort', end);
      cancel();
      resolve();
    };
    const cancel = clock.after(delayMs, end);
    signal.addEventListener('abort', end);
  });
}
