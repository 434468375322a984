/**
 * The power of a storage host fails while a guest of another host writes to a volume there, with the real QEMU. Its
 * volumes are on a file system of their own, and what comes back is the disk below that as it was at that moment,
 * without what the kernel had not written. Everything below /run is gone, and the boot id is another one. The guest is
 * a boot sector that writes to its disk for ever; another client does not flush what it writes, and is killed.
 */
// needs: kernel
// time limit: 150 s
// test limit: 120 s
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { z } from 'zod';
import type { DiskSource, ExportSpec, IncarnationSpec, ServedExport } from '@photoncloud/machines/values/wiring';
import {
  codeOf,
  inOwnNamespaces,
  makeTestFolder,
  nextCall,
  ownerOf,
  run,
  smallGuest,
  testOptions,
  testQemu,
  until,
} from '../dataplane-for-tests.ts';
import { foldersOf, type DataplaneSite } from '../dataplane-site.ts';
import { pathsOf } from '../hypervisor/qemu-folder.ts';
import { QmpClient } from '../hypervisor/qmp-client.ts';
import { writingGuest } from '../hypervisor/writing-guest-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';
import { findProcesses } from '../process-lookup.ts';

const qemu = testQemu();
const statsSchema = z.array(z.object({ stats: z.object({ wr_operations: z.int(), failed_wr_operations: z.int() }) }));
const bootId = '/proc/sys/kernel/random/boot_id';
const [writtenFrom, writtenBytes] = [1 << 20, 32 << 10];
/** Where the guest does not come. */
const unflushed = ['7G', '7300M', '7500M'];

function declare(): void {
  if (qemu === null) {
    test.skip('there is no QEMU in .cache/toolchain.json: run set-up first');
    return;
  }
  const { folder, remove } = makeTestFolder();
  const home = (host: string): string => path.join(folder, host);
  const optionsOf = (host: string) => testOptions(home(host), { qemu, host, prefix: host.replace('w', 'ts') });
  const start = (host: string) => createDataplane(optionsOf(host));
  let storage = start('w2');
  const far = start('w1');
  const volumes = path.join(home('w2'), 'volumes');
  const volumeUid = 'DATA';
  const file = path.join(volumes, `${volumeUid}.raw`);
  const serve = async (floor: number, ...epochs: readonly number[]): Promise<readonly ServedExport[]> => {
    const clients = epochs.map((runEpoch) => ({ runEpoch, host: 'w1' }));
    const spec: ExportSpec = { owner: ownerOf('volume-export/acme/data@w2', floor), volumeUid, clients };
    return (await storage).ensureExports(spec, nextCall());
  };
  const incarnation = (runEpoch: number, source: DiskSource): IncarnationSpec => ({
    owner: ownerOf('incarnation/acme/web@w1', runEpoch),
    vm: 'vm/acme/web',
    ...smallGuest,
    disks: [{ volume: 'volume/acme/data', volumeUid, serial: 'SERIAL', format: 'raw', source }],
  });
  /** Writes that QEMU has told its guest are done, and that failed. */
  async function answered(spec: IncarnationSpec): Promise<readonly [number, number]> {
    const options = optionsOf('w1');
    const site = { options, folders: foldersOf(options), guestGroups: null } as unknown as DataplaneSite;
    const client = await QmpClient.connect(pathsOf(site, spec.owner).toolingSocket, 5_000);
    try {
      const [{ stats } = { stats: { wr_operations: 0, failed_wr_operations: 0 } }] = statsSchema.parse(
        await client.execute('query-blockstats'),
      );
      return [stats.wr_operations, stats.failed_wr_operations];
    } finally {
      client.close();
    }
  }
  /** Of the blocks that a guest has written one after the other, the first that is not in the file. */
  function firstMissing(): number {
    const disk = openSync(file, 'r');
    const begin = Buffer.alloc(2);
    for (let block = 0; ; block += 1) {
      readSync(disk, begin, 0, 2, writtenFrom + block * writtenBytes);
      if (begin.equals(writingGuest.subarray(0, 2))) continue;
      closeSync(disk);
      return block;
    }
  }

  const mountDisk = (disk: string): Promise<string> => run('mount', '-o', 'loop,commit=300', disk, volumes);
  /** Writes of a client that is told that they are done, asks for no flush, and ends without one. */
  async function writeUnflushed({ export: name, address }: DiskSource): Promise<void> {
    writeFileSync(path.join(folder, 'keys.psk'), `photon:${optionsOf('w2').exportKey(name).toString('hex')}\n`);
    const server = `server.type=inet,server.host=${address?.host ?? ''},server.port=${String(address?.port)}`;
    const object = `tls-creds-psk,id=k,endpoint=client,username=photon,dir=${folder}`;
    const disk = `driver=nbd,export=${name},${server},tls-creds=k`;
    const client = spawn('qemu-io', ['-t', 'writeback', '--object', object, '--image-opts', disk]);
    let said = '';
    client.stdout.setEncoding('utf8').on('data', (text: string) => void (said += text));
    // One after the other: it reads what has come, and answers the first of it.
    for (const [index, at] of unflushed.entries()) {
      client.stdin.write(`write -P 7 ${at} 64k\n`);
      await until('a write is answered', () => said.split('wrote 65536/65536').length > index + 1);
    }
    const ended = new Promise((resolve) => client.once('exit', resolve));
    client.kill('SIGKILL');
    await ended;
  }
  let boots = 0;
  /** What is not on the disk is lost. */
  async function failPower(daemons: readonly number[]): Promise<void> {
    for (const pid of daemons) process.kill(pid, 'SIGKILL');
    await (await storage).close();
    await until('the daemons are gone', () => daemons.every((pid) => !isThere(pid)));
    const [was, is] = [boots, (boots += 1)].map((boot) => path.join(folder, `disk${String(boot)}`));
    await run('cp', '--sparse=always', String(was), String(is));
    await run('umount', volumes);
    await mountDisk(String(is));
    rmSync('/run/photon-ts2', { recursive: true });
    const other = `/run/boot${String(boots)}`;
    writeFileSync(other, `00000000-0000-4000-8000-00000000000${String(boots)}\n`);
    await run('mount', '--bind', other, bootId);
    storage = start('w2');
  }
  const isThere = (pid: number): boolean => {
    try {
      return process.kill(pid, 0) && !readFileSync(`/proc/${String(pid)}/stat`, 'utf8').includes(') Z ');
    } catch {
      return false;
    }
  };

  test.before(async () => {
    await storage;
    const disk = path.join(folder, 'disk0');
    await run('truncate', '-s', '4G', disk);
    await run('mkfs.ext4', '-q', disk);
    mkdirSync(volumes, { recursive: true });
    await mountDisk(disk);
  });

  test.after(async () => {
    for (const host of [storage, far]) await (await host).close();
    await run('umount', '-l', volumes);
    remove();
  });

  const guestOf = async (runEpoch: number): Promise<readonly [IncarnationSpec, ServedExport]> => {
    const [served] = await serve(runEpoch, runEpoch);
    assert.ok(served);
    return [incarnation(runEpoch, served.source), served];
  };
  const begin = async (spec: IncarnationSpec): Promise<void> => {
    await (await far).startIncarnation(spec, nextCall());
    await (await far).resumeIncarnation(spec, nextCall());
  };
  const writes = async (spec: IncarnationSpec, more: number): Promise<void> => {
    const [before] = await answered(spec);
    await until('the guest writes', async () => (await answered(spec))[0] >= before + more, 30_000);
  };

  test('every write that was answered is there, also one that nobody has flushed', async () => {
    const owner = ownerOf('replica/acme/data@w2');
    const replica = { owner, volumeUid, serial: 'SERIAL', sizeMib: 8192, format: 'raw' as const, image: null };
    await (await storage).ensureReplica(replica, nextCall());
    const disk = await open(file, 'r+');
    await disk.write(writingGuest, 0, writingGuest.length, 0);
    await disk.close();
    const [, served] = await guestOf(1);
    await writeUnflushed(served.source);
    await failPower([served.pid]);
    const reads = unflushed.flatMap((at) => ['-c', `read -P 7 ${at} 64k`]);
    assert.not.match(await run('qemu-io', '-f', 'raw', '-r', ...reads, file), /failed/);
  });

  test('a guest stands still and goes on in the same run, without an error', async () => {
    const [spec, served] = await guestOf(1);
    await begin(spec);
    await writes(spec, 200);
    await failPower([served.pid]);
    const [count, failed] = await answered(spec);
    assert.ok(firstMissing() >= count && count >= 200, `${count} answered, ${firstMissing()} are there`);
    assert.is(failed, 0);
    const [again] = await serve(1, 1);
    assert.equal([again?.source, again?.pid === served.pid], [served.source, false]);
    await writes(spec, 50);
    const { runStatus } = await (await far).readIncarnation(spec, nextCall());
    assert.equal([runStatus, (await answered(spec))[1]], ['running', 0]);
  });

  test('a run that was cut before stays cut, and its place is kept for no one', async () => {
    const [spec, served] = await guestOf(2);
    await failPower([served.pid]);
    assert.is(await codeOf(serve(1, 1)), 'run_epoch_older');
    const [again] = await serve(2, 2);
    assert.equal(again?.source, spec.disks[0]?.source);
    const before = statSync(file).mtimeMs;
    // The cut run looks for its export all the while: no process has it, and nothing keeps its place.
    await pause(3_000);
    assert.equal(
      [await findProcesses((words) => words.join(' ').includes('exports/DATA.1/')), statSync(file).mtimeMs],
      [[], before],
    );
    assert.not.match(readFileSync(path.join(volumes, `${volumeUid}.exports`), 'utf8'), /DATA\.1\./);
  });

  test('a new export does not take the port of one that is away', async () => {
    const [, served] = await guestOf(3);
    const { port = 0 } = served.source.address ?? {};
    const records = path.join(volumes, `${volumeUid}.exports`);
    assert.equal(JSON.parse(readFileSync(records, 'utf8')), { 3: { name: served.source.export, port } });
    const away = Object.fromEntries([[1, { name: 'AWAY.1.boot', port: port + 1 }]]);
    writeFileSync(path.join(volumes, 'AWAY.exports'), JSON.stringify(away));
    const [, next] = await serve(3, 3, 4);
    assert.is.not(next?.source.address?.port, port + 1);
    await (await storage).removeExports({ owner: ownerOf('volume-export/acme/data@w2', 4), volumeUid }, nextCall());
    assert.throws(() => statSync(records), /ENOENT/);
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
