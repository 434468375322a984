/**
 * Seed disks as guests read them: Debian's cloud-init takes instance, name, keys, user data and network configuration
 * from the disk that the dataplane writes, and Linux's own driver mounts it in a guest. What cannot be seen here is a
 * whole system that boots with cloud-init.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { seedImage } from '@photoncloud/actors/dataplane/seed/seed-disk';
import type { IncarnationSpec, SeedSpec } from '@photoncloud/machines/values/wiring';
import { readToolchain } from '../bench/toolchain-file.ts';
import { cpioArchive, type CpioEntry } from './cpio-archive.ts';
import { buildGuestImage } from './guest-image.ts';

const run = promisify(execFile);
const cache = resolve(import.meta.dirname, '../../.cache');
const packages = join(cache, 'cloud-init');
const folder = mkdtempSync(join(tmpdir(), 'photon-cloud-init-'));

const test = suite('cloud-init');
test.after(() => rmSync(folder, { recursive: true }));

const nicOf = (name: string, mac: string, mtu: number) => ({
  port: `port/acme/web.${name}`,
  binding: `binding/acme/web.${name}@w1`,
  bindingUid: 'B',
  mac,
  mtu,
});
const incarnation: IncarnationSpec = {
  owner: { actor: 'incarnation/acme/web@w1', uid: 'L1', runEpoch: 1 },
  vm: 'vm/acme/web',
  cpus: 1,
  memoryMib: 128,
  machineType: null,
  nics: [nicOf('eth0', '02:50:0a:00:00:05', 1450), nicOf('back', '02:50:0a:00:01:05', 1400)],
  disks: [],
  boot: null,
};
const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHyXhUwKF0hX2YbqIh0Y3r0hQ0 ann "of": home';
const seed: SeedSpec = {
  instanceId: '01JAAAAAAAAAAAAAAAAAAAAAAA',
  hostname: 'web',
  userData: null,
  sshKeys: [key],
  network: true,
};
const writing = (text: string): string =>
  `#cloud-config\nwrite_files:\n- path: /written\n  content: |\n    ${text} 'ü'\n`;

function seedFile(name: string, more: Partial<SeedSpec>, userData: string | null): string {
  const path = join(folder, name);
  writeFileSync(path, seedImage(incarnation, { ...seed, ...more }, userData));
  return path;
}

type Boot = Readonly<Record<string, string>>;

/** Boots once with each seed disk, on one and the same root folder. @param stages `local` alone is half the work */
async function boots(renderer: string, seeds: readonly string[], stages = 'all'): Promise<readonly Boot[]> {
  const work = mkdtempSync(join(folder, 'work-'));
  const script = join(import.meta.dirname, 'cloud-init-boots.sh');
  const alone = '--mount --uts --net --ipc --pid --fork --kill-child sh'.split(' ');
  const { stdout } = await run('unshare', [...alone, script, packages, work, renderer, stages, ...seeds]);
  return stdout
    .split(/^== boot\n/m)
    .slice(1)
    .map((text) =>
      Object.fromEntries(
        text
          .split(/^== /m)
          .slice(1)
          .map((section) => [section.slice(0, section.indexOf('\n')), section.slice(section.indexOf('\n') + 1)]),
      ),
    );
}

/** Without comments and empty lines. */
const plain = (text: string): string =>
  text
    .split('\n')
    .filter((line) => !line.startsWith('#') && line.trim() !== '')
    .join('\n');

function declare(): void {
  if (!existsSync(packages)) {
    test.skip('there is no cloud-init in .cache: the set-up unpacks it on Debian');
    return;
  }

  test('a guest takes name, keys and user data, and sets itself up once for each instance', async () => {
    const first = seedFile('first', {}, writing('first'));
    // The next run of the VM: its user data was changed, its instance is the same.
    const second = seedFile('second', { sshKeys: [] }, writing('second'));
    // Another VM on a copy of the disk.
    const other = seedFile('other', { instanceId: '01JBBBBBBBBBBBBBBBBBBBBBBB', hostname: 'other' }, writing('other'));
    const [one, again, copy] = await boots('eni', [first, second, other]);
    assert.equal(
      [one, again, copy].map((boot) => [boot?.['failures'], boot?.['hostname'], boot?.['instance'], boot?.['written']]),
      [
        ['', 'web\n', `${seed.instanceId}\n`, "first 'ü'\n"],
        ['', 'web\n', `${seed.instanceId}\n`, "first 'ü'\n"],
        ['', 'other\n', '01JBBBBBBBBBBBBBBBBBBBBBBB\n', "other 'ü'\n"],
      ],
    );
    assert.is(one?.['keys']?.trim(), key);
  });

  test('every NIC is configured by its MAC, whatever its name, in the files of each system', async () => {
    const path = seedFile('nics', {}, null);
    const renderers = ['eni', 'netplan', 'networkd'];
    const rendered = await Promise.all(renderers.map(async (renderer) => (await boots(renderer, [path], 'local'))[0]));
    const [interfaces = '', netplan = '', networkd = ''] = rendered.map((boot) => plain(boot?.['network'] ?? ''));
    for (const [name, mac, mtu] of [
      ['ens9', '02:50:0a:00:00:05', 1450],
      ['ens3', '02:50:0a:00:01:05', 1400],
    ]) {
      assert.ok(interfaces.includes(`auto ${name}\niface ${name} inet dhcp\n    mtu ${mtu}`), interfaces);
      assert.match(netplan, new RegExp(`dhcp4: true\\n +match:\\n +macaddress: '?${mac}'?\\n +mtu: ${mtu}`));
      const units = networkd.split(/\n?\[Link\]\n/).filter((unit) => unit.includes(`MACAddress=${mac}`));
      assert.equal(units, [`MTUBytes=${mtu}\n[Match]\nMACAddress=${mac}\nName=${name}\n[Network]\nDHCP=ipv4`]);
    }
  });

  test('without a network configuration and user data, the guest is named all the same', async () => {
    const [boot] = await boots('eni', [seedFile('bare', { network: false, sshKeys: [] }, null)]);
    assert.equal([boot?.['failures'], boot?.['hostname'], boot?.['keys'] ?? ''], ['', 'web\n', '']);
  });
}
declare();

/** What the guest runs instead of its usual first program. */
const mountingInit = `#!/bin/busybox sh
export PATH=/bin
mount -t devtmpfs none /dev
mount -t proc none /proc
for module in $(cat /etc/modules-order) cdrom isofs; do insmod "/modules/$module.ko" 2>/dev/null; done
mkdir -p /seed
mount -t iso9660 -o ro /dev/vda /seed
mount -t iso9660 -o ro,nojoliet /dev/vda /volume
for file in /seed/* /volume/*; do echo "file: $file"; done
md5sum /seed/user-data
cat /seed/meta-data
echo done
poweroff -f
`;

test("Linux's driver mounts the disk, with and without Joliet, and reads every byte", async () => {
  const guest = await buildGuestImage();
  const [release = ''] = execFileSync('ls', [join(cache, 'guest-kernel/lib/modules')], { encoding: 'utf8' }).split(
    '\n',
  );
  const module = (path: string): CpioEntry => ({
    kind: 'file',
    path: `modules/${path.split('/').at(-1)}`,
    mode: 0o644,
    bytes: readFileSync(join(cache, 'guest-kernel/lib/modules', release, 'kernel', path)),
  });
  const extra = cpioArchive([
    { kind: 'file', path: 'mounting-init', mode: 0o755, bytes: Buffer.from(mountingInit) },
    module('drivers/cdrom/cdrom.ko'),
    module('fs/isofs/isofs.ko'),
  ]);
  // The kernel unpacks one archive after the other.
  const archive = readFileSync(guest.initrd);
  const filled = Buffer.concat([archive, Buffer.alloc((512 - (archive.length % 512)) % 512)]);
  writeFileSync(join(folder, 'initrd'), Buffer.concat([filled, extra]));
  const { qemu } = readToolchain();
  const data = writing('x'.repeat(60_000));
  const image = seedFile('mounted', {}, data);
  const arguments_ = [
    ...(qemu.libDir === undefined ? [] : ['-L', qemu.libDir]),
    ...'-M q35 -accel tcg -cpu qemu64,+rdrand,+rdseed -m 128 -nodefaults -no-user-config -no-reboot'.split(' '),
    ...'-display none -serial stdio -kernel'.split(' '),
    guest.kernel,
    '-initrd',
    join(folder, 'initrd'),
    '-append',
    `${guest.commandLine} rdinit=/mounting-init`,
    '-blockdev',
    `driver=raw,read-only=on,node-name=s,file.driver=file,file.read-only=on,file.filename=${image}`,
    '-device',
    'virtio-blk-pci,drive=s,serial=seed',
  ];
  const { stdout } = await run(qemu.binary, arguments_, { timeout: 100_000 });
  const said = stdout.replaceAll('\r', '');
  const digest = execFileSync('md5sum', { input: data, encoding: 'utf8' }).slice(0, 32);
  for (const name of ['meta-data', 'network-config', 'user-data'])
    for (const line of [`file: /seed/${name}\n`, `file: /volume/${name}\n`]) assert.ok(said.includes(line), said);
  assert.ok(said.includes(`${digest}  /seed/user-data`), said);
  assert.ok(said.includes(`"instance-id": "${seed.instanceId}"`), said);
});

test.run();
