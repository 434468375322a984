// needs: kernel
// time limit: 600 s
// test limit: 240 s
/**
 * A shared volume in a whole cluster: its bytes are on the storage host w2, its VM runs on w1 and later on w2. The
 * guest is a boot sector that writes for ever; whose writes arrive is seen in the file on w2. A daemon that is killed
 * is a pause of the guest, and so is a reboot of w2; snapshots are taken while it writes, also over the death of their
 * worker. After w1 was given up by an operator although it still runs, its QEMU writes nothing any more, and the VM
 * goes on elsewhere with the same bytes. Nothing is left on w2 afterwards.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
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

const test = suite('shared volume');
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
  { name: 'w2', role: 'worker', storage: true },
];
const run = promisify(execFile);
const vm = `vm/${tenant}/writer`;
const volume = `volume/${tenant}/data`;
const folder = mkdtempSync(join(tmpdir(), 'photon-shared-'));

/** As `qemu-img map` prints it. */
interface Extent {
  readonly start: number;
  readonly length: number;
  readonly data: boolean;
}

let cluster: PhotonCluster;
let acme: CrashTenant;

test.before(async () => {
  const disk = Buffer.alloc(1 << 20);
  writingGuest.copy(disk);
  writeFileSync(join(folder, 'guest.raw'), disk);
  cluster = await launchCluster({ stem: 'shared', nodes, images: { '/run/images': folder } });
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

const operate = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);
const inside = (node: string, ...argv: string[]): Promise<string> => cluster.topology.exec(node, argv);

/** What is written in the file on w2: allocated blocks and the time of the last write. */
function written(): readonly [number, number] {
  const volumes = join(cluster.topology.node('w2').folder, 'host/volumes');
  const [file = ''] = readdirSync(volumes).filter((name) => name.endsWith('.raw'));
  const { blocks, mtimeMs } = statSync(join(volumes, file));
  return [blocks, mtimeMs];
}

/** The guest writes one block after the other: there is none behind the first that is missing. */
async function isContiguous(file: string): Promise<boolean> {
  const { stdout } = await run('qemu-img', ['map', '-U', '--output=json', file]);
  const map = JSON.parse(stdout) as Extent[];
  // What the image has before them may be one piece with them.
  const data = map.filter(({ data: has, start, length }) => has && start + length > 1 << 20);
  const ends = data.map(({ start, length }) => start + length);
  return data.length > 0 && data.slice(1).every(({ start }, at) => start === ends[at]);
}

async function writes(): Promise<void> {
  const [, before] = written();
  await until('the guest writes', () => written()[1] > before, 60_000);
}

const daemons = async (): Promise<string> =>
  (await inside('w2', 'sh', '-c', 'pgrep -f [q]emu-storage-daemon.*--pidfile || true')).trim();

interface VolumeStatus {
  readonly conditions: readonly { readonly type: string; readonly status: string }[];
  readonly resizingTo: number | null;
}
const statusOf = (one: ActorObject | undefined): VolumeStatus => one?.status as unknown as VolumeStatus;

const runsOn = (host: string): Promise<unknown> =>
  acme.reach(
    vm,
    `running on ${host}`,
    (one) => one?.stateName === 'running' && (one.status as { host: string | null }).host === host,
    120_000,
  );

test('a VM on one worker writes to the volume on another', async () => {
  await acme.ask('volume.create', 'data', { class: 'shared', sizeMib: 8192, image: 'guest' });
  const { status } = await acme.reachState(volume, /^available$/);
  assert.is((status as { host: string }).host, 'w2');
  const params = { memoryMib: 64, nics: [{ network: 'front' }], disks: [{ volume: 'data' }], restart: 'on-failure' };
  await operate('host', 'cordon', 'w2');
  await acme.ask('vm.create', 'writer', params);
  await runsOn('w1');
  await operate('host', 'uncordon', 'w2');
  await writes();
  assert.is((await sightOf(cluster.topology, 'w1')).qemus.length, 1);
  assert.match(await operate('list', 'volume'), /shared/);
  // What its storage host and the host of its guest read.
  const described = await operate('-t', tenant, 'describe', 'volume', 'data');
  assert.match(
    described,
    /figures:\n.*\n +size +8192.0 MiB\n +allocated +[1-9].*\n +read .*\n +written +[1-9].* MiB\n/,
  );
});

test('its daemon is killed: the guest stands still without an error, and goes on', async () => {
  const before = await daemons();
  assert.match(before, /^\d+$/);
  await inside('w2', 'kill', '-9', before);
  await until(
    'another daemon serves it',
    async () => /^\d+$/.test(await daemons()) && (await daemons()) !== before,
    30_000,
  );
  await writes();
  const { stateName, status } = await acme.reachState(vm, /./);
  assert.equal([stateName, (status as { failure: unknown }).failure], ['running', null]);
});

test('a snapshot is taken while the guest writes, also by a worker that is killed meanwhile', async () => {
  const snapshots = ['friday', 'monday'].map((name) => `snapshot/${tenant}/${name}`);
  await operate('-t', tenant, 'snapshot', 'create', 'friday', '--volume', 'data');
  await acme.ask('snapshot.create', 'monday', { volume: 'data' });
  signal(findProgram(cluster.topology, 'w2', 'worker'), 'SIGKILL');
  await startNode(cluster.topology, { name: 'w2', role: 'worker', storage: true });
  for (const id of snapshots) await acme.reachState(id, /^ready$/, 120_000);
  await writes();
  assert.match(await daemons(), /^\d+$/, 'the daemons of the copies have ended');
  assert.match(await operate('list', 'snapshot'), /friday.*data.*8192 MiB/);
  const volumes = join(cluster.topology.node('w2').folder, 'host/volumes');
  const copies = readdirSync(volumes).filter((name) => name.endsWith('.qcow2') || name.startsWith('.'));
  assert.is(copies.length, 2, copies.join());
  for (const copy of copies) assert.ok(await isContiguous(join(volumes, copy)), copy);
  const refused = await operate('-t', tenant, 'snapshot', 'create', 'none', '--volume', 'none').catch(String);
  assert.match(refused, /there is no volume/);
  for (const name of ['friday', 'monday']) await acme.ask('snapshot.delete', name);
  for (const id of snapshots) await acme.reachAbsence(id, 60_000);
});

test('it grows while its guest runs, which sees the new size', async () => {
  await acme.ask('volume.update', 'data', { class: 'shared', sizeMib: 8448, image: 'guest' });
  const required = (one: ActorObject | undefined) =>
    statusOf(one).conditions.find(({ type }) => type === 'RestartRequired');
  const seen = await acme.reach(volume, 'seen with its size', (one) => required(one) !== undefined, 60_000);
  assert.equal([required(seen)?.status, statusOf(seen).resizingTo], ['False', null]);
  await writes();
});

interface RunStatus {
  readonly runs: number;
  readonly runEpoch: number;
  readonly proof: { readonly pid: number };
}

test('its storage host is rebooted: both say so, and the guest goes on in the same run with its writes', async () => {
  const says = (id: string, type: string, status: string): Promise<ActorObject> =>
    acme.reach(
      id,
      `${type} ${status}`,
      (one) => statusOf(one).conditions.some((found) => found.type === type && found.status === status),
      60_000,
    );
  const runOf = ({ status }: ActorObject): readonly unknown[] => {
    const { runs, runEpoch, proof } = status as unknown as RunStatus;
    return [runs, runEpoch, proof.pid];
  };
  const before = runOf(await acme.reachState(vm, /^running$/));
  signal(findProgram(cluster.topology, 'w2', 'worker'), 'SIGKILL');
  await loseEverything(cluster.topology, 'w2');
  await says(volume, 'HostPresent', 'False');
  await says(vm, 'StoragePresent', 'False');
  await startNode(cluster.topology, { name: 'w2', role: 'worker', storage: true });
  await says(volume, 'HostPresent', 'True');
  const again = await says(vm, 'StoragePresent', 'True');
  await writes();
  assert.equal(runOf(again), before);
  await acme.reachState(vm, /^running$/);
  assert.is(((await acme.find(volume))?.status as unknown as { failure: unknown }).failure, null);
  // The guest goes on after a write that has failed, which would be a hole.
  const volumes = join(cluster.topology.node('w2').folder, 'host/volumes');
  const [file = ''] = readdirSync(volumes).filter((name) => name.endsWith('.raw'));
  assert.ok(await isContiguous(join(volumes, file)));
});

/** Connections to exports on w2 that come from w1. */
async function fromW1(): Promise<number> {
  const open = await inside('w2', 'sh', '-c', 'ss -Htn state established 2>/dev/null || true');
  const ofExports = open.split('\n').filter((line) => /:2[1-4]\d{3}\s/.test(line));
  return ofExports.filter((line) => line.includes(cluster.topology.node('w1').address)).length;
}

test('it moves while it runs, forth and back: the new run is let in by its epoch, the former one is cut', async () => {
  for (const [to, connections] of [
    ['w2', 0],
    ['w1', 1],
  ] as const) {
    const exported = async (): Promise<string> => {
      const { spec } = (await acme.find(`incarnation/${tenant}/writer@${to}`)) ?? {};
      return /"export":"[^."]+\.(\d+)\./.exec(JSON.stringify(spec))?.[1] ?? 'none';
    };
    await acme.ask('vm.migrate', 'writer', { to });
    await runsOn(to);
    await acme.reachAbsence(`migration/${tenant}/writer`, 60_000);
    await writes();
    const { runEpoch } = (await acme.find(vm))?.status as { runEpoch: number };
    assert.is(await exported(), String(runEpoch));
    assert.equal([await fromW1(), (await sightOf(cluster.topology, to)).qemus.length], [connections, 1]);
  }
});

test('w1 is given up and still runs: its QEMU is cut, and the VM goes on elsewhere with the same bytes', async () => {
  const [old] = (await sightOf(cluster.topology, 'w1')).qemus;
  signal(findProgram(cluster.topology, 'w1', 'worker'), 'SIGKILL');
  await acme.reachState('host/system/w1', /^silent$/, 60_000);
  await writes();
  const [blocks] = written();
  await operate('host', 'fence', 'w1', '--powered-off', '--reason', 'the test says so');
  await runsOn('w2');
  assert.match(await daemons(), /^\d+$/, 'only the new run is served');
  await writes();
  assert.ok(written()[0] >= blocks);
  const still = (await sightOf(cluster.topology, 'w1')).qemus;
  assert.equal([still.length, still[0]?.pid], [1, old?.pid], 'the old QEMU was to go on');
  // Only the new run's connection is there, and none comes back from w1.
  assert.is(await fromW1(), 0);
});

test('it is deleted after its VM, and nothing is left', async () => {
  await startNode(cluster.topology, { name: 'w1', role: 'worker' });
  await acme.reachState('host/system/w1', /ready$/, 90_000);
  await acme.ask('vm.delete', 'writer');
  await acme.reachAbsence(vm, 60_000);
  await acme.ask('volume.delete', 'data');
  await acme.reachAbsence(volume, 60_000);
  for (const [kind, name] of [
    ['image', 'guest'],
    ['network', 'front'],
  ] as const) {
    await acme.ask(`${kind}.delete`, name);
    await acme.reachAbsence(`${kind}/${tenant}/${name}`, 60_000);
  }
  await acme.ask('tenant.delete', tenant);
  let left: readonly string[] = [];
  await until(
    'nothing is left',
    async () => (left = await residueOf(cluster.topology, ['w2'])).length === 0,
    60_000,
  ).catch(() => assert.equal(left, []));
});

test.run();
