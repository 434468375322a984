// needs: kernel
// time limit: 600 s
// test limit: 240 s
/**
 * Hosts that VMs leave, in a whole cluster of three workers: w1 is drained, and its VMs run on the others without
 * having been started anew. The guests are boot sectors that write to shared volumes for ever, so that whose writes
 * arrive is seen in the files of the storage host w3. QEMU processes are counted in the kernels.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writingGuest } from '@photoncloud/actors/dataplane/hypervisor/writing-guest-for-tests';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launchCluster, photonCli, type PhotonCluster } from './cluster-launch.ts';
import { sightOf } from './crash-sight.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import type { PlannedNode } from './photon-commands.ts';
import { until } from './process-identity.ts';

const test = suite('leaving hosts');
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
  { name: 'w2', role: 'worker' },
  { name: 'w3', role: 'worker', storage: true },
];
const folder = mkdtempSync(join(tmpdir(), 'photon-leaving-'));

let cluster: PhotonCluster;
let acme: CrashTenant;

interface VmStatus {
  readonly host: string | null;
  readonly incarnationUid: string | null;
  readonly runEpoch: number;
  readonly runs: number;
}

const vmId = (name: string): string => `vm/${tenant}/${name}`;
const statusOf = async (name: string): Promise<VmStatus> =>
  (await acme.find(vmId(name)))?.status as unknown as VmStatus;
const operate = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);
const qemusOn = async (node: string): Promise<number> => (await sightOf(cluster.topology, node)).qemus.length;

const runsOn = (name: string, isThere: (host: string | null) => boolean): Promise<unknown> =>
  acme.reach(
    vmId(name),
    'running where it is to be',
    (one) => one?.stateName === 'running' && isThere((one.status as unknown as VmStatus).host),
    120_000,
  );

/** Starts a VM with a shared volume on w1. */
async function startOnW1(name: string, more: object = {}): Promise<void> {
  await acme.ask('volume.create', name, { class: 'shared', sizeMib: 1024, image: 'guest' });
  const params = { memoryMib: 64, nics: [{ network: 'front' }], disks: [{ volume: name }], restart: 'on-failure' };
  for (const other of ['w2', 'w3']) await operate('host', 'cordon', other);
  await acme.ask('vm.create', name, { ...params, ...more });
  await runsOn(name, (host) => host === 'w1');
  for (const other of ['w2', 'w3']) await operate('host', 'uncordon', other);
}

test.before(async () => {
  const disk = Buffer.alloc(1 << 20);
  writingGuest.copy(disk);
  writeFileSync(join(folder, 'guest.raw'), disk);
  cluster = await launchCluster({ stem: 'leaving', nodes, images: { '/run/images': folder } });
  acme = await CrashTenant.open(cluster);
  await acme.ask('tenant.create', tenant);
  await acme.reachState(`vpc/${tenant}/main`, /^ready$/);
  await acme.ask('network.create', 'front', { subnets: [{ name: 'web', cidr: '10.20.0.0/24' }] });
  await acme.ask('image.create', 'guest', { source: { path: 'file:///run/images/guest.raw' }, format: 'raw' });
  await acme.reachState(`image/${tenant}/guest`, /^ready$/);
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop();
  rmSync(folder, { recursive: true });
});

test('a host is drained: its VMs go on elsewhere in the same life, and it is empty', async () => {
  await startOnW1('one');
  await startOnW1('two');
  const before = await Promise.all([statusOf('one'), statusOf('two')]);
  const said = await operate('host', 'drain', 'w1', '--watch', '--max-parallel', '1', '--timeout', '200');
  assert.match(said, /2 VMs moved\nhost\/system\/w1 is drained: no VM is left on it/);
  for (const [at, name] of ['one', 'two'].entries()) {
    const after = await statusOf(name);
    assert.is.not(after.host, 'w1');
    assert.is(after.runEpoch, (before[at]?.runEpoch ?? 0) + 1, 'it was moved and not started anew');
  }
  await until('no QEMU is left on w1', async () => (await qemusOn('w1')) === 0, 30_000);
  assert.is((await qemusOn('w2')) + (await qemusOn('w3')), 2);
  await operate('host', 'uncordon', 'w1');
});

test.run();
