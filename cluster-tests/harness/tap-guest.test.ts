/**
 * The tap guest against the real kernel and a real dnsmasq: what it reports is what the other side did. It says nothing
 * about the product. Needs root; makes one network namespace of its own and removes it.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TapGuest } from './tap-guest.ts';
import { patienceMs } from '@photoncloud/runtime/contract/patience-for-tests';

const test = suite('tap-guest');
const space = `tg${process.pid}`;
const namespace = `/run/netns/${space}`;
const mac = '02:00:00:00:10:05';
const run = (program: string, ...argv: string[]): string =>
  execFileSync(program, argv, { encoding: 'utf8', stdio: 'pipe' });
let folder = '';
let dnsmasq: ChildProcess | undefined;

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + patienceMs();
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tap-guest-'));
  run('ip', 'netns', 'add', space);
  const batch = [
    'link set lo up',
    'link add name b0 type bridge forward_delay 0',
    'addr add 10.9.0.1/24 dev b0',
    'link set b0 up',
    'tuntap add t1 mode tap',
    'tuntap add t2 mode tap',
    'link set t1 master b0 up',
    'link set t2 master b0 up',
  ];
  writeFileSync(join(folder, 'batch'), `${batch.join('\n')}\n`);
  run('ip', '-n', space, '-batch', join(folder, 'batch'));
  const log = join(folder, 'log');
  dnsmasq = spawn(
    'nsenter',
    [
      `--net=${namespace}`,
      'dnsmasq',
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--port=0',
      '--no-resolv',
      '--no-hosts',
      '--interface=b0',
      '--bind-interfaces',
      '--except-interface=lo',
      '--dhcp-range=10.9.0.0,static,255.255.255.0,1h',
      `--dhcp-host=${mac},10.9.0.5,web-1,1h`,
      '--dhcp-option=3,10.9.0.1',
      '--dhcp-option=26,1450',
      '--dhcp-authoritative',
      '--no-ping',
      '--leasefile-ro',
      '--pid-file=',
      '--user=root',
      `--log-facility=${log}`,
    ],
    { stdio: 'ignore' },
  );
  writeFileSync(log, '', { flag: 'a' });
  await until('dnsmasq listens', () => readFileSync(log, 'utf8').includes('sockets bound'));
});

test.after(() => {
  dnsmasq?.kill('SIGKILL');
  run('ip', 'netns', 'del', space);
  rmSync(folder, { recursive: true });
});

test('gets its lease, with what the server offered', async () => {
  const guest = await TapGuest.open({ tap: 't1', mac, namespace });
  try {
    const lease = await guest.dhcp({ hostname: 'asked-for' });
    assert.is(lease.address, '10.9.0.5');
    assert.is(lease.mask, '255.255.255.0');
    assert.is(lease.router, '10.9.0.1');
    assert.is(lease.mtu, 1450);
    assert.is(lease.leaseSeconds, 3600);
    assert.is(lease.server, '10.9.0.1');
    assert.is(lease.hostname, 'web-1');
    const report = await guest.ping('10.9.0.1', { count: 3 });
    assert.is(report.received, 3);
    assert.ok(report.roundTripsMs.every((trip) => trip > 0 && trip < 1000));
  } finally {
    await guest.close();
  }
});

test('a stranger gets no lease, and says so', async () => {
  const guest = await TapGuest.open({ tap: 't2', mac: '02:00:00:00:10:99', namespace });
  try {
    let said = '';
    await guest.dhcp({ timeoutMs: 1200 }).catch((error: Error) => (said = error.message));
    assert.match(said, 'no offer in time');
  } finally {
    await guest.close();
  }
});

test('answers ARP and echo, also those of the kernel; a lost echo is counted', async () => {
  const one = await TapGuest.open({ tap: 't1', mac, namespace });
  const other = await TapGuest.open({ tap: 't2', mac: '02:00:00:00:10:06', namespace });
  try {
    await one.configure({ address: '10.9.0.5', gateway: '10.9.0.1' });
    await other.configure({ address: '10.9.0.6' });
    assert.is(await one.arp('10.9.0.6'), '02:00:00:00:10:06');
    assert.is((await one.ping('10.9.0.6', { count: 2, intervalMs: 20 })).received, 2);
    assert.match(run('nsenter', `--net=${namespace}`, 'ping', '-c', '1', '-W', '2', '10.9.0.5'), '1 received');
    await other.configure({ answer: false });
    const lost = await one.ping('10.9.0.6', { count: 2, intervalMs: 20, timeoutMs: 400 });
    assert.equal([lost.sent, lost.received, lost.resolved], [2, 0, true]);
  } finally {
    await one.close();
    await other.close();
  }
});

test('sends any frame and shows what arrives', async () => {
  const one = await TapGuest.open({ tap: 't1', mac, namespace });
  const other = await TapGuest.open({ tap: 't2', mac: '02:00:00:00:10:06', namespace });
  try {
    await other.sniff();
    const frame = Buffer.from('ffffffffffff0200000000aa88b5'.padEnd(120, '7'), 'hex');
    await one.send(frame);
    const seen = await other.waitFrame((bytes) => bytes.readUInt16BE(12) === 0x88b5);
    assert.is(seen.toString('hex'), frame.toString('hex'));
  } finally {
    await one.close();
    await other.close();
  }
});

test('an absent tap is named', async () => {
  let said = '';
  const nowhere = { tap: 't1', mac, namespace: '/run/netns/absent' };
  await TapGuest.open(nowhere).catch((error: Error) => (said = error.message));
  assert.match(said, /tap guest on t1 ended: .*absent/);
});

test.run();
