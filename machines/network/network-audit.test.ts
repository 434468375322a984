/** The list of a network's addresses, its utilisation, and what the comparison of its records finds. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Condition } from '../values/conditions.ts';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import { hold, type Beside, type Block } from './network-addresses.ts';
import { addressesAtOnce, problemsOf, utilisation } from './network-audit.ts';
import { networkMachine } from './network-machine.ts';
import type { NetworkContext } from './network-messages.ts';
import { held, specOf } from './network-rows-for-tests.ts';
import { freshUse } from './network-addresses.ts';
import { spaceOf } from './network-spec.ts';

const macOf = (last: number): string => `02:50:0a:00:00:${last.toString(16).padStart(2, '0')}`;

/** A network with an address for each of the numbers, and its rows. */
function filled(lasts: readonly number[], cidr = '10.0.0.0/28') {
  const spec = specOf({ subnets: [{ cidr }] });
  let subnets = spec.subnets.map((subnet) => freshUse(spaceOf(subnet)));
  let block: Block | undefined;
  for (const last of lasts) {
    const taken = hold(subnets, `10.0.0.${last}`, 0, () => block);
    if (taken === undefined) throw new Error(`10.0.0.${last} cannot be held`);
    block = taken.block.value;
    subnets = [taken.subnet];
  }
  const context: NetworkContext = { ...held, spec, subnets, ports: lasts.length };
  const rows = {
    owners: Object.fromEntries(lasts.map((at) => [`10.0.0.${at}`, { port: `port/t/p${at}`, mac: macOf(at) }])),
    ports: Object.fromEntries(lasts.map((at) => [`port/t/p${at}`, { address: `10.0.0.${at}`, mac: macOf(at) }])),
    macs: {} as Record<string, string>,
    blocks: (block === undefined ? {} : { '10.0.0': block }) as Record<string, Block>,
    besides: {} as Record<string, Beside>,
    names: {} as Record<string, string>,
  };
  return { context, rows };
}

const answered = (context: NetworkContext, row: Omit<Row, 'in' | 'to'>) => {
  const { asked } = decided(networkMachine, context, { ...row, in: 'ready', to: '', command: 'c' });
  return (asked.find(({ type }) => type === 'reply')?.params as { result: Record<string, unknown> }).result;
};

test('records that agree have no problem', () => {
  const { context, rows } = filled([5, 6, 9]);
  assert.equal(problemsOf(context, rows), []);
  assert.equal(utilisation(context), { used: 3, all: 10, outside: 0 });
  const stored = {
    'owner/*': rows.owners,
    'port/*': rows.ports,
    'mac/*': rows.macs,
    'block/*': rows.blocks,
    'beside/*': {},
    'name/*': {},
  };
  assert.equal(answered(context, { on: { type: 'network.verify' }, rows: stored }), {
    used: 3,
    all: 10,
    outside: 0,
    ports: 3,
    problems: [],
  });
});

test('every kind of disagreement is named', () => {
  const broken = (change: (of: ReturnType<typeof filled>) => object): string => {
    const made = filled([5, 6]);
    const { rows } = made;
    return problemsOf(made.context, { ...rows, ...change(made) }).join('\n');
  };
  const free = { address: '10.0.0.7', mac: macOf(7) };
  assert.match(
    broken(({ rows }) => ({ ports: { 'port/t/p5': rows.ports['port/t/p5'] } })),
    /10\.0\.0\.6 is allocated to .*, which has none/,
  );
  assert.match(
    broken(({ rows }) => ({ ports: { ...rows.ports, 'port/t/p7': free } })),
    /p7 has 10\.0\.0\.7, which is allocated to nobody/,
  );
  const twice = broken(({ rows }) => ({ ports: { ...rows.ports, 'port/t/q': rows.ports['port/t/p5'] } }));
  assert.match(twice, /port\/t\/q has 10\.0\.0\.5, which is allocated to port\/t\/p5/);
  assert.match(twice, /2 ports are counted, and there are 3/);
  assert.match(
    broken(() => ({ blocks: {} })),
    /10\.0\.0\.5 of port\/t\/p5 is marked as free/,
  );
  assert.match(
    broken(({ rows }) => ({ owners: { '10.0.0.5': rows.owners['10.0.0.5'] } })),
    /10\.0\.0\.6 is marked, and nobody has it/,
  );
  assert.match(
    broken(() => ({ macs: { '06:00:00:00:00:01': 'port/t/p5' } })),
    /06:00.* is allocated to port\/t\/p5, which does not have it/,
  );
  const declared = { address: '10.0.0.5', mac: '06:00:00:00:00:01' };
  assert.match(
    broken(({ rows }) => ({ ports: { ...rows.ports, 'port/t/p5': declared } })),
    /has 06:00.*, which is allocated to nobody/,
  );
  const outside = { '10.9.0.5': { port: 'port/t/p5', mac: macOf(5) } };
  assert.match(
    broken(({ rows }) => ({ owners: { ...rows.owners, ...outside } })),
    /10\.9\.0\.5 of port\/t\/p5 is in no subnet/,
  );
});

test('the list is in the order of addresses, and goes on after the last one', () => {
  const many = Array.from({ length: addressesAtOnce + 1 }, (_, at) => at + 5);
  const { context, rows } = filled(many, '10.0.0.0/24');
  const page = (after: string | null) =>
    answered(context, { on: { type: 'network.addresses', after }, rows: { 'owner/*': rows.owners } }) as {
      addresses: readonly { address: string }[];
      next: string | null;
    };
  const first = page(null);
  assert.equal(
    [first.addresses.length, first.addresses[0], first.next],
    [addressesAtOnce, { address: '10.0.0.5', mac: macOf(5), owner: 'port/t/p5' }, '10.0.0.204'],
  );
  const second = page(first.next);
  assert.equal([second.addresses.map(({ address }) => address), second.next], [['10.0.0.205'], null]);
});

test('the condition AddressesFree tells at 80, 95 and 100 percent, and recovers', () => {
  const told = (used: number) => {
    const { context, rows } = filled(Array.from({ length: used - 1 }, (_, at) => at + 5));
    const on = { type: 'address.allocate', port: 'port/t/new', address: null, mac: null };
    const loaded = { 'port/port/t/new': null, 'block/10.0.0': rows.blocks['10.0.0'] ?? null };
    const { conditions } = decided(networkMachine, context, { in: 'ready', on, rows: loaded, to: '' }).context;
    const found = (conditions as readonly Condition[]).find(({ type }) => type === 'AddressesFree');
    return [found?.status, found?.reason];
  };
  assert.equal(
    [told(7), told(8), told(10)],
    [
      ['True', 'Enough'],
      ['False', 'Above80Percent'],
      ['False', 'Full'],
    ],
  );
  const { context, rows } = filled([5, 6, 7, 8, 9, 10, 11, 12]);
  const on = { type: 'address.release', port: 'port/t/p5', address: '10.0.0.5' };
  const loaded = {
    'beside/port/t/p5': null,
    'port/port/t/p5': rows.ports['port/t/p5'],
    'block/10.0.0': rows.blocks['10.0.0'],
  };
  const { conditions } = decided(networkMachine, context, { in: 'ready', on, rows: loaded, to: '' }).context;
  assert.is((conditions as readonly Condition[]).find(({ type }) => type === 'AddressesFree')?.status, 'True');
});

test.run();
