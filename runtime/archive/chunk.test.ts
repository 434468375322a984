import { mkdtemp, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId } from '../contract/identifiers.ts';
import { codeOf } from './history-for-tests.ts';
import { parsePointer, pointerText, runLine, type RunPlace } from './history-run.ts';
import { checkArchive } from './chunk-check.ts';
import { headerBytes, chunkName } from './chunk-format.ts';
import { readRunLine } from './chunk-reader.ts';
import { ChunkWriter } from './chunk-writer.ts';

interface Stage {
  folder: string;
}

const test = suite<Stage>('archive chunks');

test.before.each(async (stage) => {
  stage.folder = await mkdtemp(join(tmpdir(), 'photon-archive-test-'));
});
test.after.each(({ folder }) => rm(folder, { recursive: true, force: true }));

const linesOf = (mark: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${mark} ${index} ${'x'.repeat(300)}`);

/** Three chunks of several blocks each, written by three writers one after the other. */
async function filled(folder: string): Promise<Map<RunPlace, string>> {
  const written = new Map<RunPlace, string>();
  for (const mark of ['one', 'two', 'three']) {
    const writer = new ChunkWriter({ folder, node: 'c1' });
    for (const part of [linesOf(`${mark} a`, 3), linesOf(`${mark} b`, 2000)]) {
      for (const [index, place] of (await writer.append(part)).entries()) written.set(place, part[index] ?? '');
    }
    await writer.close();
  }
  return written;
}

test('every line is read back by its place, across chunks and blocks', async ({ folder }) => {
  const written = await filled(folder);
  assert.equal([...new Set([...written.keys()].map(({ chunk }) => chunk))], [1, 2, 3]);
  assert.ok(new Set([...written.keys()].map(({ chunk, offset }) => `${chunk} ${offset}`)).size >= 9, 'blocks');
  for (const [index, [place, line]] of [...written].entries()) {
    if (index % 500 < 4) assert.is(await readRunLine(folder, place), line);
  }
  const found = await checkArchive(folder);
  assert.equal([found.chunks, found.damage, found.remains], [3, [], []]);
});

test('a full chunk gets a successor', async ({ folder }) => {
  const writer = new ChunkWriter({ folder, node: 'c1', chunkBytes: 1 });
  const places = [await writer.append(['a']), await writer.append(['b'])].flat();
  assert.equal(
    places.map(({ chunk }) => chunk),
    [1, 2],
  );
  assert.is(await readRunLine(folder, places[0] as RunPlace), 'a');
  await writer.close();
});

test('a tail torn by a crash is kept and reported as harmless', async ({ folder }) => {
  const writer = new ChunkWriter({ folder, node: 'c1' });
  const [kept] = await writer.append(['kept']);
  await writer.close();
  const path = join(folder, chunkName(1));
  const whole = await readFile(path);
  await writeFile(path, Buffer.concat([whole, whole.subarray(whole.length - 40)]));
  const next = new ChunkWriter({ folder, node: 'c1' });
  const [later] = await next.append(['later']);
  await next.close();
  assert.is(later?.chunk, 2);
  assert.is(await readRunLine(folder, kept as RunPlace), 'kept');
  const found = await checkArchive(folder);
  assert.equal(found.damage, []);
  assert.match(found.remains[0] ?? '', /40 bytes of an interrupted write/);
});

test('a flipped bit anywhere is found and located', async ({ folder }) => {
  await filled(folder);
  const path = join(folder, chunkName(2));
  const whole = await readFile(path);
  for (let at = 0; at < whole.length; at += Math.ceil(whole.length / 60)) {
    const bent = Buffer.from(whole);
    bent[at] = (bent[at] ?? 0) ^ 4;
    await writeFile(path, bent);
    const { damage } = await checkArchive(folder);
    assert.ok(
      damage.some((line) => line.includes(chunkName(2))),
      `byte ${at}: ${damage.join()}`,
    );
  }
});

test('truncated, missing, swapped and inserted parts are found and located', async ({ folder }) => {
  await filled(folder);
  const [first, second, third] = [1, 2, 3].map((chunk) => join(folder, chunkName(chunk))) as [string, string, string];
  const whole = await readFile(second);
  const damage = async (): Promise<string> => (await checkArchive(folder)).damage.join('\n');
  await truncate(second, whole.length - 1);
  assert.match(await damage(), /0000000002\.chunk: from byte \d+ of \d+: the block is cut short/);
  const firstBlock = headerBytes + whole.readUInt32BE(4);
  const secondBlock = headerBytes + whole.readUInt32BE(firstBlock + 4);
  await writeFile(second, whole.subarray(0, firstBlock + secondBlock));
  assert.match(await damage(), /0000000002\.chunk: from byte \d+ of \d+: the rest is missing/);
  const without = Buffer.concat([whole.subarray(0, firstBlock), whole.subarray(firstBlock + secondBlock)]);
  await writeFile(second, without);
  assert.match(await damage(), /does not follow the one before it/);
  await writeFile(second, await readFile(first));
  assert.match(await damage(), /0000000002\.chunk: its head names chunk 1/);
  await rm(second);
  assert.match(await damage(), /0000000002\.chunk: missing/);
  await writeFile(second, whole);
  assert.is(await damage(), '');
  await rename(first, `${first}.away`);
  assert.match(await damage(), /up to 0000000001\.chunk, are missing/);
  await rename(`${first}.away`, first);
  await truncate(third, 10);
  assert.match(await damage(), /0000000003\.chunk: the first block does not verify/);
});

test('reading a run from a damaged block fails with file and byte', async ({ folder }) => {
  const writer = new ChunkWriter({ folder, node: 'c1' });
  const [place] = await writer.append(linesOf('a', 10));
  await writer.close();
  const wanted = place as RunPlace;
  const path = join(folder, chunkName(wanted.chunk));
  const { size } = await stat(path);
  const whole = await readFile(path);
  // Except for a damaged chain, which only a check of the whole file finds.
  for (let at = wanted.offset; at < size; at += at === wanted.offset + 15 ? 33 : 1) {
    const bent = Buffer.from(whole);
    bent[at] = (bent[at] ?? 0) ^ 4;
    await writeFile(path, bent);
    assert.is(await codeOf(readRunLine(folder, wanted)), 'archive_damaged', `byte ${at}`);
  }
  for (const bad of [
    { ...wanted, offset: 7 },
    { ...wanted, chunk: 9 },
    { ...wanted, offset: size + 5 },
  ]) {
    assert.is(await codeOf(readRunLine(folder, bad)), 'archive_damaged');
  }
});

test('a pointer is parsed as it was written; other text is no pointer', () => {
  const pointer = { node: 'c-1', chunk: 12, offset: 4096, line: 3, last: '44-2' };
  assert.equal(parsePointer(pointerText(pointer)), pointer);
  for (const text of ['', 'c1', 'c1/1/2/3', 'c1/1/2/x/4-0', '../1/2/3/4-0']) assert.is(parsePointer(text), undefined);
  const line = runLine(actorId('vm/acme/web'), '', [{ id: '3-0', text: '{"version":3}' }]);
  assert.equal(JSON.parse(line), {
    actor: 'vm/acme/web',
    before: '',
    first: '3-0',
    last: '3-0',
    entries: [{ version: 3 }],
  });
});

test.run();
