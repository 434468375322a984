// needs: kernel
/** A full disk (a small tmpfs) under the store that a cluster starts for itself. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { freeListenPort, processClock, recordedLog, until } from '@photoncloud/runtime/journal/redis-for-tests';
import { connectStore } from '@photoncloud/runtime/journal/store-connection';
import { initCluster } from './cluster-init.ts';
import { openNodeFolder, storeUrlOf } from './node-config.ts';
import { superviseStore } from './store-process.ts';

const run = promisify(execFile);
const cleanUp: (() => Promise<unknown>)[] = [];

test.after(async () => {
  for (const step of cleanUp.toReversed()) await step();
});

test('the store ends instead of acknowledging what it cannot write, and serves again when there is space', async () => {
  const root = await mkdtemp(join(tmpdir(), 'photon-store-test-'));
  cleanUp.push(() => rm(root, { recursive: true, force: true }));
  const listenPort = await freeListenPort();
  const node = (name: string, role: 'store' | 'controller') => ({ node: name, role, address: '127.0.0.1' });
  await initCluster({
    folder: root,
    cluster: 'full',
    nodes: [node('s1', 'store'), node('c1', 'controller')],
    allowedRoots: [],
    allowedSources: [],
    tenants: [],
    listenPorts: { store: listenPort, sentinel: 26379, peer: 7443, api: 7444 },
  });
  const folder = openNodeFolder(join(root, 'nodes/s1'));
  const home = join(folder.path, 'store');
  await mkdir(home);
  await run('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', home]);
  cleanUp.push(() => run('umount', [home]));
  const log = recordedLog();
  const store = superviseStore(folder, log);
  cleanUp.push(() => store.stop());
  const url = storeUrlOf(folder, undefined);
  const link = await connectStore({ url, prefix: 'ph:full:', clock: processClock, log: recordedLog() });
  cleanUp.push(async () => link.close());
  const client = link.shared.redis;
  let kept = 0;
  const write = async (): Promise<void> => {
    try {
      await client.set(`k${kept}`, 'x'.repeat(4_000));
      kept += 1;
    } catch {
      // The outcome is unknown: the same key is written again.
    }
  };
  const ends = (): string[] => log.lines.filter((line) => line.includes('the store ended'));
  await until('it has ended twice', async () => (await write(), ends().length >= 2));
  assert.match(ends()[0] ?? '', /cannot write; free space for .*nothing acknowledged is lost/);
  const before = kept;
  await run('mount', ['-o', 'remount,size=4m', home]);
  await until('it goes on', async () => (await write(), kept >= before + 20));
  for (let at = 0; at < kept; at += 1) assert.is(await client.strlen(`k${at}`), 4_000, `k${at} of ${before}`);
});

test.run();
