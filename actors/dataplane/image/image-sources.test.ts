/**
 * Images from http and https, on real sockets in namespaces of their own: a worker, and an internet with good and
 * hostile servers and a name server that lies. Which addresses are connected to is what the internet says, not what the
 * worker thinks.
 */
// test limit: 180 s
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImageFormat } from '@photoncloud/machines/values/wiring';
import {
  codeOf,
  inOwnNamespaces,
  nextCall,
  openForTests,
  ownerOf,
  run,
  testOptions,
  until,
} from '../dataplane-for-tests.ts';
import type { Gathered } from '../contract/storage-contract.ts';
import { createDataplane } from '../linux-dataplane.ts';

const certificatesIn = 'PHOTON_TEST_CERTIFICATES';
if (process.env[certificatesIn] === undefined) {
  // Node reads these when it starts, so the process inside the namespaces gets them from this one.
  const at = mkdtempSync(path.join(os.tmpdir(), 'photon-sources-'));
  const name = ['-subj', '/CN=good.test', '-addext', 'subjectAltName=DNS:good.test'];
  const files = ['-keyout', path.join(at, 'key.pem'), '-out', path.join(at, 'cert.pem')];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...name, ...files], {
    stdio: 'pipe',
  });
  writeFileSync(path.join(at, 'disk.raw'), randomBytes(1 << 20));
  const proxy = 'http://10.9.9.9:80';
  Object.assign(process.env, {
    [certificatesIn]: at,
    NODE_EXTRA_CA_CERTS: path.join(at, 'cert.pem'),
    HTTP_PROXY: proxy,
    http_proxy: proxy,
    HTTPS_PROXY: proxy,
    https_proxy: proxy,
    NODE_USE_ENV_PROXY: '1',
  });
  test.after(() => rmSync(at, { recursive: true, force: true }));
}
const folder = process.env[certificatesIn] ?? '';

interface Seen {
  readonly event: string;
  readonly to?: string;
  readonly path?: string;
  readonly range?: string;
  readonly host?: string;
}

inOwnNamespaces(import.meta.filename, () => {
  const limits = { maxBytes: 4 << 20, headMs: 2_000, windowMs: 1_000, minBytesPerS: 1_000 };
  const { opened, folder: node } = openForTests({ sourceLimits: limits });
  const disk = (): Buffer => execFileSync('cat', [path.join(folder, 'disk.raw')], { maxBuffer: 1 << 24 });
  const sha256 = createHash('sha256').update(disk()).digest('hex');
  const seen: Seen[] = [];
  let internet: ChildProcess | undefined;
  let owners = 0;
  const nextOwner = () => ownerOf(`image-copy/t${(owners += 1)}/i@w1`);
  const specOf = (url: string, owner = nextOwner(), format: ImageFormat = 'raw') => ({
    owner,
    source: { url },
    format,
    sha256,
  });
  const left = (): readonly string[] =>
    ['images', 'incoming'].flatMap((name) =>
      existsSync(path.join(node, name)) ? readdirSync(path.join(node, name)) : [],
    );

  /** Gathers until all bytes are there. @returns every report */
  async function gather(spec: ReturnType<typeof specOf>, dp = opened): Promise<Gathered[]> {
    const reports: Gathered[] = [];
    for (;;) {
      const report = await (await dp).gatherCopy(spec, nextCall());
      reports.push(report);
      if (report.isWhole) return reports;
    }
  }
  const drop = async ({ owner }: ReturnType<typeof specOf>) =>
    (await opened).removeCopy({ owner, sha256: null, format: 'raw' }, nextCall());
  /** What the internet sees while `work` runs. */
  async function seenIn(work: () => Promise<unknown>): Promise<readonly Seen[]> {
    const from = seen.length;
    await work();
    // Lines of the child come a little later than bytes of its sockets.
    await new Promise((resolve) => setTimeout(resolve, 100));
    return seen.slice(from);
  }

  test.before(async () => {
    await run('ip', 'netns', 'add', 'inet');
    await run('ip', 'link', 'add', 'w0', 'type', 'veth', 'peer', 'name', 'i0', 'netns', 'inet');
    await run('ip', 'addr', 'add', '11.0.0.1/24', 'dev', 'w0');
    await run('ip', 'link', 'set', 'w0', 'up');
    await run('ip', 'route', 'add', 'default', 'via', '11.0.0.2');
    await run('ip', '-n', 'inet', 'addr', 'add', '11.0.0.2/24', 'dev', 'i0');
    for (const address of ['12.0.0.1', '12.0.0.53', '12.0.0.9', '10.9.9.9', '169.254.169.254'])
      await run('ip', '-n', 'inet', 'addr', 'add', `${address}/32`, 'dev', 'lo');
    await run('ip', '-n', 'inet', 'link', 'set', 'lo', 'up');
    await run('ip', '-n', 'inet', 'link', 'set', 'i0', 'up');
    writeFileSync(path.join(node, 'resolv.conf'), 'nameserver 12.0.0.53\noptions timeout:1 attempts:1\n');
    await run('mount', '--bind', path.join(node, 'resolv.conf'), realpathSync('/etc/resolv.conf'));
    const script = path.join(import.meta.dirname, 'image-server-for-tests.ts');
    internet = spawn('ip', ['netns', 'exec', 'inet', process.execPath, script, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (internet.stdout !== null)
      createInterface({ input: internet.stdout }).on('line', (line) => seen.push(JSON.parse(line) as Seen));
    await until('the internet is there', () => seen.some(({ event }) => event === 'ready'));
  });
  test.after(() => void internet?.kill());

  test('an image comes over http, https, redirects and in chunks, and becomes a copy', async () => {
    const urls = [
      'http://good.test/good',
      'https://good.test/good',
      'http://12.0.0.1/good',
      'http://good.test/chunked',
      'http://good.test/no-range',
      'http://good.test/redirects?left=3',
      'http://good.test/redirect?to=https://good.test/good',
    ];
    for (const url of urls) {
      const spec = specOf(url);
      const reports = await gather(spec);
      assert.equal(reports.at(-1), { receivedBytes: 1 << 20, totalBytes: 1 << 20, isWhole: true }, url);
      const proof = await (await opened).storeGathered(spec, nextCall());
      assert.equal(proof, { sha256, sizeBytes: 1 << 20, virtualSizeBytes: 1 << 20 });
      assert.equal(await (await opened).storeGathered(spec, nextCall()), proof, 'asked again after a lost answer');
      assert.equal(left().toSorted(), [`${sha256}.raw`, `${sha256}.raw.owners`]);
      await (await opened).removeCopy({ owner: spec.owner, sha256, format: 'raw' }, nextCall());
    }
    assert.equal(left(), []);
  });

  test('no connection is made to an address that is private, or of this host or its network, by any name', async () => {
    const redirected = (to: string) => `http://good.test/redirect?to=${encodeURIComponent(to)}`;
    const denied = [
      'http://169.254.169.254/good',
      'http://127.0.0.1/good',
      'http://10.9.9.9/good',
      'http://[::1]/good',
      'http://[::ffff:a09:909]/good',
      'http://[64:ff9b::a09:909]/good',
      'http://[2002:a09:909::1]/good',
      'http://0.0.0.0/good',
      'http://11.0.0.1/good',
      'http://11.0.0.2/good',
      'http://meta.test/good',
      'http://private.test/good',
      'http://mixed.test/good',
      'http://localhost/good',
      redirected('http://169.254.169.254/good'),
      redirected('http://meta.test/good'),
      redirected('//10.9.9.9/good'),
    ];
    const events = await seenIn(async () => {
      for (const url of denied) assert.is(await codeOf(gather(specOf(url))), 'source_denied', url);
      const wrong = [
        redirected('http://0x0a090909/good'),
        redirected('http://u:p@12.0.0.1/'),
        redirected('file:///etc/shadow'),
        redirected(''),
      ];
      for (const url of wrong) assert.is(await codeOf(gather(specOf(url))), 'source_url', url);
      assert.is(await codeOf(gather(specOf('https://good.test/redirect?to=http://good.test/good'))), 'source_url');
      assert.is(await codeOf(gather(specOf('http://good.test/redirects?left=4'))), 'source_redirects');
    });
    const to = new Set(events.filter(({ event }) => event === 'connection').map((one) => one.to));
    assert.equal([...to], ['12.0.0.1']);
    assert.equal(left(), []);
  });

  test('a name that changes its address is connected to where it was judged, and judged again each time', async () => {
    const spec = specOf('http://rebind.test/good');
    const first = await seenIn(() => gather(spec));
    await drop(spec);
    assert.equal(first.filter(({ event }) => event === 'name').length, 1, 'asked once');
    assert.equal(
      first.filter(({ event }) => event === 'connection').map(({ to }) => to),
      ['12.0.0.1'],
    );
    const second = await seenIn(async () =>
      assert.is(await codeOf(gather(specOf('http://rebind.test/good'))), 'source_denied'),
    );
    assert.equal(
      second.filter(({ event }) => event === 'connection'),
      [],
    );
  });

  test('an operator allows a private network; addresses of nodes are refused although they are public', async () => {
    const options = testOptions(node, { allowedSources: ['10.9.9.0/24'], nodeAddresses: () => ['12.0.0.9'] });
    const dp = createDataplane(options);
    for (const url of ['http://private.test/good', 'http://mixed.test/good']) {
      const spec = specOf(url);
      assert.ok((await gather(spec, dp)).at(-1)?.isWhole);
      await (await dp).removeCopy({ owner: spec.owner, sha256: null, format: 'raw' }, nextCall());
    }
    assert.is(await codeOf(gather(specOf('http://12.0.0.9/good'), dp)), 'source_denied');
    assert.is(await codeOf(gather(specOf('http://meta.test/good'), dp)), 'source_denied');
    await (await dp).close();
  });

  test('a server that lies, drips or never ends is cut, and what it says is no secret of ours', async () => {
    const outcomes: Readonly<Record<string, string>> = {
      '/endless': 'source_too_large',
      '/huge': 'source_too_large',
      '/less-than-said': 'source_broke',
      '/loris': 'source_slow',
      '/loris-head': 'source_unreachable',
      '/silent': 'source_unreachable',
      '/long-head': 'source_unreachable',
      '/encoded': 'source_encoded',
      '/other-range': 'source_range',
      '/missing': 'source_refused',
      '/busy': 'source_failed',
      '/qcow2': 'format_unsupported',
    };
    for (const [at, code] of Object.entries(outcomes)) {
      const spec = specOf(`http://good.test${at}`);
      assert.is(await codeOf(gather(spec)), code, at);
      await drop(spec);
      assert.equal(left(), [], at);
    }
    const more = specOf('http://good.test/more-than-said');
    const cut = await gather(more).then(
      (reports) => reports.at(-1)?.receivedBytes,
      (error: unknown) => String(error),
    );
    assert.ok(cut === 70_000 || String(cut).includes('source_broke'), `no byte more than was said: ${cut}`);
    assert.is(
      await codeOf((await opened).storeGathered(more, nextCall())),
      cut === 70_000 ? 'digest_mismatch' : 'gathered_missing',
    );
    await drop(more);
    for (const url of [
      'https://12.0.0.1/good',
      'https://rebind.test/good',
      'http://unknown.test/good',
      'http://12.0.0.77/good',
    ]) {
      const spec = specOf(url);
      const error = await gather(spec).catch((one: unknown) => one);
      await drop(spec);
      assert.match(String(error), /source_unreachable|source_denied|cannot be|does not answer|may not come/, url);
      assert.not.match(String(error), /10\.9\.9\.9/, 'an error tells what a name resolves to');
    }
  });

  test('a fetch that broke goes on with the missing bytes, also after the worker was killed', async () => {
    const owner = nextOwner();
    const broken = specOf('http://good.test/break?at=300000', owner);
    assert.is(await codeOf(gather(broken)), 'source_broke');
    const options = testOptions(node, { sourceLimits: limits });
    const dp = createDataplane(options);
    const events = await seenIn(() => gather({ ...broken, source: { url: 'http://good.test/good' } }, dp));
    assert.equal(
      events.filter(({ path: at }) => at === '/good').map(({ range }) => range),
      ['bytes=300000-'],
    );
    assert.is((await (await dp).storeGathered(broken, nextCall())).sha256, sha256);
    await (await dp).removeCopy({ owner, sha256, format: 'raw' }, nextCall());
    // Of a server that has other bytes each time nothing is completed, and one without ranges begins anew.
    const changing = specOf('http://good.test/changing');
    for (const _ of [1, 2]) assert.is(await codeOf(gather(changing)), 'source_broke');
    const anew = { ...changing, source: { url: 'http://good.test/no-range' } };
    assert.is((await gather(anew)).at(-1)?.receivedBytes, 1 << 20);
    assert.is((await (await dp).storeGathered(anew, nextCall())).sha256, sha256);
    await (await dp).removeCopy({ owner: anew.owner, sha256, format: 'raw' }, nextCall());
    await (await dp).close();
    assert.equal(left(), []);
  });

  test('progress is reported while bytes come; a cancelled fetch is cut, and its removal leaves nothing', async () => {
    const paced = specOf('http://good.test/paced');
    const reports = await gather(paced);
    const bytes = reports.map(({ receivedBytes }) => receivedBytes);
    assert.ok(bytes.length >= 3, `reports: ${bytes.join(' ')}`);
    assert.equal(
      bytes,
      [...new Set(bytes)].toSorted((a, b) => a - b),
      'each says more than the one before',
    );
    assert.ok(reports.every(({ totalBytes }) => totalBytes === 1 << 20));
    await drop(paced);
    const cancelled = new AbortController();
    const loris = specOf('http://good.test/paced');
    await (await opened).gatherCopy(loris, nextCall());
    const waiting = (await opened).gatherCopy(loris, nextCall({}, cancelled.signal)).catch(() => 'cut');
    cancelled.abort();
    assert.is(await waiting, 'cut');
    await drop(loris);
    assert.equal(left(), []);
  });

  test('other bytes than declared are refused when all are there, and nothing is left', async () => {
    const spec = { ...specOf('http://good.test/good'), sha256: 'a'.repeat(64) };
    await gather(spec);
    assert.is(await codeOf((await opened).storeGathered(spec, nextCall())), 'digest_mismatch');
    assert.equal(left(), []);
  });
});

test.run();
