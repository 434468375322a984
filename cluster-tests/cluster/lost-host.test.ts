// needs: kernel
// time limit: 900 s
// test limit: 300 s
/**
 * A VM with a page and SQLite on a shared volume, declared to start elsewhere when its host is silent, in a cluster of
 * three workers. The worker of its host is stopped while its QEMU goes on: the page is answered by a new run on another
 * host, the former run can neither write nor be reached, and when its worker goes on it is removed. From outside it is
 * watched all the while who answers, and visits are written; every answered one is there in the end.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { publicPlace } from '../demo/tenant-view.ts';
import { readGuest, type GuestPlace } from '../demo/guest-page.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { VisitWriter } from '../six-node/visit-writer.ts';
import { BootWatch } from './boot-watch.ts';
import { launchCluster, photonCli, startNode, type PhotonCluster } from './cluster-launch.ts';
import { sightOf } from './crash-sight.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { findProgram } from './node-program.ts';
import { publicNetwork } from './outside-guest.ts';
import type { PlannedNode } from './photon-commands.ts';
import { parentOf, signal, until } from './process-identity.ts';
import { asParams } from './api-session.ts';

const test = suite('lost host');
const hosts = ['w2', 'w3'];
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
  { name: 'w2', role: 'worker' },
  { name: 'w3', role: 'worker', storage: true },
];
const vm = `vm/${tenant}/web`;
const port = `port/${tenant}/web.eth0`;

let cluster: PhotonCluster;
let acme: CrashTenant;
let page: GuestPlace;
let writer: VisitWriter;
let watch: BootWatch | undefined;
let commandLine = '';

interface VmStatus {
  readonly host: string | null;
  readonly runEpoch: number;
  readonly lastLoss: { readonly toldAt: number; readonly leftAt: number } | null;
  readonly conditions: readonly { readonly type: string; readonly reason: string; readonly message: string }[];
}
const statusOf = async (): Promise<VmStatus> => (await acme.find(vm))?.status as unknown as VmStatus;
const operate = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);
const inside = (node: string, ...argv: string[]): Promise<string> => cluster.topology.exec(node, argv);
const ofSystem = (method: string, name: string, params: object) =>
  acme.client.call(method, {
    scope: 'system',
    name,
    idempotencyKey: `${method}-${name}`,
    params: asParams(method, params),
  });

const runsOn = (isThere: (host: string | null) => boolean): Promise<unknown> =>
  acme.reach(
    vm,
    'running where it is to be',
    (one) => one?.stateName === 'running' && isThere((one.status as unknown as VmStatus).host),
    120_000,
  );

const params = (policy: object) => ({
  memoryMib: 128,
  nics: [{ network: 'front', securityGroups: ['web'] }],
  disks: [{ volume: 'kept' }],
  boot: { kernel: 'guest-kernel', initrd: 'guest-initrd', commandLine },
  ...policy,
});
const elsewhere = { hostFailurePolicy: 'elsewhere', hostFailureSeconds: 5 };

/** Moves new VMs to this host. */
async function only(host: string, work: () => Promise<unknown>): Promise<void> {
  const others = nodes.filter(({ role, name }) => role === 'worker' && name !== host);
  for (const { name } of others) await operate('host', 'cordon', name);
  await work();
  for (const { name } of others) await operate('host', 'uncordon', name);
}

test.before(async () => {
  const guest = await buildGuestImage();
  ({ commandLine } = guest);
  const images = { '/run/guest': guest.folder };
  cluster = await launchCluster({ stem: 'lost', images, nodes, uplinks: hosts });
  acme = await CrashTenant.open(cluster);
  await acme.declareBasics(commandLine, 'w2');
  const rule = { direction: 'ingress', protocol: 'tcp', ports: { from: 80, to: 80 } };
  await acme.ask('security-group.create', 'web', { rules: [rule, { direction: 'egress' }] });
  await acme.ask('volume.create', 'kept', { class: 'shared', sizeMib: 64 });
  await ofSystem('external-network.create', 'public', { ...publicNetwork, hosts });
  await acme.ask('router.create', 'edge', { external: { network: 'public' } });
});

test.after(async () => {
  await watch?.stop();
  await writer?.stop();
  acme?.close();
  await cluster?.topology.stop(0);
});

test('a VM that needs its host is refused elsewhere, with the field and the reason', async () => {
  const refusal = (more: object): Promise<string> =>
    acme.ask('vm.create', 'refused', params({ ...elsewhere, ...more })).then(
      () => 'it was accepted',
      (error: unknown) => `${String(error)} ${JSON.stringify((error as { record?: unknown }).record)}`,
    );
  assert.match(await refusal({ disks: [{ volume: 'visits' }] }), /disks\.0\.volume.*bytes on one host.*class shared/s);
  assert.match(await refusal({ host: 'w1' }), /hostFailurePolicy.*spec\.host/s);
  assert.match(await refusal({ hostFailureSeconds: 1 }), /hostFailureSeconds/);
});

test('it runs on w1, and its page is answered', async () => {
  await only('w1', async () => {
    await acme.ask('vm.create', 'web', params(elsewhere));
    await runsOn((host) => host === 'w1');
  });
  // The storage host is not to be lost.
  await operate('host', 'cordon', 'w3');
  await acme.ask('external-address.create', 'web', { network: 'public', target: { port: 'web.eth0' } });
  await acme.reachState(`external-address/${tenant}/web`, /^attached$/);
  page = await publicPlace(cluster, `external-address/${tenant}/web`);
  await readGuest(page, 120_000);
  writer = new VisitWriter(page);
  writer.start();
  await writer.moreAnswers(5, 60_000);
});

/** What w2 drops of other hosts. */
const fencedOnW2 = async (): Promise<string> =>
  await inside(
    'w2',
    'sh',
    '-c',
    'for n in $(ip netns list | cut -d" " -f1); do ip netns exec $n nft list table inet fence 2>/dev/null; done; true',
  );

test('its worker is stopped and its QEMU is not: it runs elsewhere, and the former run is cut off', async () => {
  watch = new BootWatch(page);
  const boots = () => watch?.boots() ?? [];
  const { runEpoch } = await statusOf();
  const at = performance.now();
  const worker = findProgram(cluster.topology, 'w1', 'worker');
  signal(worker, 'SIGSTOP');
  try {
    await runsOn((host) => host !== 'w1');
    const ranMs = performance.now() - at;
    await until('the new run answers from outside', () => boots().length > 1, 120_000);
    const [, after] = boots();
    const answeredMs = Math.round((after?.firstMs ?? 0) - at);
    console.error(`host stopped: the VM ran elsewhere after ${Math.round(ranMs)} ms, answered after ${answeredMs} ms`);
    await writer.moreAnswers(5, 60_000);
    const status = await statusOf();
    assert.is(status.runEpoch, runEpoch + 1);
    assert.ok(status.lastLoss !== null);
    assert.match(await fencedOnW2(), /02:00:5f:00:00:[0-9a-f]{2} \. 10\.20\.0\./);
    assert.equal(((await acme.find(port))?.status as { abandoned: unknown }).abandoned, [
      { host: 'w1', runEpoch, fenced: true },
    ]);
    // The former run is there all the while.
    assert.is((await sightOf(cluster.topology, 'w1')).qemus.length, 1);
  } finally {
    // What started it in the node has been stopped with it.
    process.kill(parentOf(worker.pid), 'SIGCONT');
    signal(worker, 'SIGCONT');
  }
  await until(
    'the former run is gone from its host',
    async () => {
      const { qemus, taps } = await sightOf(cluster.topology, 'w1');
      return qemus.length === 0 && taps.length === 0;
    },
    60_000,
  );
  await acme.reach(port, 'of one host', (one) => (one?.status as { abandoned: [] }).abandoned.length === 0, 60_000);
  await until('no fence is left', async () => (await fencedOnW2()).trim() === '', 30_000);
  await writer.moreAnswers(5, 60_000);
  const { asks, answers, wrong } = await watch.stop();
  assert.equal(wrong, []);
  console.error(`${asks} asks from outside, ${answers} answered`);
  await writer.stop();
  console.error(`${await writer.judge()} answered visits are there`);
});

test('its host is killed: it runs elsewhere, and its host is clean when it is back', async () => {
  const { host } = await statusOf();
  const lost = String(host);
  writer.start();
  await writer.moreAnswers(2, 60_000);
  signal(findProgram(cluster.topology, lost, 'worker'), 'SIGKILL');
  for (const { pid } of (await sightOf(cluster.topology, lost)).qemus) await inside(lost, 'kill', '-9', String(pid));
  await runsOn((now) => now !== lost);
  await writer.moreAnswers(5, 120_000);
  await startNode(cluster.topology, { name: lost, role: 'worker' });
  await acme.reachState(`host/system/${lost}`, /ready$/, 90_000);
  await acme.reach(port, 'of one host', (one) => (one?.status as { abandoned: [] }).abandoned.length === 0, 60_000);
  assert.is((await sightOf(cluster.topology, lost)).qemus.length, 0);
  await writer.stop();
  await writer.judge();
});

test.run();
