/**
 * Test support: a store in memory that honours the Reader port, two kinds, and a control API on a loopback server. It
 * commits only what tests put into it; hosting and the journal have tests of their own.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocket } from 'ws';
import { createMachine } from 'xstate';
import { z } from 'zod';
import { clientClock } from '../client/client-clock.ts';
import type { ActorDefinition, ActorRegistry } from '../contract/actor-definition.ts';
import type { Command, Reply } from '../contract/envelope.ts';
import { PhotonError } from '../contract/errors.ts';
import { actorId, partsOf, type ActorId } from '../contract/identifiers.ts';
import type { HistoryEntry, StoredActor } from '../contract/journal.ts';
import type { Log } from '../contract/log.ts';
import type { Random } from '../contract/random.ts';
import type { ActorSummary, Cursor, FeedEntry, Reader } from '../contract/reader.ts';
import type { Principal } from './access-rule.ts';
import type { ApiLimits } from './api-limits.ts';
import { createControlApi, type ControlApi, type ControlApiOptions } from './control-api.ts';
import type { Principals } from './principals.ts';

export const quietLog: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => quietLog };
export const testRandom: Random = { ulid: (wallMs) => `01J${wallMs}`, fraction: () => 0.5 };

const kind = (name: string, commands: ActorDefinition['commands'], pinned = false): ActorDefinition => ({
  kind: name,
  chartVersion: 1,
  machine: createMachine({ id: name }),
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
            lid === undefined ? [] : [{ path: 'spec.lid', to: `lid/${partsOf(id).scope}/${lid}` as ActorId }],
        },
        poke: { params: z.strictObject({ why: z.string().optional() }), permission: 'scope', description: 'Pokes it.' },
        seal: { params: z.strictObject({}), permission: 'admin', description: 'Seals it.' },
      }),
    ],
    [
      'lid',
      kind('lid', {
        steal: {
          params: z.strictObject({ from: z.string() }),
          permission: 'scope',
          description: 'Names an actor by its whole id.',
          references: ({ from }: { from: string }) => [{ path: 'spec.from', to: from as ActorId }],
        },
      }),
    ],
    ['twin', kind('twin', { poke: { params: z.strictObject({}), permission: 'scope', description: 'Pokes it.' } }, true)],
  ]),
};

export class MemoryStore implements Reader {
  readonly actors = new Map<ActorId, StoredActor>();
  readonly past = new Map<ActorId, HistoryEntry[]>();
  readonly #feed: FeedEntry[] = [];
  #trimmed = 0;
  readonly #waiting = new Set<() => void>();
  follows = 0;
  /** Makes every running and coming follow fail, as a lost store does. */
  broken = false;

  put(text: string, stateName: string, size = 1, status: 'live' | 'removed' = 'live'): void {
    const id = actorId(text);
    const before = this.actors.get(id);
    const version = (before?.version ?? 0) + 1;
    const uid = before?.status === 'live' ? before.uid : `uid-${version}`;
    const context = { spec: { size }, secret: 'in the context only' };
    const rest = { effects: [], timers: [], deferred: {}, lastSeq: 0, marks: {} };
    const stored: StoredActor = { id, uid, status, version, chartVersion: 1, state: stateName, context, ...rest };
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
    };
    this.past.set(id, [...(this.past.get(id) ?? []), entry]);
    const cursor = `c${this.#trimmed + this.#feed.length + 1}` as Cursor;
    this.#feed.push({ ...summary(stored), cursor });
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

  async list(filter: { kind?: string; scope?: string; search?: string; state?: string }) {
    const cursor = await this.now();
    const items = [...this.actors.values()].filter((stored) => {
      const parts = partsOf(stored.id);
      if (stored.status === 'removed') return false;
      if (filter.kind !== undefined && filter.kind !== parts.kind) return false;
      if (filter.scope !== undefined && filter.scope !== parts.scope) return false;
      return filter.search === undefined || stored.id.includes(filter.search);
    });
    return { items: items.map(summary).sort((a, b) => (a.id < b.id ? -1 : 1)), cursor };
  }

  async history(id: ActorId, after: number, limit: number): Promise<readonly HistoryEntry[]> {
    return (this.past.get(id) ?? []).filter((entry) => entry.version > after).slice(0, limit);
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
  const { id, uid, version, status, state } = stored;
  return { id, uid, version, status, stateName: String(state), waitingOn: ['event'], at: 1_000 + version };
}

const person = (name: string, tenants: readonly string[] | '*', admin: boolean): Principal => ({
  id: `id-${name}`,
  name,
  tenants,
  admin,
});

/** Token `<name>-token` is the principal's. */
export class TestPrincipals implements Principals {
  readonly people = new Map(
    [person('ann', ['acme'], false), person('bob', ['bits'], false), person('root', '*', true)].map((each) => [each.name, each]),
  );
  byToken(token: string): Principal | undefined {
    return token.endsWith('-token') ? this.people.get(token.slice(0, -6)) : undefined;
  }
  byId(id: string): Principal | undefined {
    return this.people.get(id.slice(3));
  }
}

export interface TestApi {
  readonly url: string;
  readonly httpUrl: string;
  readonly store: MemoryStore;
  readonly principals: TestPrincipals;
  readonly asked: Command[];
  readonly api: ControlApi;
  readonly listenPort: number;
  stop(): Promise<void>;
}

export interface TestApiOptions {
  readonly limits?: Partial<ApiLimits>;
  readonly store?: MemoryStore;
  readonly listenPort?: number;
  readonly answer?: (command: Command) => Promise<Reply>;
  readonly more?: Partial<ControlApiOptions>;
}

export async function startTestApi(options: TestApiOptions = {}): Promise<TestApi> {
  const store = options.store ?? new MemoryStore();
  const principals = new TestPrincipals();
  const asked: Command[] = [];
  const api = createControlApi({
    registry: testRegistry,
    reader: store,
    ask: async (command) => {
      asked.push(command);
      return options.answer?.(command) ?? { ok: true, version: asked.length, result: { done: true } };
    },
    principals,
    clock: clientClock,
    random: testRandom,
    log: quietLog,
    node: 'c1',
    version: '0.0.0',
    limits: { handshakesPerS: 1_000, ...options.limits },
    ...options.more,
  });
  const server: Server = createServer();
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  api.attach(server);
  await new Promise<void>((resolve) => server.listen(options.listenPort ?? 0, '127.0.0.1', resolve));
  const listenPort = (server.address() as AddressInfo).port;
  return {
    url: `ws://127.0.0.1:${listenPort}/api`,
    httpUrl: `http://127.0.0.1:${listenPort}`,
    store,
    principals,
    asked,
    api,
    listenPort,
    async stop() {
      await api.close();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Json = Record<string, unknown>;

/** A bare WebSocket that can also misbehave. */
export class RawClient {
  readonly socket: WebSocket;
  readonly frames: Json[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #opened: Promise<void>;
  #number = 0;

  constructor(url: string, headers: Readonly<Record<string, string>> = {}, protocol: string | string[] = 'photon.v1') {
    this.socket = new WebSocket(url, protocol, { headers });
    this.socket.on('error', () => {});
    this.socket.on('message', (bytes) => this.frames.push(JSON.parse(String(bytes)) as Json));
    this.closed = new Promise((resolve) =>
      this.socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
    );
    this.#opened = new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.once('unexpected-response', (_request, response) => {
        reject(new Error(`HTTP ${response.statusCode}`));
        this.socket.terminate();
      });
      this.socket.once('error', reject);
    });
    this.#opened.catch(() => undefined);
  }

  async open(token?: string): Promise<this> {
    await this.#opened;
    if (token !== undefined) await this.call('auth', { token });
    return this;
  }

  send(frame: string): void {
    this.socket.send(frame);
  }

  /** @returns `result`, or throws the `data` of the error as an Error with `problem`. */
  async call(method: string, params: Json = {}, more: Json = {}): Promise<Json> {
    this.#number += 1;
    const id = this.#number;
    this.send(JSON.stringify({ jsonrpc: '2.0', id, method, params, ...more }));
    await until(() => this.frames.some((frame) => frame['id'] === id) || this.socket.readyState === WebSocket.CLOSED, method);
    const frame = this.frames.find((each) => each['id'] === id);
    if (frame === undefined) throw new Error(`closed before the answer to ${method}`);
    const failure = frame['error'] as { data: Problem } | undefined;
    if (failure !== undefined) throw new Refused(failure.data);
    return frame['result'] as Json;
  }

  async refusal(method: string, params: Json = {}, more: Json = {}): Promise<Problem> {
    try {
      await this.call(method, params, more);
    } catch (error) {
      if (error instanceof Refused) return error.problem;
      throw error;
    }
    throw new Error(`${method} was not refused`);
  }

  /** Watch frames so far. */
  watched(): Json[] {
    return this.frames.filter((frame) => frame['method'] === 'watch.event').map((frame) => frame['params'] as Json);
  }

  async close(): Promise<void> {
    this.socket.terminate();
    await this.closed;
  }
}

export interface Problem {
  readonly type: string;
  readonly detail: string;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly issues?: readonly { path: string; message: string }[];
  readonly traceId: string;
}

class Refused extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(`${problem.type}: ${problem.detail}`);
    this.problem = problem;
  }
}

export async function until(holds: () => boolean, what: string, withinMs = 5_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
