/** The inspector as the product serves it: real control API, client and browser; only the store is in memory. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vmDefinition } from '@photoncloud/actors/vm/vm-actor';
import { ended, held as placed, spec } from '@photoncloud/machines/vm/vm-rows-for-tests';
import type { SharedClock } from '@photoncloud/runtime/contract/clock';
import { reject } from '@photoncloud/runtime/contract/errors';
import type { HistoryEntry, StoredActor } from '@photoncloud/runtime/contract/journal';
import type { Historian } from '@photoncloud/runtime/contract/historian';
import { startTestApi, testClock, type TestApi } from '@photoncloud/runtime/control-api/api-for-tests';
import { hotHistorian } from '@photoncloud/runtime/control-api/history-methods';
import { MemoryStore } from '@photoncloud/runtime/control-api/store-for-tests';
import { actorId } from '@photoncloud/runtime/contract/identifiers';
import { decide, restore } from '@photoncloud/runtime/hosting/decide';
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

const registry = { kinds: new Map([...sampleRegistry.kinds, ['vm', vmDefinition] as const]) };

function serve(place: Place, listenPort?: number, clock?: SharedClock): Promise<TestApi> {
  const routes = createInspectorRoutes({
    registry,
    cacheFolder: join(place.folder, 'cache'),
    log: quietLog,
    title: 'sample cloud',
    scopeWord: 'tenant',
  });
  const historian = historianOf(place.store);
  const more = { registry, routes, cookieKey, historian, ...(clock === undefined ? {} : { clock }) };
  return startTestApi({ store: place.store, more, ...(listenPort === undefined ? {} : { listenPort }) });
}

/** Pages through the history in memory; of a version it knows state and size. */
const historianOf = (store: MemoryStore): Historian => ({
  ...hotHistorian(store),
  hotOnly: false,
  async at(id, version) {
    const entry = store.past.get(id)?.findLast((candidate) => candidate.version === version);
    if (entry === undefined) throw reject('not_found', `${id} has no version ${version}.`);
    return { id, version, entry, chartVersion: 1, state: entry.to, context: { spec: { size: version } } };
  },
});

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
  await rm(place.folder, { recursive: true, force: true, maxRetries: 5 });
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

const vm = 'vm/acme/web-1';

function putVm(store: MemoryStore, state: string, entry: Partial<HistoryEntry>, more: object = {}): void {
  store.put(vm, state, 1, 'live', entry);
  const stored = store.actors.get(actorId(vm)) as StoredActor;
  const context = { ...placed, ...more };
  store.actors.set(actorId(vm), { ...stored, chartVersion: vmDefinition.chartVersion, context });
}

/** The texts of the lit edges and rows, without those of other transitions that share them. */
const litTransitions = (page: Page): Promise<string[]> =>
  page
    .locator('[data-transitions].last')
    .evaluateAll((labels) =>
      labels.map((label) =>
        [...label.querySelectorAll('text')]
          .flatMap((text) => (text.classList.contains('other') ? [] : [text.textContent ?? '']))
          .join(' '),
      ),
    );

check('a VM that went from running to backoff lights the two transitions it took, and no other', async (place) => {
  const { machine } = vmDefinition;
  const context = { ...placed, spec: { ...spec, restart: 'always' } };
  const event = { ...ended('crash'), meta: { at: 1_000, ulid: 'U2', era: 1, rows: {} } };
  const step = decide(machine, restore(machine, 'running', context), event);
  assert.is(step.snapshot.value, 'backoff');
  putVm(place.store, 'running', {});
  putVm(place.store, 'backoff', { event: { type: event.type }, taken: step.taken });
  const { page, problems } = await openedPage(place);
  await page.goto(`${place.served.httpUrl}/a/${vm}`);
  // A chart of this size takes seconds to lay out for the first time.
  await page.locator('[data-state="backoff"].lit.retrying').waitFor({ timeout: 60_000 });
  await page.locator('[data-transitions].last').nth(1).waitFor();
  assert.equal((await litTransitions(page)).filter((text) => text !== '').toSorted(), [
    'always [policyRestarts]',
    '▸\uFE0E incarnation.ended [isThisIncarnation] → ended / noteEnd',
  ]);
  assert.is(await page.locator('.row.last, .chip.last').count(), 1);
  // Three transitions lead from `ended` to `releasing` on one edge; only the taken one stays bright.
  const settled = decide(
    machine,
    restore(machine, 'running', { ...placed, spec: { ...spec, restart: 'never' } }),
    event,
  );
  assert.is(settled.snapshot.value, 'releasing');
  putVm(place.store, 'releasing', { event: { type: event.type }, taken: settled.taken });
  await page.locator('[data-state="releasing"].lit').waitFor();
  assert.equal((await litTransitions(page)).filter((text) => text !== '').toSorted(), [
    'always / settle',
    '▸\uFE0E incarnation.ended [isThisIncarnation] → ended / noteEnd',
  ]);
  assert.equal(problems, []);
  await page.context().close();
});

check('the reason of a failed state is shown on the page and in the list', async (place) => {
  const failure = { code: 'no_kvm', message: 'load kvm_intel on w1', retryable: false };
  putVm(place.store, 'failed', {}, { failure });
  const { page, problems } = await openedPage(place);
  await page.getByLabel('Search').fill('vm/acme');
  await page.locator('.line', { hasText: 'web-1' }).getByText('load kvm_intel on w1').waitFor();
  await page.goto(`${place.served.httpUrl}/a/${vm}`);
  const reason = page.getByRole('status', { name: 'Reason' });
  await reason.getByText('no_kvm').waitFor();
  await reason.getByText('load kvm_intel on w1').waitFor();
  await reason.getByText('does not pass by itself').waitFor();
  putVm(place.store, 'running', {});
  await reason.waitFor({ state: 'detached' });
  assert.equal(problems, []);
  await page.context().close();
});

check('a history of 1,200 steps is read to its begin, and a gap in it is named', async (place) => {
  const long = 'job/acme/long';
  const cycle = ['starting', 'stopped'];
  for (let version = 1; version <= 1_200; version += 1) place.store.put(long, cycle[version % 2] as string);
  const { page, problems } = await openedPage(place);
  await page.goto(`${place.served.httpUrl}/a/${long}`);
  const older = page.getByRole('button', { name: /Read older steps/ });
  for (const oldest of [1_001, 801, 601, 401, 201]) {
    await page.getByRole('button', { name: `Read older steps than version ${oldest}` }).waitFor();
    await older.click();
  }
  await page.getByText('Nothing precedes this step.').waitFor();
  await page.getByText('1200 steps read').waitFor();
  assert.is(await page.locator('.entry').count(), 1_200);
  await page.goto(`${place.served.httpUrl}/a/${long}/300`);
  await page.locator('.entry[aria-current=true]', { hasText: '300' }).waitFor();
  await page.getByRole('button', { name: 'Read the steps from version 350 to 1001' }).waitFor();
  await page.getByText('was starting at version 300').waitFor();
  await page.keyboard.press('r');
  await page.getByText('As it was after version 300').waitFor();
  assert.match(await page.locator('.raw pre').innerText(), /"version": 300,/);
  await page.keyboard.press('j');
  await page.locator('.raw pre', { hasText: '"version": 299,' }).waitFor();
  await page.keyboard.press('l');
  await page.locator('.raw pre', { hasText: '"version": 1200,' }).waitFor();
  const all = place.store.past.get(actorId(long)) ?? [];
  place.store.past.set(actorId(long), [...all.slice(1_000, 1_100), ...all.slice(1_150)]);
  await page.goto(`${place.served.httpUrl}/a/${long}`);
  await page.getByText('Versions 1101 to 1150 are missing.').waitFor();
  await page.getByText('The steps before version 1001 are gone.').waitFor();
  assert.equal(problems, []);
  await page.context().close();
});

check('a cause leads to the step that caused it', async (place) => {
  const other = 'job/acme/other';
  place.store.put(other, 'placing');
  place.store.put(other, 'starting', 1, 'live', { asked: [`send:host.placed:job/acme/caused`] });
  place.store.put(other, 'stopped');
  place.store.put('job/acme/caused', 'placing');
  place.store.put('job/acme/caused', 'failed', 1, 'live', { cause: `message:${other}:1@2` });
  const { page, problems } = await openedPage(place);
  await page.goto(`${place.served.httpUrl}/a/job/acme/caused/2`);
  await page.getByRole('link', { name: `${other}, version 2` }).click();
  await page.waitForURL(`${place.served.httpUrl}/a/${other}/2`);
  await page.getByText('was starting at version 2').waitFor();
  await page.getByRole('link', { name: 'job/acme/caused' }).waitFor();
  assert.equal(problems, []);
  await page.context().close();
});

check('a page whose server is gone says at once that it is not live, and since when', async (place) => {
  const { page, problems } = await openedPage(place);
  await page.goto(`${place.served.httpUrl}/a/job/acme/caused`);
  await page.locator('.badge.state.failed', { hasText: 'failed' }).waitFor();
  const { listenPort } = place.served;
  await place.served.stop();
  await page.getByText(/Not live: shown as of \d\d:\d\d:\d\d UTC/).waitFor({ timeout: 2_000 });
  await page.locator('.badge.state', { hasText: /failed as of \d\d:\d\d:\d\d UTC/ }).waitFor();
  assert.match(await page.title(), /^⚠ not live · failed/);
  place.served = await serve(place, listenPort);
  await page.getByText('● live').waitFor();
  assert.is(await page.locator('.stale-banner').count(), 0);
  await page.getByRole('link', { name: 'sample cloud' }).click();
  await page.getByText(/of \d+ actors/).waitFor();
  await place.served.stop();
  await page.getByText(/actors as of \d\d:\d\d:\d\d UTC/).waitFor({ timeout: 2_000 });
  await page.locator('.line', { hasText: 'm-3' }).first().click();
  await page.getByText('The chart of mesh is loaded as soon as the server answers.').waitFor();
  await page.getByText('not read yet').waitFor();
  place.served = await serve(place, listenPort);
  await page.getByText('● live').waitFor();
  await page.locator('svg .leaf').first().waitFor();
  await page.locator('.entry').first().waitFor();
  assert.equal(problems, []);
  await page.context().close();
});

check('a page whose session has ended says how to go on, and nothing that would not help', async (place) => {
  const { page } = await openedPage(place);
  await page.goto(`${place.served.httpUrl}/a/${actor}`);
  await page.locator('.entry').first().waitFor();
  await page.context().clearCookies();
  const { listenPort } = place.served;
  await place.served.stop();
  place.served = await serve(place, listenPort);
  await page.getByText(/Open a new link to go on.*photon open/).waitFor();
  await page.getByText('✕ ended').waitFor();
  await page.waitForTimeout(300);
  assert.is(await page.getByText(/reload/i).count(), 0);
  await page.context().close();
});

check('the page of an actor that is not there says so, and opens it when it is created', async (place) => {
  const { page, problems } = await openedPage(place);
  await page.goto(`${place.served.httpUrl}/a/job/acme/later`);
  const notice = page.getByRole('alert').filter({ hasText: 'There is no job/acme/later' });
  await notice.getByRole('link', { name: 'actors with later' }).waitFor();
  place.store.put('job/acme/later', 'placing');
  await page.locator('[data-state="placing"].lit').waitFor();
  assert.is(await notice.count(), 0);
  await page.goto(`${place.served.httpUrl}/a/jab/acme/later`);
  await page.getByText('There is no kind jab; there are hostile, job, mesh, vm.').waitFor();
  assert.equal(problems, []);
  await page.context().close();
});

check("ages are right though the viewer's clock is hours off", async (place) => {
  const behindMs = 3 * 3_600_000;
  const clock = { ...testClock, sharedMs: () => Date.now() - behindMs };
  const own = await serve(place, undefined, clock);
  place.store.put('job/acme/aged', 'stopped', 1, 'live', { at: clock.sharedMs() - 5 * 60_000 - 20_000 });
  const { page, problems } = await openedPage({ ...place, served: own });
  await page.goto(`${own.httpUrl}/a/job/acme/aged`);
  await page.locator('.entry', { hasText: 'job.poke' }).getByText('5 min ago').waitFor();
  assert.equal(problems, []);
  await page.context().close();
  await own.stop();
});

check("another tenant's actor is not found", async (place) => {
  const { page } = await openedPage(place, 'bob');
  await page.getByText('1 of 1 actors').waitFor();
  await page.goto(`${place.served.httpUrl}/a/mesh/acme/m-1`);
  await page
    .getByRole('alert')
    .getByText(/There is no mesh\/acme\/m-1/)
    .waitFor();
  assert.is(await page.locator('.entry, .badge.state').count(), 0);
  await page.context().close();
});

test.run();
