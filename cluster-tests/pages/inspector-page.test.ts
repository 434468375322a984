/**
 * The inspector's pages in a real browser, on a scripted feed: what they show, by text and class, in light and dark.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { browserPath, launchBrowser } from './browser-launch.ts';
import { startSampleServer } from '@photoncloud/runtime/inspector/sample-server-for-tests';

interface Place {
  folder: string;
  url: string;
  close: () => Promise<void>;
  browser: Browser;
  page: Page;
  problems: string[];
}

const test = suite<Place>('inspector page');
/** Without a browser every test counts as skipped, not as passed. */
const check: typeof test = browserPath === undefined ? (test.skip as typeof test) : test;

test.before(async (place) => {
  if (browserPath === undefined) return;
  place.folder = await mkdtemp(join(tmpdir(), 'photon-pages-'));
  Object.assign(place, await startSampleServer(join(place.folder, 'cache')));
  place.browser = await launchBrowser();
});

test.after(async (place) => {
  await place.browser?.close();
  await place.close?.();
  if (place.folder !== undefined) await rm(place.folder, { recursive: true, force: true });
});

test.before.each(async (place) => {
  place.problems = [];
  place.page = await place.browser.newPage({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce' });
  place.page.setDefaultTimeout(10_000);
  place.page.on('console', (message) => {
    if (message.type() !== 'debug') place.problems.push(message.text());
  });
  place.page.on('pageerror', (error) => place.problems.push(error.message));
  place.page.on('request', (sent) => {
    if (!sent.url().startsWith(place.url)) place.problems.push(`asked another host: ${sent.url()}`);
  });
});

test.after.each(async (place) => {
  await place.page.close();
  assert.equal(place.problems, [], 'no violation of the content security policy, no error of the script');
});

const advance = (page: Page): Promise<unknown> => page.evaluate('advance()');

check('the list can be searched, filtered and navigated by keys', async ({ page, url }) => {
  await page.goto(url);
  await page.getByText('313 of 313 actors').waitFor();
  assert.ok((await page.locator('.line').count()) < 80, 'only visible lines are drawn');
  await page.getByLabel('kind').selectOption('binding');
  await page.getByLabel('state').selectOption('failed');
  await page.getByLabel('waits for').selectOption('timer');
  await page.waitForURL(/kind=binding&state=failed&waiting=timer$/);
  await page.locator('body').press('Escape');
  await page.locator('body').press('/');
  await page.keyboard.type('globex job-1');
  await page.getByText('4 of 313 actors').waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  await page.locator('.line[aria-selected=true]', { hasText: 'job-15' }).waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL(`${url}/a/job/globex/job-15`);
  await page.goBack();
  await page.getByText(/of 313 actors/).waitFor();
});

check('the chart follows the actor: state, ancestors, last transition, title', async ({ page, url }) => {
  await page.goto(`${url}/a/job/acme/web-1`);
  await page.locator('[data-state="running.healthy"].lit').waitFor();
  assert.is(await page.locator('.lit').count(), 1);
  assert.equal(
    await page.locator('.within').evaluateAll((all) => all.map((one) => (one as HTMLElement).dataset.state)),
    ['', 'running'],
  );
  assert.match(await page.title(), /^running\.healthy · job\/acme\/web-1 · /);
  for (let step = 0; step < 3; step += 1) await advance(page);
  await page.locator('[data-state="running.migrating.copying"].lit[aria-current=true]').waitFor();
  await page.locator('.label.edge.last', { hasText: 'job.migrate' }).waitFor();
  assert.match(await page.title(), /^running\.migrating\.copying/);
  assert.ok(await visible(page, '.lit>.frame'), 'the current state was scrolled into view');
  await page.getByText('process.watch').first().waitFor();
  await page.getByText(/in 1 min 2\d s/).waitFor();
});

check(
  'conditions, and the sections in which a host lags, are shown of the newest version only',
  async ({ page, url }) => {
    await page.goto(`${url}/a/job/acme/web-1`);
    const panel = page.getByLabel('Conditions');
    await panel.waitFor();
    assert.equal(await panel.locator('li').allInnerTexts(), [
      '✕\nReady Migrating to w2',
      '◷\nw2 lags in routes the link is down\n5 of 7',
    ]);
    await page.goto(`${url}/a/job/acme/web-1/3?steps=9`);
    await page.locator('[data-state="preparing.plugging"].lit').waitFor();
    assert.is(await panel.count(), 0);
  },
);

check('figures and facts are read of the newest version, and no older one has any', async ({ page, url }) => {
  await page.goto(`${url}/a/job/acme/web-1`);
  const panel = page.getByLabel('Facts');
  await panel.waitFor();
  assert.equal(await panel.locator('li').allInnerTexts(), [
    '•\nallocated\n12.0 MiB',
    '•\nread operations\n4096',
    '•\ninterface eth0\n02:00:00:00:00:01, 10.0.0.2/24',
  ]);
  await panel.getByText('a node did not answer').waitFor();
  await page.goto(`${url}/a/job/acme/web-1/3?steps=9`);
  await page.locator('[data-state="preparing.plugging"].lit').waitFor();
  assert.is(await panel.count(), 0);
});

check('a version has its own URL, chart and diff', async ({ page, url }) => {
  await page.goto(`${url}/a/job/acme/web-1/3?steps=9`);
  await page.locator('[data-state="preparing.plugging"].lit').waitFor();
  await page.getByText('was preparing.plugging at version 3').waitFor();
  await page.locator('.detail .came', { hasText: 'ab12' }).waitFor();
  await page.keyboard.press('k');
  await page.keyboard.press('k');
  await page.waitForURL(`${url}/a/job/acme/web-1/5`);
  await page.locator('[data-state="starting"].lit').waitFor();
  assert.is(await page.locator('.label.edge.last').count(), 2, 'the transition and the eventless one behind it');
  await page.keyboard.press('l');
  await page.locator('[data-state="running.migrating.copying"].lit').waitFor();
});

check('the table and the raw record agree with the chart; the keys are listed', async ({ page, url }) => {
  await page.goto(`${url}/a/job/acme/web-1`);
  await page.locator('.lit').waitFor();
  await page.keyboard.press('t');
  await page.locator('tr[aria-current=true]', { hasText: 'running.healthy' }).waitFor();
  await page.keyboard.press('r');
  await page.getByText('"uid": "01JDQ5Z6V8K3M2N4P7R9S0T1AB"').waitFor();
  await page.keyboard.press('?');
  await page.getByText('older and newer step').waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('c');
  await page.locator('.lit').waitFor();
});

check('the page of a held actor says who holds it, why, and what to do', async ({ page, url }) => {
  await page.goto(`${url}?held=quarantined&search=web`);
  const line = page.locator('.line', { hasText: 'web-1' });
  await line.getByText('quarantined').waitFor();
  await line.getByText('chart_failed: TypeError').waitFor();
  await line.getByText('operator').waitFor();
  await page.getByLabel('waits for').selectOption('operator');
  await page.getByText('1 of 313 actors').waitFor();
  await page.goto(`${url}/a/job/acme/web-1?held=quarantined`);
  await page.locator('.bar .badge', { hasText: 'quarantined' }).waitFor();
  const panel = page.getByLabel('Held');
  await page.getByLabel('Waiting for').getByText('an operator').waitFor();
  await panel.getByText('photon actor redrive job/acme/web-1 --reason WHY').waitFor();
  const deadLetter = page.getByLabel('Dead letters').getByText('slot.plugged');
  await deadLetter.waitFor();
  const ends = await page.locator('.panels').evaluate((panels) => panels.getBoundingClientRect().bottom);
  assert.ok(((await deadLetter.boundingBox())?.y ?? Infinity) < ends, 'it is seen without scrolling');
  await page.locator('.entry.dropped', { hasText: 'a dead letter now' }).waitFor();
  await page.goto(`${url}/a/job/acme/web-1?held=paused`);
  await panel.getByText('by ann').waitFor();
  await panel.getByText('photon actor resume job/acme/web-1').waitFor();
  await page.locator('.entry.operated', { hasText: 'by ann: its disk is being copied' }).waitFor();
  await page.goto(`${url}/a/job/acme/web-1?held=version`);
  await panel.getByText('photon upgrade check').waitFor();
  assert.is(await page.getByLabel('Dead letters').count(), 0);
});

check('every text fits into its box', async ({ page, url }) => {
  for (const kind of ['job', 'mesh', 'hostile']) {
    await page.goto(`${url}/a/${kind}/acme/x`);
    await page.locator('svg .leaf').first().waitFor();
    const wide = await page.locator('svg').evaluate((svg) => {
      const ends = (element: Element): number => {
        const box = (element as SVGGraphicsElement).getBBox();
        return box.x + box.width;
      };
      const spills: string[] = [];
      for (const text of svg.querySelectorAll('text')) {
        const plate = text.closest('.label, .chip')?.querySelector('.plate');
        const frame = plate ?? text.closest('.state')?.querySelector('.frame');
        if (frame !== null && frame !== undefined && ends(text) > ends(frame) - 2) spills.push(text.textContent ?? '');
      }
      return spills;
    });
    assert.equal(wide, [], kind);
  }
});

check('at 800x600 the history keeps a usable height, whatever is above it', async ({ page, url }) => {
  await page.setViewportSize({ width: 800, height: 600 });
  for (const query of ['', '?held=quarantined']) {
    await page.goto(`${url}/a/job/acme/web-1${query}`);
    await page.locator('.entry').nth(5).waitFor();
    const height = await page.locator('.history').evaluate((list) => list.clientHeight);
    assert.ok(height >= 280, `${query}: ${height} px`);
    const drawn = await page.locator('.canvas').evaluate((canvas) => [canvas.clientWidth, canvas.clientHeight]);
    assert.ok((drawn[0] ?? 0) >= 450 && (drawn[1] ?? 0) >= 400, `the chart has ${drawn.join(' x ')}`);
    const outside = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
    assert.is(outside, 0, 'nothing hangs out of the window');
  }
});

check('what is cut off can be read in a tooltip', async ({ page, url }) => {
  for (const width of [800, 1400]) {
    await page.setViewportSize({ width, height: 600 });
    await page.goto(`${url}?search=a-name`);
    const line = page.locator('.line', { hasText: 'a-name' });
    await line.waitFor();
    assert.equal(await untold(page, '.line span, .bar *'), []);
    await line.click();
    await page.locator('.entry').first().waitFor();
    assert.equal(await untold(page, '.bar *, .tabs *, .row span'), []);
    assert.is(await page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0);
  }
});

/** Texts that do not fit their element, where neither it nor what it is in has a tooltip. */
const untold = (page: Page, selector: string): Promise<string[]> =>
  page.locator(selector).evaluateAll((elements) =>
    elements.flatMap((element) => {
      const cut = element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).overflowX === 'hidden';
      return cut && element.closest('[title]') === null ? [element.textContent ?? ''] : [];
    }),
  );

check('at 800x600 pinned actors of one name differ by their host, and names of states are whole', async (place) => {
  const { page, url } = place;
  await page.setViewportSize({ width: 800, height: 600 });
  await page.goto(`${url}?search=binding-2`);
  await page.locator('.line', { hasText: 'binding-2' }).first().waitFor();
  const names = await page.locator('.line .id').allInnerTexts();
  assert.ok(
    names.every((name) => /binding-2\d*\s*@w\d$/.test(name)),
    names.join(),
  );
  await page.goto(`${url}/a/job/acme/web-1`);
  await page.locator('.lit').waitFor();
  await page.keyboard.press('t');
  await page.locator('tr[aria-current=true]').waitFor();
  const broken = await page
    .locator('.grid td:first-child strong')
    .evaluateAll((all) => all.flatMap((name) => ((name as HTMLElement).offsetHeight > 30 ? [name.textContent] : [])));
  assert.equal(broken, []);
  const outside = await page.locator('.tabled').evaluate((table) => table.scrollWidth - table.clientWidth);
  assert.is(outside, 0, 'the transitions of a state are in sight');
});

check('the current state stays in sight when the window becomes smaller', async ({ page, url }) => {
  await page.goto(`${url}/a/job/acme/web-1`);
  await page.locator('[data-state="running.healthy"].lit').waitFor();
  await page.setViewportSize({ width: 800, height: 600 });
  await page.waitForFunction("document.querySelector('.canvas').clientWidth < 600");
  await page.waitForTimeout(200);
  assert.ok(await visible(page, '.lit .title'));
});

check('a link to a step shows its details, not only its first line', async ({ page, url }) => {
  await page.setViewportSize({ width: 1400, height: 600 });
  await page.goto(`${url}/a/job/acme/web-1/2?steps=9`);
  await page.locator('.entry[aria-current=true] .detail').waitFor();
  await page.waitForTimeout(200);
  const inSight = await page
    .locator('.entry[aria-current=true] .detail h3')
    .first()
    .evaluate((title) => {
      const list = (title.closest('.history') as Element).getBoundingClientRect();
      return title.getBoundingClientRect().bottom <= list.bottom;
    });
  assert.ok(inSight);
});

check('what a state means is known before its chart is drawn', async ({ page, url }) => {
  await page.route('**/charts/job.json', () => undefined);
  await page.goto(`${url}/a/job/acme/web-1`);
  await page.locator('.bar .badge.steady', { hasText: 'running.healthy' }).waitFor();
});

const meanings = ['steady', 'changing', 'retrying', 'failed', 'ended'];

check('meanings of states differ by sign and by frame, not by colour alone', async ({ page, url }) => {
  await page.goto(`${url}?search=job`);
  for (const [state, sign] of [
    ['running.healthy', 'lasts'],
    ['preparing.plugging', 'on its way'],
    ['failed', 'needs attention'],
  ] as const) {
    const name = page.locator('.state-name', { hasText: state }).first();
    await name.getByRole('img', { name: sign }).waitFor();
  }
  const signs = await page
    .locator('.sign')
    .evaluateAll((all) => all.map((one) => `${one.getAttribute('aria-label')} ${one.textContent}`));
  assert.is(new Set(signs).size, 3);
  await page.goto(`${url}/a/job/acme/web-1`);
  await page.locator('.bar .badge.steady', { hasText: 'running.healthy' }).waitFor();
  await page.locator('[data-state="running.healthy"].lit.steady').waitFor();
  const frames: string[] = [];
  for (const meaning of meanings) {
    await mean(page, meaning);
    const style = await page.locator('.lit>.frame').evaluate((frame) => {
      const { strokeDasharray, strokeWidth } = getComputedStyle(frame);
      return `${strokeDasharray} ${strokeWidth}`;
    });
    frames.push(style);
  }
  assert.is(new Set(frames.slice(0, 4)).size, 4, frames.join(', '));
});

/** Gives the current state another meaning. */
const mean = (page: Page, meaning: string): Promise<void> =>
  page.locator('.lit').evaluate(
    (state, [wanted, all]) => {
      for (const one of all as string[]) state.classList.toggle(one, one === wanted);
    },
    [meaning, meanings] as const,
  );

check('names with HTML in them are shown as text', async ({ page, url }) => {
  await page.goto(`${url}/a/hostile/acme/x`);
  await page.locator('svg text.title', { hasText: 'b"><script>alert(1)</script>' }).waitFor();
  assert.is(await page.locator('svg script').count(), 0);
});

check('text has enough contrast in light and dark', async ({ page, url }) => {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    await page.goto(`${url}/a/job/acme/web-1?steps=9`);
    await page.locator('.lit').waitFor();
    for (const [text, ground] of [
      ['.lit .title', '.lit>.frame'],
      ['.lit .row text:last-child tspan', '.lit>.frame'],
      ['.tone-timer', '.leaf>.frame'],
      ['.tone-guard', '.plate'],
    ] as const) {
      const ratio = await contrast(page, text, ground);
      assert.ok(ratio >= 4.5, `${colorScheme}: ${text} on ${ground} has ${ratio.toFixed(1)}`);
    }
    for (const meaning of meanings) {
      await mean(page, meaning);
      for (const text of ['.lit .title', '.lit .row text:last-child tspan']) {
        const ratio = await contrast(page, text, '.lit>.frame');
        assert.ok(ratio >= 4.5, `${colorScheme}: ${text} of ${meaning} has ${ratio.toFixed(1)}`);
      }
    }
  }
});

const visible = (page: Page, selector: string): Promise<boolean> =>
  page.locator(selector).evaluate((element) => {
    const box = element.getBoundingClientRect();
    const view = (element.closest('.canvas') as Element).getBoundingClientRect();
    return box.left >= view.left && box.right <= view.right && box.top >= view.top && box.bottom <= view.bottom;
  });

async function contrast(page: Page, text: string, ground: string): Promise<number> {
  const fill = (selector: string): Promise<string> =>
    page
      .locator(selector)
      .first()
      .evaluate((element) => getComputedStyle(element).fill);
  const luminance = (colour: string): number => {
    const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? []).map((part) => {
      const level = Number(part) / 255;
      return level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [a, b] = [luminance(await fill(text)), luminance(await fill(ground))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

test.run();
