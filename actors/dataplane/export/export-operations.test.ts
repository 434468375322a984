/**
 * Volumes that are served to runs of this and of another host, with the real QEMU: whose writes reach the bytes, who is
 * cut and stays cut, and what a guest notices when a daemon dies. Both hosts are dataplanes on this machine. The guest
 * is a boot sector that writes to its disk for ever.
 */
// needs: kernel
// time limit: 400 s
// test limit: 120 s
import { execFile } from 'node:child_process';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { z } from 'zod';
import type { DiskSource, ExportSpec, IncarnationSpec } from '@photoncloud/machines/values/wiring';
import type { Dataplane } from '../contract/dataplane-contract.ts';
import {
  codeOf,
  inOwnNamespaces,
  makeTestFolder,
  nextCall,
  ownerOf,
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
import { commandLineOf, findProcesses } from '../process-lookup.ts';

const qemu = testQemu();
const blocksSchema = z.array(z.object({ inserted: z.object({ image: z.object({ 'virtual-size': z.int() }) }) }));
const run = promisify(execFile);

function declare(): void {
  if (qemu === null) {
    test.skip('there is no QEMU in .cache/toolchain.json: run set-up first');
    return;
  }
  const { folder, remove } = makeTestFolder();
  const home = (host: string): string => path.join(folder, host);
  const hosts = ['w1', 'w2'].map((host) =>
    createDataplane(testOptions(home(host), { qemu, host, prefix: host.replace('w', 'ts') })),
  );
  const [near, far] = [hosts[1] as Promise<Dataplane>, hosts[0] as Promise<Dataplane>];
  const volumeUid = 'DATA';
  const file = path.join(home('w2'), 'volumes', `${volumeUid}.raw`);
  const replica = {
    owner: ownerOf('replica/acme/data@w2'),
    volumeUid,
    serial: 'SERIAL',
    sizeMib: 8192,
    format: 'raw' as const,
    image: null,
  };
  /** The first number is the floor, then a host for each run epoch that may use it. */
  const exportsOf = (floor: number, clients: Readonly<Record<number, string>>): ExportSpec => ({
    owner: ownerOf('volume-export/acme/data@w2', floor),
    volumeUid,
    clients: Object.entries(clients).map(([runEpoch, host]) => ({ runEpoch: Number(runEpoch), host })),
  });
  const incarnation = (host: string, runEpoch: number, source: DiskSource): IncarnationSpec => ({
    owner: ownerOf(`incarnation/acme/web@${host}`, runEpoch),
    vm: 'vm/acme/web',
    ...smallGuest,
    disks: [{ volume: 'volume/acme/data', volumeUid, serial: 'SERIAL', format: 'raw', source }],
  });
  const written = (): number => statSync(file).blocks;
  const writes = (): Promise<void> => {
    const before = written();
    return until('the guest writes', () => written() > before);
  };
  const rests = async (): Promise<void> => {
    const before = [written(), statSync(file).mtimeMs];
    await pause(1_500);
    assert.equal([written(), statSync(file).mtimeMs], before, 'the file was written');
  };
  const serve = async (floor: number, clients: Readonly<Record<number, string>>) =>
    (await near).ensureExports(exportsOf(floor, clients), nextCall());
  const begin = async (host: Promise<Dataplane>, spec: IncarnationSpec): Promise<void> => {
    await (await host).startIncarnation(spec, nextCall());
    await (await host).resumeIncarnation(spec, nextCall());
  };
  const stop = async (host: Promise<Dataplane>, spec: IncarnationSpec): Promise<void> => {
    await (await host).stopIncarnation({ incarnation: spec, graceMs: 0 }, nextCall());
    await (await host).cleanIncarnation(spec, nextCall());
  };
  /** What a client without a guest is told: qemu-io with the key of another export. */
  const intrude = async (source: DiskSource, key: string, command: string): Promise<string> => {
    writeFileSync(path.join(folder, 'keys.psk'), `photon:${key}\n`);
    const { host = '', port = 0 } = source.address ?? {};
    const disk = `driver=nbd,export=${source.export},server.type=inet,server.host=${host},server.port=${port}`;
    const object = `tls-creds-psk,id=k,endpoint=client,username=photon,dir=${folder}`;
    const args = ['--object', object, '--image-opts', '-c', command];
    const done = await run('qemu-io', [...args, `${disk},tls-creds=k`]).catch((error: { stderr: string }) => error);
    return done.stderr + ('stdout' in done ? done.stdout : '');
  };
  /** The size of the only disk of a run as its guest has it, MiB. */
  async function sizeIn(folderOfHost: string, spec: IncarnationSpec): Promise<number> {
    const host = path.basename(folderOfHost);
    const options = testOptions(folderOfHost, { host, prefix: host.replace('w', 'ts') });
    const site = { options, folders: foldersOf(options), guestGroups: null } as unknown as DataplaneSite;
    const client = await QmpClient.connect(pathsOf(site, spec.owner).toolingSocket, 5_000);
    try {
      const [disk] = blocksSchema.parse(await client.execute('query-block'));
      return (disk?.inserted.image['virtual-size'] ?? 0) / (1 << 20);
    } finally {
      client.close();
    }
  }
  const keyOf = (name: string): string => testOptions(folder).exportKey(name).toString('hex');

  test.after(async () => {
    for (const host of hosts) await (await host).close();
    remove();
  });

  test('a run of the same host uses the bytes by a socket; without its file nothing is served', async () => {
    assert.is(await codeOf(serve(1, { 1: 'w2' })), 'replica_missing');
    await (await near).ensureReplica(replica, nextCall());
    const disk = await open(file, 'r+');
    await disk.write(writingGuest, 0, writingGuest.length, 0);
    await disk.close();
    const [served] = await serve(1, { 1: 'w2' });
    assert.is(served?.source.address, null);
    assert.match(served?.source.export ?? '', /^DATA\.1\.[0-9a-f-]{36}$/);
    const spec = incarnation('w2', 1, served?.source as DiskSource);
    await begin(near, spec);
    await writes();
    assert.is((await serve(1, { 1: 'w2' }))[0]?.pid, served?.pid, 'asked again it is the same process');
  });

  /** A run that uses the volume sees its new size: one that writes, and one whose QEMU asks for nothing by itself. */
  const grows = async (host: Promise<Dataplane>, spec: IncarnationSpec, floor: number, sizes: readonly number[]) => {
    const { runEpoch } = spec.owner;
    const name = runEpoch === 1 ? 'w2' : 'w1';
    for (const sizeMib of sizes) {
      await (await near).ensureReplica({ ...replica, sizeMib }, nextCall());
      const resize = { incarnation: spec, volumeUid, sizeMib };
      if (sizeMib === sizes[0]) assert.is(await codeOf((await host).resizeDisk(resize, nextCall())), 'size_unseen');
      await serve(floor, { [runEpoch]: name });
      await (await host).resizeDisk(resize, nextCall());
      assert.is(await sizeIn(home(name), spec), sizeMib);
      await (await host).pauseIncarnation(spec, nextCall());
    }
    await (await host).resumeIncarnation(spec, nextCall());
    await writes();
  };

  test('its figures are read where its bytes are and where its guest is', async () => {
    const [all, one] = [await (await near).readVolumeFigures(null), await (await near).readVolumeFigures(volumeUid)];
    assert.equal([all.map(({ volume }) => volume), one.length], [['volume/acme/data'], 1]);
    const { figures = {} } = one[0] ?? {};
    assert.is(figures['sizeBytes'], 2 ** 33);
    for (const name of ['allocatedBytes', 'readBytes', 'writtenBytes', 'readOperations', 'writeOperations'])
      assert.ok((figures[name] ?? 0) > 0, `${name} in ${JSON.stringify(figures)}`);
    assert.equal(await (await far).readVolumeFigures(null), []);
    assert.equal(await (await near).readVolumeFigures('NONE'), []);
  });

  test('it grows while a run of the same host uses it', async () => {
    const [served] = await serve(1, { 1: 'w2' });
    const spec = incarnation('w2', 1, served?.source as DiskSource);
    await grows(near, spec, 1, [8200, 8208]);
    const ofNone = (await near).resizeDisk({ incarnation: spec, volumeUid: 'NONE', sizeMib: 9000 }, nextCall());
    assert.is(await codeOf(ofNone), 'disk_absent');
  });

  test('a daemon that dies is a pause of the guest and no error; served again, the guest writes on', async () => {
    const spec = exportsOf(1, { 1: 'w2' });
    const [{ pid, source } = { pid: 0, source: undefined }] = await serve(1, { 1: 'w2' });
    const lost = (await near).watchExports(spec, nextCall());
    process.kill(pid, 'SIGKILL');
    assert.is((await lost).reason, 'export_ended');
    const guest = incarnation('w2', 1, source as DiskSource);
    await rests();
    assert.is((await (await near).readIncarnation(guest, nextCall())).runStatus, 'running');
    const [again] = await serve(1, { 1: 'w2' });
    assert.equal([again?.source, again?.pid === pid], [source, false]);
    await writes();
    await stop(near, guest);
  });

  test('a run of another host proves with its key that it is that run; nobody else is let in', async () => {
    const [served] = await serve(2, { 2: 'w1' });
    const source = served?.source as DiskSource;
    assert.is(source.address?.host, '127.0.0.1');
    await begin(far, incarnation('w1', 2, source));
    await writes();
    const other = await intrude(source, keyOf('DATA.3'), 'read 0 512');
    assert.match(other, /TLS|handshake|decrypt|session/i);
    assert.not.match(other, /read 512/);
    assert.match(await intrude(source, keyOf(source.export), 'read 0 512'), /read 512/);
    // Nothing of the key is in a command line, and QEMU's own file of it is gone.
    for (const { pid } of await findProcesses((words) => words.includes(`DATA`)))
      assert.not.match((await commandLineOf(pid)).join(' '), keyOf(source.export));
    const [ofRun = ''] = readdirSync('/run/photon-ts1/incarnations');
    assert.not.ok(readdirSync(`/run/photon-ts1/incarnations/${ofRun}`).some((name) => name.startsWith('key')));
  });

  test('it grows while a run of another host uses it', async () => {
    const [served] = await serve(2, { 2: 'w1' });
    await grows(far, incarnation('w1', 2, served?.source as DiskSource), 2, [8216, 8224]);
    const [here] = await (await far).readVolumeFigures(volumeUid);
    assert.equal([here?.volume, here?.figures['sizeBytes']], ['volume/acme/data', undefined]);
    assert.ok((here?.figures['writtenBytes'] ?? 0) > 0);
  });

  test('a later run cuts the former one, which cannot come back; another host sees what it wrote', async () => {
    const before = written();
    const [former] = await serve(2, { 2: 'w1' });
    assert.ok(before > 0);
    // Both are served while a run is prepared.
    const [, later] = await serve(2, { 2: 'w1', 3: 'w2' });
    await writes();
    const [own] = await serve(3, { 3: 'w2' });
    assert.is(own?.pid, later?.pid);
    await rests();
    assert.is(await codeOf(serve(2, { 2: 'w1' })), 'run_epoch_older');
    assert.is(await codeOf(serve(3, { 2: 'w1', 3: 'w2' })), 'run_epoch_older');
    // It is not the address that is gone, but the run: its guest stands still, when it has tried long enough.
    const guest = incarnation('w1', 2, former?.source as DiskSource);
    const stall = await (await far).watchDisks(guest, nextCall());
    assert.is(stall.code, 'disk_error');
    await rests();
    await stop(far, guest);
    const seen = await run('qemu-io', ['-f', 'raw', '-r', '-c', 'read -P 0x31 1M 1', file]);
    assert.match(seen.stdout, /read 1\/1 bytes/);
  });

  test('a daemon that does not answer is killed, and then it counts as cut', async () => {
    const [stopped] = await serve(3, { 3: 'w2' });
    process.kill(stopped?.pid ?? 0, 'SIGSTOP');
    const [next] = await serve(4, { 4: 'w2' });
    assert.ok(next);
    assert.not.ok((await findProcesses((words) => words.join(' ').includes('exports/DATA.3/pid'))).length > 0);
  });

  test('two daemons never serve one run: the second does not get the lock', async () => {
    const lock = '/run/photon-ts2/exports/DATA.4/lock';
    const second = await run('flock', ['-n', lock, 'true']).catch((error: { code: number }) => error);
    assert.is((second as { code: number }).code, 1);
  });

  test('nothing is left when nobody may use it', async () => {
    assert.ok((await (await near).residue()).some(({ name }) => name.endsWith('exports/DATA.4')));
    const ref = { owner: ownerOf('volume-export/acme/data@w2', 4), volumeUid };
    assert.equal(await (await near).removeExports(ref, nextCall()), { removed: true });
    assert.equal(await (await near).removeExports(ref, nextCall()), { removed: false });
    await (await near).removeReplica({ owner: replica.owner, volumeUid }, nextCall());
    assert.equal(await (await near).residue(), []);
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
