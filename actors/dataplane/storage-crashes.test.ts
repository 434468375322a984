/** What crashes and failed removals leave of image copies and replicas: complete files with owners. No root needed. */
import { mkdirSync, promises, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf, makeTestFolder, nextCall, ownerOf, testOptions } from './dataplane-for-tests.ts';
import { createDataplane } from './linux-dataplane.ts';

const { folder, remove } = makeTestFolder();
const root = path.join(folder, 'allowed');
mkdirSync(root, { recursive: true });
const node = path.join(folder, 'node');
const opened = createDataplane(testOptions(node, { allowedRoots: [root] }));

test.after(async () => {
  await (await opened).close();
  remove();
});

test('an import is on the disk before it gets its name, and its name before it is reported', async () => {
  const source = path.join(root, 'synced.raw');
  writeFileSync(source, Buffer.alloc(4096, 3));
  const handle = await open(root, 'r');
  const handles = Object.getPrototypeOf(handle) as FileHandle;
  await handle.close();
  const { sync } = handles;
  const { rename } = promises;
  const order: string[] = [];
  handles.sync = async function (this: FileHandle) {
    await sync.call(this);
    order.push((await this.stat()).isDirectory() ? 'folder' : 'file');
  };
  promises.rename = async (from, to) => {
    await rename(from, to);
    order.push(`name ${path.extname(String(to))}`);
  };
  syncBuiltinESMExports();
  try {
    const owner = ownerOf('image-copy/acme/debian@w1');
    await (await opened).importCopy({ owner, path: source, format: 'raw', sha256: null }, nextCall());
  } finally {
    handles.sync = sync;
    promises.rename = rename;
    syncBuiltinESMExports();
  }
  const renamed = order.indexOf('name .raw');
  assert.equal([order[renamed - 1], order[renamed + 1]], ['file', 'folder'], order.join());
});

test('a volume that cannot be removed keeps its owner, so that an older owner is still refused', async () => {
  const dp = await opened;
  const of = ownerOf('replica/acme/stuck@w1', 2);
  const spec = { owner: of, volumeUid: 'STUCK', serial: 'S', sizeMib: 1, format: 'raw' as const, image: null };
  await dp.ensureReplica(spec, nextCall());
  const at = path.join(node, 'volumes/STUCK.raw');
  renameSync(at, `${at}.aside`);
  mkdirSync(path.join(at, 'in the way'), { recursive: true });
  assert.ok(await codeOf(dp.removeReplica({ owner: of, volumeUid: 'STUCK' }, nextCall())));
  assert.ok(readdirSync(path.join(node, 'volumes')).some((name) => name.startsWith('STUCK.') && !name.includes('raw')));
});

test('the owner on the disk refuses an older owner also when the record of fences is lost', async () => {
  const again = path.join(folder, 'again');
  const of = ownerOf('replica/acme/fenced@w1', 2);
  const spec = { owner: of, volumeUid: 'FENCED', serial: 'S', sizeMib: 1, format: 'raw' as const, image: null };
  const first = await createDataplane(testOptions(again));
  await first.ensureReplica(spec, nextCall());
  await first.close();
  for (const name of readdirSync(again)) if (name.startsWith('fences')) rmSync(path.join(again, name));
  const second = await createDataplane(testOptions(again));
  const older = ownerOf('replica/acme/fenced@w1', 1);
  assert.is(await codeOf(second.removeReplica({ owner: older, volumeUid: 'FENCED' }, nextCall())), 'run_epoch_older');
  await second.close();
});

test.run();
