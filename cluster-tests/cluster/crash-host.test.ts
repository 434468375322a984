// needs: kernel
// time limit: 600 s
// test limit: 300 s
// runs: campaign
/**
 * A worker host dies, or only its agent does: nothing is started elsewhere before an operator has fenced the host; then
 * VMs that need nothing of that host run on another one. A host that comes back with its old QEMU processes stops them
 * before it serves, and keeps its volumes. QEMU processes are counted in the kernels of the workers, never by the
 * product.
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
/** Longer than any silence timeout after which something is taken over. */
const watchedMs = 6_000;

let cluster: PhotonCluster;
let acme: CrashTenant;

test.before(async () => {
  const guest = await buildGuestImage();
  cluster = await launchCluster({ stem: 'gonehost', images: { '/run/guest': guest.folder }, nodes: defaultNodes });
  acme = await CrashTenant.open(cluster);
  await acme.declareBasics(guest.commandLine, 'w2');
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop(0);
});

const operate = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);
const fence = (): Promise<string> => operate('host', 'fence', 'w1', '--powered-off', '--reason', 'the test says so');
const qemusOf = async (node: string): Promise<readonly SeenProcess[]> => (await sightOf(cluster.topology, node)).qemus;
const words = (qemus: readonly SeenProcess[]): string => qemus.map((one) => `${one.pid} ${one.startTime}`).join();

/** Starts a VM on w1: w2 is cordoned meanwhile. */
async function startOnW1(name: string, disks: object[]): Promise<void> {
  await operate('host', 'cordon', 'w2');
  await acme.ask('vm.create', name, { ...acme.vmParams(), disks, restart: 'on-failure' }, randomUUID());
  await acme.reachState(`vm/${tenant}/${name}`, /^running$/);
  await operate('host', 'uncordon', 'w2');
}

/** After w1 has been found silent, w2 starts no QEMU for several seconds. */
async function nothingMoves(): Promise<void> {
  const before = words(await qemusOf('w2'));
  await acme.reachState('host/system/w1', /^silent$/);
  const endMs = performance.now() + watchedMs;
  await until('the silence was watched', async () => {
    const now = words(await qemusOf('w2'));
    assert.is(now, before, 'nothing is started before the host is fenced');
    return performance.now() > endMs;
  });
}

const runsOn = (name: string, host: string): Promise<unknown> =>
  acme.reach(
    `vm/${tenant}/${name}`,
    `running on ${host}`,
    (vm) => vm?.stateName === 'running' && (vm.status as { host: string | null }).host === host,
  );

test('the agent dies: after fencing its VM runs elsewhere; back again, it first stops its old QEMUs', async () => {
  const { topology } = cluster;
  await startOnW1('moves', []);
  await startOnW1('stays', [{ volume: 'visits' }]);
  await readGuest(await acme.placeOf('stays'));
  const { count } = await visitGuest(await acme.placeOf('stays'));
  const old = await qemusOf('w1');
  assert.is(old.length, 2, words(old));
  const agent = findProgram(topology, 'w1', 'worker');
  signal(agent, 'SIGKILL');
  await until('the agent is gone', () => !isAlive(agent));
  await nothingMoves();
  assert.is(words(await qemusOf('w1')), words(old), 'both run on');

  await fence();
  await runsOn('moves', 'w2');
  assert.is((await qemusOf('w2')).length, 1);
  await readGuest(await acme.placeOf('moves'));
  const held = await acme.reachState(`vm/${tenant}/stays`, /^unplaced$/);
  assert.match(JSON.stringify(held.status), 'does not have all volumes of the VM');
  const volume = await acme.find(`volume/${tenant}/visits`);
  assert.is((volume?.status as { failure: { code: string } }).failure.code, 'host_gone');
  assert.is(await acme.find(`incarnation/${tenant}/moves@w1`), undefined);
  assert.is(words(await qemusOf('w1')), words(old), 'without an agent they are not stopped');

  await startNode(topology, { name: 'w1', role: 'worker' });
  await acme.reachState('host/system/w1', /^present/);
  const after = await sightOf(topology, 'w1');
  const left = after.qemus.filter((one) => words(old).includes(words([one])));
  assert.equal(left, [], wordsFor(after));
  await runsOn('stays', 'w1');
  const again = await readGuest(await acme.placeOf('stays'));
  assert.is(again.count, count, 'it has the same volume as before');
  assert.is((await qemusOf('w1')).length, 1);
  assert.is((await qemusOf('w2')).length, 1);
});

test('the host dies: after fencing its VMs run elsewhere; one that needs its volume waits', async () => {
  const { topology } = cluster;
  await startOnW1('third', []);
  const { init } = topology.node('w1');
  signal(init, 'SIGKILL');
  await until('the host is gone', () => !isAlive(init));
  await nothingMoves();
  await fence();
  await runsOn('third', 'w2');
  assert.is((await qemusOf('w2')).length, 2);
  await readGuest(await acme.placeOf('third'));
  await acme.reachState(`vm/${tenant}/stays`, /^unplaced$/);
  await acme.ask('vm.delete', 'stays', {}, randomUUID(), 30_000);
  await acme.ask('volume.delete', 'visits', {}, randomUUID(), 30_000);
  const { hosts } = (await acme.find(`vpc/${tenant}/main`))?.status as { hosts: readonly { host: string }[] };
  assert.equal(
    hosts.map(({ host }) => host),
    ['w2'],
    'the VPC no longer lists the host',
  );
});

test.run();
