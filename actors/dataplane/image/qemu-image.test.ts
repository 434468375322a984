/** The rights of qemu-img: what it can open, and as whom it runs. Without root there is no right to take away. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { codeOf, makeTestFolder, nextCall, ownerOf, testOptions } from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';
import { findProcesses } from '../process-lookup.ts';
import { runQemuImage, showToQemuImage, sourceFile, targetFile } from './qemu-image.ts';

const { folder, remove } = makeTestFolder();
const node = path.join(folder, 'node');
const testAsRoot = process.getuid?.() === 0 ? test : test.skip;

/** Empty when the process has ended. */
function readStatus(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}

test.after(remove);

/** Its network namespace; empty when the process has ended. */
function readNetwork(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}

testAsRoot(
  'qemu-img opens no file of root but the one that was shown to it, and writes no other than it was given',
  async () => {
    const limits = { what: 'a test', cpuSeconds: 10, timeoutMs: 10_000, fileBytes: 1 << 30, rules: [] };
    const request = { ...limits, signal: new AbortController().signal };
    const key = path.join(folder, 'key.raw');
    const made = path.join(folder, 'made.raw');
    writeFileSync(key, Buffer.alloc(4096, 1), { mode: 0o600 });
    assert.is(await codeOf(runQemuImage(request, ['info', '-f', 'raw', key])), 'not_permitted');
    const source = await open(key, 'r');
    const convert = (to: string) => ['convert', '-f', 'raw', '-O', 'raw', sourceFile, to];
    assert.is(await codeOf(runQemuImage({ ...request, source }, convert(made))), 'not_permitted', 'not shown yet');
    await showToQemuImage(source);
    assert.is(await codeOf(runQemuImage({ ...request, source }, convert(made))), 'not_permitted', 'no other name');
    assert.not.ok(existsSync(made));
    const target = await open(made, 'wx', 0o600);
    await runQemuImage({ ...request, source, target }, convert(targetFile));
    assert.equal(readFileSync(made), readFileSync(key));
    await source.close();
    await target.close();
  },
);

testAsRoot(
  'two qemu-img that run at once have two users without rights and no network; the volumes that they made are root’s',
  async () => {
    const dp = await createDataplane(testOptions(node, { allowedRoots: [folder] }));
    const random = path.join(folder, 'random.raw');
    writeFileSync(random, randomBytes(64 << 20));
    const owner = ownerOf('image-copy/acme/random@w1');
    const { sha256 } = await dp.importCopy({ owner, path: random, format: 'raw', sha256: null }, nextCall());
    const image = { sha256, format: 'raw' as const };
    const isQemuImage = (words: readonly string[]): boolean => words[0] === 'qemu-img' && words.includes(targetFile);
    const uids = new Set<string>();
    const networks = new Set<string>();
    const seen: string[] = [];
    // Two at once, again and again until both were seen while they ran.
    for (let round = 0; uids.size < 2; round += 1) {
      assert.ok(round < 50, 'qemu-img was not seen while it ran');
      const specs = ['A', 'B'].map((name) => ({
        owner: ownerOf(`replica/acme/watched-${name.toLowerCase()}@w1`),
        volumeUid: `WATCHED${name}${round}`,
        serial: 'S',
        sizeMib: 64,
        format: 'qcow2' as const,
        image,
      }));
      let made = false;
      const work = Promise.all(specs.map((spec) => dp.ensureReplica(spec, nextCall()))).finally(() => (made = true));
      while (!made) {
        for (const { pid } of await findProcesses(isQemuImage)) {
          const status = readStatus(pid);
          if (status === '') continue;
          seen.push(status);
          networks.add(readNetwork(pid));
          uids.add(/^Uid:\t(\d+)/m.exec(status)?.[1] ?? '');
        }
      }
      await work;
      for (const spec of specs) {
        const { uid, gid, mode } = statSync(path.join(node, `volumes/${spec.volumeUid}.qcow2`));
        assert.equal([uid, gid, mode & 0o777], [0, 0, 0o600]);
        await dp.removeReplica(spec, nextCall());
      }
    }
    networks.delete('');
    assert.ok(networks.size > 0 && !networks.has(readNetwork(process.pid)), 'qemu-img has a network');
    for (const status of seen) {
      const field = (name: string): string => new RegExp(`^${name}:[\\t ]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? '';
      const [uid = ''] = field('Uid').split('\t');
      assert.ok(Number(uid) >= 1_899_000_000 && Number(uid) < 1_899_999_999, uid);
      assert.equal(new Set(field('Uid').split('\t')), new Set([uid]));
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(field(set), /^0+$/, set);
      assert.equal([field('NoNewPrivs'), field('Groups')], ['1', '']);
    }
    await dp.close();
  },
);

test.run();
