/**
 * What a browser does before its session: cookies, one-use secrets and tickets, origins, request bodies. Also the
 * health checks.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  quietLog,
  startTestApi,
  testClock,
  TestPrincipals,
  type TestApi,
  type TestApiOptions,
} from './api-for-tests.ts';
import { RawClient } from './raw-client-for-tests.ts';
import { defaultApiLimits } from './api-limits.ts';
import { createBrowserPasses, type Pass } from './browser-passes.ts';
import { openLogoutFile } from './logout-file.ts';
import { createReadiness } from './readiness.ts';

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
    const [end, ann, browser, signature] = value.split('.');
    const root = Buffer.from('id-root').toString('base64url');
    const other = `${end}.${ann}.another.${signature}`;
    for (const forged of [`${end}.${root}.${browser}.${signature}`, other, `${value}.x`, '', 'a.b.c', 'a.b.c.d']) {
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
  assert.is(passes.read(cookie)?.principal.name, 'ann');
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
    const guesses = Array.from({ length: 30 }, (_, guess) => post(session, { token: `${guess}` }));
    const statuses = new Set((await Promise.all(guesses)).map(({ status }) => status));
    assert.equal([...statuses].toSorted(), [401, 429]);
    // Everybody behind a relay has this address.
    assert.is((await post(session, { token: 'ann-token' })).status, 204);
  });
});

test('/healthz answers while the process runs, /readyz only while the store answers', async () => {
  await within({ limits: { readyMs: 1 } }, async ({ httpUrl, store }) => {
    const read = async (path: string): Promise<number> =>
      (await fetch(httpUrl + path, { headers: { connection: 'close' } })).status;
    assert.is(await read('/healthz'), 200);
    assert.is(await read('/readyz'), 200);
    store.broken = true;
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.is(await read('/healthz'), 200);
    assert.is(await read('/readyz'), 503);
    assert.is(await read('/nothing'), 404);
  });
});

test('secrets and tickets of one principal void only its own oldest', () => {
  const principals = new TestPrincipals();
  const limits = { ...defaultApiLimits, maxPasses: 3 };
  const passes = createBrowserPasses({ principals, clock: testClock, limits, cookieKey: new Uint8Array(32) });
  const [ann, root] = ['ann-token', 'root-token'].map((token) => principals.byToken(token) as never);
  const pass = (principal: typeof ann): Pass => ({ principal: principal as never, browser: undefined });
  const others = [passes.mintSecret(root as never, 60_000), passes.mintTicket(pass(root))] as const;
  const secrets = Array.from({ length: 5_000 }, () => passes.mintSecret(ann as never, 60_000));
  const tickets = Array.from({ length: 5_000 }, () => passes.mintTicket(pass(ann)));
  assert.is(passes.spendSecret(others[0])?.principal.name, 'root');
  assert.is(passes.spendTicket(others[1])?.principal.name, 'root');
  const spent = [secrets.slice(-4).map(passes.spendSecret), tickets.slice(-4).map(passes.spendTicket)];
  for (const few of spent)
    assert.equal(
      few.map((one) => one?.principal.name ?? 'void'),
      ['void', 'ann', 'ann', 'ann'],
    );
});

test('a logout ends at once all that came of the browser session, and nothing else', async () => {
  await within({ limits: { bookmarkMs: 1e6 } }, async ({ httpUrl, url, store }) => {
    const enter = async (body: unknown): Promise<string> => cookieFrom(await post(`${httpUrl}/api/session`, body));
    const ticketOf = async (cookie: string): Promise<string> =>
      ((await (await post(`${httpUrl}/api/ticket`, {}, { cookie })).json()) as { ticket: string }).ticket;
    const [cookie, other] = [await enter({ token: 'ann-token' }), await enter({ token: 'ann-token' })];
    const page = await new RawClient(url).open();
    await page.call('auth', { ticket: await ticketOf(cookie) });
    await page.call('watch.open', {});
    const secretOf = async (): Promise<unknown> => (await page.call('auth.secret'))['secret'];
    const [spent, unspent, unused] = [await secretOf(), await secretOf(), await ticketOf(cookie)];
    const second = await enter({ secret: spent });
    const secondPage = await new RawClient(url).open();
    await secondPage.call('auth', { ticket: await ticketOf(second) });
    const stays = [await new RawClient(url).open('ann-token'), await new RawClient(url).open()] as const;
    await stays[1].call('auth', { ticket: await ticketOf(other) });
    const gone = await fetch(`${httpUrl}/api/session`, { method: 'DELETE', headers: { cookie, connection: 'close' } });
    assert.is(gone.status, 204);
    for (const client of [page, secondPage]) assert.equal(await client.closed, { code: 4401, reason: 'logged out' });
    const before = page.frames.length;
    store.put('box/acme/a', 'open');
    assert.is(page.frames.length, before);
    for (const dead of [cookie, second]) {
      assert.is((await post(`${httpUrl}/api/ticket`, {}, { cookie: dead })).status, 401);
    }
    assert.is((await post(`${httpUrl}/api/session`, { secret: unspent })).status, 401);
    const late = await new RawClient(url).open();
    assert.match((await late.refusal('auth', { ticket: unused })).type, 'unauthenticated');
    for (const client of stays) await client.call('actor.list');
    assert.is((await post(`${httpUrl}/api/ticket`, {}, { cookie: other })).status, 200);
    for (const client of [...stays, late]) await client.close();
  });
});

test('a logout is kept over a restart, like the cookies', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'photon-logouts-'));
  const path = join(folder, 'logouts.json');
  const cookieKey = new Uint8Array(32).fill(7);
  const more = () => ({ cookieKey, logouts: openLogoutFile({ path, clock: testClock, log: quietLog }) });
  let [cookie, listenPort] = ['', 0];
  try {
    await within({ more: more() }, async ({ httpUrl, listenPort: own }) => {
      cookie = cookieFrom(await post(`${httpUrl}/api/session`, { token: 'ann-token' }));
      listenPort = own;
      await fetch(`${httpUrl}/api/session`, { method: 'DELETE', headers: { cookie, connection: 'close' } });
    });
    await within({ more: more(), listenPort }, async ({ httpUrl }) => {
      assert.is((await post(`${httpUrl}/api/ticket`, {}, { cookie })).status, 401);
      await writeFile(path, '[torn');
    });
    assert.not.ok(more().logouts.has('any'), 'a damaged file begins empty');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

test('however many ask /readyz, the store is asked once in a while, and never again while it hangs', async () => {
  let nowMs = 1_000;
  const late = new Map<() => void, number>();
  const clock = {
    wallMs: () => nowMs,
    monotonicMs: () => nowMs,
    after: (delayMs: number, task: () => void) => {
      late.set(task, nowMs + delayMs);
      return () => late.delete(task);
    },
  };
  const pass = async (ms: number): Promise<void> => {
    nowMs += ms;
    for (const [task, dueMs] of late) if (dueMs <= nowMs && late.delete(task)) task();
    await new Promise((resolve) => setImmediate(resolve));
  };
  const questions: ((answers: boolean) => void)[] = [];
  const askStore = (): Promise<void> =>
    new Promise((resolve, reject) => questions.push((answers) => (answers ? resolve() : reject(new Error('lost')))));
  const isReady = createReadiness({ askStore, clock, readyMs: 1_000 });
  const crowd = (): Promise<boolean[]> => Promise.all(Array.from({ length: 100 }, isReady));
  const asked = crowd();
  questions[0]?.(true);
  assert.equal([...new Set(await asked)], [true]);
  await pass(999);
  assert.equal([...new Set(await crowd())], [true]);
  assert.is(questions.length, 1);
  await pass(1);
  const hanging = crowd();
  await pass(1_000);
  assert.equal([...new Set(await hanging)], [false]);
  await pass(5_000);
  assert.equal([...new Set(await crowd())], [false]);
  assert.is(questions.length, 2, 'the question that hangs is the only one');
  questions[1]?.(true);
  await pass(0);
  assert.is(await isReady(), true);
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
