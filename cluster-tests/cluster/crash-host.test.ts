// needs: kernel
// time limit: 300 s
// test limit: 150 s
/**
 * A worker host dies, or only its agent does: nothing is started elsewhere before an operator has fenced it, then what
 * is bound to nothing there runs on another host. A host that comes back with its old QEMUs stops them before it
 * serves, and keeps its volumes. What runs is counted in the kernels of the workers, never asked of the product.
 */
import { randomUUID } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readGuest, visitGuest } from '../demo/guest-page.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { launchCluster, photonCli, startNode, defaultNodes, type PhotonCluster } from './cluster-launch.ts';
import { sightOf, wordsFor, type SeenProcess } from './crash-sight.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { findProgram } from './node-program.ts';
import { isAlive, signal, until } from './process-identity.ts';

const test = suite('crash-host');
/** Longer than any silence after which something is taken over. */
const watchedMs = 6_000;

let cluster: PhotonCluster;
let acme: CrashTenant;

test.before(async () => {
  const guest = await buildGuestImage();
  cluster = await launchCluster({ stem: 'gonehost', images: { '/run/guest': guest.folder }, nodes: defaultNodes });
  acme = await CrashTenant.open(cluster);
  await acme.declareGround(guest.commandLine, 'w2');
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop(0);
});

const operate = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);
const fence = (): Promise<string> => operate('host', 'fence', 'w1', '--powered-off', '--reason', 'the test says so');
const machinesOf = async (node: string): Promise<readonly SeenProcess[]> =>
  (await sightOf(cluster.topology, node)).machines;
const words = (machines: readonly SeenProcess[]): string => machines.map((one) => `${one.pid} ${one.startTime}`).join();

/** On w1, because w2 takes nothing just now. */
async function startOnW1(name: string, disks: object[]): Promise<void> {
  await operate('host', 'cordon', 'w2');
  await acme.ask('vm.create', name, { ...acme.vmParams(), disks, restart: 'on-failure' }, randomUUID());
  await acme.reachState(`vm/${tenant}/${name}`, /^running$/, 60_000);
  await operate('host', 'uncordon', 'w2');
}

/** Its agent is gone, and for several seconds after that has been noticed w2 starts nothing. */
async function nothingMoves(): Promise<void> {
  const before = words(await machinesOf('w2'));
  await acme.reachState('host/system/w1', /^silent$/);
  const endMs = performance.now() + watchedMs;
  await until('the silence was watched', async () => {
    const now = words(await machinesOf('w2'));
    assert.is(now, before, 'nothing is started without proof');
    return performance.now() > endMs;
  });
}

const runsOn = (name: string, host: string): Promise<unknown> =>
  acme.reach(
    `vm/${tenant}/${name}`,
    `running on ${host}`,
    (vm) => vm?.stateName === 'running' && (vm.status as { host: string | null }).host === host,
    60_000,
  );

test('only the agent dies: fenced, its VM runs elsewhere; back, it stops the old QEMUs before it serves', async () => {
  const { topology } = cluster;
  await startOnW1('moves', []);
  await startOnW1('stays', [{ volume: 'visits' }]);
  await readGuest(await acme.placeOf('stays'), 60_000);
  const { count } = await visitGuest(await acme.placeOf('stays'));
  const old = await machinesOf('w1');
  assert.is(old.length, 2, words(old));
  const agent = findProgram(topology, 'w1', 'worker');
  signal(agent, 'SIGKILL');
  await until('the agent is gone', () => !isAlive(agent));
  await nothingMoves();
  assert.is(words(await machinesOf('w1')), words(old), 'both run on');

  await fence();
  await runsOn('moves', 'w2');
  assert.is((await machinesOf('w2')).length, 1);
  await readGuest(await acme.placeOf('moves'), 60_000);
  const held = await acme.reachState(`vm/${tenant}/stays`, /^unplaced$/);
  assert.match(JSON.stringify(held.status), 'has not the volume that is on w1');
  const volume = await acme.find(`volume/${tenant}/visits`);
  assert.is((volume?.status as { failure: { code: string } }).failure.code, 'host_gone');
  assert.is(await acme.find(`incarnation/${tenant}/moves@w1`), undefined);
  assert.is(words(await machinesOf('w1')), words(old), 'nobody is there to stop them');

  await startNode(topology, { name: 'w1', role: 'worker' });
  await acme.reachState('host/system/w1', /^present/, 60_000);
  const after = await sightOf(topology, 'w1');
  const left = after.machines.filter((one) => words(old).includes(words([one])));
  assert.equal(left, [], wordsFor(after));
  await runsOn('stays', 'w1');
  const again = await readGuest(await acme.placeOf('stays'), 60_000);
  assert.is(again.count, count, 'its volume is the one it had');
  assert.is((await machinesOf('w1')).length, 1);
  assert.is((await machinesOf('w2')).length, 1);
});

test('the whole host dies: fenced, what it had goes on elsewhere; what needs its disk waits, and can go', async () => {
  const { topology } = cluster;
  await startOnW1('third', []);
  const { init } = topology.node('w1');
  signal(init, 'SIGKILL');
  await until('the host is gone', () => !isAlive(init));
  await nothingMoves();
  await fence();
  await runsOn('third', 'w2');
  assert.is((await machinesOf('w2')).length, 2);
  await readGuest(await acme.placeOf('third'), 60_000);
  await acme.reachState(`vm/${tenant}/stays`, /^unplaced$/);
  await acme.ask('vm.delete', 'stays', {}, randomUUID(), 30_000);
  await acme.ask('volume.delete', 'visits', {}, randomUUID(), 30_000);
  const { hosts } = (await acme.find(`vpc/${tenant}/main`))?.status as { hosts: readonly { host: string }[] };
  assert.equal(
    hosts.map(({ host }) => host),
    ['w2'],
    'the VPC has forgotten the host',
  );
});

test.run();
