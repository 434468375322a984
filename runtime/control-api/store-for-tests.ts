/**
 * Test support: a store in memory that implements the Reader port, and three actor kinds. It contains only what tests
 * put into it; hosting and the journal have tests of their own.
 */
import { createMachine } from 'xstate';
import { z } from 'zod';
import type { ActorDefinition, ActorRegistry } from '../contract/actor-definition.ts';
import { PhotonError } from '../contract/errors.ts';
import { actorId, partsOf, type ActorId } from '../contract/identifiers.ts';
import type { HistoryEntry, StoredActor } from '../contract/journal.ts';
import type { ActorFilter, ActorSummary, Cursor, FeedEntry, ListPage, Reader } from '../contract/reader.ts';
import type { StoredDeadLetter } from '../contract/supervision.ts';

const kind = (name: string, commands: ActorDefinition['commands'], pinned = false): ActorDefinition => ({
  kind: name,
  chartVersion: 1,
  machine: createMachine({
    id: name,
    states: { open: {}, shut: {}, half: { initial: 'open', states: { open: {} } } },
    initial: 'open',
  }),
  placement: pinned ? 'pinned' : 'sharded',
  input: () => ({}),
  commands,
  createdBy: [],
  effects: {},
  view: (context: never) => ({ spec: (context as { spec: unknown }).spec, status: {} }),
});

const createBox = z.strictObject({
  size: z.number().int().min(1),
  lid: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
});

const tooLarge = (spec: unknown): string | undefined =>
  (spec as { readonly size: number }).size > 9 ? 'is larger than every box' : undefined;

const lends = (spec: unknown, scope: string): boolean =>
  (spec as { readonly size: number }).size < 5 && scope === 'acme';

export const testRegistry: ActorRegistry = {
  kinds: new Map([
    [
      'box',
      kind('box', {
        create: {
          params: createBox,
          permission: 'scope',
          creates: true,
          description: 'Makes a box.',
          references: ({ lid }: { lid?: string }, id: ActorId) =>
            lid === undefined
              ? []
              : [{ path: 'spec.lid', to: `lid/${partsOf(id).scope}/${lid}` as ActorId, misfit: tooLarge }],
        },
        poke: {
          params: z.strictObject({ why: z.string().optional() }),
          permission: 'scope',
          description: 'Pokes it.',
          operatorsOnly: ({ why }: { why?: string }) =>
            why === 'hard' ? [{ path: 'why', message: 'only operators may poke hard' }] : [],
        },
        seal: { params: z.strictObject({}), permission: 'admin', description: 'Seals it.' },
      }),
    ],
    [
      'lid',
      kind('lid', {
        steal: {
          params: z.strictObject({ from: z.string() }),
          permission: 'scope',
          description: 'Names an actor by its full id.',
          references: ({ from }: { from: string }) => [{ path: 'spec.from', to: from as ActorId }],
        },
        borrow: {
          params: z.strictObject({ from: z.string() }),
          permission: 'scope',
          description: 'Names an actor of another scope, which lends itself to acme while it is small.',
          references: ({ from }: { from: string }) => [{ path: 'spec.from', to: from as ActorId, grants: lends }],
        },
      }),
    ],
    [
      'pinned',
      kind('pinned', { poke: { params: z.strictObject({}), permission: 'scope', description: 'Pokes it.' } }, true),
    ],
  ]),
};

const wholeList: ListPage = { after: '', limit: Infinity, allows: () => true };

export class MemoryStore implements Reader {
  /** Kind -> version in which its actors are put; default 1. */
  chartVersions: Readonly<Record<string, number>> = {};
  readonly actors = new Map<ActorId, StoredActor>();
  readonly past = new Map<ActorId, HistoryEntry[]>();
  readonly keptDeadLetters: StoredDeadLetter[] = [];
  readonly #feed: FeedEntry[] = [];
  #trimmed = 0;
  readonly #waiting = new Set<() => void>();
  follows = 0;
  /** Makes every running and later `follow` fail, as an unreachable store does. */
  broken = false;

  /** @param more fields of the history entry that differ from those of a plain transition */
  put(
    text: string,
    stateName: string,
    size = 1,
    status: 'live' | 'removed' = 'live',
    more: Partial<HistoryEntry> = {},
  ): void {
    const id = actorId(text);
    const before = this.actors.get(id);
    const version = (before?.version ?? 0) + 1;
    const uid = before?.status === 'live' ? before.uid : `uid-${version}`;
    const context = { spec: { size }, secret: 'in the context only' };
    const rest = { effects: [], timers: [], deferred: {}, lastSeq: 0, watermarks: {}, prunedUid: '' };
    const chart = { chartVersion: this.chartVersions[partsOf(id).kind] ?? 1, schemaHash: '' };
    const stored: StoredActor = { id, uid, status, version, ...chart, state: stateName, context, ...rest };
    this.actors.set(id, stored);
    const entry: HistoryEntry = {
      version,
      at: 1_000 + version,
      event: { type: `${partsOf(id).kind}.poke` },
      cause: 'command:ann:1',
      from: before?.state ?? null,
      to: stateName,
      kind: 'transition',
      asked: [],
      changed: {},
      ...more,
    };
    this.past.set(id, [...(this.past.get(id) ?? []), entry]);
    const cursor = `c${this.#trimmed + this.#feed.length + 1}` as Cursor;
    this.#feed.push({ ...summary(stored), cursor });
    this.wake();
  }

  /** Begins or ends a hold: the version stays, and the feed gets another entry. */
  hold(text: string, as: 'paused' | 'quarantined' | undefined, deadLetterId?: string): void {
    const id = actorId(text);
    const before = this.actors.get(id);
    if (before === undefined) throw new Error(`there is no ${text}`);
    const { hold: _, ...rest } = before;
    const at = 1_000;
    const keeper = deadLetterId === undefined ? {} : { deadLetterId };
    const hold = { kind: as ?? 'paused', reason: 'a test says so', at, by: 'root', ...keeper };
    const stored = as === undefined ? rest : { ...rest, hold };
    this.actors.set(id, stored);
    this.#feed.push({ ...summary(stored), cursor: `c${this.#trimmed + this.#feed.length + 1}` as Cursor });
    this.wake();
  }

  remove(text: string): void {
    this.put(text, 'gone', 1, 'removed');
  }

  trim(): void {
    this.#trimmed += this.#feed.length;
    this.#feed.length = 0;
  }

  wake(): void {
    const waiting = Array.from(this.#waiting);
    for (const wake of waiting) wake();
  }

  async get(id: ActorId): Promise<StoredActor | undefined> {
    return this.actors.get(id);
  }

  async list(filter: ActorFilter, page: ListPage = wholeList) {
    const cursor = await this.now();
    const items = [...this.actors.values()].filter((stored) => {
      const parts = partsOf(stored.id);
      if (stored.id <= page.after || !page.allows(stored.id)) return false;
      if (stored.status === 'removed' || (filter.held === true && stored.hold === undefined)) return false;
      if (filter.kind !== undefined && filter.kind !== parts.kind) return false;
      if (filter.scope !== undefined && filter.scope !== parts.scope) return false;
      if (filter.host !== undefined && filter.host !== parts.host) return false;
      if (filter.state !== undefined && filter.state !== stored.state) return false;
      return filter.search === undefined || stored.id.includes(filter.search);
    });
    return {
      items: items
        .map(summary)
        .sort((a, b) => (a.id < b.id ? -1 : 1))
        .slice(0, page.limit),
      cursor,
    };
  }

  async history(id: ActorId, after: number, limit: number): Promise<readonly HistoryEntry[]> {
    return (this.past.get(id) ?? []).filter((entry) => entry.version > after).slice(-limit);
  }

  async deadLetters(actor?: ActorId): Promise<readonly StoredDeadLetter[]> {
    return this.keptDeadLetters.filter((deadLetter) => actor === undefined || deadLetter.actor === actor);
  }

  async changes(cursor: Cursor, each: (entry: FeedEntry) => void, signal: AbortSignal): Promise<void> {
    const at = Number(cursor.slice(1));
    if (this.broken) throw new PhotonError('fault', 'store_lost', 'The store is gone.');
    if (!Number.isInteger(at) || at < this.#trimmed) {
      throw new PhotonError('rejection', 'cursor_expired', 'The cursor has expired.');
    }
    for (const entry of this.#feed.slice(at - this.#trimmed)) if (!signal.aborted) each(entry);
  }

  async now(): Promise<Cursor> {
    if (this.broken) throw new PhotonError('fault', 'store_lost', 'The store is gone.');
    return `c${this.#trimmed + this.#feed.length}` as Cursor;
  }

  async follow(cursor: Cursor, each: (entry: FeedEntry) => void, signal: AbortSignal): Promise<void> {
    let at = Number(cursor.slice(1));
    if (!Number.isInteger(at) || at < this.#trimmed) {
      throw new PhotonError('rejection', 'cursor_expired', 'The cursor has expired.');
    }
    this.follows += 1;
    const stop = (): void => this.wake();
    signal.addEventListener('abort', stop);
    try {
      while (!signal.aborted) {
        if (this.broken) throw new PhotonError('fault', 'store_lost', 'The store is gone.');
        const next = this.#feed[at - this.#trimmed];
        if (next === undefined) {
          await new Promise<void>((resolve) => {
            const wake = (): void => {
              this.#waiting.delete(wake);
              resolve();
            };
            this.#waiting.add(wake);
          });
        } else {
          at += 1;
          each(next);
        }
      }
    } finally {
      this.follows -= 1;
      signal.removeEventListener('abort', stop);
    }
  }
}

function summary(stored: StoredActor): ActorSummary {
  const { id, uid, version, status, state, hold } = stored;
  const line = {
    id,
    uid,
    version,
    status,
    stateName: String(state),
    waitingOn: ['event' as const],
    at: 1_000 + version,
  };
  return hold === undefined ? line : { ...line, held: hold.kind };
}
