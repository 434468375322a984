/**
 * The seed disk as bytes: both trees of the image read by a reader of its own, its files, and what is refused. Whether
 * cloud-init understands it is tested in cluster-tests/guest/cloud-init.test.ts, whether Linux mounts it in
 * cluster-tests/guest/guest-image.test.ts.
 */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { IncarnationSpec, SeedSpec } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { isoImage } from './iso-image.ts';
import { seedImage, givenText, writeSeed } from './seed-disk.ts';

const sector = 2048;

/** Reads the folder of one tree by its volume descriptor, as a driver does. */
function filesOf(image: Buffer, descriptor: number, nameOf: (bytes: Buffer) => string): Record<string, string> {
  const at = descriptor * sector;
  assert.is(image.toString('latin1', at + 1, at + 6), 'CD001');
  assert.is(image.readUInt32LE(at + 80) * sector, image.length, 'the size of the volume');
  const [root, length] = [image.readUInt32LE(at + 158), image.readUInt32LE(at + 166)];
  for (const [table, read] of [
    [image.readUInt32LE(at + 140), (from: number) => image.readUInt32LE(from)],
    [image.readUInt32BE(at + 148), (from: number) => image.readUInt32BE(from)],
  ] as const)
    assert.is(read(table * sector + 2), root, 'the path table names the root folder');
  const files: Record<string, string> = {};
  for (let entry = root * sector; entry < root * sector + length && image[entry] !== 0; entry += image[entry] ?? 0) {
    const [file, size] = [image.readUInt32LE(entry + 2), image.readUInt32LE(entry + 10)];
    assert.equal([image.readUInt32BE(entry + 6), image.readUInt32BE(entry + 14)], [file, size], 'both byte orders');
    const name = image.subarray(entry + 33, entry + 33 + (image[entry + 32] ?? 0));
    if (((image[entry + 25] ?? 0) & 2) === 0)
      files[nameOf(name)] = image.toString('utf8', file * sector, file * sector + size);
  }
  return files;
}

const primaryFiles = (image: Buffer): Record<string, string> => filesOf(image, 16, (name) => name.toString('latin1'));
const jolietFiles = (image: Buffer): Record<string, string> =>
  filesOf(image, 17, (name) => Buffer.from(name).swap16().toString('utf16le'));

test('both trees of an image have every file, whatever its length', () => {
  for (const length of [0, 1, 2047, 2048, 2049, 65_536]) {
    const files = [
      { name: 'user-data', bytes: Buffer.alloc(length, 'u') },
      { name: 'meta-data', bytes: Buffer.from('meta') },
    ];
    const image = isoImage('CIDATA', files);
    assert.equal(primaryFiles(image), { 'META-DATA.;1': 'meta', 'USER-DATA.;1': 'u'.repeat(length) });
    assert.equal(jolietFiles(image), { 'meta-data': 'meta', 'user-data': 'u'.repeat(length) });
    assert.is(image.toString('latin1', 16 * sector + 40, 16 * sector + 72), 'CIDATA'.padEnd(32));
    assert.is(image.toString('latin1', 18 * sector, 18 * sector + 7), '\xffCD001\x01');
    assert.ok(image.equals(isoImage('CIDATA', files)), 'equal files, equal bytes');
  }
});

test('names and numbers of files that an image cannot hold are refused', () => {
  const file = (name: string) => ({ name, bytes: Buffer.alloc(0) });
  for (const name of ['', 'a/b', 'A', 'a.b', 'a'.repeat(28)]) assert.throws(() => isoImage('CIDATA', [file(name)]));
  assert.throws(() => isoImage('', []));
  const many = Array.from({ length: 30 }, (_, n) => file(`${'x'.repeat(20)}-${n}`));
  assert.throws(() => isoImage('CIDATA', many), /do not fit/);
});

const run: IncarnationSpec = {
  owner: { actor: 'incarnation/acme/web@w1', uid: 'L1', runEpoch: 1 },
  vm: 'vm/acme/web',
  cpus: 1,
  memoryMib: 64,
  machineType: null,
  nics: ['eth0', 'back'].map((nic, n) => ({
    port: `port/acme/web.${nic}`,
    binding: `binding/acme/web.${nic}@w1`,
    bindingUid: 'B',
    mac: `02:00:00:00:00:0${n}`,
    mtu: 1450 - n,
  })),
  disks: [],
  boot: null,
};
const seed: SeedSpec = { instanceId: 'U1', hostname: 'web', userData: null, sshKeys: [], network: true };
const userData = '#cloud-config\nruncmd: ["echo \'ä\'"]\n';

test('a seed disk tells the guest its instance, name, keys and user data, and all of its NICs by MAC', () => {
  const keyed = { ...seed, sshKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 a "b": c'] };
  const files = jolietFiles(seedImage(run, keyed, userData));
  assert.is(files['user-data'], userData);
  assert.equal([givenText(seedImage(run, keyed, userData)), givenText(seedImage(run, keyed, null))], [userData, null]);
  assert.equal(JSON.parse(files['meta-data'] ?? ''), {
    'instance-id': 'U1',
    'local-hostname': 'web',
    'public-keys': keyed.sshKeys,
  });
  assert.equal(JSON.parse(files['network-config'] ?? ''), {
    version: 2,
    ethernets: {
      eth0: { match: { macaddress: '02:00:00:00:00:00' }, dhcp4: true, mtu: 1450 },
      back: { match: { macaddress: '02:00:00:00:00:01' }, dhcp4: true, mtu: 1449 },
    },
  });
  const silent = jolietFiles(seedImage(run, { ...seed, network: false }, null));
  assert.equal([silent['user-data'], silent['network-config']], ['', undefined]);
});

test('a seed that no guest could use is refused, and the refusal does not repeat it', () => {
  const refused = (more: Partial<SeedSpec>, data: string | null = null): void => {
    try {
      seedImage(run, { ...seed, ...more }, data);
      assert.unreachable(JSON.stringify(more));
    } catch (error) {
      assert.instance(error, PhotonError);
      assert.is((error as PhotonError).record.code, 'spec_invalid');
      assert.not.match((error as PhotonError).message, 'secret');
    }
  };
  refused({ instanceId: 'a\nb' });
  refused({ hostname: 'secret\nroot: true' });
  refused({ sshKeys: ['secret\nkey'] });
  refused({ sshKeys: Array.from({ length: 17 }, () => 'ssh-ed25519 AAAA') });
  refused({}, 'secret'.repeat(11_000));
  assert.ok(seedImage(run, seed, 'x'.repeat(65_536)).length < 128 * 1024);
});

test('the file is for root alone, and is written anew over what an interrupted start has left', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'photon-seed-'));
  try {
    const path = join(folder, 'seed');
    writeFileSync(path, 'x'.repeat(300_000), { mode: 0o644 });
    const image = seedImage(run, seed, userData);
    await writeSeed(path, image);
    assert.is(statSync(path).mode & 0o777, 0o600);
    assert.ok(readFileSync(path).equals(image));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
