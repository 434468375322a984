/**
 * Checks of backends: verdicts by results in a row, and, in the namespace of a VPC, what a server does to a check. The
 * servers of this test are in that namespace themselves, each at an address of its own.
 */
// needs: kernel
// test limit: 180 s
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CheckedBackend } from '@photoncloud/machines/values/service-elements';
import {
  codeOf,
  inOwnNamespaces,
  nextCall,
  openForTests,
  realized,
  run,
  segmentAsk,
  until,
} from '../dataplane-for-tests.ts';
import { makeUnderlay, RemoteHost, remotePrefix, twoHosts } from '../remote-host-for-tests.ts';
import { judged } from './backend-checks.ts';

const fresh = (address: string, healthy: boolean | null = null): CheckedBackend => ({
  address,
  healthy,
  streak: 0,
  detail: '',
});

test('the first result is the verdict; then as many in a row as declared change it', () => {
  const bounds = { rise: 2, fall: 3 };
  const after = (from: CheckedBackend, ...results: readonly boolean[]) =>
    results.reduce((one, passed) => judged(one, { passed, detail: passed ? 'yes' : 'no' }, bounds), from).healthy;
  assert.equal([after(fresh('a'), true), after(fresh('a'), false)], [true, false]);
  const [up, down] = [fresh('a', true), fresh('a', false)];
  assert.equal([after(up, false, false), after(up, false, false, false)], [true, false]);
  assert.is(after(up, false, false, true, false, false), true, 'a success in between');
  assert.equal([after(down, true), after(down, true, true)], [false, true]);
  assert.is(after(down, true, false, true), false, 'a failure in between');
  assert.equal(judged(up, { passed: false, detail: 'no' }, bounds), { ...up, streak: 1 });
});

/** Answers by address: 127.0.1.1 well, .2 with 503, .3 never, .4 with what is no HTTP, .5 with an endless head. */
const servers = `
const http = require('node:http'), net = require('node:net');
let status = 200;
http.createServer((ask, answer) => {
  if (ask.url === '/status/503') status = 503;
  if (ask.url === '/status/200') status = 200;
  answer.writeHead(ask.url === '/up?deep' ? status : 204).end();
}).listen(8080, '127.0.1.1');
http.createServer((_, answer) => answer.writeHead(503).end()).listen(8080, '127.0.1.2');
net.createServer(() => {}).listen(8080, '127.0.1.3');
net.createServer((socket) => socket.end('SSH-2.0-nonsense\\r\\n')).listen(8080, '127.0.1.4');
net.createServer((socket) => {
  socket.on('error', () => {});
  socket.write('HTTP/1.1 200 OK\\r\\n');
  const more = setInterval(() => socket.write('x: ' + 'y'.repeat(60000) + '\\r\\n'), 5);
  socket.on('close', () => clearInterval(more));
}).listen(8080, '127.0.1.5', () => console.log('up'));
`;

inOwnNamespaces(import.meta.filename, () => {
  const { opened } = openForTests();
  const vpc = 'vpc/acme/main';
  const check = {
    protocol: 'http',
    port: 8080,
    path: '/up?deep',
    intervalSeconds: 1,
    timeoutSeconds: 1,
    rise: 2,
    fall: 2,
  };
  const asked = (backends: readonly CheckedBackend[], more: object = {}, once = false) => ({
    spec: { serviceIp: 'service-ip/acme/web', vpc, check: { ...check, ...more } as never },
    backends,
    once,
  });
  const at = (last: number, healthy: boolean | null = null) => fresh(`127.0.1.${last}`, healthy);
  const shown = (backends: readonly CheckedBackend[]) => backends.map(({ healthy, detail }) => [healthy, detail]);
  const atAddress = (backends: readonly CheckedBackend[], last: number) =>
    backends.find(({ address }) => address === `127.0.1.${last}`);

  let server: ChildProcess | undefined;

  async function serve(): Promise<string> {
    const { namespace } = await realized(await opened);
    const args = [`--net=/run/netns/${namespace}`, process.execPath, '-e', servers];
    const child = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    server = child;
    await new Promise((resolve) => child.stdout.once('data', resolve));
    return namespace;
  }

  test('without a segment there is nothing to check from', async () => {
    assert.is(await codeOf((await opened).checkBackends(asked([at(1)]), nextCall())), 'segment_missing');
  });

  test('each backend gets a verdict of its own, with what was seen', async () => {
    const namespace = await serve();
    const dp = await opened;
    const all = await dp.checkBackends(
      asked(
        [1, 2, 3, 4, 5, 6].map((last) => at(last)),
        {},
        true,
      ),
      nextCall(),
    );
    // The first verdict ends the call; the others come with the next ones.
    let known = all;
    for (let round = 0; round < 20 && known.some(({ healthy }) => healthy === null); round += 1)
      known = await dp.checkBackends(asked(known), nextCall());
    assert.equal(shown(known), [
      [true, 'status 200'],
      [false, 'status 503'],
      [false, 'no answer within 1 s'],
      [false, 'its answer is not HTTP'],
      [false, 'the head of its answer is too long'],
      [false, 'connection refused'],
    ]);
    const tcp = await dp.checkBackends(asked([at(3)], { protocol: 'tcp' }), nextCall());
    assert.equal(shown(tcp), [[true, 'connection accepted']]);
    const user = await run('sh', '-c', 'ps -eo uid=,args= | grep "[p]robe-main" | grep -v nsenter');
    assert.match(user, /^\s*65534 /, 'nobody reads what guests answer');
    assert.match(namespace, /./);
  });

  test('a server that turns bad is out after so many failures, and one that is well again is in', async () => {
    const dp = await opened;
    const get = (path: string) =>
      dp.checkBackends(asked([at(1)], { path }), nextCall()).then(([one]) => one?.detail ?? '');
    assert.is(await get('/status/503'), 'status 204');
    const [bad] = await dp.checkBackends(asked([at(1, true)]), nextCall());
    assert.equal([bad?.healthy, bad?.detail], [false, 'status 503']);
    await get('/status/200');
    const [good] = await dp.checkBackends(asked([at(1, false)]), nextCall());
    assert.equal([good?.healthy, good?.detail], [true, 'status 200']);
  });

  test('a backend that changes all the time delays the verdict on no other', async () => {
    const dp = await opened;
    // Each call ends at once, by a backend without a verdict; the other needs two checks, a second apart.
    let quiet = at(2, true);
    await until('the quiet one is out', async () => {
      const known = await dp.checkBackends(asked([at(1), quiet]), nextCall());
      quiet = atAddress(known, 2) ?? quiet;
      return quiet.healthy === false;
    });
  });

  test('a call ends with its signal, and after a report that was asked for', async () => {
    const dp = await opened;
    const reported = await dp.checkBackends(asked([at(1, true), at(2, false)], {}, true), nextCall());
    assert.equal(
      reported.map(({ healthy }) => healthy),
      [true, false],
    );
    const controller = new AbortController();
    const call = { ...nextCall(), signal: controller.signal };
    const lasting = dp.checkBackends(asked([at(1, true)]), call).catch((error: unknown) => error);
    controller.abort(new Error('over'));
    assert.is(((await lasting) as Error).message, 'over');
  });

  test('when the process that checks is killed, the call fails and the next one starts another', async () => {
    const dp = await opened;
    // Its server never answers, so a check is under way whenever the process is killed.
    const failing = codeOf(dp.checkBackends(asked([at(3, true)], { timeoutSeconds: 60, fall: 10 }), nextCall()));
    const pid = () => run('sh', '-c', 'ps -eo pid=,args= | grep "[p]robe-main" | grep -v nsenter | cut -c1-8 || true');
    await until('it runs', async () => (await pid()).trim() !== '');
    await pause(1_500);
    await run('kill', '-KILL', (await pid()).trim());
    assert.is(await failing, 'prober_failed');
    assert.equal(shown(await dp.checkBackends(asked([at(1)]), nextCall())), [[true, 'status 200']]);
  });

  const probers = async (mark: string): Promise<readonly string[]> =>
    (await run('ps', '-eo', 'pid=,args='))
      .split('\n')
      .filter((line) => line.includes(mark) && !line.includes('nsenter'))
      .map((line) => line.trim().split(' ')[0] ?? '');

  test('a request that is none is refused before anything is started', async () => {
    const dp = await opened;
    const spec = asked([at(1)]).spec;
    const bad = [
      { ...asked([at(1)]), backends: [fresh('127.0.1.1; reboot')] },
      asked([at(1)], { path: '/up\r\nx: y' }),
      asked([at(1)], { port: 0 }),
      { ...asked([at(1)]), spec: { ...spec, vpc: '../main' } },
    ];
    for (const ask of bad) assert.is(await codeOf(dp.checkBackends(ask, nextCall())), 'spec_invalid');
  });

  test('the process ends with its segment, and the segment with it', async () => {
    const dp = await opened;
    const { segment } = segmentAsk();
    const lasting = codeOf(dp.checkBackends(asked([at(3, true)], { timeoutSeconds: 60 }), nextCall()));
    await until('it runs', async () => (await probers('/run/photon-tst/checks/')).length === 1);
    server?.kill();
    await dp.removeSegment(segment, nextCall());
    assert.is(await lasting, 'prober_failed');
    assert.equal(await probers('/run/photon-tst/checks/'), []);
    await realized(dp);
  });

  test('it ends with a worker that is killed, and one that something holds is swept', async () => {
    await makeUnderlay();
    const remote = new RemoteHost();
    const [w1, w2] = twoHosts;
    const there = segmentAsk({ self: w2, peers: [w1] });
    assert.equal((await remote.call('realizeSegment', there)).failed, {});
    const mark = `/run/photon-${remotePrefix}/checks/`;
    void remote.call('checkBackends', asked([at(1)], { timeoutSeconds: 60 }));
    await until('it runs', async () => (await probers(mark)).length === 1);
    await remote.kill();
    await until('it has ended', async () => (await probers(mark)).length === 0);
    const held = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)', '/run/photon-tst/checks/tstvx'], {
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => held.once('exit', (_, signal) => resolve(signal)));
    await until('it runs, too', async () => (await probers('checks/tstvx')).length === 1);
    const dp = await opened;
    await dp.checkBackends(asked([at(9)]), nextCall());
    const { removed, failed } = await dp.sweep({ owners: async () => [segmentAsk().segment.owner.actor] }, nextCall());
    assert.equal([removed.map(({ what, name }) => [what, name]), failed], [[['process', String(held.pid)]], []]);
    assert.is(await ended, 'SIGKILL');
    assert.is((await probers('/run/photon-tst/checks/')).length, 1, 'its own');
  });

  test.after(() => void server?.kill());
});

test.run();
