/** Reading what is committed, from any node: the control API and the inspector stand on this port. Never writes. */
import type { ActorId } from './identifiers.ts';
import type { HistoryEntry, StoredActor } from './journal.ts';
import type { Hold, StoredDeadLetter } from './supervision.ts';

/** One line of a list, kept in the shard's index by the commit itself. */
export interface ActorSummary {
  readonly id: ActorId;
  readonly uid: string;
  readonly version: number;
  readonly stateName: string;
  readonly status: 'live' | 'removed';
  /** What it waits for right now. */
  readonly waitingOn: readonly ('timer' | 'effect' | 'event')[];
  readonly at: number;
  /** Why it takes no inputs, if it does not. */
  readonly held?: Hold['kind'];
}

/** Opaque to clients: era plus the position in every shard's feed. */
export type Cursor = string & { readonly __brand: 'Cursor' };

export interface FeedEntry extends ActorSummary {
  readonly cursor: Cursor;
}

export interface ActorFilter {
  readonly kind?: string;
  readonly scope?: string;
  readonly state?: string;
  readonly host?: string;
  /** Substring of the id. */
  readonly search?: string;
  /** Only actors that are paused or quarantined. */
  readonly held?: boolean;
}

/** A part of a list: so many behind an id. What `allows` refuses is not counted. */
export interface ListPage {
  readonly after: string;
  readonly limit: number;
  readonly allows: (id: ActorId) => boolean;
}

export interface Reader {
  get(id: ActorId): Promise<StoredActor | undefined>;
  /** Ordered by id. The cursor precedes the read: a feed resumed from it repeats rather than misses. */
  list(
    filter: ActorFilter,
    page?: ListPage,
  ): Promise<{
    readonly items: readonly ActorSummary[];
    readonly cursor: Cursor;
    /** How many ids were looked at for it. */
    readonly scanned?: number;
  }>;
  /** Newest last; entries with version > `after`, at most `limit`. */
  history(id: ActorId, after: number, limit: number): Promise<readonly HistoryEntry[]>;
  /** Oldest first within a shard; of all shards, or of the one actor. */
  deadLetters(actor?: ActorId): Promise<readonly StoredDeadLetter[]>;
  /** Calls `each` for every commit after the cursor that there is by now. Rejects `cursor_expired` when trimmed. */
  changes(cursor: Cursor, each: (entry: FeedEntry) => void, signal: AbortSignal): Promise<void>;
  /** Calls `each` for every commit after the cursor until the signal aborts. Rejects `cursor_expired` when trimmed. */
  follow(cursor: Cursor, each: (entry: FeedEntry) => void, signal: AbortSignal): Promise<void>;
  now(): Promise<Cursor>;
}
