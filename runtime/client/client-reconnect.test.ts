/** When clients come back: spread over time, and not before the server has asked them to. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import { startTestApi } from '../control-api/api-for-tests.ts';
import { connectPhoton } from './client.ts';
import type { Refusal, SocketFactory, SocketListener } from './client-socket.ts';
import { nodeSocketFactory } from './node-socket.ts';
import { retryAfterMsOf } from './wire-error.ts';

/** Virtual time: tasks run in order of their due times, and promises settle between them. */
class VirtualClock implements Clock {
  nowMs = 0;
  #tasks: { dueMs: number; task: () => void }[] = [];

  wallMs(): number {
    return this.nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, task: () => void): () => void {
    const entry = { dueMs: this.nowMs + delayMs, task };
    this.#tasks.push(entry);
    return () => (this.#tasks = this.#tasks.filter((one) => one !== entry));
  }

  async runUntil(endMs: number): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const [next] = this.#tasks.toSorted((a, b) => a.dueMs - b.dueMs);
      if (next === undefined || next.dueMs > endMs) break;
      this.#tasks = this.#tasks.filter((one) => one !== next);
      this.nowMs = Math.max(this.nowMs, next.dueMs);
      next.task();
    }
    this.nowMs = endMs;
  }
}

/** A stand-in for the sockets of many clients to one server, in virtual time. */
class Server {
  readonly attempts: number[] = [];
  readonly open = new Set<SocketListener>();
  readonly clock: VirtualClock;
  /** Whether this attempt is accepted, or how it is refused. */
  judge: () => 'accepted' | Refusal | 'down' = () => 'accepted';

  constructor(clock: VirtualClock) {
    this.clock = clock;
  }

  readonly factory: SocketFactory = (_url, _protocol, listener) => {
    this.attempts.push(this.clock.nowMs);
    const verdict = this.judge();
    const params = { features: [], maxFrameBytes: 65_536, heartbeatMs: 1e9 };
    queueMicrotask(() => {
      if (verdict === 'down') return listener.onClosed(1006, 'ECONNREFUSED');
      if (verdict !== 'accepted') return listener.onClosed(1006, `answered ${verdict.status}`, verdict);
      this.open.add(listener);
      return listener.onText(JSON.stringify({ method: 'hello', params }));
    });
    const send = (text: string): void => {
      const { id } = JSON.parse(text) as { id: number };
      queueMicrotask(() => listener.onText(JSON.stringify({ id, result: { principal: 'ann' } })));
    };
    return { send, soon: queueMicrotask, close: () => void this.open.delete(listener) };
  };

  end(code: number): void {
    const ending = [...this.open];
    this.open.clear();
    for (const listener of ending) listener.onClosed(code, 'gone');
  }

  /** The most attempts within any 200 ms after this time. */
  peakAfter(fromMs: number): number {
    const late = this.attempts.filter((at) => at >= fromMs);
    return Math.max(0, ...late.map((at) => late.filter((other) => other >= at && other < at + 200).length));
  }
}

/** Numbers in [0, 1) that look random and are the same in every run. */
function seeded(): () => number {
  let state = 1;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

test('90 clients of a server that restarts come back spread out, and soon', async () => {
  const clock = new VirtualClock();
  const server = new Server(clock);
  const fraction = seeded();
  const options = { url: 'ws://s', token: 't', openSocket: server.factory, clock, fraction };
  const clients = await Promise.all(Array.from({ length: 90 }, () => connectPhoton(options)));
  await clock.runUntil(20_000);
  server.judge = () => 'down';
  server.end(1012);
  await clock.runUntil(30_000);
  // The real server accepts 20 handshakes a second from one address, and asks the others to wait a second.
  let room = { untilMs: 0, left: 0 };
  server.judge = () => {
    if (clock.nowMs >= room.untilMs) room = { untilMs: clock.nowMs + 1_000, left: 20 };
    room.left -= 1;
    return room.left >= 0 ? 'accepted' : { status: 429, retryAfterMs: 1_000 };
  };
  await clock.runUntil(50_000);
  assert.is(server.open.size, 90, 'all are back within 20 s');
  assert.ok(server.peakAfter(22_000) <= 30, `at most a third within 200 ms, not ${server.peakAfter(22_000)}`);
  for (const client of clients) client.close();
});

test('a client that is asked to wait does not come back earlier, however often it has tried', async () => {
  for (const asked of [3_000, 60_000]) {
    const clock = new VirtualClock();
    const server = new Server(clock);
    const fraction = (): number => 0;
    const client = await connectPhoton({ url: 'ws://s', token: 't', openSocket: server.factory, clock, fraction });
    await clock.runUntil(20_000);
    server.judge = () => ({ status: 503, retryAfterMs: asked });
    server.end(1006);
    await clock.runUntil(20_000 + asked * 3 + 1);
    assert.equal(server.attempts.slice(1), [20_000, 20_000 + asked, 20_000 + asked * 2, 20_000 + asked * 3]);
    client.close();
  }
});

test('after a close code that asks for patience the first attempt waits; after a break it does not', async () => {
  for (const [code, earliestMs] of [
    [1012, 500],
    [1013, 1_000],
    [4408, 1_000],
    [1006, 0],
  ] as const) {
    const clock = new VirtualClock();
    const server = new Server(clock);
    const fraction = (): number => 0;
    const client = await connectPhoton({ url: 'ws://s', token: 't', openSocket: server.factory, clock, fraction });
    await clock.runUntil(20_000);
    server.end(code);
    await clock.runUntil(30_000);
    assert.equal(server.attempts, [0, 20_000 + earliestMs], `close code ${code}`);
    client.close();
  }
});

test('connections that end as soon as they are open are opened ever more rarely', async () => {
  const clock = new VirtualClock();
  const server = new Server(clock);
  const fraction = (): number => 0.999;
  const client = await connectPhoton({ url: 'ws://s', token: 't', openSocket: server.factory, clock, fraction });
  for (let atMs = 0; atMs < 60_000; atMs += 10) {
    server.end(1006);
    await clock.runUntil(atMs);
  }
  assert.ok(server.attempts.length < 25, `${server.attempts.length} attempts in a minute`);
  client.close();
});

test('too many sessions is no final refusal for a client that was connected before; HTTP 403 is', async () => {
  const api = await startTestApi({ limits: { maxSessions: 1 } });
  const openSocket = nodeSocketFactory();
  const first = await connectPhoton({ url: api.url, token: 'ann-token', openSocket });
  try {
    const full = await connectPhoton({ url: api.url, token: 'ann-token', openSocket }).catch((error: unknown) => error);
    assert.instance(full, PhotonError);
    const { code, retryAfterMs, message } = (full as PhotonError).record;
    assert.equal([code, retryAfterMs], ['unreachable', 1_000]);
    assert.match(message, '503');
  } finally {
    first.close();
    await api.stop();
  }
  const scoped = await startTestApi({ limits: { maxSessionsPerScope: 1 } });
  const only = await connectPhoton({ url: scoped.url, token: 'ann-token', openSocket });
  try {
    const second = await connectPhoton({ url: scoped.url, token: 'ann-token', openSocket }).catch((e: unknown) => e);
    const { code, retryable, retryAfterMs } = (second as PhotonError).record;
    assert.equal([code, retryable, retryAfterMs], ['too_many_sessions', true, 1_000]);
  } finally {
    only.close();
    await scoped.stop();
  }
  const gate = createServer().on('upgrade', (_request, stream) => stream.end('HTTP/1.1 403 Forbidden\r\n\r\n'));
  await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve));
  const url = `ws://127.0.0.1:${(gate.address() as AddressInfo).port}/api`;
  const closed = await connectPhoton({ url, token: 't', openSocket }).catch((error: unknown) => error);
  assert.is((closed as PhotonError).record.code, 'refused');
  gate.closeAllConnections();
  await new Promise((resolve) => gate.close(resolve));
});

test('Retry-After is seconds or a date, and nothing else', () => {
  assert.is(retryAfterMsOf('2', 0), 2_000);
  assert.is(retryAfterMsOf('Thu, 01 Jan 1970 00:01:00 GMT', 20_000), 40_000);
  assert.is(retryAfterMsOf('Thu, 01 Jan 1970 00:00:01 GMT', 20_000), 0);
  for (const text of [undefined, null, '', 'soon', '-1', '1.5 s'])
    assert.is(retryAfterMsOf(text, 0), undefined, `${text}`);
});

test.run();
