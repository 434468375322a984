/**
 * Copies of volumes with the real QEMU: of one that rests, of one that a guest writes to, of one that a daemon serves
 * to a guest. The guest is a boot sector that writes one block after the other, so the copy of a moment has every block
 * up to one, and none after it. An attempt that was broken off, also by a process that was killed, leaves nothing, and
 * no guest frozen.
 */
// needs: kernel
// time limit: 300 s
// test limit: 120 s
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { z } from 'zod';
import type { SnapshotSpec } from '@photoncloud/machines/values/snapshot-wiring';
import type { DiskFormat, DiskSource, IncarnationSpec } from '@photoncloud/machines/values/wiring';
import type { DataplaneSite } from '../dataplane-site.ts';
import { foldersOf } from '../dataplane-site.ts';
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
import { agent, serveGuest } from '../hypervisor/guest-for-tests.ts';
import { pathsOf } from '../hypervisor/qemu-folder.ts';
import { IncarnationSessions } from '../hypervisor/qemu-session.ts';
import { writingGuest } from '../hypervisor/writing-guest-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';
import { findProcesses } from '../process-lookup.ts';
import { awaitCopy, beginCopy, findBytesUser, serveCopy } from './snapshot-job.ts';

const qemu = testQemu();
const run = promisify(execFile);
const mib = 1 << 20;
/** Where the guest begins to write. */
const firstByte = mib;
const extentsSchema = z.array(z.object({ start: z.int(), length: z.int(), data: z.boolean() }));

function declare(): void {
  if (qemu === null) {
    test.skip('there is no QEMU in .cache/toolchain.json: run set-up first');
    return;
  }
  const { folder, remove } = makeTestFolder();
  const options = testOptions(folder, { qemu, host: 'w1', prefix: 'ss' });
  let dataplane = createDataplane(options);
  const volumes = path.join(folder, 'volumes');
  const fileOf = (uid: string, format: DiskFormat): string => path.join(volumes, `${uid}.${format}`);
  const make = async (volumeUid: string, format: DiskFormat, sizeMib = 64) =>
    (await dataplane).ensureReplica(
      {
        owner: ownerOf(`replica/acme/${volumeUid.toLowerCase()}@w1`),
        volumeUid,
        serial: 'S',
        sizeMib,
        format,
        image: null,
      },
      nextCall(),
    );
  const restore = async (uid: string, volumeUid: string, sizeMib: number) => {
    const owner = ownerOf(`replica/acme/${volumeUid.toLowerCase()}@w1`);
    const snapshot = { uid, host: 'w1', allocatedBytes: 0, restore: 'R1' };
    const spec = { owner, volumeUid, serial: 'S', sizeMib, format: 'raw' as const, image: null, snapshot };
    return (await dataplane).ensureReplica(spec, nextCall());
  };
  const specOf = (snapshotUid: string, volumeUid: string, format: DiskFormat = 'raw', sizeMib = 64): SnapshotSpec => ({
    owner: ownerOf(`snapshot-copy/acme/${snapshotUid.toLowerCase()}@w1`),
    snapshotUid,
    volumeUid,
    format,
    sizeMib,
  });
  const take = async (spec: SnapshotSpec) => (await dataplane).takeSnapshot(spec, nextCall());
  const io = async (file: string, format: DiskFormat, ...commands: readonly string[]): Promise<string> => {
    const args = commands.flatMap((one) => ['-c', one]);
    return (await run('qemu-io', ['-f', format, ...args, file])).stdout;
  };
  const incarnation = (runEpoch: number, volumeUid: string, source: DiskSource | null = null): IncarnationSpec => ({
    owner: ownerOf('incarnation/acme/web@w1', runEpoch),
    vm: 'vm/acme/web',
    ...smallGuest,
    disks: [{ volume: `volume/acme/${volumeUid}`, volumeUid, serial: 'S', format: 'raw', source }],
  });
  const bootSector = async (volumeUid: string): Promise<void> => {
    const disk = await open(fileOf(volumeUid, 'raw'), 'r+');
    await disk.write(writingGuest, 0, writingGuest.length, 0);
    await disk.close();
  };
  const begin = async (spec: IncarnationSpec): Promise<void> => {
    const before = statSync(fileOf(spec.disks[0]?.volumeUid ?? '', 'raw')).blocks;
    await (await dataplane).startIncarnation(spec, nextCall());
    await (await dataplane).resumeIncarnation(spec, nextCall());
    await until('the guest writes', () => statSync(fileOf(spec.disks[0]?.volumeUid ?? '', 'raw')).blocks > before);
  };
  const stop = async (spec: IncarnationSpec): Promise<void> => {
    await (await dataplane).stopIncarnation({ incarnation: spec, graceMs: 0 }, nextCall());
    await (await dataplane).cleanIncarnation(spec, nextCall());
  };
  /** How far the guest's blocks reach in a copy, bytes; it has none behind the first that is missing. */
  async function reachOf(uid: string): Promise<number> {
    const { stdout } = await run('qemu-img', ['map', '--output=json', '-f', 'qcow2', fileOf(uid, 'qcow2')]);
    const extents = extentsSchema.parse(JSON.parse(stdout)).filter(({ start, data }) => data && start >= firstByte);
    const end = extents.reduce((at, { start, length }) => {
      assert.is(start, at, 'a later block is there and an earlier one is not');
      return start + length;
    }, firstByte);
    return end - firstByte;
  }
  const goesOn = async (volumeUid: string): Promise<void> => {
    const before = statSync(fileOf(volumeUid, 'raw')).mtimeMs;
    await until('the guest writes on', () => statSync(fileOf(volumeUid, 'raw')).mtimeMs > before);
  };
  const daemons = async (uid: string): Promise<number> =>
    (await findProcesses((words) => words.join(' ').includes(`exports/${uid}.`))).length;

  test.after(async () => {
    await (await dataplane).close();
    remove();
  });

  test('at rest it is copied as it is, once; the volume changes afterwards and the copy does not', async () => {
    assert.is(await codeOf(take(specOf('S1', 'REST'))), 'volume_empty');
    for (const format of ['raw', 'qcow2'] as const) {
      await make('REST', format);
      await io(fileOf('REST', format), format, 'write -P 0x11 1M 2M');
      const first = await take(specOf('S1', 'REST', format));
      await io(fileOf('REST', format), format, 'write -P 0x22 1M 2M');
      assert.equal(await take(specOf('S1', 'REST', format)), first, 'asked again it is the same copy');
      assert.equal([first.sizeBytes, first.allocatedBytes < 4 * mib], [64 * mib, true]);
      assert.match(await io(fileOf('S1', 'qcow2'), 'qcow2', 'read -P 0x11 1M 2M', 'read -P 0 3M 61M'), /read 2097152/);
      const ref = { owner: specOf('S1', '').owner, snapshotUid: 'S1' };
      assert.equal(await (await dataplane).removeSnapshot(ref, nextCall()), { removed: true });
      assert.equal(await (await dataplane).removeSnapshot(ref, nextCall()), { removed: false });
      await (await dataplane).removeReplica({ owner: ownerOf('replica/acme/rest@w1'), volumeUid: 'REST' }, nextCall());
    }
    assert.equal(readdirSync(volumes), []);
  });

  test('while a guest writes, the copy has one moment; the guest writes on, and its disk stays one file', async () => {
    await make('LIVE', 'raw', 2048);
    await bootSector('LIVE');
    const guest = incarnation(1, 'LIVE');
    await begin(guest);
    await take(specOf('S2', 'LIVE', 'raw', 2048));
    await goesOn('LIVE');
    await take(specOf('S3', 'LIVE', 'raw', 2048));
    assert.is(await codeOf(restore('S3', 'LIVE', 2048)), 'replica_in_use');
    await goesOn('LIVE');
    const [earlier, later] = [await reachOf('S2'), await reachOf('S3')];
    assert.ok(earlier > 0 && later > earlier, `${earlier} and ${later}`);
    assert.equal(
      readdirSync(volumes)
        .filter((name) => name.startsWith('LIVE'))
        .toSorted(),
      ['LIVE.owner', 'LIVE.raw'],
    );
    assert.is((await daemons('S2')) + (await daemons('S3')), 0);
  });

  test('an attempt of a worker that was killed is cleared away, and the next one is complete', async () => {
    await (await dataplane).close();
    const site = { options, folders: foldersOf(options), guestGroups: null } as unknown as DataplaneSite;
    const sessions = new IncarnationSessions();
    const spec = specOf('S4', 'LIVE', 'raw', 2048);
    const left = path.join(volumes, '.S4.qcow2.left');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', left, '2G']);
    const user = await findBytesUser(site, sessions, 'LIVE', fileOf('LIVE', 'raw'));
    assert.ok(user);
    // QEMU has no port for an agent here, so one of ours can be behind its socket.
    const { guestSocket, frozenFile } = pathsOf(site, incarnation(1, 'LIVE').owner);
    const [freeze, thaw] = ['guest-fsfreeze-freeze', 'guest-fsfreeze-thaw'];
    const guest = await serveGuest(guestSocket, agent({ [freeze]: 1, [thaw]: 1 }));
    await beginCopy(user, await serveCopy(site, spec, left, 2048 * mib));
    await sessions.close();
    assert.is(await daemons('S4'), 1);
    // As if it had been killed before the guest has thawed.
    writeFileSync(frozenFile, '');
    dataplane = createDataplane(options);
    assert.is((await take(spec)).consistency, 'frozen');
    assert.equal(guest.asked, [freeze, thaw, thaw, freeze, thaw], 'the guest that was left frozen is thawed first');
    assert.not.ok(existsSync(frozenFile));
    guest.close();
    assert.is((await take(spec)).consistency, 'frozen', 'asked again it is the same copy');
    // While a copy is being made, which is over only when it is told to stop.
    const mute = await serveGuest(guestSocket, agent({ [thaw]: 1 }));
    writeFileSync(frozenFile, '');
    const stopped = new AbortController();
    const waiting = awaitCopy(
      { ...user, ask: async () => ({ id: 'S4', status: 'running' }) as never },
      'S4',
      stopped.signal,
    );
    await until('the guest is thawed', () => !existsSync(frozenFile));
    stopped.abort();
    assert.is(await waiting.catch((error: Error) => error.name), 'AbortError');
    assert.equal(mute.asked, [thaw]);
    // When no copy is made any more, as of a guest that was paused while it was to thaw.
    writeFileSync(frozenFile, '');
    const ended = new AbortController();
    const watch = (await dataplane).watchIncarnation(incarnation(1, 'LIVE'), { ...nextCall(), signal: ended.signal });
    await until('the guest is thawed by the watch of its run', () => !existsSync(frozenFile));
    ended.abort();
    assert.is(await watch.catch((error: Error) => error.name), 'AbortError');
    assert.equal(mute.asked, [thaw, thaw]);
    mute.close();
    await (await dataplane).sweep({ owners: async () => [spec.owner.actor, 'incarnation/acme/web@w1'] }, nextCall());
    assert.equal(
      readdirSync(volumes)
        .filter((name) => name.includes('S4'))
        .toSorted(),
      ['S4.frozen', 'S4.owner', 'S4.qcow2'],
    );
    assert.ok((await reachOf('S4')) > 0);
    assert.is(await daemons('S4'), 0);
    await goesOn('LIVE');
    await (await dataplane).removeSnapshot({ owner: spec.owner, snapshotUid: 'S4' }, nextCall());
    await stop(incarnation(1, 'LIVE'));
  });

  test('a volume that a daemon serves is copied by the daemon; the run can be cut meanwhile', async () => {
    const exports = { owner: ownerOf('volume-export/acme/live@w1', 2), volumeUid: 'LIVE' };
    const serve = { ...exports, clients: [{ runEpoch: 2, host: 'w1' }] };
    const [served] = await (await dataplane).ensureExports(serve, nextCall());
    const guest = incarnation(2, 'LIVE', served?.source);
    await begin(guest);
    await take(specOf('S5', 'LIVE', 'raw', 2048));
    assert.ok((await reachOf('S5')) > 0);
    await goesOn('LIVE');
    assert.is(await codeOf(restore('S5', 'LIVE', 2048)), 'replica_in_use');
    const [taken] = await Promise.allSettled([
      take(specOf('S6', 'LIVE', 'raw', 2048)),
      (await dataplane).removeExports(exports, nextCall()),
    ]);
    assert.is(await daemons('LIVE'), 0, 'the run is cut');
    if (taken.status === 'rejected') assert.match(String(taken.reason.record.group), /fault|unknown/);
    assert.is(await daemons('S6'), 0);
    await stop(guest);
    await take(specOf('S6', 'LIVE', 'raw', 2048));
    assert.ok((await reachOf('S6')) >= (await reachOf('S5')));
  });

  test('nothing is left', async () => {
    for (const uid of ['S2', 'S3', 'S5', 'S6'])
      await (await dataplane).removeSnapshot({ owner: specOf(uid, '').owner, snapshotUid: uid }, nextCall());
    await (await dataplane).removeReplica({ owner: ownerOf('replica/acme/live@w1'), volumeUid: 'LIVE' }, nextCall());
    assert.equal(await (await dataplane).residue(), []);
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
