/** Limits of the control API that no other test reaches: what is refused, with which answer and which retry time. */
import { randomBytes } from 'node:crypto';
import { get, type IncomingMessage } from 'node:http';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Reply } from '../contract/envelope.ts';
import { startTestApi, testClock, TestPrincipals, type TestApi, type TestApiOptions } from './api-for-tests.ts';
import { defaultApiLimits } from './api-limits.ts';
import { createBrowserPasses } from './browser-passes.ts';
import { RawClient, until } from './raw-client-for-tests.ts';

const code = (name: string): string => `urn:photon:error:${name}`;

async function within(limits: NonNullable<TestApiOptions['limits']>, work: (api: TestApi) => Promise<void>) {
  const api = await startTestApi({ limits, answer: () => new Promise<Reply>(() => {}) });
  try {
    await work(api);
  } finally {
    await api.stop();
  }
}

/** The server's HTTP answer to an upgrade that it refuses. */
async function refusedBy(client: RawClient): Promise<string> {
  let retryAfter: string | undefined;
  client.socket.once('unexpected-response', (_request, response) => (retryAfter = response.headers['retry-after']));
  const why = await client.open().then(
    () => 'opened',
    (error: Error) => error.message,
  );
  return `${why}, again after ${retryAfter}`;
}

test('the number of unauthenticated sockets is limited: the oldest makes room', async () => {
  await within({ maxPending: 2 }, async ({ url, api }) => {
    const [first, second] = [await new RawClient(url).open(), await new RawClient(url).open()];
    await first.call('auth', { token: 'ann-token' });
    const third = await new RawClient(url).open();
    assert.is(api.sessions(), 3);
    const late = await new RawClient(url).open('bob-token');
    await second.closed;
    assert.is(api.sessions(), 3);
    await first.call('ping');
    for (const client of [first, third, late]) await client.close();
  });
});

test('the number of sessions of a node is limited; one that ends makes room', async () => {
  await within({ maxSessions: 2 }, async ({ url, api }) => {
    const [first, second] = [await new RawClient(url).open('ann-token'), await new RawClient(url).open('bob-token')];
    assert.is(await refusedBy(new RawClient(url)), 'HTTP 503, again after 1');
    await first.close();
    await until(() => api.sessions() === 1, 'the session has ended');
    const next = await new RawClient(url).open('ann-token');
    for (const client of [second, next]) await client.close();
  });
});

test('reads have a rate limit of their own', async () => {
  await within({ readsPerS: 1, readBurst: 3 }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    for (let count = 0; count < 3; count += 1) await ann.call('actor.list');
    const over = await ann.refusal('actor.list');
    assert.is(over.type, code('overloaded'));
    assert.ok((over.retryAfterMs ?? 0) > 0 && (over.retryAfterMs ?? 0) <= 1_000, `${over.retryAfterMs} ms`);
    await ann.close();
  });
});

test('the number of ids of a watch is limited', async () => {
  await within({ maxWatchIds: 2 }, async ({ url }) => {
    const ann = await new RawClient(url).open('ann-token');
    const ids = ['box/acme/a', 'box/acme/b', 'box/acme/c'];
    const over = await ann.refusal('watch.open', { ids });
    assert.is(over.type, code('too_many_ids'));
    assert.match(over.detail, 'at most 2 ids');
    await ann.call('watch.open', { ids: ids.slice(0, 2) });
    await ann.close();
  });
});

test('a request cannot wait longer than the maximum of the server', async () => {
  await within({ maxCommandWaitMs: 50 }, async ({ url }) => {
    const root = await new RawClient(url).open('root-token');
    const request = { id: 'box/acme/b', idempotencyKey: 'k', reason: 'test', waitMs: 60_000 };
    const late = await root.refusal('actor.pause', request);
    assert.is(late.type, code('unknown'));
    assert.match(late.detail, 'within 50 ms');
    await root.close();
  });
});

test('a client that does not answer pings is closed, one that answers is not', async () => {
  await within({ heartbeatMs: 30 }, async ({ url, api }) => {
    const [alive, gone] = [await new RawClient(url).open('ann-token'), await new RawClient(url).open('ann-token')];
    gone.socket.pause();
    await until(() => api.sessions() === 1, 'the silent client is closed');
    await alive.call('ping');
    await Promise.all([alive.close(), gone.close()]);
  });
});

test('tickets and secrets expire', () => {
  let nowMs = 1_000;
  const clock = { ...testClock, monotonicMs: () => nowMs };
  const principals = new TestPrincipals();
  const passes = createBrowserPasses({ principals, clock, limits: defaultApiLimits, cookieKey: new Uint8Array(32) });
  const root = principals.people.get('root');
  if (root === undefined) throw new Error('there is no root');
  const pass = { principal: root, browser: undefined };
  const tickets = [passes.mintTicket(pass), passes.mintTicket(pass)] as const;
  const secrets = [passes.mintSecret(root, 60_000), passes.mintSecret(root, 60_000)] as const;
  nowMs += defaultApiLimits.ticketTtlMs;
  assert.is(passes.spendTicket(tickets[0])?.principal.name, 'root');
  nowMs += 1;
  assert.is(passes.spendTicket(tickets[1]), undefined);
  nowMs += 29_999;
  assert.is(passes.spendSecret(secrets[0])?.principal.name, 'root');
  nowMs += 1;
  assert.is(passes.spendSecret(secrets[1]), undefined);
});

test('the server never negotiates compression', async () => {
  await within({}, async ({ httpUrl }) => {
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': randomBytes(16).toString('base64'),
      'sec-websocket-protocol': 'photon.v1',
      'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits',
    };
    const asked = get(`${httpUrl}/api`, { headers });
    const accepted = await new Promise<IncomingMessage>((resolve, reject) => {
      asked.once('upgrade', (response, socket) => {
        socket.destroy();
        resolve(response);
      });
      asked.once('response', ({ statusCode }) => reject(new Error(`HTTP ${statusCode}`)));
      asked.once('error', reject);
    });
    assert.is(accepted.headers['sec-websocket-protocol'], 'photon.v1');
    assert.is(accepted.headers['sec-websocket-extensions'], undefined);
  });
});

test.run();
