/**
 * Every image of the corpus is refused with its code, at the cost of a few seconds of CPU and little memory, and
 * nothing of it stays on the host. Its harmless relatives are accepted. No root needed.
 */
// test limit: 180 s
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImageFormat } from '@photoncloud/machines/values/wiring';
import { codeOf, makeTestFolder, nextCall, ownerOf, testOptions } from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';
import { gptDisk, hostileImages, qcow2Of } from './hostile-images-for-tests.ts';

const { folder, remove } = makeTestFolder();
const root = path.join(folder, 'allowed');
const node = path.join(folder, 'node');
mkdirSync(root);
const opened = createDataplane(testOptions(node, { allowedRoots: [root] }));
const owner = ownerOf('image-copy/acme/evil@w1');

test.after(async () => {
  await (await opened).close();
  remove();
});

/** Imports these bytes by path. */
async function take(bytes: Buffer, format: ImageFormat) {
  const at = path.join(root, 'image');
  writeFileSync(at, bytes);
  return (await opened).importCopy({ owner, path: at, format, sha256: null }, nextCall());
}

/** Seconds of CPU that this process and its ended children have used, without those of the tests' own bytes. */
function cpuSeconds(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ') ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
}

const left = (): readonly string[] =>
  ['images', 'volumes'].flatMap((name) => {
    const at = path.join(node, name);
    return existsSync(at) ? readdirSync(at) : [];
  });

test('every hostile image is refused with its code, cheaply, and nothing of it is left', async () => {
  const mistakes: string[] = [];
  const rssBefore = process.memoryUsage.rss();
  let dearest = { name: '', seconds: 0 };
  for (const { name, declared, refusal, bytes } of hostileImages) {
    const before = cpuSeconds();
    const code = await codeOf(take(bytes, declared)).catch((error: unknown) => String(error));
    const seconds = cpuSeconds() - before;
    if (seconds > dearest.seconds) dearest = { name, seconds };
    if (code !== refusal) mistakes.push(`${name} as ${declared}: ${code}, not ${refusal}`);
  }
  assert.equal(mistakes, []);
  assert.equal(left(), []);
  // qemu-img itself may use 20 s and 2 GiB: its limits are those of the kernel.
  assert.ok(dearest.seconds < 5, `${dearest.name} took ${dearest.seconds} s of CPU`);
  const grownMib = (process.memoryUsage.rss() - rssBefore) / 2 ** 20;
  assert.ok(grownMib < 200, `the worker has grown by ${grownMib} MiB`);
  console.log(`${hostileImages.length} images; the dearest: ${dearest.name}, ${dearest.seconds.toFixed(2)} s of CPU`);
});

test('their harmless relatives are accepted', async () => {
  const harmless: readonly (readonly [string, ImageFormat, Buffer])[] = [
    ['qcow2 made by the same code', 'qcow2', qcow2Of()],
    ['raw disk with a GPT', 'raw', gptDisk()],
    ['boot sector of a file system', 'raw', Buffer.alloc(1 << 20, 0x55).fill(0xaa, 511, 512)],
    ['text that speaks of a version', 'raw', Buffer.from('# of a disk\nthe version=1 of it')],
  ];
  for (const [name, format, bytes] of harmless) {
    const proof = await take(bytes, format).catch((error: unknown) => error);
    assert.equal(
      (proof as { sha256?: string }).sha256,
      createHash('sha256').update(bytes).digest('hex'),
      `${name}: ${String(proof)}`,
    );
  }
});

test.run();
