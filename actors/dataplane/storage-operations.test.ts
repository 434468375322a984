/** Image copies and replicas: which files are refused and why, what is stored, who owns it. No root needed. */
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImageFormat } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { codeOf, makeTestFolder, nextCall, ownerOf, testOptions, until } from './dataplane-for-tests.ts';
import type { Call } from './contract/call-contract.ts';
import { createDataplane } from './linux-dataplane.ts';

const { folder, remove } = makeTestFolder();
const root = path.join(folder, 'allowed');
mkdirSync(path.join(root, 'deep'), { recursive: true });
mkdirSync(path.join(folder, 'secret'));
const blobs = new Map<string, Buffer>();
const node = path.join(folder, 'node');
const opened = createDataplane(
  testOptions(node, {
    allowedRoots: [root],
    fetchBlob: async (host, sha256) => {
      const blob = blobs.get(`${host}/${sha256}`);
      if (blob === undefined) throw new Error('the host does not answer');
      return Readable.from([blob.subarray(0, 1000), blob.subarray(1000)]);
    },
  }),
);
const file = (name: string, content: Buffer | string): string => {
  const at = path.join(root, name);
  writeFileSync(at, content);
  return at;
};
const sha = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
const owner = ownerOf('image-copy/acme/debian@w1');
const take = async (at: string, format: ImageFormat, sha256: string | null = null, as = owner) =>
  (await opened).importCopy({ owner: as, path: at, format, sha256 }, nextCall());
const qemuImg = (...args: string[]): void => void execFileSync('qemu-img', args, { stdio: 'pipe' });
const qcow2 = (name: string, ...more: string[]): string => {
  const at = path.join(root, name);
  qemuImg('create', '-q', '-f', 'qcow2', ...more, at, '8M');
  return at;
};
const patched = (name: string, offset: number, bytes: number[], ...more: string[]): string => {
  const content = readFileSync(qcow2(name, ...more));
  Buffer.from(bytes).copy(content, offset);
  return file(name, content);
};
/** A qcow2 whose first header extension is harmless and whose second names a data file; no feature bit says so. */
function secondExtension(name: string): string {
  const content = readFileSync(qcow2(name));
  let end = content.readUInt32BE(100);
  while (content.readUInt32BE(end) !== 0) end += 8 + Math.ceil(content.readUInt32BE(end + 4) / 8) * 8;
  assert.ok(end > content.readUInt32BE(100), 'qemu-img writes an extension of its own first');
  content.write('DATA', end, 'latin1');
  content.writeUInt32BE(8, end + 4);
  content.write('disk.raw', end + 8, 'latin1');
  return file(name, content);
}

/** What only qemu-img finds: the header is right, and the snapshot that it names is not. */
const badSnapshot = (): string => {
  const content = readFileSync(qcow2('bad-snapshot'));
  const at = Math.ceil(content.length / 65_536) * 65_536;
  const longer = Buffer.concat([content, Buffer.alloc(at - content.length), Buffer.alloc(65_536, 0xff)]);
  longer.writeUInt32BE(1, 60);
  longer.writeBigUInt64BE(BigInt(at), 64);
  return file('bad-snapshot', longer);
};

test.after(async () => {
  await (await opened).close();
  remove();
});

test('a path is accepted only without "." and "..", below an allowed folder, and without symbolic links', async () => {
  const real = file('disk.raw', Buffer.alloc(4096, 7));
  writeFileSync(path.join(folder, 'secret/key'), 'top secret');
  symlinkSync(path.join(folder, 'secret/key'), path.join(root, 'link'));
  symlinkSync(path.join(folder, 'secret'), path.join(root, 'folder-link'));
  execFileSync('mkfifo', [path.join(root, 'pipe')]);
  const refusals: [string, string][] = [
    [path.join(folder, 'secret/key'), 'path_outside_roots'],
    [`${root}-beside/x`, 'path_outside_roots'],
    ['/etc/shadow', 'path_outside_roots'],
    [`${root}/../secret/key`, 'path_not_absolute'],
    ['allowed/disk.raw', 'path_not_absolute'],
    [`${root}//disk.raw`, 'path_not_absolute'],
    [`${root}/link`, 'path_is_link'],
    [`${root}/folder-link/key`, 'path_is_link'],
    [`${root}/none`, 'path_missing'],
    [`${root}/disk.raw/x`, 'path_missing'],
    [`${root}/deep`, 'path_not_regular'],
    [`${root}/pipe`, 'path_not_regular'],
  ];
  for (const [at, code] of refusals) assert.is(await codeOf(take(at, 'raw')), code, at);
  const proof = await (await opened).inspectImage({ path: real, format: 'raw' }, nextCall());
  assert.equal(proof, { sha256: sha(readFileSync(real)), sizeBytes: 4096, virtualSizeBytes: 4096 });
  assert.equal(
    existsSync(path.join(node, 'images')) ? readdirSync(path.join(node, 'images')) : [],
    [],
    'something was made',
  );
});

test('an image that is damaged, refers to another file or has another format is refused with a code', async () => {
  const base = qcow2('base.qcow2');
  const withBase = path.join(root, 'child.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', withBase);
  const external = path.join(root, 'external.qcow2');
  qemuImg(
    'create',
    '-q',
    '-f',
    'qcow2',
    '-o',
    `data_file=${path.join(root, 'external.data')},data_file_raw=on`,
    external,
    '8M',
  );
  const vmdk = path.join(root, 'disk.vmdk');
  qemuImg('create', '-q', '-f', 'vmdk', vmdk, '8M');
  const vhd = path.join(root, 'disk.vpc');
  qemuImg('create', '-q', '-f', 'vpc', '-o', 'subformat=fixed', vhd, '8M');
  const refusals: [string, ImageFormat, string][] = [
    [withBase, 'qcow2', 'qcow2_backing_file'],
    [external, 'qcow2', 'qcow2_data_file'],
    [base, 'raw', 'format_lies'],
    [vmdk, 'raw', 'format_unsupported'],
    [vhd, 'raw', 'format_unsupported'],
    [vmdk, 'qcow2', 'format_unsupported'],
    [file('text', 'hello'), 'qcow2', 'format_lies'],
    [file('text2', 'hello'), 'kernel', 'format_lies'],
    [file('text3', 'hello'), 'initrd', 'format_lies'],
    [file('empty', ''), 'raw', 'image_empty'],
    [file('short', 'QFI\xfb'), 'qcow2', 'format_lies'],
    [patched('v4', 4, [0, 0, 0, 4]), 'qcow2', 'qcow2_version'],
    [patched('dirty', 79, [1]), 'qcow2', 'qcow2_incompatible'],
    [patched('unknown-bit', 72, [0x80]), 'qcow2', 'qcow2_incompatible'],
    [patched('datafile-bit', 79, [4]), 'qcow2', 'qcow2_data_file'],
    [secondExtension('named-file'), 'qcow2', 'qcow2_data_file'],
    [patched('crypt', 32, [0, 0, 0, 1]), 'qcow2', 'qcow2_encrypted'],
    [patched('huge', 24, [0x7f]), 'qcow2', 'qcow2_size'],
    [patched('cluster', 20, [0, 0, 0, 40]), 'qcow2', 'qcow2_malformed'],
    [patched('l1', 40, [0x7f]), 'qcow2', 'qcow2_malformed'],
    [patched('header', 100, [0, 0, 0, 9]), 'qcow2', 'qcow2_malformed'],
    [patched('refcount-order', 96, [0, 0, 0, 9]), 'qcow2', 'qcow2_malformed'],
    [patched('no-refcounts', 56, [0, 0, 0, 0]), 'qcow2', 'qcow2_malformed'],
    [patched('many-refcounts', 56, [0, 0, 9, 0]), 'qcow2', 'qcow2_malformed'],
    [patched('refcounts-beyond', 48, [0, 0, 0, 0, 0x40, 0, 0, 0]), 'qcow2', 'qcow2_malformed'],
    [patched('refcounts-unaligned', 55, [8]), 'qcow2', 'qcow2_malformed'],
    [patched('small-l1', 36, [0, 0, 0, 0]), 'qcow2', 'qcow2_malformed'],
    [patched('l1-unaligned', 47, [8]), 'qcow2', 'qcow2_malformed'],
    [patched('many-snapshots', 60, [0, 2, 0, 0]), 'qcow2', 'qcow2_malformed'],
    [patched('compression', 104, [7]), 'qcow2', 'qcow2_malformed'],
    [patched('unannounced-zstd', 104, [1]), 'qcow2', 'qcow2_malformed'],
    [
      patched('subclusters', 76, [0, 0, 0, 0x10, ...Array(16).fill(0)], '-o', 'cluster_size=4k'),
      'qcow2',
      'qcow2_malformed',
    ],
    [badSnapshot(), 'qcow2', 'qcow2_unusable'],
  ];
  for (const [at, format, code] of refusals)
    assert.is(await codeOf(take(at, format)), code, `${path.basename(at)} as ${format}`);
  assert.is(await codeOf(take(base, 'qcow2', 'f'.repeat(64))), 'digest_mismatch');
  assert.is(await codeOf(take(base, 'qcow2', 'short')), 'spec_invalid');
  const images = path.join(node, 'images');
  assert.equal(existsSync(images) ? readdirSync(images) : [], [], 'something was left');
});

test('what QEMU says about an image that it cannot open reaches the client, in one line without paths', async () => {
  const refusal = await take(badSnapshot(), 'qcow2').catch((error: unknown) => error);
  assert.instance(refusal, PhotonError);
  const { message } = (refusal as PhotonError).record;
  assert.match(message, /bad-snapshot: qemu-img failed: qemu-img: Could not open the image: .*snapshot/i);
  assert.not.match(message, /\/proc\/|\/dev\/|[\n\t]/);
  // The same when a volume is made from a copy that was damaged after its import.
  const { sha256 } = await take(qcow2('spoilt-later'), 'qcow2');
  copyFileSync(path.join(root, 'bad-snapshot'), path.join(node, `images/${sha256}.qcow2`));
  const image = { sha256, format: 'qcow2' as const };
  const spec = { owner, volumeUid: 'SPOILT', serial: 'S', sizeMib: 16, format: 'raw' as const, image };
  const failure = await (await opened).ensureReplica(spec, nextCall()).catch((error: unknown) => error);
  assert.instance(failure, PhotonError);
  assert.match((failure as PhotonError).record.message, /Could not open the image: .*snapshot/i);
  assert.not.match((failure as PhotonError).record.message, /\/proc\/|\/dev\/|photon-dataplane/);
  await (await opened).removeCopy({ owner, sha256, format: 'qcow2' }, nextCall());
});

test('a file is imported only if everybody may read it, or it is the image owner’s, and it has one name', async () => {
  const dp = await createDataplane(testOptions(node, { allowedRoots: [root], imageOwnerUid: 4242 }));
  const codeAt = (at: string) => codeOf(dp.inspectImage({ path: at, format: 'raw' }, nextCall()));
  const fits = async (at: string) => (await dp.inspectImage({ path: at, format: 'raw' }, nextCall())).sizeBytes;
  const private600 = file('private.raw', Buffer.alloc(4096, 1));
  for (const mode of [0o000, 0o600, 0o640, 0o660]) {
    chmodSync(private600, mode);
    assert.is(await codeAt(private600), 'path_private', `mode ${mode.toString(8)}`);
  }
  if (process.getuid?.() === 0) {
    chownSync(private600, 4242, 0);
    assert.is(await fits(private600), 4096);
    chmodSync(private600, 0o060);
    assert.is(await codeAt(private600), 'path_private', 'its owner may not read it');
    // qemu-img may not read it before its import.
    const unusable = { path: badSnapshot(), format: 'qcow2' as const, sha256: null };
    chownSync(unusable.path, 4242, 0);
    chmodSync(unusable.path, 0o600);
    assert.is((await dp.inspectImage(unusable, nextCall())).virtualSizeBytes, 8 << 20);
    assert.is(await codeOf(dp.importCopy({ owner, ...unusable }, nextCall())), 'qcow2_unusable');
  }
  chmodSync(private600, 0o604);
  assert.is(await fits(private600), 4096);
  linkSync(private600, path.join(root, 'second-name.raw'));
  assert.is(await codeAt(private600), 'path_has_links');
  assert.is(await codeAt(path.join(root, 'second-name.raw')), 'path_has_links');
  mkdirSync(path.join(root, 'closed'), { mode: 0o750 });
  assert.is(await codeAt(file('closed/open.raw', Buffer.alloc(4096, 1))), 'path_private', 'in a private folder');
  await dp.close();
});

test('a copy is stored by digest, shared by its owners, and removed with the last owner', async () => {
  const dp = await opened;
  const at = qcow2('good.qcow2');
  copyFileSync(at, path.join(root, 'same.qcow2'));
  const digest = sha(readFileSync(at));
  const proof = await take(at, 'qcow2', digest);
  assert.is(proof.sha256, digest);
  assert.is(proof.virtualSizeBytes, 8 << 20);
  const other = ownerOf('image-copy/other/debian@w1');
  assert.equal(await take(path.join(root, 'same.qcow2'), 'qcow2', null, other), proof);
  const { stream, sizeBytes } = await dp.openBlob(digest);
  const served = Buffer.concat(await stream.toArray());
  assert.is(sizeBytes, served.length);
  assert.is(sha(served), digest);
  assert.not.ok((await dp.removeCopy({ owner, sha256: digest, format: 'qcow2' }, nextCall())).removed);
  assert.ok((await dp.removeCopy({ owner: other, sha256: digest, format: 'qcow2' }, nextCall())).removed);
  assert.is(await codeOf(dp.openBlob(digest)), 'image_missing');
  assert.equal(readdirSync(path.join(node, 'images')), []);
});

test('a fetched copy has the requested digest, size and format, or the fetch fails', async () => {
  const dp = await opened;
  const content = readFileSync(qcow2('far.qcow2'));
  const digest = sha(content);
  const fetch = (sha256: string, sizeBytes = content.length, format: ImageFormat = 'qcow2') =>
    dp.fetchCopy({ owner, format, sha256, sizeBytes, from: 'w2' }, nextCall());
  assert.is(await codeOf(fetch(digest)), 'fetch_failed');
  blobs.set(`w2/${digest}`, content);
  blobs.set(`w2/${'a'.repeat(64)}`, content);
  assert.is(await codeOf(fetch('a'.repeat(64))), 'digest_mismatch');
  assert.is(await codeOf(fetch(digest, 2000)), 'fetch_failed');
  assert.is(await codeOf(fetch(digest, content.length, 'raw')), 'format_lies');
  assert.is((await fetch(digest)).sizeBytes, content.length);
  blobs.clear();
  assert.is((await fetch(digest)).sha256, digest, 'a copy that is on this host is not fetched again');
  assert.equal(readdirSync(path.join(node, 'images')).sort(), [`${digest}.qcow2`, `${digest}.qcow2.owners`]);
});

test('a replica is made empty or from a copy, in either format, and only once', async () => {
  const dp = await opened;
  const raw = await take(file('four.raw', Buffer.alloc(4 << 20, 9)), 'raw');
  const cow = await take(qcow2('eight.qcow2'), 'qcow2');
  const of = ownerOf('replica/acme/data@w1');
  const make = (
    volumeUid: string,
    format: 'raw' | 'qcow2',
    image: { sha256: string; format: 'raw' | 'qcow2' } | null,
    sizeMib = 16,
  ) => dp.ensureReplica({ owner: of, volumeUid, serial: 'S', sizeMib, format, image }, nextCall());
  const images = [
    null,
    { sha256: raw.sha256, format: 'raw' as const },
    { sha256: cow.sha256, format: 'qcow2' as const },
  ];
  for (const [index, image] of images.entries()) {
    for (const format of ['raw', 'qcow2'] as const) {
      const uid = `V${index}${format}`;
      const proof = await make(uid, format, image);
      assert.is(proof.sizeBytes, 16 << 20, uid);
      assert.ok(proof.created);
      assert.not.ok((await make(uid, format, image)).created);
      const text = execFileSync(
        'qemu-img',
        ['info', '-f', format, '--output=json', path.join(node, 'volumes', `${uid}.${format}`)],
        { encoding: 'utf8' },
      );
      assert.is(JSON.parse(text)['virtual-size'], 16 << 20);
      assert.not.match(text, /backing/);
    }
  }
  assert.is(readFileSync(path.join(node, 'volumes/V1raw.raw'))[4095], 9);
  assert.ok(
    ((await dp.readReplica({ owner: of, volumeUid: 'V0raw' }, nextCall()))?.allocatedBytes ?? Infinity) < 1 << 20,
    'an empty disk takes no space',
  );
  assert.is(await codeOf(make('V1raw', 'qcow2', null)), 'replica_differs');
  assert.is(await codeOf(make('V1raw', 'raw', null, 8)), 'replica_differs');
  assert.is(await codeOf(make('W1', 'raw', { sha256: raw.sha256, format: 'raw' }, 2)), 'image_larger');
  assert.is(await codeOf(make('W1', 'raw', { sha256: 'b'.repeat(64), format: 'raw' })), 'image_missing');
  assert.is(await codeOf(make('../W1', 'raw', null)), 'spec_invalid');
  const newer = {
    owner: { ...of, runEpoch: 2 },
    volumeUid: 'V1raw',
    serial: 'S',
    sizeMib: 16,
    format: 'raw' as const,
    image: null,
  };
  assert.not.ok((await dp.ensureReplica(newer, nextCall())).created);
  assert.is(await codeOf(dp.removeReplica({ owner: of, volumeUid: 'V1raw' }, nextCall())), 'run_epoch_older');
  assert.ok((await dp.removeReplica({ owner: newer.owner, volumeUid: 'V1raw' }, nextCall())).removed);
  assert.is(await dp.readReplica({ owner: of, volumeUid: 'V1raw' }, nextCall()), null);
  assert.is(await codeOf(dp.ensureReplica({ ...newer, owner: of }, nextCall())), 'run_epoch_older');
});

test('a raw volume stays raw when its guest writes a qcow2 header into it', async () => {
  const dp = await opened;
  const of = ownerOf('replica/acme/trap@w1');
  const spec = { owner: of, volumeUid: 'TRAP', serial: 'S', sizeMib: 1, format: 'raw' as const, image: null };
  await dp.ensureReplica(spec, nextCall());
  const at = path.join(node, 'volumes/TRAP.raw');
  const header = readFileSync(path.join(root, 'child.qcow2'));
  writeFileSync(at, header);
  truncateSync(at, 1 << 20);
  assert.equal((await dp.ensureReplica(spec, nextCall())).sizeBytes, 1 << 20);
  renameSync(at, `${at}.gone`);
  assert.ok((await dp.ensureReplica(spec, nextCall())).created);
});

test('an import of a file that takes hours to read ends at once when it is cancelled, and leaves nothing', async () => {
  const dp = await opened;
  const at = file('huge.raw', '');
  truncateSync(at, 4 * 2 ** 40);
  const as = ownerOf('image-copy/acme/huge@w1');
  const images = (): string[] => readdirSync(path.join(node, 'images'));
  const before = images();
  for (const work of ['inspect', 'import']) {
    const cancelled = new AbortController();
    const call = nextCall({}, cancelled.signal);
    const spec = { owner: as, path: at, format: 'raw' as const, sha256: null };
    const running = work === 'inspect' ? dp.inspectImage(spec, call) : dp.importCopy(spec, call);
    const ended = running.then(
      () => 'done',
      () => 'cancelled',
    );
    if (work === 'import') await until('bytes are written', () => images().length > before.length);
    cancelled.abort();
    // The removal waits for the import to end, because both take the lock of the copy.
    await dp.removeCopy({ owner: as, sha256: sha(Buffer.of()), format: 'raw' }, nextCall());
    assert.is(await ended, 'cancelled', work);
    assert.equal(images(), before);
  }
});

test('a change that waits for its object waits without a place', async () => {
  const dp = await opened;
  const trail: string[] = [];
  const noting = (name: string): Call => ({
    ...nextCall(),
    withoutPlace: async (wait) => {
      trail.push(`${name} waits`);
      const result = await wait();
      trail.push(`${name} goes on`);
      return result;
    },
  });
  const spec = { owner, path: file('locked.raw', Buffer.alloc(1 << 20, 3)), format: 'raw' as const, sha256: null };
  await Promise.all([dp.importCopy(spec, noting('first')), dp.importCopy(spec, noting('second'))]);
  assert.equal(trail, ['second waits', 'second goes on']);
});

test.run();
