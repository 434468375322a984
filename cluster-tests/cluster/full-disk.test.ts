// needs: kernel
// time limit: 420 s
// test limit: 240 s
/**
 * A worker whose disk is small and becomes full. Volumes that no host can hold are refused when they are declared. A
 * guest that fills the disk stands still without an error; its VM, its list line and its description say why; it goes
 * on when there is space, and on the full disk everything can still be deleted. The guest is a boot sector that writes
 * for ever.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writingGuest } from '@photoncloud/actors/dataplane/hypervisor/writing-guest-for-tests';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launchCluster, photonCli, startNode, type PhotonCluster } from './cluster-launch.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { findProgram } from './node-program.ts';
import type { PlannedNode } from './photon-commands.ts';
import { isAlive, signal, until } from './process-identity.ts';
import { residueOf } from './residue-check.ts';
import { insideFolder } from './topology-record.ts';

const test = suite('full disk');
const worker: PlannedNode = { name: 'w1', role: 'worker' };
const nodes: readonly PlannedNode[] = [{ name: 's1', role: 'store' }, { name: 'c1', role: 'controller' }, worker];
const diskMib = 320;
const home = `${insideFolder}/host`;
const vm = `vm/${tenant}/writer`;
const folder = mkdtempSync(join(tmpdir(), 'photon-full-'));

let cluster: PhotonCluster;
let acme: CrashTenant;

const inside = (...argv: string[]): Promise<string> => cluster.topology.exec(worker.name, argv);
const cli = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);
const fill = (file: string, mib: number): Promise<string> =>
  inside('sh', '-c', `head -c ${mib}M /dev/zero | tr '\\0' x > ${home}/${file}`);

test.before(async () => {
  const disk = Buffer.alloc(1 << 20);
  writingGuest.copy(disk);
  writeFileSync(join(folder, 'writing guest.raw'), disk);
  cluster = await launchCluster({ stem: 'full', nodes, images: { '/run/images': folder } });
  acme = await CrashTenant.open(cluster);
  // The worker gets a disk of its own: it starts again on a small file system.
  const process = findProgram(cluster.topology, worker.name, worker.role);
  signal(process, 'SIGTERM');
  await until('the worker has ended', () => !isAlive(process));
  await inside('mount', '-t', 'tmpfs', '-o', `size=${diskMib}m`, 'tmpfs', home);
  await startNode(cluster.topology, worker);
  const disks = (status: unknown) => (status as { report: { diskMib: number } | null }).report?.diskMib;
  await acme.reach('host/system/w1', 'announced with its small disk', (host) => disks(host?.status) === diskMib);
  await acme.reachState('host/system/w1', /ready$/);
  await acme.ask('tenant.create', tenant);
  await acme.reachState(`vpc/${tenant}/main`, /^ready$/);
  await acme.ask('network.create', 'front', { subnets: [{ name: 'web', cidr: '10.20.0.0/24' }] });
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop();
  rmSync(folder, { recursive: true });
});

async function refusalOf(asked: Promise<unknown>): Promise<string> {
  try {
    return `granted ${JSON.stringify(await asked)}`;
  } catch (error) {
    if (error instanceof PhotonError) return `${error.record.code} ${error.record.issues?.[0]?.path}: ${error.message}`;
    throw error;
  }
}

test('volumes that no host can hold are refused, and so are those beyond what hosts may promise together', async () => {
  const noSpace = /^no_space spec\.sizeMib: no host has \d+ MiB left for volume\/acme\/large/;
  for (const name of ['large-1', 'large-2', 'large-3'])
    assert.match(await refusalOf(acme.ask('volume.create', name, { sizeMib: 1 << 20 })), noSpace);
  await acme.ask('image.create', 'guest', {
    source: { path: 'file:///run/images/writing%20guest.raw' },
    format: 'raw',
  });
  await acme.reachState(`image/${tenant}/guest`, /^ready$/);
  // The disk may be promised twice.
  await acme.ask('volume.create', 'data', { sizeMib: 500, image: 'guest' });
  assert.match(await refusalOf(acme.ask('volume.create', 'large-4', { sizeMib: 141 })), noSpace);
  await acme.ask('volume.create', 'small', { sizeMib: 140 });
});

test('a guest whose host has no space left stands still and says why, and goes on when there is space', async () => {
  await fill('ballast', 160);
  await acme.ask('vm.create', 'writer', { memoryMib: 64, nics: [{ network: 'front' }], disks: [{ volume: 'data' }] });
  const stalled = await acme.reachState(vm, /^stalled$/, 90_000);
  const says = /the host has no space left for volume\/acme\/data/;
  assert.match(stalled.reason ?? '', says);
  const { conditions, failure } = stalled.status as {
    conditions: readonly { type: string; status: string; reason: string; message: string }[];
    failure: { code: string };
  };
  const ready = conditions.find(({ type }) => type === 'Ready');
  assert.equal([ready?.status, ready?.reason, failure.code], ['False', 'Stalled', 'disk_full']);
  assert.match(ready?.message ?? '', says);
  assert.match(await cli('list', 'vm'), /stalled .* the host has no space left for volume\/acme\/data/);
  assert.match(await cli('describe', vm), /reason: the host has no space left for volume\/acme\/data/);
  assert.match(await inside('ps', '-e', '-o', 'comm='), /qemu/, 'the guest is there');
  await inside('rm', `${home}/ballast`);
  await acme.reachState(vm, /^running$/, 30_000);
});

test('a host whose disk is full says so and takes no new volumes; everything on it can be deleted', async () => {
  await acme.reachState(vm, /^stalled$/, 90_000);
  const low = (actor: { readonly reason?: string | undefined } | undefined): boolean =>
    /its disk is nearly full, with \d+ of 320 MiB free/.test(actor?.reason ?? '');
  await acme.reach('host/system/w1', 'low on disk', low, 90_000);
  const second = { memoryMib: 64, nics: [{ network: 'front' }], disks: [{ volume: 'small' }] };
  await acme.ask('vm.create', 'second', second);
  const waits = await acme.reachState(`vm/${tenant}/second`, /^unplaced$/);
  assert.match(waits.reason ?? '', /each of them has too little space on its disk/);
  for (const [kind, name] of [
    ['vm', 'second'],
    ['vm', 'writer'],
    ['volume', 'data'],
    ['volume', 'small'],
    ['image', 'guest'],
    ['network', 'front'],
  ] as const)
    await acme.ask(`${kind}.delete`, name);
  await acme.reach('host/system/w1', 'with space again', (host) => !low(host), 90_000);
  const { unplacedMib, hosts } = (await acme.find('cluster/system/main'))?.status as {
    unplacedMib: number;
    hosts: Readonly<Record<string, { promisedMib: number }>>;
  };
  assert.equal([unplacedMib, hosts['w1']?.promisedMib], [0, 0]);
  assert.equal(await residueOf(cluster.topology, [worker.name]), []);
});

test.run();
