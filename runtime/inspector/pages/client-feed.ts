/**
 * Implements InspectorFeed with the typed client of the control API. It retries until it is connected, reports the
 * health of the connection, and keeps watches open: a watch that the client cannot resume is opened again with a new
 * snapshot. Runs in the browser and, in tests, in Node.
 */
import { clientFraction } from '../../client/client-clock.ts';
import { connectPhoton, type ConnectOptions, type PhotonClient } from '../../client/client.ts';
import { backoffOf } from '../../contract/backoff.ts';
import { PhotonError, type ErrorRecord } from '../../contract/errors.ts';
import type { ActorDetail, ActorRow, DeadLetter, FeedHealth, HeldKind, HistoryRow, Hold } from './inspector-feed.ts';
import type { InspectorFeed, ListFilter, ListListener } from './inspector-feed.ts';

export type FeedOptions = Pick<ConnectOptions, 'url' | 'openSocket' | 'ticket' | 'token'>;

type WatchFrame = NonNullable<Awaited<ReturnType<ReturnType<PhotonClient['watch']>['next']>>['value']>;
type ListedActor = Extract<WatchFrame, { type: 'changed' }>['actor'];

/** Pages that lost the same node must not come back together. */
const pauseBeforeTry = (failures: number, atLeastMs = 0): Promise<void> =>
  pause(backoffOf({ minMs: 1_000, maxMs: 10_000, failures, fraction: clientFraction(), atLeastMs }));
const historyLimit = 500;
const deadLetterLimit = 100;

export function createClientFeed(options: FeedOptions): InspectorFeed & { readonly close: () => void } {
  const link = new ClientLink(options);
  return {
    async get(id) {
      const client = await link.client;
      return detailOf(await client.call('actor.get', { id }));
    },
    async history(id, after) {
      const client = await link.client;
      const { entries } = await client.call('actor.history', { id, after, limit: historyLimit });
      return entries.map(historyRowOf);
    },
    async deadLetters(id) {
      const client = await link.client;
      if (!client.principal().admin) return null;
      const { deadLetters } = await client.call('deadletters.list', { id, limit: deadLetterLimit });
      return deadLetters.map(deadLetterOf);
    },
    watch(filter, listener) {
      const ending = new AbortController();
      void keepWatching(link, filter, listener, ending.signal);
      return () => ending.abort();
    },
    onHealth: (listener) => link.onHealth(listener),
    close: () => link.close(),
  };
}

class ClientLink {
  /** Resolves when the first connection is established; rejects when the server refuses it finally. */
  readonly client: Promise<PhotonClient>;
  readonly #listeners = new Set<(health: FeedHealth) => void>();
  #health: FeedHealth = { state: 'connecting' };
  #closed = false;

  constructor(options: FeedOptions) {
    this.client = this.#connect(options);
    // Callers of the feed get the rejection, and the health reports it; here it must only not be unhandled.
    this.client.catch(() => undefined);
  }

  onHealth(listener: (health: FeedHealth) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#health);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#closed = true;
    this.client.then(
      (client) => client.close(),
      () => undefined,
    );
  }

  async #connect(options: FeedOptions): Promise<PhotonClient> {
    for (let failures = 0; ; failures += 1) {
      try {
        const client = await connectPhoton({
          ...options,
          onDrop: (why) => this.#say({ state: 'connecting', reason: why }),
          onBack: () => this.#say({ state: 'live' }),
          onRefused: (error) => this.#say({ state: 'refused', reason: error.record.message }),
        });
        if (this.#closed) client.close();
        else this.#say({ state: 'live' });
        return client;
      } catch (error) {
        const { group, message, retryable = true, retryAfterMs } = recordOf(error);
        if (this.#closed || (group === 'rejection' && !retryable)) {
          this.#say({ state: 'refused', reason: message });
          throw error;
        }
        this.#say({ state: 'connecting', reason: message });
        await pauseBeforeTry(failures, retryAfterMs);
      }
    }
  }

  #say(health: FeedHealth): void {
    this.#health = health;
    for (const listener of this.#listeners) listener(health);
  }
}

type FailureRecord = Pick<ErrorRecord, 'message' | 'retryAfterMs'> & {
  readonly group: string;
  readonly retryable?: boolean;
};

const recordOf = (error: unknown): FailureRecord =>
  error instanceof PhotonError ? error.record : { group: 'bug', message: String(error) };

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function keepWatching(
  link: ClientLink,
  filter: ListFilter,
  listener: ListListener,
  ended: AbortSignal,
): Promise<void> {
  for (let failures = 0; !ended.aborted; failures += 1) {
    try {
      const client = await link.client;
      for await (const frame of client.watch(watchParams(filter), ended)) deliver(frame, listener);
      return;
    } catch (error) {
      // A refusal is shown in the page's bar; it is not retried.
      if (recordOf(error).group === 'rejection') return;
      await pauseBeforeTry(failures, recordOf(error).retryAfterMs);
      listener.reset();
    }
  }
}

const watchParams = ({ kind, scope, ids }: ListFilter): { kind?: string; scope?: string; ids?: string[] } => ({
  ...(kind === undefined ? {} : { kind }),
  ...(scope === undefined ? {} : { scope }),
  ...(ids === undefined ? {} : { ids: [...ids] }),
});

function deliver(frame: WatchFrame, listener: ListListener): void {
  switch (frame.type) {
    case 'items':
      for (const actor of frame.actors) listener.row(rowOf(actor));
      return;
    case 'added':
    case 'changed':
      listener.row(rowOf(frame.actor));
      return;
    case 'removed':
      listener.removed(frame.actor.id);
      return;
    case 'synced':
      listener.synced();
      return;
    case 'reset':
      listener.reset();
      return;
    case 'bookmark':
    case 'coalesced':
    case 'closed':
      // The client handles bookmarks; a page needs only the newest version of each row.
      return;
  }
}

const rowOf = ({ id, version, stateName, lifecycle, waitingOn, at, held }: ListedActor): ActorRow => ({
  id,
  version,
  stateName,
  gone: lifecycle === 'removed',
  waitingOn,
  at,
  ...(held === undefined ? {} : { held }),
});

/** The fields of `actor.get` that the pages use. */
interface AnsweredActor extends Omit<ListedActor, 'at' | 'spec' | 'status' | 'held'> {
  readonly state?: unknown;
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly effects: readonly { readonly id: string; readonly type: string; readonly state: string }[];
  readonly timers: readonly { readonly id: string; readonly dueMs: number; readonly eventType: string }[];
  readonly hold?: (Omit<Hold, 'kind'> & { readonly kind: HeldKind }) | undefined;
  readonly refused?: string | undefined;
}

const detailOf = (actor: AnsweredActor): ActorDetail => ({
  id: actor.id,
  uid: actor.uid,
  version: actor.version,
  stateName: actor.stateName,
  gone: actor.lifecycle === 'removed',
  waitingOn: actor.waitingOn,
  state: actor.state,
  spec: actor.spec,
  status: actor.status,
  effects: actor.effects.map(({ id, type, state }) => ({ effectId: id, type, stateId: state })),
  timers: actor.timers.map(({ id, dueMs, eventType }) => ({ timerId: id, dueMs, eventType })),
  hold: holdOf(actor),
  raw: actor,
});

function holdOf({ hold, refused }: AnsweredActor): Hold | null {
  if (hold !== undefined) return hold;
  return refused === undefined ? null : { kind: 'version', reason: refused, by: 'host', at: null };
}

function deadLetterOf(deadLetter: AnsweredDeadLetter): DeadLetter {
  const { deadLetterId: name, event, reason, from = null, version, at } = deadLetter;
  return { deadLetterId: name, type: typeOf(event), reason, from, version, at };
}

type AnsweredDeadLetter = Omit<DeadLetter, 'type' | 'from'> & {
  readonly event?: unknown;
  readonly from?: string | undefined;
};

const typeOf = (event: unknown): string =>
  typeof event === 'object' && event !== null && 'type' in event ? String(event.type) : String(event);

/** An event should be an object with a type; anything else is shown as text. */
function historyRowOf(item: Omit<HistoryRow, 'event'> & { readonly event?: unknown }): HistoryRow {
  const { event, ...rest } = item;
  const typed = typeof event === 'object' && event !== null && 'type' in event;
  return { ...rest, event: typed ? (event as HistoryRow['event']) : { type: String(event) } };
}
