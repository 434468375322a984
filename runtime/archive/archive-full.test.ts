// needs: kernel
/** A full disk: a small tmpfs under the archive. */
import { execFile } from 'node:child_process';
import { open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId } from '../contract/identifiers.ts';
import { TestRedis, until } from '../journal/redis-for-tests.ts';
import { archivingNode, climb, contextAt, own, removeFolder, tempFolder } from './history-for-tests.ts';
import { checkArchive } from './chunk-check.ts';

const run = promisify(execFile);
const web = actorId('vm/acme/web');
const cleanUp: (() => Promise<unknown>)[] = [];

test.after(async () => {
  for (const step of cleanUp.toReversed()) await step();
});

/** Fills the rest of the disk. @returns the file to remove */
async function fill(folder: string): Promise<string> {
  const path = join(folder, 'ballast');
  const file = await open(path, 'w');
  try {
    for (;;) await file.write(Buffer.alloc(4096, 1));
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ENOSPC');
  } finally {
    await file.close();
  }
  return path;
}

test('while the disk is full history stays in the store and commits go on; later it is archived', async () => {
  const redis = await TestRedis.start();
  cleanUp.push(() => redis.remove());
  const folder = await tempFolder();
  cleanUp.push(() => removeFolder(folder));
  await run('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder]);
  cleanUp.push(() => run('umount', [folder]));
  const node = await archivingNode(redis.url, 'n1', folder);
  cleanUp.push(() => node.end());
  await own(node, web, 1);
  const hot = async (): Promise<number> => Number(await redis.ask('XLEN', await streamOf()));
  const streamOf = async (): Promise<string> => (await node.store.shared.redis.keys(`*h:${web}`))[0] ?? '';
  await climb(node, web, 1, 100);
  await until('a first run on the disk', async () => (await hot()) <= 64);
  const ballast = await fill(folder);
  assert.is((await statfs(folder)).bavail, 0);
  await climb(node, web, 101, 300);
  await until('the alarm', () => node.archiver.figures().trouble !== undefined);
  const { trouble } = node.archiver.figures();
  assert.match(trouble?.message ?? '', /cannot be written .*ENOSPC.*free space/);
  assert.ok(node.log.lines.some((line) => line.startsWith('error history stays in the store')));
  await climb(node, web, 301, 380);
  assert.ok((await hot()) >= 300, 'everything is still hot');
  await until('the failed write has left nothing', async () => (await checkArchive(folder)).remains.length === 0);
  assert.equal((await node.historian.at(web, 150)).context, contextAt(150));
  await rm(ballast);
  await until('it has caught up', async () => (await hot()) <= 64);
  assert.is(node.archiver.figures().trouble, undefined);
  assert.is(node.archiver.figures().lostVersions, 0);
  const entries = await node.historian.history(web, { after: 0, limit: 1_000 });
  assert.equal(
    entries.map(({ version }) => version),
    Array.from({ length: 380 }, (_, at) => at + 1),
  );
  assert.equal((await checkArchive(folder)).damage, []);
});

test.run();
