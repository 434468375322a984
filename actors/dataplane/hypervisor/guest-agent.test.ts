/**
 * The QEMU guest agent asked over a real unix socket, behind which are guests that answer, that answer partly, and that
 * do everything else: none of them is an error, holds up the worker, or puts more than a few printable words into it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { askGuest, silentGuest } from './guest-agent.ts';
import { allBytes, lineBytes } from './guest-conversation.ts';
import { agent, inStep, isSync, reply, serveGuest, type Answers, type Behaviour } from './guest-for-tests.ts';

const test = suite('guest agent');
const folder = mkdtempSync(join(tmpdir(), 'photon-guest-'));
test.after(() => rmSync(folder, { recursive: true }));

let count = 0;
/** @returns what is read of it, and how long that took, ms */
async function read(behave: Behaviour, answerMs = 300) {
  const path = join(folder, String(count++));
  const { close } = await serveGuest(path, behave);
  const from = performance.now();
  try {
    return { reading: await askGuest(path, answerMs), ms: performance.now() - from };
  } finally {
    close();
  }
}

const debian: Answers = {
  'guest-get-osinfo': { id: 'debian', 'pretty-name': 'Debian GNU/Linux 12 (bookworm)', 'kernel-release': '6.1.0-31' },
  'guest-get-host-name': { 'host-name': 'web-1' },
  'guest-network-get-interfaces': [
    { name: 'lo', 'ip-addresses': [{ 'ip-address': '127.0.0.1', 'ip-address-type': 'ipv4', prefix: 8 }] },
    {
      name: 'eth0',
      'hardware-address': '02:00:00:00:00:0B',
      'ip-addresses': [
        { 'ip-address': '10.0.0.2', 'ip-address-type': 'ipv4', prefix: 24 },
        { 'ip-address': 'fe80::b', 'ip-address-type': 'ipv6', prefix: 64 },
      ],
    },
    { name: 'down', statistics: {} },
  ],
};
const eth0 = { name: 'eth0', mac: '02:00:00:00:00:0b', addresses: ['10.0.0.2/24', 'fe80::b/64'] };

test('a guest says its system, its name and its addresses', async () => {
  assert.equal((await read(agent(debian))).reading, {
    answers: true,
    system: 'Debian GNU/Linux 12 (bookworm)',
    kernel: '6.1.0-31',
    hostName: 'web-1',
    interfaces: [eth0, { name: 'down', mac: null, addresses: [] }],
  });
});

test('an agent that does not know a question answers the others', async () => {
  const { 'guest-get-host-name': host } = debian;
  const { reading } = await read(agent({ 'guest-get-host-name': host }));
  assert.equal(reading, { ...silentGuest, answers: true, hostName: 'web-1' });
});

test('answers that were left for somebody else are dropped', async () => {
  const { reading } = await read((asked, socket) => {
    if (isSync(asked)) socket.write(`${reply({ 'host-name': 'old' })}\u0000{\n${reply(1)}`);
    return agent(debian)(asked, socket);
  });
  assert.is(reading.hostName, 'web-1');
});

test('words of a guest are printable and short, its lists too', async () => {
  const evil = `\u001b[31m\u009b2J\u202eweb\u2028\r\n\u0007-1\ud800${'x'.repeat(800)}`;
  const addresses = ['10.0.0.2; rm', '10.0.0.999', 'fe80::1%eth0', '\u001b[0m', ...Array<string>(100).fill('10.0.0.3')];
  const { reading } = await read(
    agent({
      'guest-get-osinfo': { 'pretty-name': evil, 'kernel-release': '\u001b\u0000' },
      'guest-get-host-name': { 'host-name': 7 },
      'guest-network-get-interfaces': Array.from({ length: 20 }, () => ({
        name: evil,
        'hardware-address': evil,
        'ip-addresses': [...addresses, null, 7].map((one) => ({ 'ip-address': one, prefix: 24 })).slice(0, 12),
      })),
    }),
  );
  const short = `[31m2Jweb-1${'x'.repeat(117)}`;
  assert.equal([reading.system, reading.kernel, reading.hostName], [short, null, null]);
  assert.equal([reading.interfaces?.length, reading.interfaces?.[0]?.addresses.length], [16, 8]);
  assert.equal(reading.interfaces?.[0], { name: short, mac: null, addresses: Array(8).fill('10.0.0.3/24') });
  const many = { name: 'eth0', 'ip-addresses': addresses.map(() => ({ 'ip-address': '10.0.0.3', prefix: 24 })) };
  const { reading: other } = await read(agent({ 'guest-network-get-interfaces': [many] }));
  assert.is(other.interfaces?.[0]?.addresses.length, 16);
});

/** Writes as fast as it can until the connection ends. @returns how many bytes went out */
function flood(socket: net.Socket, bytes: string | Buffer): { sent: number } {
  const told = { sent: 0 };
  const goOn = (): void => {
    while (!socket.destroyed) {
      told.sent += bytes.length;
      if (!socket.write(bytes)) return void socket.once('drain', goOn);
    }
  };
  goOn();
  return told;
}

const hostile: readonly (readonly [string, Behaviour])[] = [
  ['says nothing', () => null],
  ['closes at once', (_, socket) => (socket.destroy(), null)],
  ['closes after it is in step', (asked, socket) => (socket.end(inStep(asked)), null)],
  ['answers with another id', () => Buffer.concat([Buffer.from([0xff]), Buffer.from(reply(1))])],
  ['answers without the byte', (asked) => reply(asked.arguments?.id)],
  ['is in step, and then silent', (asked) => (isSync(asked) ? inStep(asked) : null)],
  ['sends no JSON', (asked) => (isSync(asked) ? inStep(asked) : 'hello\n')],
  ['sends what is no answer', (asked) => (isSync(asked) ? inStep(asked) : '[]\n')],
];

for (const [what, behave] of hostile)
  test(`a guest that ${what} does not answer`, async () => {
    const { reading, ms } = await read(behave);
    assert.equal(reading, silentGuest);
    assert.ok(ms < 1_500, `${ms} ms`);
  });

test('a guest that sends without end is left after a bounded number of bytes, at once', async () => {
  for (const bytes of [
    Buffer.alloc(16_384, 0x61),
    Buffer.alloc(16_384, '{"return":1}\n'),
    Buffer.alloc(16_384, '\n'),
  ]) {
    let told = { sent: 0 };
    const { reading, ms } = await read((_, socket) => ((told = flood(socket, bytes)), null), 5_000);
    assert.equal(reading, silentGuest);
    assert.ok(ms < 2_000, `${ms} ms`);
    // What is in the buffers of the socket on both sides goes out, too.
    assert.ok(told.sent < allBytes + (2 << 20), `${told.sent} bytes of ${bytes.toString('latin1', 0, 4)}`);
  }
});

test('a guest that sends a byte at a time is left when the time is up', async () => {
  const { reading, ms } = await read((_, socket) => {
    const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write('a')), 1);
    return null;
  });
  assert.equal(reading, silentGuest);
  assert.ok(ms >= 290 && ms < 1_500, `${ms} ms`);
});

test('deep and broad JSON is read in no time', async () => {
  const rest = lineBytes - 20;
  const answers = [
    `{"return":${'['.repeat(rest / 2)}${']'.repeat(rest / 2)}}\n`,
    `{"return":[${'{},'.repeat(rest / 3 - 2)}{}]}\n`,
    `{"return":${'{"a":'.repeat(rest / 6)}1${'}'.repeat(rest / 6)}}\n`,
    `{"return":{"__proto__":{"host-name":"evil"}}}\n`,
  ];
  for (const answer of answers) {
    const { reading, ms } = await read((asked) => (isSync(asked) ? inStep(asked) : answer), 5_000);
    const { interfaces, ...others } = reading;
    assert.equal(others, { answers: true, system: null, kernel: null, hostName: null }, answer.slice(0, 20));
    assert.equal(interfaces ?? [], []);
    assert.ok(ms < 2_000, `${ms} ms`);
  }
});

test('a line that is too long ends what is known', async () => {
  const endless = Buffer.alloc(lineBytes + 1, 0x61);
  const all = agent(debian);
  const cut = await read((asked, socket) => (asked.execute.includes('network') ? endless : all(asked, socket)), 5_000);
  assert.equal([cut.reading.hostName, cut.reading.interfaces], ['web-1', null]);
  assert.ok(cut.ms < 2_000, `${cut.ms} ms`);
  assert.equal((await read((asked) => (isSync(asked) ? inStep(asked) : endless), 5_000)).reading, silentGuest);
});

test('where no socket is, no guest answers', async () => {
  assert.equal(await askGuest(join(folder, 'none')), silentGuest);
});

test.run();
