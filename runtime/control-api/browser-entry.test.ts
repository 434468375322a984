/**
 * What a browser does before its session: cookies, one-use secrets and tickets, origins, request bodies. Also the
 * health checks.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { startTestApi, testClock, TestPrincipals, type TestApi, type TestApiOptions } from './api-for-tests.ts';
import { RawClient } from './raw-client-for-tests.ts';
import { defaultApiLimits } from './api-limits.ts';
import { createBrowserPasses } from './browser-passes.ts';

async function within(options: TestApiOptions, work: (api: TestApi) => Promise<void>): Promise<void> {
  const api = await startTestApi(options);
  try {
    await work(api);
  } finally {
    await api.stop();
  }
}

const post = (url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url, { method: 'POST', body: JSON.stringify(body), headers: { connection: 'close', ...headers } });

const cookieFrom = (response: Response): string => (response.headers.get('set-cookie') ?? '').split(';')[0] as string;

test('a secret gives a cookie, the cookie a ticket, the ticket a session; secret and ticket work once', async () => {
  await within({}, async ({ url, httpUrl, principals, api }) => {
    const root = await new RawClient(url).open('root-token');
    const { secret } = (await root.call('auth.secret')) as { secret: string };
    const opened = await post(`${httpUrl}/api/session`, { secret });
    assert.is(opened.status, 204);
    assert.match(opened.headers.get('set-cookie') ?? '', /Path=\/api; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
    assert.is((await post(`${httpUrl}/api/session`, { secret })).status, 401);
    const cookie = cookieFrom(opened);
    const given = await post(`${httpUrl}/api/ticket`, {}, { cookie });
    const { ticket } = (await given.json()) as { ticket: string };
    const page = await new RawClient(url, { origin: httpUrl }).open();
    assert.is((await page.call('auth', { ticket }))['principal'], 'root');
    const thief = await new RawClient(url).open();
    assert.match((await thief.refusal('auth', { ticket })).type, 'unauthenticated');
    const ann = api.mintSecret(principals.byToken('ann-token') as never, 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.is((await post(`${httpUrl}/api/session`, { secret: ann })).status, 401);
    principals.people.delete('root');
    assert.is((await post(`${httpUrl}/api/ticket`, {}, { cookie })).status, 401);
    for (const client of [root, page, thief]) await client.close();
  });
});

test('a cookie is valid after a restart when the key was kept; a forged cookie is refused', async () => {
  const cookieKey = new Uint8Array(32).fill(7);
  let cookie = '';
  let listenPort = 0;
  await within({ more: { cookieKey } }, async ({ httpUrl, listenPort: own }) => {
    cookie = cookieFrom(await post(`${httpUrl}/api/session`, { token: 'ann-token' }));
    listenPort = own;
  });
  await within({ more: { cookieKey }, listenPort }, async ({ httpUrl }) => {
    assert.is((await post(`${httpUrl}/api/ticket`, {}, { cookie })).status, 200);
    const [name, value = ''] = cookie.split('=');
    const [end, , signature] = value.split('.');
    const root = Buffer.from('id-root').toString('base64url');
    for (const forged of [`${end}.${root}.${signature}`, `${value}.x`, '', `${end}.${root}.`, 'a.b.c']) {
      assert.is((await post(`${httpUrl}/api/ticket`, {}, { cookie: `${name}=${forged}` })).status, 401, forged);
    }
  });
  await within({ listenPort }, async ({ httpUrl }) => {
    assert.is((await post(`${httpUrl}/api/ticket`, {}, { cookie })).status, 401);
  });
});

test('a cookie expires', () => {
  let sharedMs = 1_000;
  const clock = { ...testClock, sharedMs: () => sharedMs };
  const principals = new TestPrincipals();
  const limits = { ...defaultApiLimits, sessionTtlMs: 500 };
  const passes = createBrowserPasses({ principals, clock, limits, cookieKey: new Uint8Array(32) });
  const cookie = passes.sign(principals.byToken('ann-token') as never);
  assert.is(passes.read(cookie)?.name, 'ann');
  sharedMs = 1_501;
  assert.is(passes.read(cookie), undefined);
});

test('foreign origins, wrong methods, invalid bodies and too many attempts are refused', async () => {
  await within({ limits: { handshakesPerS: 6 } }, async ({ httpUrl }) => {
    const session = `${httpUrl}/api/session`;
    assert.is((await post(session, { token: 'ann-token' }, { origin: 'https://evil.example' })).status, 403);
    assert.is((await post(session, { token: 'ann-token' }, { origin: 'null' })).status, 403);
    assert.is((await fetch(session, { headers: { connection: 'close' } })).status, 405);
    assert.is((await post(session, { token: 'ann-token', secret: 'x' })).status, 400);
    assert.is((await post(session, 'x'.repeat(10_000))).status, 400);
    const broken = await fetch(session, { method: 'POST', body: '{', headers: { connection: 'close' } });
    assert.is(broken.status, 400);
    const statuses: number[] = [];
    for (let guess = 0; guess < 8; guess += 1) statuses.push((await post(session, { token: `${guess}` })).status);
    assert.is(statuses[0], 401);
    assert.is(statuses.at(-1), 429);
  });
});

test('/healthz answers while the process runs, /readyz only while the store answers', async () => {
  await within({}, async ({ httpUrl, store }) => {
    const read = async (path: string): Promise<number> =>
      (await fetch(httpUrl + path, { headers: { connection: 'close' } })).status;
    assert.is(await read('/healthz'), 200);
    assert.is(await read('/readyz'), 200);
    store.broken = true;
    assert.is(await read('/healthz'), 200);
    assert.is(await read('/readyz'), 503);
    assert.is(await read('/nothing'), 404);
  });
});

test('further routes get the requests that are not for the control API', async () => {
  const routes: NonNullable<TestApiOptions['more']>['routes'] = (request, response) => {
    if (request.url !== '/page') return false;
    response.end('a page');
    return true;
  };
  await within({ more: { routes } }, async ({ httpUrl }) => {
    const page = await fetch(`${httpUrl}/page`, { headers: { connection: 'close' } });
    assert.is(await page.text(), 'a page');
    assert.is((await fetch(`${httpUrl}/other`, { headers: { connection: 'close' } })).status, 404);
  });
});

test.run();
