/**
 * The past of actors, as far back as it was kept: the hot tail in the store and, behind it, the archives of all nodes.
 * The control API stands on this port; runtime/archive fulfils it. Never writes.
 */
import type { ActorId } from './identifiers.ts';
import type { HistoryEntry } from './journal.ts';

/** An actor as it was after the last entry of a version. */
export interface RebuiltActor {
  readonly id: ActorId;
  readonly version: number;
  /** The entry that led there. */
  readonly entry: HistoryEntry;
  /** Of the chart that wrote it. */
  readonly chartVersion: number;
  /** Null when there was no such actor: not created yet, or removed. */
  readonly state: unknown;
  readonly context: unknown;
}

export interface HistoryPage {
  readonly after: number;
  /** The newest version wanted; undefined: up to now. */
  readonly to?: number;
  /** So many of the newest entries of this range are left out: one version may have more entries than a page. */
  readonly skip?: number;
  readonly limit: number;
}

/** How this node is getting on with archiving; counts since the start of its process. */
export interface ArchiveStatus {
  readonly archivedEntries: number;
  /** Actors whose history waits to be looked at. */
  readonly waiting: number;
  /** Actors of the last round that have come close to the cap, where history begins to be lost. */
  readonly nearCap: number;
  /** Versions that were dropped at the cap before they were archived. */
  readonly lostVersions: number;
  /** Why nothing can be archived just now, and since when (wall time, ms). */
  readonly trouble?: { readonly message: string; readonly sinceMs: number };
}

export interface Historian {
  /** True for a node without an archive: it has only the newest entries, and rebuilds nothing. */
  readonly hotOnly?: boolean;
  /**
   * Entries with `after` < version <= `to`, newest last; when there are more than `limit`, the newest of them.
   * @throws PhotonError defeat `archive_damaged`, fault `archive_unreachable` with the node that has the missing piece
   */
  history(id: ActorId, page: HistoryPage): Promise<readonly HistoryEntry[]>;
  /**
   * @throws PhotonError rejection `not_found` for a version that never was, defeat `history_incomplete` when entries
   * between are missing, and as `history` does
   */
  at(id: ActorId, version: number): Promise<RebuiltActor>;
  status(): ArchiveStatus;
}
