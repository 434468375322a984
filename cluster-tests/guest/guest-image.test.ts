/**
 * The guest image under software emulation: the same inputs give the same bytes; the guest takes its DHCP lease, counts
 * visits on its volume, keeps acknowledged visits through SIGKILL, powers off by the ACPI button, and does not write to
 * a disk with foreign content. Needs root and QEMU.
 */
// time limit: 240 s
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { isAlive, until } from '../cluster/process-identity.ts';
import { GuestBoot, guestAddress, volumeSerial } from './guest-boot.ts';
import { buildGuestImage, guestCommandLine } from './guest-image.ts';

const test = suite('guest-image');

test('the same inputs give the same bytes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'guest-image-'));
  try {
    const one = await buildGuestImage({ cacheFolder: join(folder, 'one') });
    const other = await buildGuestImage({ cacheFolder: join(folder, 'other') });
    assert.ok(readFileSync(one.initrd).equals(readFileSync(other.initrd)));
    assert.is(one.folder.split('/').at(-1), other.folder.split('/').at(-1));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the demo's document has the kernel command line of the guest image", () => {
  const words = readFileSync(join(import.meta.dirname, '../demo/tenant.yaml'), 'utf8')
    .split(/\s+/)
    .join(' ');
  assert.ok(words.includes(guestCommandLine));
});

test('the guest takes its lease, keeps visits through SIGKILL and powers off by the button', async () => {
  const guest = await GuestBoot.prepare();
  try {
    const first = await guest.start();
    const fresh = await guest.ready();
    assert.equal(
      { ...fresh, boot_id: '' },
      {
        hostname: 'web-1',
        addresses: [`${guestAddress}/24`],
        mac: '02:00:00:00:77:0b',
        mtu: 1400,
        boot_id: '',
        volume_serial: volumeSerial,
        disks: [volumeSerial],
        count: 0,
      },
    );
    const page = await guest.ask('GET', '/');
    assert.is(page.status, 200);
    assert.match(page.body, 'Visit number <b>1</b>');
    const posts = await Promise.all(Array.from({ length: 4 }, () => guest.ask('POST', '/visit', 20)));
    assert.equal(
      posts.map((post) => post.status),
      [200, 200, 200, 200],
    );
    assert.is((await guest.ready())['count'], 5, 'reading the state counts no visit');
    assert.is((await guest.ask('POST', "/visit?a-note'); DROP".replaceAll(' ', '%20'))).status, 200);
    const listed = (await guest.ask('GET', '/visits')).body.trimEnd().split('\n');
    assert.equal([listed.length, listed[5]], [6, '6 a-note20'], 'only small letters, digits and - are kept of a note');
    assert.is((await guest.ask('POST', '/state')).status, 405);
    assert.is((await guest.ask('GET', '/absent')).status, 404);
    await guest.kill(first);
    const second = await guest.start();
    const again = await guest.ready();
    assert.is(again['count'], 6, 'every acknowledged visit survived SIGKILL');
    assert.is.not(again['boot_id'], fresh['boot_id']);
    await guest.pressPower();
    await until('the guest powers off', () => !isAlive(second));
    assert.match(guest.console, 'guest: power button');
  } finally {
    await guest.end();
  }
});

test('a disk with foreign content is not changed', async () => {
  const guest = await GuestBoot.prepare(8);
  try {
    const foreign = Buffer.alloc(8 << 20, 0);
    foreign.write('somebody else', 0);
    writeFileSync(guest.path('volume.raw'), foreign);
    await guest.start();
    const facts = await guest.ready();
    assert.is(facts['volume_serial'], volumeSerial);
    assert.is(facts['count'], null);
    assert.is((await guest.ask('POST', '/visit')).status, 503);
    assert.ok(readFileSync(guest.path('volume.raw')).equals(foreign));
  } finally {
    await guest.end();
  }
});

test.run();
