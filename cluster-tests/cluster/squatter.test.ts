// test limit: 200 s
/**
 * The addresses of a node that `photon supervise` holds: while the program behind them is killed, restarted and
 * upgraded PHOTON_RESTARTS times (3 by default), a squatter tries PHOTON_SQUATTER_TRIES times (400) to take each of
 * them and never succeeds, and no client's connection is refused. Once the node is withdrawn they are free, which the
 * squatter notices. A real controller on the loopback interface, and beside it a real worker in a network namespace of
 * its own, which needs root; the same with socket units of systemd: nix-sockets.test.ts.
 */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestProgram, type HeldProgram } from '@photoncloud/actors/photon/program-for-tests';
import { TestRedis, until } from '@photoncloud/runtime/journal/redis-for-tests';
import { holdersOf } from '@photoncloud/runtime/transport/address-holders';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkout } from './photon-commands.ts';
import { Clients, Squatter } from './squatters.ts';

const restarts = Number(process.env['PHOTON_RESTARTS'] ?? 3);
const tries = Number(process.env['PHOTON_SQUATTER_TRIES'] ?? 400);

const cleanUp: (() => Promise<void>)[] = [];
const isRoot = process.getuid?.() === 0;
let cluster: TestProgram;
/** Reached from every network namespace. */
let storeSocket = '';
test.before(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'photon-squatter-'));
  cleanUp.push(() => rm(folder, { recursive: true, force: true }));
  storeSocket = join(folder, 'redis.sock');
  const redis = await TestRedis.start(['--unixsocket', storeSocket]);
  cleanUp.push(() => redis.remove());
  cluster = await TestProgram.start(redis.url, ['c1'], { launches: false, workers: ['w1'] });
  cleanUp.push(() => cluster.remove());
});
test.after(async () => {
  for (const step of cleanUp.toReversed()) await step();
});

/** A release as an installed program: a folder of its own, and a link to the one that is in use. */
function installRelease(name: string): string {
  const folder = join(cluster.initFolder, 'releases', name);
  mkdirSync(folder, { recursive: true });
  const main = join(checkout, 'actors/photon/photon-main.ts');
  const text = `process.stderr.write('release ${name}\\n');\nawait import(${JSON.stringify(main)});\n`;
  writeFileSync(join(folder, 'photon.mts'), text);
  const link = join(cluster.initFolder, 'releases', 'current');
  symlinkSync(folder, `${link}.new`);
  renameSync(`${link}.new`, link);
  return join(link, 'photon.mts');
}

const waysOf = (turn: number): 'kill' | 'restart' | 'upgrade' =>
  turn === Math.floor(restarts / 2) ? 'upgrade' : turn % 2 === 0 ? 'kill' : 'restart';

/** What the worker makes in the kernel stays in namespaces that end with it. */
const apart = ['unshare', '--net', '--mount', '--propagation', 'private', 'sh', '-c'];
const prepared = 'ip link set lo up && mount -t tmpfs none /run && exec "$@"';

/** A worker, and a squatter beside it; nothing without root. */
async function heldWorker(entry: string): Promise<{ worker: HeldProgram; squatter: Squatter } | undefined> {
  if (!isRoot) {
    console.log('NOT RUN (the addresses of a worker): needs root');
    return undefined;
  }
  const worker = cluster.hold('w1', entry, storeSocket, [...apart, prepared, 'sh']);
  await worker.ready(1);
  const inside = ['nsenter', '-t', String(worker.pid), '--net'];
  return { worker, squatter: new Squatter([cluster.addresses('w1').peer], inside) };
}

test('a held address is taken by nobody while its program is killed, restarted and upgraded', async () => {
  const release = installRelease('one');
  const held = cluster.hold('c1', release);
  await held.ready(1);
  const beside = await heldWorker(release);
  const programs = [held, ...(beside === undefined ? [] : [beside.worker])];
  const { peer, api } = cluster.addresses('c1');
  const holders = (address: string): number => {
    const [host = '', port = ''] = address.split(':');
    return holdersOf(host, Number(port)).length;
  };
  assert.equal([holders(peer), holders(api)], [2, 2], 'the shell and the program have it, and no child of the program');

  const squatter = new Squatter([peer, api]);
  const clients = new Clients(api, peer);
  for (let turn = 0; turn < restarts; turn += 1) {
    const way = waysOf(turn);
    if (way === 'upgrade') installRelease('two');
    for (const program of programs)
      if (way === 'kill') process.kill(program.programPid(), 'SIGKILL');
      else program.signal('SIGHUP');
    await Promise.all(programs.map((program) => program.ready(turn + 2)));
  }
  const squatters = [squatter, ...(beside === undefined ? [] : [beside.squatter])];
  for (const each of squatters)
    await until('the squatter has tried often enough', async () => (await each.count()).tries >= tries, 300_000);
  await clients.close();
  const count = await squatter.count();
  const { answered, refused, reset, longestMs } = clients.count;
  const slowest = `${answered} answered, the slowest after ${longestMs.toFixed(0)} ms`;
  const visits = `${slowest}, ${reset} reset, ${refused} refused`;
  const attempts = `${count.tries} tries at each address, ${count.taken} taken`;
  console.log(`${restarts} restarts: ${attempts}; clients: ${visits}`);
  assert.match(held.output(), /release one[^]*release two/, 'the last release runs');
  assert.is(count.taken, 0);
  const besideWorker = await beside?.squatter.count();
  if (besideWorker !== undefined) console.log(`the worker's: ${besideWorker.tries} tries, ${besideWorker.taken} taken`);
  assert.is(besideWorker?.taken ?? 0, 0, 'of the worker');
  assert.is(refused, 0);
  assert.ok(answered > restarts);

  // The worker's squatter is in its namespace, and stays there when the worker has ended.
  await Promise.all(programs.map((program) => program.end()));
  for (const each of squatters) {
    await until('the squatter takes what was withdrawn', async () => (await each.count()).taken > 0);
    await each.close();
  }
});

test.run();
