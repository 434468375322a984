// needs: kernel
// runs: campaign
// time limit: 900 s
// test limit: 300 s
/**
 * A storage host that is away for longer than QEMU waits for an export, and what is asked for meanwhile: VMs that use
 * its volumes are moved, restarted and deleted. Then one that an operator has fenced. Each guest is a boot sector that
 * writes for ever; whose writes arrive is seen in the files on the storage host. The short case is in
 * shared-volume.test.ts.
 */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writingGuest } from '@photoncloud/actors/dataplane/hypervisor/writing-guest-for-tests';
import type { ActorObject } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launchCluster, photonCli, startNode, type PhotonCluster } from './cluster-launch.ts';
import { sightOf } from './crash-sight.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { loseEverything } from './host-reboot.ts';
import { findProgram } from './node-program.ts';
import type { PlannedNode } from './photon-commands.ts';
import { signal, until } from './process-identity.ts';
import { residueOf } from './residue-check.ts';

const test = suite('storage reboot');
const storage: PlannedNode = { name: 'w2', role: 'worker', storage: true };
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
  storage,
  { name: 'w3', role: 'worker' },
];
const names = ['stays', 'restarts', 'leaves', 'moves'];
const vm = (name: string): string => `vm/${tenant}/${name}`;
const volume = (name: string): string => `volume/${tenant}/${name}`;
const folder = mkdtempSync(join(tmpdir(), 'photon-away-'));

interface Status {
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string }[];
  readonly failure: { readonly code: string; readonly message: string } | null;
  readonly host: string | null;
  readonly runs: number;
  readonly runEpoch: number;
  readonly proof: { readonly pid: number } | null;
}
const statusOf = (one: ActorObject | undefined): Status => one?.status as unknown as Status;

let cluster: PhotonCluster;
let acme: CrashTenant;
const operate = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);
const look = async (id: string): Promise<Status> => statusOf(await acme.find(id));

const says = (id: string, type: string, status: string): Promise<ActorObject> =>
  acme.reach(
    id,
    `${type} ${status}`,
    (one) =>
      one !== undefined && statusOf(one).conditions.some((found) => found.type === type && found.status === status),
    90_000,
  );

/** The run of a VM: another one has other figures. */
const runOf = async (name: string): Promise<readonly unknown[]> => {
  const { runs, proof } = await look(vm(name));
  return [runs, proof?.pid];
};

const files = new Map<string, string>();
async function writes(name: string): Promise<void> {
  const at = (): number => statSync(files.get(name) ?? '').mtimeMs;
  const before = at();
  await until(`the guest of ${name} writes`, () => at() > before, 90_000);
}

/** Its worker, all its processes and what is in its memory are gone. */
async function lose(): Promise<void> {
  signal(findProgram(cluster.topology, 'w2', 'worker'), 'SIGKILL');
  await loseEverything(cluster.topology, 'w2');
}

test.before(async () => {
  const disk = Buffer.alloc(1 << 20);
  writingGuest.copy(disk);
  writeFileSync(join(folder, 'guest.raw'), disk);
  cluster = await launchCluster({ stem: 'away', nodes, images: { '/run/images': folder } });
  acme = await CrashTenant.open(cluster);
  await acme.ask('tenant.create', tenant);
  await acme.reachState(`vpc/${tenant}/main`, /^ready$/);
  await acme.ask('network.create', 'front', { subnets: [{ name: 'web', cidr: '10.20.0.0/24' }] });
  await acme.ask('image.create', 'guest', { source: { path: 'file:///run/images/guest.raw' }, format: 'raw' });
  await acme.reachState(`image/${tenant}/guest`, /^ready$/);
  for (const name of names) await acme.ask('volume.create', name, { class: 'shared', sizeMib: 8192, image: 'guest' });
  for (const host of ['w2', 'w3']) await operate('host', 'cordon', host);
  for (const name of names) {
    const params = { memoryMib: 64, nics: [{ network: 'front' }], disks: [{ volume: name }] };
    await acme.ask('vm.create', name, params);
  }
  for (const name of names) {
    await acme.reachState(vm(name), /^running$/, 90_000);
    const { uid } = (await acme.find(volume(name))) as unknown as { readonly uid: string };
    files.set(name, join(cluster.topology.node('w2').folder, `host/volumes/${uid}.raw`));
    await writes(name);
  }
  await operate('host', 'uncordon', 'w3');
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop(0);
  rmSync(folder, { recursive: true });
});

test('VMs are moved, restarted and deleted while it is away: what was asked is done when it is back', async () => {
  const [stays, moves, restarts] = [await runOf('stays'), await runOf('moves'), await look(vm('restarts'))];
  await lose();
  const moved = acme.ask('vm.migrate', 'moves', { to: 'w3' }, undefined, 240_000).then(
    () => 'moved',
    (error: unknown) => String(error),
  );
  await says(vm('stays'), 'StoragePresent', 'False');
  const ends = [acme.ask('vm.restart', 'restarts'), acme.ask('vm.delete', 'leaves')];
  const ended = Promise.allSettled(ends);
  await acme.reach(
    vm('restarts'),
    'waiting for its volume',
    (one) => one?.stateName.startsWith('preparing') === true,
    120_000,
  );
  await says(vm('restarts'), 'StoragePresent', 'False');
  await acme.reachAbsence(vm('leaves'), 120_000);
  const deleted = acme.ask('volume.delete', 'leaves', {}, undefined, 240_000);
  // Longer than QEMU waits by itself.
  const stalled = await acme.reachState(vm('stays'), /^stalled/, 90_000);
  assert.match(statusOf(stalled).failure?.message ?? '', /volume\/acme\/stays is not reached on its storage host/);
  await startNode(cluster.topology, storage);
  for (const name of ['stays', 'restarts', 'moves']) {
    await says(volume(name), 'HostPresent', 'True');
    await acme.reachState(vm(name), /^running$/, 120_000);
    await writes(name);
    assert.not.match(JSON.stringify((await look(vm(name))).conditions), /StorageHostSilent/);
  }
  assert.equal([await runOf('stays'), (await look(vm('restarts'))).runs], [stays, restarts.runs + 1]);
  // Its move was made or was given up; it runs once. A move counts as a run.
  const how = await moved;
  console.error(`its move: ${how}`);
  const { host, runs } = await look(vm('moves'));
  assert.equal([host, runs], how === 'moved' ? ['w3', Number(moves[0]) + 1] : ['w1', moves[0]]);
  await acme.reachAbsence(`migration/${tenant}/moves`, 120_000);
  const qemus = await Promise.all(['w1', 'w3'].map(async (one) => (await sightOf(cluster.topology, one)).qemus.length));
  assert.is(
    qemus.reduce((sum, count) => sum + count, 0),
    3,
  );
  await ended;
  await deleted;
  await acme.reachAbsence(volume('leaves'), 60_000);
  // It can be moved, whatever came of the first time.
  const to = host === 'w1' ? 'w3' : 'w1';
  await acme.ask('vm.migrate', 'moves', { to }, undefined, 120_000);
  await acme.reach(vm('moves'), `on ${to}`, (one) => statusOf(one).host === to && one?.stateName === 'running');
  await writes('moves');
});

test('an operator has fenced it: its volumes say so, and their guests go on when it is back', async () => {
  const before = await Promise.all(['stays', 'moves'].map(runOf));
  await lose();
  await acme.reachState('host/system/w2', /^silent$/, 60_000);
  await operate('host', 'fence', 'w2', '--powered-off', '--reason', 'the test has ended all of it');
  await says(volume('stays'), 'Ready', 'False');
  await startNode(cluster.topology, storage);
  for (const name of ['stays', 'moves']) {
    await says(volume(name), 'Ready', 'True');
    await acme.reachState(vm(name), /^running$/, 120_000);
    await writes(name);
  }
  assert.equal(await Promise.all(['stays', 'moves'].map(runOf)), before);
});

test('nothing is left', async () => {
  for (const name of names.filter((one) => one !== 'leaves')) {
    await acme.ask('vm.delete', name);
    await acme.reachAbsence(vm(name), 60_000);
    await acme.ask('volume.delete', name);
    await acme.reachAbsence(volume(name), 60_000);
  }
  await acme.ask('image.delete', 'guest');
  await acme.reachAbsence(`image/${tenant}/guest`, 60_000);
  await acme.ask('network.delete', 'front');
  await acme.reachAbsence(`network/${tenant}/front`, 60_000);
  let left: readonly string[] = [];
  // Copies of images stay on a host that was fenced, for its next sweep.
  const isLeft = (line: string): boolean => !line.startsWith('w2: file images/');
  const isClean = async (): Promise<boolean> => {
    left = (await residueOf(cluster.topology, ['w1', 'w2', 'w3'])).filter(isLeft);
    return left.length === 0;
  };
  await until('nothing is left', isClean, 60_000).catch(() => assert.equal(left, []));
});

test.run();
