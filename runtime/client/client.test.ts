/** The client with a real control API on loopback: calls, errors, watches that survive reconnects and restarts. */
import { createServer as createTcpServer, connect, type AddressInfo, type Socket } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Reply } from '../contract/envelope.ts';
import { PhotonError, type ErrorRecord } from '../contract/errors.ts';
import { startTestApi, type TestApi } from '../control-api/api-for-tests.ts';
import { until } from '../control-api/raw-client-for-tests.ts';
import { MemoryStore } from '../control-api/store-for-tests.ts';
import { connectPhoton, type ConnectOptions, type PhotonClient, type WatchFrame } from './client.ts';
import { nodeSocketFactory } from './node-socket.ts';

const openSocket = nodeSocketFactory();
const dial = (url: string, more: Partial<ConnectOptions> = {}): Promise<PhotonClient> =>
  connectPhoton({ url, token: 'ann-token', openSocket, ...more });

async function refused(work: Promise<unknown>): Promise<ErrorRecord> {
  try {
    await work;
  } catch (error) {
    if (error instanceof PhotonError) return error.record;
    throw error;
  }
  throw new Error('expected a refusal');
}

/** Reads a watch in the background. */
function collect(stream: AsyncIterable<WatchFrame>): { frames: WatchFrame[]; ended: Promise<void> } {
  const frames: WatchFrame[] = [];
  const read = async (): Promise<void> => {
    for await (const frame of stream) frames.push(frame);
  };
  return { frames, ended: read() };
}

const statesOf = (frames: readonly WatchFrame[]): Map<string, string> => {
  const states = new Map<string, string>();
  for (const frame of frames) {
    if (frame.type === 'reset') states.clear();
    if (frame.type === 'items') for (const line of frame.actors) states.set(line.id, line.stateName);
    if (frame.type === 'removed') states.delete(frame.actor.id);
    else if ('actor' in frame) states.set(frame.actor.id, frame.actor.stateName);
  }
  return states;
};

/** A TCP relay that can cut all its connections. */
async function relayTo(listenPort: number): Promise<{ url: string; cut(): void; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((near) => {
    const far = connect(listenPort, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}/api`,
    cut,
    async stop() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test('calls are answered; errors are PhotonErrors with issues and trace id', async () => {
  const api = await startTestApi();
  const client = await dial(api.url);
  try {
    assert.is(client.principal().principal, 'ann');
    assert.is(client.hello().node, 'c1');
    api.store.put('box/acme/a', 'open', 4);
    assert.equal((await client.call('actor.get', { id: 'box/acme/a' })).spec, { size: 4 });
    const key = { scope: 'acme', name: 'b', idempotencyKey: 'k' };
    assert.is((await client.call('box.create', { ...key, params: { size: 1 } })).id, 'box/acme/b');
    const wrong = await refused(client.call('box.create', { ...key, params: { size: 'x' } }));
    assert.is(wrong.group, 'rejection');
    assert.is(wrong.code, 'params_invalid');
    assert.equal(
      wrong.issues?.map(({ path }) => path),
      ['size'],
    );
    assert.match(wrong.cause ?? '', /^Error: trace|^trace [0-9a-f]{32}$/);
  } finally {
    client.close();
    await api.stop();
  }
});

test('connectPhoton rejects for a wrong token, a wrong path, a closed port, and a server that is silent', async () => {
  const api = await startTestApi();
  assert.is((await refused(dial(api.url, { token: 'wrong' }))).code, 'unauthenticated');
  assert.match((await refused(dial(api.url.replace('/api', '/nothing')))).message, '404');
  await api.stop();
  const nobody = await refused(dial(api.url));
  assert.is(nobody.code, 'unreachable');
  assert.match(nobody.message, 'ECONNREFUSED');
  const mute = createTcpServer();
  const held = new Set<Socket>();
  mute.on('connection', (socket) => held.add(socket));
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  const url = `ws://127.0.0.1:${(mute.address() as AddressInfo).port}/api`;
  assert.match((await refused(dial(url, { connectTimeoutMs: 100 }))).message, 'no answer within 100 ms');
  for (const socket of held) socket.destroy();
  await new Promise((resolve) => mute.close(resolve));
});

test('a call that is in flight when the connection drops is sent again with its key', async () => {
  let replies = 0;
  let cut = (): void => {};
  const api = await startTestApi({
    answer: async (): Promise<Reply> => {
      replies += 1;
      if (replies === 1) cut();
      return { ok: true, version: 3, result: replies };
    },
  });
  const relay = await relayTo(api.listenPort);
  cut = relay.cut;
  let drops = 0;
  const client = await dial(relay.url, { onDrop: () => (drops += 1) });
  try {
    const answer = await client.call('box.poke', { scope: 'acme', name: 'a', idempotencyKey: 'k7', params: {} });
    assert.is(answer.version, 3);
    assert.is(drops, 1);
    assert.equal(
      api.asked.map(({ commandId }) => commandId),
      ['ann:k7', 'ann:k7'],
    );
    assert.is(api.asked[0]?.digest, api.asked[1]?.digest);
  } finally {
    client.close();
    await relay.stop();
    await api.stop();
  }
});

test('a watch survives cut connections: no change is missed, and nothing is listed again', async () => {
  const api = await startTestApi();
  const relay = await relayTo(api.listenPort);
  let back = 0;
  const client = await dial(relay.url, { onBack: () => (back += 1) });
  try {
    for (let at = 0; at < 5; at += 1) api.store.put(`box/acme/a${at}`, 's0');
    const { frames, ended } = collect(client.watch({ kind: 'box' }));
    await until(() => frames.some(({ type }) => type === 'synced'), 'synced');
    for (let round = 1; round <= 3; round += 1) {
      api.store.put(`box/acme/a${round}`, `before${round}`);
      relay.cut();
      api.store.put(`box/acme/a${round + 1}`, `after${round}`);
      await until(() => back === round, `back ${round}`);
    }
    api.store.remove('box/acme/a0');
    const expected = new Map([
      ['box/acme/a1', 'before1'],
      ['box/acme/a2', 'before2'],
      ['box/acme/a3', 'before3'],
      ['box/acme/a4', 'after3'],
    ]);
    await until(() => JSON.stringify([...statesOf(frames)]) === JSON.stringify([...expected]), 'the last states');
    assert.is(frames.filter(({ type }) => type === 'items' || type === 'reset').length, 1);
    client.close();
    await ended;
  } finally {
    client.close();
    await relay.stop();
    await api.stop();
  }
});

test('a watch survives a restart of the server; one whose cursor has expired gets a reset', async () => {
  const store = new MemoryStore();
  store.put('box/acme/a', 'first');
  let api: TestApi = await startTestApi({ store });
  const { listenPort } = api;
  const client = await dial(api.url);
  try {
    const { frames, ended } = collect(client.watch({}));
    await until(() => frames.some(({ type }) => type === 'synced'), 'synced');
    await api.stop();
    store.put('box/acme/a', 'second');
    api = await startTestApi({ store, listenPort });
    await until(() => statesOf(frames).get('box/acme/a') === 'second', 'the change made meanwhile');
    assert.not.ok(frames.some(({ type }) => type === 'reset'));
    await api.stop();
    store.put('box/acme/b', 'third');
    store.trim();
    api = await startTestApi({ store, listenPort });
    await until(() => statesOf(frames).get('box/acme/b') === 'third', 'the change that was trimmed');
    assert.ok(frames.some(({ type }) => type === 'reset'));
    assert.is((await client.call('ping', {})).at > 0, true);
    client.close();
    await ended;
  } finally {
    client.close();
    await api.stop();
  }
});

test('a slow reader slows the server and gets the last state of every actor', async () => {
  const api = await startTestApi({ limits: { watchWindow: 8 } });
  const client = await dial(api.url);
  try {
    const stream = client.watch({});
    const frames: WatchFrame[] = [];
    for (let round = 0; round < 200; round += 1) api.store.put(`box/acme/a${round % 20}`, `s${round}`);
    for await (const frame of stream) {
      frames.push(frame);
      if (frames.length < 5) for (let at = 0; at < 200; at += 1) api.store.put(`box/acme/a${at % 20}`, `t${at}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
      const states = statesOf(frames);
      if (Array.from({ length: 20 }).every((_, at) => states.get(`box/acme/a${at}`) === `t${180 + at}`)) break;
    }
    assert.ok(frames.some(({ type }) => type === 'coalesced'));
    assert.ok(stream.ended);
    await until(() => api.store.follows === 0, 'leaving the loop closes the watch on the server');
  } finally {
    client.close();
    await api.stop();
  }
});

test("a watch ends with its signal, and throws the server's error", async () => {
  const api = await startTestApi();
  const client = await dial(api.url);
  try {
    const stop = new AbortController();
    const { ended } = collect(client.watch({}, stop.signal));
    stop.abort();
    await ended;
    const foreign = await refused(collect(client.watch({ scope: 'bits' })).ended);
    assert.is(foreign.code, 'not_found');
    const strict = await refused(collect(client.watch({ since: 'forged', strict: true })).ended);
    assert.is(strict.code, 'cursor_expired');
  } finally {
    client.close();
    await api.stop();
  }
});

test('a call ends by time-out or signal; close rejects the calls that wait', async () => {
  const api = await startTestApi({ answer: () => new Promise<Reply>(() => {}) });
  const client = await dial(api.url);
  const poke = { scope: 'acme', name: 'a', idempotencyKey: 'k', params: {} };
  try {
    assert.is((await refused(client.call('box.poke', poke, { timeoutMs: 50 }))).code, 'call_timeout');
    const aborted = refused(client.call('box.poke', poke, { signal: AbortSignal.timeout(50) }));
    assert.is((await aborted).code, 'call_aborted');
    const waiting = refused(client.call('box.poke', poke));
    client.close();
    assert.is((await waiting).code, 'connection_lost');
    assert.is((await refused(client.call('ping', {}))).code, 'connection_lost');
  } finally {
    client.close();
    await api.stop();
  }
});

test('a revoked token ends the client, which reports it and does not reconnect', async () => {
  const api = await startTestApi();
  let refusal: PhotonError | undefined;
  const client = await dial(api.url, { onRefused: (error) => (refusal = error) });
  try {
    const { ended } = collect(client.watch({}));
    const watch = refused(ended);
    api.principals.people.delete('ann');
    assert.is((await refused(client.call('ping', {}))).group, 'rejection');
    assert.is((await watch).group, 'rejection');
    await until(() => refusal !== undefined, 'onRefused');
  } finally {
    client.close();
    await api.stop();
  }
});

test.run();
