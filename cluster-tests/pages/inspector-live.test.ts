/** The inspector as the product serves it: real control API, client and browser; only the store is in memory. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestApi, type TestApi } from '@photoncloud/runtime/control-api/api-for-tests';
import { MemoryStore } from '@photoncloud/runtime/control-api/store-for-tests';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { createInspectorRoutes } from '@photoncloud/runtime/inspector/inspector-routes';
import { quietLog, sampleRegistry } from '@photoncloud/runtime/inspector/sample-server-for-tests';
import type { Browser, Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { browserPath, launchBrowser } from './browser-launch.ts';

interface Place {
  folder: string;
  store: MemoryStore;
  served: TestApi;
  browser: Browser;
}

const test = suite<Place>('inspector live');
/** Without a browser every test counts as skipped, not as passed. */
const check: typeof test = browserPath === undefined ? (test.skip as typeof test) : test;

const actor = 'job/acme/web-1';
const cookieKey = Buffer.alloc(32, 7);

function serve(place: Place, listenPort?: number): Promise<TestApi> {
  const routes = createInspectorRoutes({
    registry: sampleRegistry,
    cacheFolder: join(place.folder, 'cache'),
    log: quietLog,
    title: 'sample cloud',
    scopeWord: 'tenant',
  });
  const more = { registry: sampleRegistry, routes, cookieKey };
  return startTestApi({ store: place.store, more, ...(listenPort === undefined ? {} : { listenPort }) });
}

test.before(async (place) => {
  if (browserPath === undefined) return;
  place.folder = await mkdtemp(join(tmpdir(), 'photon-live-'));
  place.store = new MemoryStore();
  place.served = await serve(place);
  place.browser = await launchBrowser();
  for (let index = 0; index < 40; index += 1) place.store.put(`mesh/acme/m-${index}`, 'plane');
  place.store.put('job/bits/foreign', 'stopped');
  place.store.put(actor, 'placing');
});

test.after(async (place) => {
  if (browserPath === undefined) return;
  await place.browser?.close();
  await place.served?.stop();
  await rm(place.folder, { recursive: true, force: true });
});

async function openedPage(place: Place, name = 'ann'): Promise<{ page: Page; link: string; problems: string[] }> {
  const context = await place.browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => {
    if (/Content Security Policy/i.test(message.text())) problems.push(message.text());
  });
  const principal = place.served.principals.people.get(name);
  const secret = place.served.api.mintSecret(principal as NonNullable<typeof principal>, 60_000);
  const link = `${place.served.httpUrl}/open#${secret}`;
  await page.goto(link);
  return { page, link, problems };
}

check('a link opens a session once, and the session shows the tenant its own actors only', async (place) => {
  const { page, link, problems } = await openedPage(place);
  await page.getByText('41 of 41 actors').waitFor();
  assert.is(new URL(page.url()).hash, '', 'the secret has left the address');
  await page.getByLabel('tenant').selectOption('acme');
  assert.equal(await page.getByLabel('tenant').locator('option').allTextContents(), ['any', 'acme']);
  await page.reload();
  await page.getByText('41 of 41 actors').waitFor();
  const stranger = await (await place.browser.newContext()).newPage();
  await stranger.goto(link);
  await stranger.getByText('ask for a new link').waitFor();
  await stranger.goto(place.served.httpUrl);
  await stranger.getByText('no session').waitFor();
  await stranger.context().close();
  assert.equal(problems, []);
  await page.context().close();
});

check('the chart follows the actor, also over a restart of the node', async (place) => {
  const { page, problems } = await openedPage(place);
  await page.goto(`${place.served.httpUrl}/a/${actor}`);
  await page.locator('[data-state="placing"].lit').waitFor();
  place.store.put(actor, 'starting');
  await page.locator('[data-state="starting"].lit').waitFor();
  await page.getByText('placing → starting').waitFor();
  assert.match(await page.title(), /^starting · job\/acme\/web-1/);
  const { listenPort } = place.served;
  await place.served.stop();
  await page.getByText(/connecting/).waitFor();
  place.store.put(actor, 'stopped');
  place.served = await serve(place, listenPort);
  await page.locator('[data-state="stopped"].lit').waitFor();
  await page.getByText('● live').waitFor();
  place.store.remove(actor);
  await page.getByText(/^removed, last in/).waitFor();
  assert.equal(problems, []);
  await page.context().close();
});

check('a hold appears and disappears on the open page; only operators see dead letters', async (place) => {
  const held = 'mesh/acme/m-7';
  const deadLetter = {
    deadLetterId: 'D1',
    actor: actorId(held),
    place: '1-1',
    cause: 'timer:t',
    state: 'plane',
    version: 1,
    at: 1,
  };
  place.store.keptDeadLetters.push({ ...deadLetter, event: { type: 'mesh.member' }, reason: 'chart_failed: no list' });
  const { page, problems } = await openedPage(place, 'root');
  await page.getByLabel('Search').fill('m-7');
  place.store.hold(held, 'quarantined');
  await page.locator('.line', { hasText: 'quarantined' }).getByText('a test says so').waitFor();
  await page.goto(`${place.served.httpUrl}/a/${held}`);
  await page.getByLabel('Held').getByText('a test says so').waitFor();
  await page.getByLabel('Dead letters').getByText('chart_failed: no list').waitFor();
  place.store.hold(held, undefined);
  await page.getByLabel('Held').waitFor({ state: 'detached' });
  assert.equal(problems, []);
  await page.context().close();
  const tenants = await openedPage(place);
  place.store.hold(held, 'paused');
  await tenants.page.goto(`${place.served.httpUrl}/a/${held}`);
  await tenants.page.getByLabel('Held').getByText('a test says so').waitFor();
  assert.is(await tenants.page.getByLabel('Dead letters').count(), 0);
  place.store.hold(held, undefined);
  place.store.keptDeadLetters.length = 0;
  await tenants.page.context().close();
});

check("another tenant's actor is not found", async (place) => {
  const { page } = await openedPage(place, 'bob');
  await page.getByText('1 of 1 actors').waitFor();
  await page.goto(`${place.served.httpUrl}/a/mesh/acme/m-1`);
  await page
    .getByRole('alert')
    .getByText(/There is no mesh\/acme\/m-1 here/)
    .waitFor();
  // The chart of a kind is public. Waiting until it is drawn ensures that nothing writes to the cache any more.
  await page.locator('svg .leaf').first().waitFor();
  await page.context().close();
});

test.run();
