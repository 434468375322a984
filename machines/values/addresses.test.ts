/** Addresses, CIDRs and MACs: round trips, and every text a tenant may not declare. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as addresses from './addresses.ts';

const address = fc.integer({ min: 0, max: 2 ** 32 - 1 });

test('an address survives writing and reading', () => {
  fc.assert(fc.property(address, (value) => addresses.parseAddress(addresses.formatAddress(value)) === value));
});

test('no other text is an address', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.4 ',
    '-1.2.3.4',
    '1e1.2.3.4',
    '0x1.2.3.4',
    '1.2.3.\n',
  ]) {
    assert.is(addresses.parseAddress(text), undefined, text);
  }
});

test('CIDRs a tenant may declare, and why not', () => {
  const table: [string, RegExp | undefined][] = [
    ['10.0.0.0/24', undefined],
    ['10.0.0.0/8', undefined],
    ['192.168.1.240/28', undefined],
    ['100.64.0.0/10', undefined],
    ['10.0.0.1/24', /host bits set; did you mean 10\.0\.0\.0\/24/],
    ['10.0.0.0/7', /must be 8 to 28/],
    ['10.0.0.0/29', /must be 8 to 28/],
    ['10.0.0.0/024', /not a CIDR/],
    ['10.0.0.0', /not a CIDR/],
    ['10.0.0.0/24/1', /not a CIDR/],
    ['10.0.0.0/33', /not a CIDR/],
    ['0.0.0.0/8', /this host/],
    ['127.1.0.0/16', /loopback/],
    ['169.254.64.0/24', /link local/],
    ['224.0.0.0/8', /multicast/],
    ['255.255.255.0/24', /multicast/],
  ];
  for (const [text, why] of table) {
    const problem = addresses.cidrProblem(text);
    if (why === undefined) assert.is(problem, undefined, text);
    else assert.match(problem ?? 'allowed', why);
  }
});

test('overlap is symmetric and means a shared address', () => {
  const cidr = fc.record({ at: address, prefix: fc.integer({ min: 8, max: 28 }) }).map(({ at, prefix }) => {
    const size = 2 ** (32 - prefix);
    return { base: Math.floor(at / size) * size, prefix };
  });
  fc.assert(
    fc.property(cidr, cidr, (a, b) => {
      const shared = addresses.contains(a, b.base) || addresses.contains(b, a.base);
      return addresses.overlap(a, b) === shared && addresses.overlap(b, a) === shared;
    }),
  );
});

test('a bit is set and cleared alone', () => {
  const offset = fc.integer({ min: 0, max: 255 });
  fc.assert(
    fc.property(fc.uniqueArray(offset), offset, (set, other) => {
      let bits = addresses.emptyBits;
      for (const at of set) bits = addresses.withBit(bits, at, true);
      const expected = new Set(set).add(other);
      bits = addresses.withBit(bits, other, true);
      for (let at = 0; at < 256; at += 1) if (addresses.hasBit(bits, at) !== expected.has(at)) return false;
      return bits.length === 64 && !addresses.hasBit(addresses.withBit(bits, other, false), other);
    }),
  );
});

test('MACs a tenant may declare, and why not', () => {
  const table: [string, RegExp | undefined][] = [
    ['02:11:22:33:44:55', undefined],
    ['fe:11:22:33:44:55', undefined],
    ['02:50:00:00:00:01', /02:50/],
    ['02:00:5e:00:00:01', /02:00:5e/],
    ['02:00:5f:00:00:01', /02:00:5f/],
    ['00:11:22:33:44:55', /locally administered/],
    ['03:11:22:33:44:55', /multicast/],
    ['02:11:22:33:44', /not a MAC/],
    ['02:AA:22:33:44:55', /not a MAC/],
    ['02:11:22:33:44:55\n', /not a MAC/],
  ];
  for (const [text, why] of table) {
    const problem = addresses.macProblem(text);
    if (why === undefined) assert.is(problem, undefined, text);
    else assert.match(problem ?? 'allowed', why);
  }
  assert.is(addresses.macOf(addresses.addressOf('10.1.2.255')), '02:50:0a:01:02:ff');
});

/** What nix/addresses.nix decides, too: nix-addresses.test.ts holds it to the same file. */
test('the vectors that Nix is held to, texts included', () => {
  const path = join(import.meta.dirname, '../../nix/address-vectors.json');
  const vectors = JSON.parse(readFileSync(path, 'utf8')) as {
    addresses: [string, number | null][];
    cidrs: [string, string | null][];
    overlaps: [string, string, boolean][];
    members: { cidr: string; address: string; inside: boolean; reserved: boolean }[];
    macs: [string, string | null][];
    gateways: [string, string][];
  };
  const { cidrOf, addressOf } = addresses;
  for (const [text, value] of vectors.addresses) assert.is(addresses.parseAddress(text) ?? null, value, text);
  for (const [text, why] of vectors.cidrs) assert.is(addresses.cidrProblem(text) ?? null, why, text);
  for (const [one, other, is] of vectors.overlaps)
    assert.is(addresses.overlap(cidrOf(one), cidrOf(other)), is, `${one} ${other}`);
  for (const { cidr, address: text, inside, reserved } of vectors.members) {
    assert.is(addresses.contains(cidrOf(cidr), addressOf(text)), inside, `${text} in ${cidr}`);
    assert.is(addresses.isReserved(cidrOf(cidr), addressOf(text)), reserved, `${text} in ${cidr}`);
  }
  for (const [mac, why] of vectors.macs) assert.is(addresses.macProblem(mac) ?? null, why, mac);
  for (const [cidr, gateway] of vectors.gateways) assert.is(addresses.defaultGateway(cidrOf(cidr)), gateway, cidr);
});

test('the block of an address', () => {
  assert.is(addresses.blockOf(addresses.addressOf('10.1.2.255')), '10.1.2');
  assert.is(addresses.formatAddress(addresses.blockBase('10.1.2')), '10.1.2.0');
});

test('an IPv6 range is called by its name', () => {
  assert.is(addresses.canonicalProblem('fd00::/64'), '"fd00::/64" is IPv6, and only IPv4 is built: write 10.0.0.0/24');
  assert.is(addresses.canonicalProblem('10.0/24'), '"10.0/24" is not a CIDR such as 10.0.0.0/24');
});

test.run();
