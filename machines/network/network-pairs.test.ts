/** What ports have beside their addresses: who gets it, and that it is everything or nothing. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { blockOf, addressOf } from '../values/addresses.ts';
import { addressPairsSchema, expandedPairs, dnsNameSchema, type DeclaredPairs } from '../values/address-pairs.ts';
import { decided } from '../values/decision-table-for-tests.ts';
import { problemsOf } from './network-audit.ts';
import { networkMachine } from './network-machine.ts';
import type { NetworkContext } from './network-messages.ts';
import { held } from './network-rows-for-tests.ts';
import { nextBlock } from './network-addresses.ts';

const pair = (cidr: string, mac: string | null = null) => ({ cidr, mac });
const vrrp = '00:00:5e:00:01:07';

test('a pair that is none is refused with its path, the reason and what to write', () => {
  const why = (pairs: readonly object[]): string => {
    const [issue] = addressPairsSchema.safeParse(pairs).error?.issues ?? [];
    return `${issue?.path.join('.')}: ${issue?.message}`;
  };
  const table: readonly (readonly [readonly object[], string])[] = [
    [
      [pair('10.0.0.0/24')],
      '0.cidr: 10.0.0.0/24 has 256 addresses, and a pair has 16 at most: use a prefix of 28 to 32',
    ],
    [
      [pair('0.0.0.0/0')],
      '0.cidr: 0.0.0.0/0 has 4294967296 addresses, and a pair has 16 at most: use a prefix of 28 to 32',
    ],
    [[pair('10.0.0.9/28')], '0.cidr: 10.0.0.9/28 has host bits set; did you mean 10.0.0.0/28?'],
    [[pair('10.0.0.09')], '0.cidr: "10.0.0.09/32" is not a CIDR such as 10.0.0.0/24'],
    [[pair('fd00::9')], '0.cidr: "fd00::9/32" is IPv6, and only IPv4 is built: write 10.0.0.0/24'],
    [[pair('10.0.0.9'), pair('10.0.0.0/28')], '1.cidr: 10.0.0.0/28 overlaps pair 0; an address has one MAC'],
    [
      [pair('10.0.0.9', '02:50:00:00:00:01')],
      '0.mac: 02:50:00:00:00:01 starts with 02:50, which is reserved for the cloud',
    ],
    [[pair('10.0.0.9', '01:00:5e:00:00:01')], '0.mac: 01:00:5e:00:00:01 is a multicast address'],
    [Array.from({ length: 11 }, (_, n) => pair(`10.0.1.${n}`)), ': Too big: expected array to have <=10 items'],
  ];
  for (const [pairs, message] of table) assert.is(why(pairs), message);
  assert.is(
    addressPairsSchema.safeParse([pair('10.0.0.9', vrrp), pair('10.0.0.16/28'), pair('10.0.0.7/32')]).success,
    true,
  );
  const named = ['web', 'a', 'a-1', `a${'b'.repeat(62)}`].map((name) => dnsNameSchema.safeParse(name).success);
  const unnamed = ['', 'Web', '1a', 'a-', 'a.b', 'a b', `a${'b'.repeat(63)}`].map(
    (name) => dnsNameSchema.safeParse(name).success,
  );
  assert.equal([new Set(named), new Set(unnamed)], [new Set([true]), new Set([false])]);
});

/** A network as its host keeps it: context and rows, one step at a time, with the messages that it sends itself. */
class Ledger {
  context: NetworkContext = held;
  readonly rows = new Map<string, unknown>();
  now = 0;

  private rowsFor(event: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const { port, address, pairs, had, dnsName } = event;
    const wanted = expandedPairs((pairs ?? []) as DeclaredPairs, { address: '', mac: '' }).map((one) => one.address);
    const isChoice = event['type'] === 'address.allocate' && address === null;
    const next = isChoice ? nextBlock(this.context.subnets)?.block : undefined;
    const all = [...wanted, ...((had ?? []) as string[]), ...(typeof address === 'string' ? [address] : [])];
    const names = [
      ...['port', 'beside'].map((of) => `${of}/${String(port)}`),
      ...(next === undefined ? [] : [`block/${next}`]),
      ...all.flatMap((one) => [`block/${blockOf(addressOf(one))}`, `owner/${one}`]),
      ...((pairs ?? []) as DeclaredPairs).flatMap(({ mac }) => (mac === null ? [] : [`mac/${mac}`])),
      `name/${String(dnsName)}`,
    ];
    return Object.fromEntries(names.map((name) => [name, this.rows.get(name) ?? null]));
  }

  /** @returns what the port is told */
  hear(event: { readonly type: string; readonly [field: string]: unknown }): Record<string, unknown> | undefined {
    const row = { in: 'ready', on: event, rows: this.rowsFor(event), at: this.now, to: '' };
    const move = decided(networkMachine, this.context, row);
    this.context = move.context as unknown as NetworkContext;
    let told: Record<string, unknown> | undefined;
    for (const { type, params } of move.asked) {
      const { collection, key, value } = params as { collection: string; key: string; value: unknown };
      if (type === 'row.put') this.rows.set(`${collection}/${key}`, JSON.parse(JSON.stringify(value)));
      if (type === 'row.remove') this.rows.delete(`${collection}/${key}`);
      if (type !== 'send') continue;
      const { to, event: sent } = params as { to: string; event: Record<string, unknown> & { type: string } };
      told = to === this.context.id ? this.hear(sent) : sent;
    }
    return told;
  }

  private of(collection: string): Record<string, never> {
    const found = [...this.rows].filter(([name]) => name.startsWith(`${collection}/`));
    return Object.fromEntries(found.map(([name, value]) => [name.slice(collection.length + 1), value])) as never;
  }

  problems(): readonly string[] {
    return problemsOf(this.context, {
      owners: this.of('owner'),
      ports: this.of('port'),
      macs: this.of('mac'),
      blocks: this.of('block'),
      besides: this.of('beside'),
      names: this.of('name'),
    });
  }

  create(port: string, pairs: DeclaredPairs, dnsName: string | null = null, address: string | null = null): string {
    const told = this.hear({ type: 'address.allocate', port, address, mac: null, pairs, dnsName });
    return told?.['type'] === 'address.allocated' ? String(told['address']) : this.refusalIn(told);
  }

  revise(port: string, pairs: DeclaredPairs, dnsName: string | null = null, had: readonly string[] = []): string {
    const told = this.hear({ type: 'address.revise', port, pairs, dnsName, had });
    return told?.['type'] === 'address.revised' ? 'revised' : this.refusalIn(told);
  }

  private refusalIn(told: Record<string, unknown> | undefined): string {
    const { error, path } = told as { error: { code: string; message: string }; path: string };
    return `${error.code} ${path}: ${error.message}`;
  }
}

test('an address of a pair is one port alone; who asks second is told who has it, and nothing is half taken', () => {
  const ledger = new Ledger();
  assert.is(ledger.create('port/t/a', [pair('10.0.0.9', vrrp), pair('10.0.0.12/31')], 'web'), '10.0.0.5');
  const refusals: readonly (readonly [string, string])[] = [
    [
      ledger.create('port/t/b', [], null, '10.0.0.9'),
      'address_taken spec.address: 10.0.0.9 is held by port/t/a; choose another, or none',
    ],
    [
      ledger.create('port/t/b', [pair('10.0.0.8'), pair('10.0.0.13')]),
      'address_taken spec.addressPairs.1.cidr: 10.0.0.13 is held by port/t/a; choose another, or none',
    ],
    [
      ledger.create('port/t/b', [pair('10.0.0.5')]),
      'address_taken spec.addressPairs.0.cidr: 10.0.0.5 is held by port/t/a; choose another, or none',
    ],
    [
      ledger.create('port/t/b', [pair('10.0.0.1')]),
      'address_reserved spec.addressPairs.0.cidr: 10.0.0.1 is the gateway of 10.0.0.0/28; the first 5 addresses and ' +
        'the last one are reserved',
    ],
    [
      ledger.create('port/t/b', [pair('10.0.0.3')]),
      'address_reserved spec.addressPairs.0.cidr: 10.0.0.3 is reserved of 10.0.0.0/28; the first 5 addresses and ' +
        'the last one are reserved',
    ],
    [
      ledger.create('port/t/b', [pair('10.9.0.3')]),
      'address_outside_subnet spec.addressPairs.0.cidr: 10.9.0.3 is in no subnet of the network; ' +
        'choose one in 10.0.0.0/28',
    ],
    [
      ledger.create('port/t/b', [pair('10.0.0.8', vrrp)]),
      `mac_taken spec.addressPairs.0.mac: ${vrrp} is in use by port/t/a in this network; choose another, or none`,
    ],
    [
      ledger.create('port/t/b', [], 'web'),
      'dns_name_taken spec.dnsName: web is the name of port/t/a in this network; choose another',
    ],
  ];
  for (const [told, wanted] of refusals) assert.is(told, wanted);
  assert.equal([ledger.context.ports, ledger.problems()], [1, []]);
  assert.is(ledger.create('port/t/b', [pair('10.0.0.8')], 'db'), '10.0.0.6');
  assert.match(ledger.revise('port/t/b', [pair('10.0.0.8'), pair('10.0.0.9')]), /held by port\/t\/a/);
  assert.match(ledger.revise('port/t/b', [], 'web'), /^dns_name_taken/);
  assert.is(ledger.revise('port/t/nobody', []).split(' ')[0], 'address_missing');
  assert.equal(ledger.problems(), []);
  // What it had rests, for others; the same port gets it back.
  assert.is(ledger.revise('port/t/a', [], 'www'), 'revised');
  assert.match(ledger.create('port/t/c', [pair('10.0.0.9')], 'web'), /released by port\/t\/a and rests/);
  assert.is(ledger.revise('port/t/a', [pair('10.0.0.9')], 'www', []), 'revised');
  ledger.hear({ type: 'address.release', port: 'port/t/a', address: null });
  assert.equal([ledger.context.ports, ledger.problems()], [1, []]);
  assert.equal([...ledger.rows.keys()].filter((name) => !name.startsWith('block/')).sort(), [
    'beside/port/t/b',
    'name/db',
    'owner/10.0.0.6',
    'owner/10.0.0.8',
    'port/port/t/b',
  ]);
});

const ports = ['port/t/a', 'port/t/b', 'port/t/c'];
const aPair = fc
  .record({
    last: fc.integer({ min: 4, max: 15 }),
    wide: fc.boolean(),
    mac: fc.option(fc.constantFrom(vrrp, '02:11:00:00:00:01')),
  })
  .map(({ last, wide, mac }) => pair(wide ? `10.0.0.${last & 14}/31` : `10.0.0.${last}`, mac));
const somePairs = fc.array(aPair, { maxLength: 3 }).filter((pairs) => addressPairsSchema.safeParse(pairs).success);
const aStep = fc.record({
  kind: fc.constantFrom('create' as const, 'revise' as const, 'release' as const),
  port: fc.constantFrom(...ports),
  pairs: somePairs,
  dnsName: fc.option(fc.constantFrom('web', 'db')),
  ms: fc.integer({ min: 0, max: 700_000 }),
});

test('whatever ports ask for: an address has one owner, the records agree, and a refusal changes nothing', () => {
  fc.assert(
    fc.property(fc.array(aStep, { maxLength: 30 }), (steps) => {
      const ledger = new Ledger();
      for (const { kind, port, pairs, dnsName, ms } of steps) {
        ledger.now += ms;
        const before = JSON.stringify([...ledger.rows].sort());
        if (kind === 'release') ledger.hear({ type: 'address.release', port, address: null });
        else {
          const told = kind === 'create' ? ledger.create(port, pairs, dnsName) : ledger.revise(port, pairs, dnsName);
          if (told.includes(' ')) assert.is(JSON.stringify([...ledger.rows].sort()), before, told);
        }
        assert.equal(ledger.problems(), []);
      }
    }),
    { numRuns: 200 },
  );
});

test.run();
