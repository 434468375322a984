/**
 * Volumes made from snapshots, and restored to them, with the real qemu-img: they have exactly the bytes of the copy,
 * in both formats, also of a copy on another host, and are independent of it afterwards. A restoration counts once, and
 * one that is broken off at any point leaves the former bytes or those of the snapshot.
 */
// time limit: 300 s
// test limit: 120 s
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { DiskFormat, ReplicaSpec } from '@photoncloud/machines/values/wiring';
import { codeOf, makeTestFolder, nextCall, ownerOf, testOptions } from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';

const run = promisify(execFile);
const mib = 1 << 20;
const { folder, remove } = makeTestFolder();
const [here, there] = ['w1', 'w2'].map((host) => path.join(folder, host)) as [string, string];
/** What a host says when it is asked for a copy; tests set it. */
let carry = async (snapshotUid: string): Promise<Readable> => (await (await w2).openSnapshot(snapshotUid)).stream;
const w1 = createDataplane(testOptions(here, { fetchSnapshot: async (_, uid) => carry(uid) }));
const w2 = createDataplane(testOptions(there, { host: 'w2' }));

test.after(async () => {
  await Promise.all([(await w1).close(), (await w2).close()]);
  remove();
});

const specOf = (
  volumeUid: string,
  format: DiskFormat = 'raw',
  sizeMib = 8,
  snapshot: Partial<NonNullable<ReplicaSpec['snapshot']>> | null = null,
): ReplicaSpec => ({
  owner: ownerOf(`replica/acme/${volumeUid.toLowerCase()}@w1`),
  volumeUid,
  serial: 'S',
  sizeMib,
  format,
  image: null,
  ...(snapshot === null
    ? {}
    : { snapshot: { uid: 'S1', host: 'w1', allocatedBytes: mib, restore: null, ...snapshot } }),
});
const make = async (spec: ReplicaSpec) => (await w1).ensureReplica(spec, nextCall());
const fileOf = (uid: string, format: DiskFormat = 'raw'): string => path.join(here, 'volumes', `${uid}.${format}`);
const take = async (dataplane: typeof w1, snapshotUid: string, volumeUid: string, format: DiskFormat, sizeMib = 8) =>
  (await dataplane).takeSnapshot(
    { owner: ownerOf(`snapshot-copy/acme/${snapshotUid.toLowerCase()}@w1`), snapshotUid, volumeUid, format, sizeMib },
    nextCall(),
  );
async function io(file: string, format: DiskFormat, ...commands: readonly string[]): Promise<void> {
  const args = commands.flatMap((one) => ['-c', one]);
  const { stdout } = await run('qemu-io', ['-f', format, ...args, file]);
  assert.not.match(stdout, /verification failed|error/i, stdout);
}
const volumes = (): readonly string[] => readdirSync(path.join(here, 'volumes')).toSorted();
const erase = async (volumeUid: string): Promise<void> => {
  await (await w1).removeReplica({ owner: specOf(volumeUid).owner, volumeUid }, nextCall());
};

for (const from of ['raw', 'qcow2'] as const)
  for (const to of ['raw', 'qcow2'] as const)
    test(`a ${to} volume is made from the snapshot of a ${from} one, larger, and needs it no longer`, async () => {
      await make(specOf('ORIGIN', from));
      await io(fileOf('ORIGIN', from), from, 'write -P 0x11 1M 2M', 'write -P 0x12 7M 1M');
      await take(w1, 'S1', 'ORIGIN', from);
      await io(fileOf('ORIGIN', from), from, 'write -P 0x22 1M 2M');
      assert.is(await codeOf(make(specOf('CLONE', to, 7, {}))), 'snapshot_larger');
      assert.is(await codeOf(make(specOf('CLONE', to, 8, { uid: 'ORIGIN' }))), 'snapshot_missing');
      assert.equal(
        volumes().filter((name) => name.startsWith('CLONE') || name.startsWith('.')),
        ['CLONE.owner'],
      );
      const { sizeBytes, created } = await make(specOf('CLONE', to, 16, {}));
      assert.equal([sizeBytes, created], [16 * mib, true]);
      const owner = ownerOf('snapshot-copy/acme/s1@w1');
      await (await w1).removeSnapshot({ owner, snapshotUid: 'S1' }, nextCall());
      const whole = [
        'read -P 0 0 1M',
        'read -P 0x11 1M 2M',
        'read -P 0 3M 4M',
        'read -P 0x12 7M 1M',
        'read -P 0 8M 8M',
      ];
      await io(fileOf('CLONE', to), to, ...whole);
      await io(fileOf('CLONE', to), to, 'write -P 0x33 1M 2M');
      await io(fileOf('ORIGIN', from), from, 'read -P 0x22 1M 2M');
      assert.is((await make(specOf('CLONE', to, 16))).created, false);
      await erase('CLONE');
      await erase('ORIGIN');
      assert.equal(volumes(), []);
    });

for (const format of ['raw', 'qcow2'] as const)
  test(`a ${format} volume is restored once for each restoration, and has its whole size afterwards`, async () => {
    await make(specOf('DATA', format));
    await io(fileOf('DATA', format), format, 'write -P 0x11 1M 2M');
    await take(w1, 'S1', 'DATA', format);
    await make(specOf('DATA', format, 16));
    const later = ['write -P 0x22 2M 8M', 'read -P 0x22 2M 8M'];
    await io(fileOf('DATA', format), format, ...later);
    const whole = ['read -P 0 0 1M', 'read -P 0x11 1M 2M', 'read -P 0 3M 13M'];
    const { sizeBytes } = await make(specOf('DATA', format, 16, { restore: 'R1' }));
    assert.is(sizeBytes, 16 * mib);
    await io(fileOf('DATA', format), format, ...whole, ...later);
    await make(specOf('DATA', format, 16, { restore: 'R1' }));
    await io(fileOf('DATA', format), format, 'read -P 0x22 2M 8M');
    await make(specOf('DATA', format, 16, { restore: 'R2' }));
    await io(fileOf('DATA', format), format, ...whole);
    await erase('DATA');
    await (await w1).removeSnapshot({ owner: ownerOf('snapshot-copy/acme/s1@w1'), snapshotUid: 'S1' }, nextCall());
    assert.equal(volumes(), []);
  });

test('a copy is carried from the host that has it; what breaks off or is no plain qcow2 leaves nothing', async () => {
  const far = path.join(there, 'volumes/FAR.raw');
  await (await w2).ensureReplica({ ...specOf('FAR'), owner: ownerOf('replica/acme/far@w2') }, nextCall());
  await io(far, 'raw', 'write -P 0x11 1M 2M');
  await take(w2, 'S2', 'FAR', 'raw');
  const spec = specOf('CARRIED', 'raw', 8, { uid: 'S2', host: 'w2' });
  const whole = await readFile(path.join(there, 'volumes/S2.qcow2'));
  const honest = carry;
  const broken = async function* () {
    yield whole.subarray(0, 70_000);
    throw new Error('the link broke');
  };
  const backed = path.join(folder, 'backed.qcow2');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', '/etc/hostname', '-F', 'raw', backed, '8M']);
  const backedBytes = await readFile(backed);
  for (const [code, says] of [
    ['fetch_failed', async () => Readable.from(broken())],
    ['fetch_failed', () => Promise.reject(new Error('it does not answer'))],
    ['qcow2_backing_file', async () => Readable.from([backedBytes])],
    ['format_lies', async () => Readable.from([Buffer.alloc(mib, 1)])],
  ] as const) {
    carry = says as typeof carry;
    assert.is(await codeOf(make(spec)), code);
    assert.equal(volumes(), ['CARRIED.owner'], code);
  }
  carry = honest;
  assert.is((await make(spec)).created, true);
  await io(fileOf('CARRIED'), 'raw', 'read -P 0 0 1M', 'read -P 0x11 1M 2M', 'read -P 0 3M 5M');
  assert.equal(volumes(), ['CARRIED.owner', 'CARRIED.raw']);
  assert.is(await codeOf((await w2).openSnapshot('FAR')), 'snapshot_missing');
  await erase('CARRIED');
});

/** Processes that a process has started, those of these too. */
function startedBy(pid: number): readonly { readonly pid: number; readonly name: string }[] {
  const all = readdirSync('/proc').flatMap((name) => {
    try {
      const [, , parent] = /^\d+ \((.*)\) \S (\d+)/s.exec(readFileSync(`/proc/${name}/stat`, 'utf8')) ?? [];
      return /^\d+$/.test(name) ? [{ pid: Number(name), parent: Number(parent) }] : [];
    } catch {
      return [];
    }
  });
  const below = (of: number): readonly number[] =>
    all.flatMap((one) => (one.parent === of ? [one.pid, ...below(one.pid)] : []));
  return below(pid).flatMap((one) => {
    try {
      return [{ pid: one, name: readFileSync(`/proc/${one}/comm`, 'utf8').trim() }];
    } catch {
      return [];
    }
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // It has ended by itself.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

test('a worker that is killed while it restores leaves the former bytes or the new ones', async () => {
  const [former, restored] = [0x22, 0x11];
  const size = 96;
  const node = path.join(folder, 'killed');
  const file = path.join(node, 'volumes/DATA.raw');
  const first = await createDataplane(testOptions(node));
  await first.ensureReplica(specOf('DATA', 'raw', size), nextCall());
  writeFileSync(file, Buffer.alloc(size * mib, restored));
  await take(Promise.resolve(first), 'S1', 'DATA', 'raw', size);
  await first.close();
  const restoring = path.join(import.meta.dirname, 'restoring-for-tests.ts');
  let restores = 0;
  /** @param killAfterMs after its qemu-img has begun, with all that it has started; null: it is not killed */
  async function restore(killAfterMs: number | null): Promise<void> {
    restores += 1;
    const spec = specOf('DATA', 'raw', size, { restore: `R${restores}` });
    const child = spawn(process.execPath, [restoring, node, JSON.stringify(spec)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    if (killAfterMs !== null) {
      while (child.exitCode === null && !startedBy(child.pid ?? 0).some(({ name }) => name === 'qemu-img'))
        await pause(2);
      await pause(killAfterMs);
      for (const { pid } of startedBy(child.pid ?? 0)) kill(pid);
      child.kill('SIGKILL');
    }
    await ended;
    child.stdout.destroy();
  }
  async function valuesOf(): Promise<readonly number[]> {
    const handle = await open(file, 'r');
    const values = new Set<number>();
    const chunk = Buffer.alloc(mib);
    for (let at = 0; at < size; at += 1) {
      await handle.read(chunk, 0, mib, at * mib);
      for (const value of [chunk[0], chunk[mib / 2], chunk[mib - 1]]) values.add(value ?? -1);
    }
    await handle.close();
    return [...values];
  }
  await restore(null);
  assert.equal(await valuesOf(), [restored]);
  const seen = new Set<number>();
  for (const afterMs of [0, 10, 20, 40, 80, 160]) {
    writeFileSync(file, Buffer.alloc(size * mib, former));
    await restore(afterMs);
    const values = await valuesOf();
    assert.is(values.length, 1, `after ${afterMs} ms: ${values.join()}`);
    seen.add(values[0] ?? -1);
  }
  assert.ok(seen.has(former), 'no kill came before the end');
  const left = await createDataplane(testOptions(node));
  const owners = async () => [specOf('DATA').owner.actor, 'snapshot-copy/acme/s1@w1'];
  await left.sweep({ owners }, nextCall({ ownerEpoch: Date.now() }));
  const names = readdirSync(path.join(node, 'volumes')).toSorted();
  assert.equal(names, ['DATA.owner', 'DATA.raw', 'DATA.restored', 'S1.owner', 'S1.qcow2']);
  await left.close();
});

test.run();
