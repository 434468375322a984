import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorDefinition } from '../contract/actor-definition.ts';
import { checkCharts, writeCharts } from './chart-documents.ts';
import { createChartStore } from './chart-store.ts';
import { contentPolicy } from './inspector-routes.ts';
import { quietLog, sampleRegistry, startSampleServer } from './sample-server-for-tests.ts';

interface Place {
  folder: string;
  url: string;
  close: () => Promise<void>;
}

const test = suite<Place>('inspector routes');

test.before(async (place) => {
  place.folder = await mkdtemp(join(tmpdir(), 'photon-inspector-'));
  Object.assign(place, await startSampleServer(join(place.folder, 'cache')));
});

test.after(async (place) => {
  await place.close();
  await rm(place.folder, { recursive: true, force: true });
});

interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Uses node:http, because fetch would normalise a hostile path before it is sent. */
function ask(place: Place, path: string, method = 'GET'): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { hostname, port: listenPort } = new URL(place.url);
    const sent = request({ hostname, port: listenPort, path, method, timeout: 10_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.on('error', reject).end();
  });
}

test('the page has a strict content policy and refers only to its own assets', async (place) => {
  for (const path of ['/', '/open', '/a/job/acme/web-1', '/a/binding/acme/web-1.eth0@w1/17', '/?kind=job']) {
    const page = await ask(place, path);
    assert.is(page.status, 200, path);
    assert.is(page.headers['content-security-policy'], contentPolicy);
    assert.is(page.headers['x-content-type-options'], 'nosniff');
    assert.not.match(page.body, /https?:|<script>|style=/);
    assert.ok(page.body.includes('sample &#60;cloud&#62;'), 'the title is escaped');
  }
  assert.match(contentPolicy, /^default-src 'self';/);
  assert.not.match(contentPolicy, /unsafe|\*/);
});

test('assets are named by a hash of their content and cached without limit', async (place) => {
  const page = await ask(place, '/');
  const names = [...page.body.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map((match) => match[1] as string);
  assert.is(names.length, 3);
  for (const name of names) assert.is((await ask(place, name)).status, 200, name);
  const script = await ask(place, names.find((name) => name.endsWith('.js')) as string);
  assert.match(String(script.headers['cache-control']), /immutable/);
  assert.is((await ask(place, '/assets/inspector-0123456789abcdef.js')).status, 404);
});

test('charts are served as SVG and as JSON; the answer for an unknown kind names the kinds', async (place) => {
  const picture = await ask(place, '/charts/job.svg');
  assert.is(picture.headers['content-type'], 'image/svg+xml; charset=utf-8');
  assert.match(String(picture.headers['content-security-policy']), /default-src 'none'; style-src 'sha256-/);
  assert.ok(picture.body.startsWith('<svg'));
  const json = JSON.parse((await ask(place, '/charts/mesh.json')).body) as { chart: { kind: string }; svg: string };
  assert.is(json.chart.kind, 'mesh');
  assert.ok(json.svg.startsWith('<svg'));
  const unknown = await ask(place, '/charts/nothing.svg');
  assert.is(unknown.status, 404);
  assert.match(unknown.body, /hostile, job, mesh/);
});

test('a chart is drawn once, however often it is asked for', async (place) => {
  const kinds = sampleRegistry.kinds as Map<string, ActorDefinition>;
  let looked = 0;
  kinds.get = (kind) => {
    looked += 1;
    return Map.prototype.get.call(kinds, kind) as ActorDefinition | undefined;
  };
  try {
    for (const path of ['/charts/hostile.json', '/charts/hostile.svg']) {
      const first = await ask(place, path);
      looked = 0;
      assert.is((await ask(place, path)).body, first.body);
      assert.is(looked, 0, `${path} was drawn again`);
    }
  } finally {
    Reflect.deleteProperty(kinds, 'get');
  }
});

test('every other path is answered with 404', async (place) => {
  await writeFile(join(place.folder, 'secret.svg'), 'secret');
  const hostile = [
    '/charts/../secret.svg',
    '/charts/..%2fsecret.svg',
    '/charts/%2e%2e/secret.svg',
    '/charts/....//secret.svg',
    '/charts//etc/passwd',
    '/assets/../page-bundle.ts',
    '/assets/..\\..\\secret.svg',
    '/a/../../etc/passwd',
    '/a/job/acme',
    '/a/job/acme/x/y',
    '/a/job/acme/x/1/2',
    '/charts/job.svg/',
    '/charts/JOB.svg',
    '/charts/__proto__.json',
    '/assets/inspector-zz.js',
    '//',
    '/api',
    '/healthz',
    '/open/x',
    '/a/a%00/b/c',
  ];
  for (const path of hostile) {
    const reply = await ask(place, path);
    assert.is(reply.status, 404, path);
    assert.not.ok(reply.body.includes('secret'), path);
  }
});

test('only GET and HEAD are allowed', async (place) => {
  assert.is((await ask(place, '/', 'POST')).status, 405);
  const head = await ask(place, '/charts/job.svg', 'HEAD');
  assert.is(head.status, 200);
  assert.is(head.body, '');
});

test('layouts and bundles are cached, and a damaged cache file is replaced', async (place) => {
  const cacheFolder = join(place.folder, 'cache');
  const files = await readdir(join(cacheFolder, 'charts'));
  assert.ok(
    files.some((name) => name.startsWith('job-')),
    files.join(),
  );
  assert.is((await readdir(join(cacheFolder, 'pages'))).length, 1);
  for (const name of files) await writeFile(join(cacheFolder, 'charts', name), '{ torn');
  const store = createChartStore({ registry: sampleRegistry, cacheFolder, log: quietLog });
  assert.is((await store.placed('job'))?.kind, 'job');
  assert.is(await store.placed('nothing'), undefined);
});

test('charts are laid out ahead, so that the first person who opens one does not wait', async (place) => {
  const cacheFolder = join(place.folder, 'cache-ahead');
  const ahead = createChartStore({ registry: sampleRegistry, cacheFolder, log: quietLog });
  await ahead.ahead();
  const files = await readdir(join(cacheFolder, 'charts'));
  assert.equal(files.map((name) => name.split('-')[0]).sort(), ['hostile', 'job', 'mesh']);
  const later = createChartStore({ registry: sampleRegistry, cacheFolder, log: quietLog });
  assert.equal(await later.placed('job'), await ahead.placed('job'));
});

test('documents are written and checked, and those of removed kinds are deleted', async (place) => {
  const folder = join(place.folder, 'documents');
  assert.is((await checkCharts(sampleRegistry, folder)).length, 7);
  assert.is((await writeCharts(sampleRegistry, folder)).length, 7);
  assert.equal(await checkCharts(sampleRegistry, folder), []);
  await writeFile(join(folder, 'job.md'), 'edited');
  await writeFile(join(folder, 'gone.svg'), 'of a kind that is no more');
  assert.equal(await checkCharts(sampleRegistry, folder), [
    'gone.svg belongs to no kind; write the charts again',
    'job.md is stale; write the charts again',
  ]);
  await writeCharts(sampleRegistry, folder);
  assert.equal(await checkCharts(sampleRegistry, folder), []);
});

test.run();
