/**
 * A guest on a disk that is full, with the real QEMU and a file system of fixed size: it stands still without an error,
 * the stall is found by every watch, and it goes on when there is space. The guest is a boot sector that writes to its
 * disk for ever.
 */
// needs: kernel
// time limit: 240 s
// test limit: 100 s
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { IncarnationSpec } from '@photoncloud/machines/values/wiring';
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
import { createDataplane } from '../linux-dataplane.ts';
import { writingGuest } from './writing-guest-for-tests.ts';

const mib = 1 << 20;
const qemu = testQemu();

function declare(): void {
  if (qemu === null) {
    test.skip('there is no QEMU in .cache/toolchain.json: run set-up first');
    return;
  }
  const { folder, remove } = makeTestFolder();
  const home = path.join(folder, 'small');
  const ballast = path.join(home, 'ballast');
  const volume = path.join(home, 'volumes/DATA.raw');
  const owner = ownerOf('replica/acme/data@w1');
  const replica = { owner, volumeUid: 'DATA', serial: 'SERIAL', sizeMib: 1024, format: 'raw' as const, image: null };
  const incarnation: IncarnationSpec = {
    owner: ownerOf('incarnation/acme/web@w1'),
    vm: 'vm/acme/web',
    ...smallGuest,
    disks: [{ volume: 'volume/acme/data', volumeUid: 'DATA', serial: 'SERIAL', format: 'raw' }],
  };
  const opened = (): ReturnType<typeof createDataplane> => createDataplane(testOptions(home, { qemu }));
  const writtenBytes = (): number => statSync(volume).blocks * 512;

  test.after(async () => {
    const dp = await opened();
    await dp.stopIncarnation({ incarnation, graceMs: 0 }, nextCall({ ownerEpoch: 3 }));
    await dp.close();
    await run('umount', home);
    remove();
  });

  test('a guest whose host has no space left stands still, and goes on by itself once there is space', async () => {
    mkdirSync(home);
    await run('mount', '-t', 'tmpfs', '-o', 'size=192m', 'tmpfs', home);
    writeFileSync(ballast, Buffer.alloc(80 * mib, 1));
    const dp = await opened();
    await dp.ensureReplica(replica, nextCall());
    const disk = await open(volume, 'r+');
    await disk.write(writingGuest, 0, writingGuest.length, 0);
    await disk.close();
    await dp.startIncarnation(incarnation, nextCall());
    await dp.resumeIncarnation(incarnation, nextCall());
    const stall = await dp.watchDisks(incarnation, nextCall());
    assert.equal([stall.code, stall.retryable], ['disk_full', true]);
    assert.match(stall.message, /no space left for volume\/acme\/data/);
    assert.is((await dp.readIncarnation(incarnation, nextCall())).runStatus, 'io-error');
    const full = writtenBytes();
    await dp.close();

    // The next worker process finds the stall too, although the event was sent before it came.
    const next = await opened();
    assert.is((await next.watchDisks(incarnation, nextCall())).code, 'disk_full');
    let goesOn = false;
    const waiting = next.awaitDisks(incarnation, nextCall()).then(() => (goesOn = true));
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    assert.equal([goesOn, writtenBytes()], [false, full], 'it was resumed on a full disk');
    rmSync(ballast);
    await waiting;
    await until('the guest writes again', () => writtenBytes() > full + mib);
    await next.close();
  });

  test('on a full disk a later owner stops the guest at once, and removes its volume', async () => {
    const dp = await opened();
    await dp.watchDisks(incarnation, nextCall());
    assert.throws(() => writeFileSync(path.join(home, 'one more'), Buffer.alloc(64 << 10, 1)), /ENOSPC/);
    const cancelled = new AbortController();
    const waiting = dp.awaitDisks(incarnation, { ...nextCall(), signal: cancelled.signal }).catch(() => 'ended');
    cancelled.abort();
    assert.is(await waiting, 'ended');
    const end = dp.watchIncarnation(incarnation, nextCall());
    // The fence of a new owner epoch must be recorded before anything is done.
    const later = { ownerEpoch: 2 };
    assert.is((await dp.stopIncarnation({ incarnation, graceMs: 60_000 }, nextCall(later))).how, 'quit');
    assert.is((await end).reason, 'host_quit');
    assert.ok((await dp.removeReplica(replica, nextCall(later))).removed);
    assert.is(await codeOf(dp.ensureReplica(replica, nextCall())), 'fence_older');
    await dp.close();
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
