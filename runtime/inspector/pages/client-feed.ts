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
import type { InspectorFeed, ListFilter, ListListener, PastActor } from './inspector-feed.ts';
import { ServerClock } from './server-clock.ts';

export type FeedOptions = Pick<ConnectOptions, 'url' | 'openSocket' | 'ticket' | 'token'> & {
  /** After this long without an answer the server counts as silent; default 5 s. */
  readonly silentMs?: number;
};

type WatchFrame = NonNullable<Awaited<ReturnType<ReturnType<PhotonClient['watch']>['next']>>['value']>;
type ListedActor = Extract<WatchFrame, { type: 'changed' }>['actor'];

/** Pages that lost the same node must not come back together. */
const pauseBeforeTry = (failures: number, atLeastMs = 0): Promise<void> =>
  pause(backoffOf({ minMs: 1_000, maxMs: 10_000, failures, fraction: clientFraction(), atLeastMs }));
const defaultSilentMs = 5_000;
const historyLimit = 200;
const deadLetterLimit = 100;

export function createClientFeed(options: FeedOptions): InspectorFeed & { readonly close: () => void } {
  const link = new ClientLink(options);
  return {
    async get(id) {
      const client = await link.client;
      return detailOf(await client.call('actor.get', { id }));
    },
    async history(id, range) {
      const client = await link.client;
      const { entries, older } = await client.call('actor.history', { id, ...range, limit: historyLimit });
      return { rows: entries.map(historyRowOf), older };
    },
    async at(id, version): Promise<PastActor> {
      const client = await link.client;
      const raw = await client.call('actor.at', { id, version });
      return { version, state: raw.state, status: raw.status, entry: historyRowOf(raw.entry), raw };
    },
    async figures(id) {
      const client = await link.client;
      return client.call('actor.figures', { id }).catch((error: unknown) => {
        if (error instanceof PhotonError && error.record.code === 'no_figures') return null;
        throw error;
      });
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
    now: () => link.now(),
    close: () => link.close(),
  };
}

class ClientLink {
  /** Resolves when the first connection is established; rejects when the server refuses it finally. */
  readonly client: Promise<PhotonClient>;
  readonly #listeners = new Set<(health: FeedHealth) => void>();
  readonly #silentMs: number;
  #health: FeedHealth = { state: 'connecting' };
  #heardAt: number | undefined;
  readonly #clock = new ServerClock();
  #closed = false;

  constructor(options: FeedOptions) {
    this.#silentMs = options.silentMs ?? defaultSilentMs;
    this.client = this.#connect(options);
    this.client.then(
      (client) => this.#watchSilence(client),
      () => {
        // Callers of the feed get the rejection, and the health reports it; here it must only not be unhandled.
      },
    );
  }

  onHealth(listener: (health: FeedHealth) => void): () => void {
    this.#listeners.add(listener);
    listener(this.#health);
    return () => this.#listeners.delete(listener);
  }

  now(): number {
    return this.#clock.now();
  }

  close(): void {
    this.#closed = true;
    this.client.then(
      (client) => client.close(),
      () => undefined,
    );
  }

  async #connect(options: FeedOptions): Promise<PhotonClient> {
    const { url, openSocket, ticket, token } = options;
    for (let failures = 0; ; failures += 1) {
      try {
        const client = await connectPhoton({
          url,
          openSocket,
          ...(ticket === undefined ? {} : { ticket }),
          ...(token === undefined ? {} : { token }),
          onDrop: (why) => this.#lose(why),
          onBack: () => this.#hear(),
          onRefused: (error) => this.#refuse(error.record.message),
        });
        if (this.#closed) client.close();
        else this.#hear();
        return client;
      } catch (error) {
        const { group, message, retryable = true, retryAfterMs } = recordOf(error);
        if (this.#closed || (group === 'rejection' && !retryable)) {
          this.#refuse(message);
          throw error;
        }
        this.#lose(message);
        await pauseBeforeTry(failures, retryAfterMs);
      }
    }
  }

  /**
   * Asks again and again whether the server answers: a server that stands still, or behind a broken network, keeps its
   * socket open for a long time. Only a question without an answer counts: a browser slows the timers of a page that is
   * not looked at.
   */
  async #watchSilence(client: PhotonClient): Promise<void> {
    while (!this.#closed && this.#health.state !== 'refused') {
      const sentAt = Date.now();
      const asked = client.call('ping', {}).then(
        ({ at }) => {
          this.#clock.learn(sentAt, at, Date.now());
          this.#hear();
        },
        () => undefined,
      );
      const silence = setTimeout(
        () => this.#lose(`the server has not answered for ${this.#silentMs / 1000} s`),
        this.#silentMs,
      );
      await asked;
      clearTimeout(silence);
      await pause(this.#silentMs / 2);
    }
  }

  #hear(): void {
    this.#heardAt = this.now();
    if (this.#health.state === 'connecting') this.#say({ state: 'live' });
  }

  #lose(reason: string): void {
    if (this.#health.state !== 'refused') this.#say({ state: 'connecting', reason, ...this.#asOf() });
  }

  #refuse(reason: string): void {
    this.#say({ state: 'refused', reason, ...this.#asOf() });
  }

  #asOf(): { asOf?: number } {
    return this.#heardAt === undefined ? {} : { asOf: this.#heardAt };
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
      const { group, message, retryable = true, retryAfterMs } = recordOf(error);
      if (group === 'rejection' && !retryable) return listener.refused(message);
      await pauseBeforeTry(failures, retryAfterMs);
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
