/** Bytes of an image that a client sends: offsets, breaks, a killed worker, refusals. No root needed. */
// test limit: 180 s
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImageFormat } from '@photoncloud/machines/values/wiring';
import { codeOf, makeTestFolder, nextCall, ownerOf, testOptions, until } from '../dataplane-for-tests.ts';
import type { Dataplane } from '../contract/dataplane-contract.ts';
import { createDataplane } from '../linux-dataplane.ts';
import { hostileImages } from './hostile-images-for-tests.ts';

const { folder, remove } = makeTestFolder();
const open = (): Promise<Dataplane> => createDataplane(testOptions(folder));
const chunkBytes = 90 * 1024;
const bytes = randomBytes(1 << 20);
const sha = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
let owners = 0;
const specOf = (content: Buffer, format: ImageFormat = 'raw', uploadBytes = content.length) => ({
  owner: ownerOf(`image-copy/t${(owners += 1)}/sent@w1`),
  source: { uploadBytes },
  format,
  sha256: sha(content),
});
const left = (): readonly string[] =>
  ['images', 'incoming'].flatMap((name) => {
    const at = path.join(folder, name);
    return existsSync(at) ? readdirSync(at) : [];
  });

test.after(remove);

/** Sends what the host says is missing, from a wrong offset at first, until `until` bytes have come. */
async function send(dp: Dataplane, actor: string, content: Buffer, end = content.length): Promise<number> {
  let { receivedBytes } = await dp.putGathered(actor, content.length * 2, content.subarray(0, 10));
  while (receivedBytes < end) {
    const chunk = content.subarray(receivedBytes, Math.min(end, receivedBytes + chunkBytes));
    ({ receivedBytes } = await dp.putGathered(actor, receivedBytes, chunk));
  }
  return receivedBytes;
}

test('an upload goes on with the missing bytes after a break and after its worker was killed', async () => {
  const spec = specOf(bytes);
  const { actor } = spec.owner;
  const first = await open();
  assert.is(await codeOf(first.putGathered(actor, 0, bytes.subarray(0, 1))), 'upload_not_ready');
  assert.equal(await first.gatherCopy(spec, nextCall()), { receivedBytes: 0, totalBytes: 1 << 20, isWhole: false });
  assert.is(await send(first, actor, bytes, 300_000), 300_000);
  // Sent again after a lost answer: nothing is taken twice.
  assert.is((await first.putGathered(actor, 200_000, bytes.subarray(200_000, 290_000))).receivedBytes, 300_000);
  await first.close();
  const second = await open();
  assert.is(await codeOf(second.putGathered(actor, 300_000, bytes.subarray(0, 1))), 'upload_not_ready');
  assert.is((await second.gatherCopy(spec, nextCall())).receivedBytes, 300_000);
  assert.is(await codeOf(second.storeGathered(spec, nextCall())), 'gathered_missing');
  await second.gatherCopy(spec, nextCall());
  await send(second, actor, bytes);
  assert.ok((await second.gatherCopy(spec, nextCall())).isWhole);
  assert.equal((await second.storeGathered(spec, nextCall())).sizeBytes, 1 << 20);
  await second.removeCopy({ owner: spec.owner, sha256: spec.sha256, format: 'raw' }, nextCall());
  await second.close();
  assert.equal(left(), []);
});

test('the host reports what has come while it waits', async () => {
  const dp = await open();
  const spec = specOf(bytes);
  await dp.gatherCopy(spec, nextCall());
  const report = dp.gatherCopy(spec, nextCall());
  await send(dp, spec.owner.actor, bytes, 500_000);
  assert.equal(await report, { receivedBytes: 500_000, totalBytes: 1 << 20, isWhole: false });
  await dp.removeCopy({ owner: spec.owner, sha256: null, format: 'raw' }, nextCall());
  await dp.close();
  assert.equal(left(), []);
});

test('more or other bytes than declared, and hostile images are refused; nothing is left', async () => {
  const dp = await open();
  const long = specOf(bytes, 'raw', 1000);
  await dp.gatherCopy(long, nextCall());
  assert.is(await codeOf(dp.putGathered(long.owner.actor, 0, bytes.subarray(0, 1001))), 'source_too_large');
  assert.is(await codeOf(dp.gatherCopy(long, nextCall())), 'source_too_large', 'its image is told, too');
  const other = { ...specOf(bytes), sha256: 'a'.repeat(64) };
  await dp.gatherCopy(other, nextCall());
  await send(dp, other.owner.actor, bytes);
  assert.is(await codeOf(dp.storeGathered(other, nextCall())), 'digest_mismatch');
  const mistakes: string[] = [];
  for (const { name, declared, refusal, bytes: content } of hostileImages.filter((one) => one.bytes.length > 0)) {
    const spec = specOf(content, declared);
    await dp.gatherCopy(spec, nextCall());
    const work = send(dp, spec.owner.actor, content).then(() => dp.storeGathered(spec, nextCall()));
    const code = await codeOf(work).catch((error: unknown) => String(error));
    // What says at its end what it is is refused at its begin already, where it is not what was declared.
    const isEarly = refusal === 'format_unsupported' && declared !== 'raw' && code === 'format_lies';
    if (code !== refusal && !isEarly) mistakes.push(`${name} as ${declared}: ${code}, not ${refusal}`);
    await dp.removeCopy({ owner: spec.owner, sha256: null, format: declared }, nextCall());
  }
  assert.equal(mistakes, []);
  await until('nothing is left', () => left().length === 0);
  await dp.close();
});

test.run();
