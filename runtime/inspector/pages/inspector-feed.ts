/**
 * The interface through which the pages read from the control API. client-feed.ts implements it with the typed client,
 * tests with a script. All times are milliseconds since the epoch.
 */
export type Waiting = 'timer' | 'effect' | 'event';

export type HeldKind = 'paused' | 'quarantined';

/** Why an actor processes no inputs; `version`: its node cannot read the chart version of the snapshot. */
export interface Hold {
  readonly kind: HeldKind | 'version';
  readonly reason: string;
  readonly by: string;
  readonly at: number | null;
}

/** An input that could not be processed. */
export interface DeadLetter {
  readonly deadLetterId: string;
  readonly type: string;
  readonly reason: string;
  readonly from: string | null;
  readonly version: number;
  readonly at: number;
}

/** One line of the list. */
export interface ActorRow {
  /** `<kind>/<scope>/<name>`, with `@<host>` when it is pinned. */
  readonly id: string;
  readonly version: number;
  readonly stateName: string;
  readonly gone: boolean;
  readonly waitingOn: readonly Waiting[];
  /** The time of the last commit. */
  readonly at: number;
  /** Present when the actor is held; the detail contains the reason. */
  readonly held?: HeldKind;
}

export interface PendingEffect {
  readonly type: string;
  readonly effectId: string;
  /** The state whose entry action requested the effect. */
  readonly stateId: string;
}

export interface PendingTimer {
  readonly timerId: string;
  readonly eventType: string;
  readonly dueMs: number;
}

export interface ActorDetail extends Omit<ActorRow, 'at' | 'held'> {
  readonly uid: string;
  /** XState's state value. */
  readonly state: unknown;
  readonly spec: unknown;
  readonly status: unknown;
  readonly effects: readonly PendingEffect[];
  readonly timers: readonly PendingTimer[];
  readonly hold: Hold | null;
  /** The unchanged answer of the control API, for the raw view. */
  readonly raw: unknown;
}

export interface HistoryRow {
  readonly version: number;
  readonly at: number;
  readonly event: { readonly type: string; readonly [field: string]: unknown };
  readonly cause: string;
  readonly from: unknown;
  readonly to: unknown;
  readonly kind: 'transition' | 'ignored' | 'rejected' | 'dropped' | 'operated' | 'upgraded';
  readonly asked: readonly string[];
  /** Transitions of the chart, as its history names them. */
  readonly taken?: readonly string[] | undefined;
  /** Top-level context key -> value after the step. */
  readonly changed: Readonly<Record<string, unknown>>;
  /** Context keys that the step removed. */
  readonly gone?: readonly string[] | undefined;
  /** Present when `changed` is the whole context. */
  readonly whole?: number | undefined;
}

/** What precedes the first row of a page; the words of the control API. */
export type Older = 'more' | 'none' | 'lost' | 'not_archived';

export interface HistoryPage {
  /** Newest last. */
  readonly rows: readonly HistoryRow[];
  readonly older: Older;
}

export interface HistoryRange {
  /** Only versions above it. */
  readonly after?: number;
  readonly to?: number;
  /** So many of the newest entries are left out. */
  readonly skip?: number;
}

/** An actor as it was after the last entry of a version. */
export interface PastActor {
  readonly version: number;
  readonly state: unknown;
  readonly status: unknown;
  readonly entry: HistoryRow;
  /** The unchanged answer of the control API, for the raw view. */
  readonly raw: unknown;
}

/** Field -> value: bytes, or a count; and words of the object's own. Not `complete`: a node did not answer. */
export interface Figures {
  readonly figures: Readonly<Record<string, number>>;
  readonly facts?: readonly { readonly name: string; readonly values: readonly string[] }[] | undefined;
  readonly complete: boolean;
}

export interface ListFilter {
  readonly kind?: string;
  readonly scope?: string;
  readonly ids?: readonly string[];
}

export interface ListListener {
  /** A row of the snapshot or a change; the newest version wins. */
  row(row: ActorRow): void;
  removed(id: string): void;
  /** The snapshot is complete. */
  synced(): void;
  /** All rows must be forgotten: a new snapshot follows. */
  reset(): void;
  /** The server has refused the watch finally: nothing follows. */
  refused(reason: string): void;
}

/** `asOf`: when the server was heard last, ms since the epoch; what is shown is from then. */
export type FeedHealth =
  | { readonly state: 'connecting'; readonly reason?: string; readonly asOf?: number }
  | { readonly state: 'live' }
  | { readonly state: 'refused'; readonly reason: string; readonly asOf?: number };

export interface InspectorFeed {
  /** Rejects with a PhotonError `not_found` when there is no such actor, or none that the principal may see. */
  get(id: string): Promise<ActorDetail>;
  /** The newest entries in the range. */
  history(id: string, range: HistoryRange): Promise<HistoryPage>;
  at(id: string, version: number): Promise<PastActor>;
  /** What is read of it on its nodes now; null when its kind has no figures, or it is on no node yet. */
  figures(id: string): Promise<Figures | null>;
  /** Oldest first; null for a principal who may not see them. */
  deadLetters(id: string): Promise<readonly DeadLetter[] | null>;
  /** @returns the function that ends it. */
  watch(filter: ListFilter, listener: ListListener): () => void;
  /** Calls the listener at once, then on every change. @returns the function that ends it */
  onHealth(listener: (health: FeedHealth) => void): () => void;
  /** The time of the cluster, on which all its times are; the viewer's clock may be wrong. */
  now(): number;
}
