/**
 * Legs of the storage bench, of one host and without a cluster: the dataplane makes a volume and serves it, and the
 * client of every leg is qemu-io. Started by storage-bench.ts in namespaces of its own, with its options as
 * JSON; progress goes to stderr, the last line of stdout is the answer.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { makeTestFolder, nextCall, ownerOf, run, testOptions } from '@photoncloud/actors/dataplane/dataplane-for-tests';
import { createDataplane } from '@photoncloud/actors/dataplane/linux-dataplane';
import type { DiskSource } from '@photoncloud/machines/values/wiring';
import { legs, loads, type Leg, type LegRounds, type Load, type Visibility } from './storage-goals.ts';
import { readToolchain } from './toolchain-file.ts';

export interface StorageOrders {
  readonly rounds: number;
  readonly looks: number;
}

export interface StorageAnswer {
  readonly rounds: LegRounds;
  readonly visibility: Visibility;
}

const sizeMib = 128;
const volumeUid = 'BENCH';
const barePort = 20_999;
const bareTlsPort = 20_998;

const orders = JSON.parse(process.argv[2] ?? '') as StorageOrders;
const { qemu } = readToolchain();
const program = (name: string): string => (qemu.binary.includes('/') ? join(dirname(qemu.binary), name) : name);
const say = (line: string): void => void process.stderr.write(`${line}\n`);

await run('ip', 'link', 'set', 'lo', 'up');
const { folder, remove } = makeTestFolder();
const options = testOptions(folder, { qemu, host: 'w1' });
const dp = await createDataplane(options);
const file = join(folder, 'volumes', `${volumeUid}.raw`);

/** A way to a disk, as arguments of QEMU's tools. */
interface Disk {
  readonly objects: readonly string[];
  readonly image: string;
}

const keyed = (name: string, key: string): readonly string[] => {
  const dir = join(folder, name);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'keys.psk'), `photon:${key}\n`);
  return ['--object', `tls-creds-psk,id=k,endpoint=client,username=photon,dir=${dir}`];
};

const nbd = (name: string, server: string, objects: readonly string[] = []): Disk => ({
  objects,
  image: `driver=raw,file.driver=nbd,file.export=${name},${server}${objects.length === 0 ? '' : ',file.tls-creds=k'}`,
});
const bySocket = (path: string): string => `file.server.type=unix,file.server.path=${path}`;
const byPort = (port: number): string =>
  `file.server.type=inet,file.server.host=127.0.0.1,file.server.port=${String(port)}`;

/** A stock daemon as its manual shows it. */
async function startBare(server: readonly string[], objects: readonly string[] = []): Promise<{ end: () => void }> {
  const disk = `driver=file,node-name=f,filename=${file}`;
  const serve = `type=nbd,id=e,node-name=f,name=bare,writable=on`;
  const args = ['--blockdev', disk, ...objects, '--nbd-server', server.join(), '--export', serve];
  const child = spawn(program('qemu-storage-daemon'), args, { stdio: ['ignore', 'ignore', 'inherit'] });
  await pause(1_000);
  if (child.exitCode !== null) throw new Error('the bare qemu-storage-daemon did not start');
  return { end: () => void child.kill('SIGKILL') };
}

/** What qemu-io is told: as many requests at once as the load says, between two lines that it answers. */
function script(load: Load): string {
  const { bytes, count, depth, writes } = loads[load];
  const lines: string[] = [];
  for (let index = 0; index < count; index += 1) {
    // Small requests go all over the disk.
    const at = bytes >= 1 << 20 ? index * bytes : ((index * 7_919) % ((sizeMib << 20) / bytes)) * bytes;
    lines.push(`${writes ? 'aio_write' : 'aio_read'} -q ${String(at)} ${String(bytes)}`);
    if ((index + 1) % depth === 0) lines.push('aio_flush');
  }
  return ['length', ...lines, 'aio_flush', 'length', 'quit', ''].join('\n');
}

/** @returns requests per second */
async function rate(disk: Disk, load: Load): Promise<number> {
  const child = spawn('qemu-io', [...disk.objects, '--image-opts', disk.image], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const marks: number[] = [];
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    const seen = text.match(/\b128 MiB\b/g)?.length ?? 0;
    while (marks.length < seen) marks.push(performance.now());
  });
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.stdin.end(script(load));
  await ended;
  const [begin, end] = marks;
  if (begin === undefined || end === undefined || /failed|error/i.test(text))
    throw new Error(`qemu-io did not finish: ${text.slice(-300)}`);
  return loads[load].count / ((end - begin) / 1_000);
}

const bare: { end: () => void }[] = [];
try {
  const replica = { owner: ownerOf('replica/acme/bench@w1'), volumeUid, serial: 'S', sizeMib, format: 'raw' as const };
  await dp.ensureReplica({ ...replica, image: null }, nextCall());
  const local: Disk = { objects: [], image: `driver=raw,file.driver=file,file.filename=${file},file.locking=off` };
  say('the disk is written once');
  await rate(local, 'write 1 MiB');
  const exports = { owner: ownerOf('volume-export/acme/bench@w1', 1), volumeUid };
  const clients = [
    { runEpoch: 1, host: 'w1' },
    { runEpoch: 2, host: 'w2' },
  ];
  const [near, far] = await dp.ensureExports({ ...exports, clients }, nextCall());
  const [own, other] = [near?.source as DiskSource, far?.source as DiskSource];
  const socket = join(folder, 'bare.sock');
  bare.push(await startBare(['addr.type=unix', `addr.path=${socket}`]));
  bare.push(await startBare(['addr.type=inet', 'addr.host=127.0.0.1', `addr.port=${String(barePort)}`]));
  const bareKey = keyed('bare', '00'.repeat(32));
  const bareObject = ['--object', `tls-creds-psk,id=k,endpoint=server,dir=${join(folder, 'bare')}`];
  const bareTls = ['addr.type=inet', 'addr.host=127.0.0.1', `addr.port=${String(bareTlsPort)}`, 'tls-creds=k'];
  bare.push(await startBare(bareTls, bareObject));
  const disks: Readonly<Record<Leg, Disk>> = {
    local,
    'bare socket': nbd('bare', bySocket(socket)),
    'shared, same host': nbd(own.export, bySocket(`/run/photon-${options.prefix}/exports/${volumeUid}.1/door`)),
    'bare TLS': nbd('bare', byPort(bareTlsPort), bareKey),
    'shared, other host': nbd(
      other.export,
      byPort(other.address?.port ?? 0),
      keyed('ours', options.exportKey(other.export).toString('hex')),
    ),
    'bare TCP': nbd('bare', byPort(barePort)),
  };
  const rounds = Object.fromEntries(
    Object.keys(loads).map((load) => [load, Object.fromEntries(legs.map((leg) => [leg, [] as number[]]))]),
  ) as Record<Load, Record<Leg, number[]>>;
  for (let round = 0; round < orders.rounds; round += 1) {
    say(`round ${String(round + 1)} of ${String(orders.rounds)}`);
    for (const load of Object.keys(loads) as Load[])
      for (const leg of legs) rounds[load][leg].push(await rate(disks[leg], load));
  }
  say('one writes, another reads');
  const visibility = { ms: [] as number[], stale: 0 };
  const io = (leg: Leg, command: string): Promise<string> =>
    run('qemu-io', ...disks[leg].objects, '--image-opts', disks[leg].image, '-c', command);
  for (let look = 1; look <= orders.looks; look += 1) {
    const at = `${String(look)}M 4k`;
    await io('shared, other host', `write -P ${String(look)} ${at}`);
    const writtenAt = performance.now();
    const seen = await io('shared, same host', `read -P ${String(look)} ${at}`);
    visibility.ms.push(performance.now() - writtenAt);
    if (/verification failed/i.test(seen)) visibility.stale += 1;
  }
  await dp.removeExports({ ...exports, owner: { ...exports.owner, runEpoch: 2 } }, nextCall());
  process.stdout.write(`${JSON.stringify({ rounds, visibility } satisfies StorageAnswer)}\n`);
} finally {
  for (const one of bare) one.end();
  await dp.close();
  rmSync(file, { force: true });
  remove();
}
process.exit(0);
