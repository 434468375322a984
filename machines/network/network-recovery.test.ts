/** Decisions of a network after a store rollback: no allocation before it has reconciled with the inventories. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { Block } from './network-addresses.ts';
import { networkMachine } from './network-machine.ts';
import { declare, held, sixteen } from './network-rows-for-tests.ts';

const allocate = { type: 'address.allocate', port: 'port/t/p', address: null, mac: null };
const free = { 'port/port/t/p': null, 'beside/port/t/p': null, 'block/10.0.0': null };
const foundAt = (address: string, port = 'port/t/lost') => ({
  vpc: 'vpc/t/main',
  port,
  address,
  mac: '02:00:00:00:00:01',
});
const cleared = (...taken: readonly object[]) => ({ type: 'era.cleared', era: 2, taken });
const refusal = ['era.ask > cluster', 'address.refused > port'];

const rows: readonly Row[] = [
  {
    in: 'ready',
    on: allocate,
    rows: free,
    to: 'ready',
    asks: ['put block', 'put owner', 'put port', 'address.allocated > port'],
  },
  { in: 'ready', on: allocate, era: 2, rows: free, to: 'ready', asks: refusal },
  { in: 'ready', with: { era: 0 }, on: allocate, era: 2, rows: free, to: 'ready', asks: refusal },
  { in: 'ready', on: { ...cleared(), era: 1 }, era: 2, to: 'ready', asks: [] },
  { in: 'ready', on: cleared(foundAt('192.0.2.9')), era: 2, to: 'ready', asks: [] },
];

test('no address in a new era before it is agreed', () => {
  assert.equal(disagreements(networkMachine, held, rows), []);
});

test('a network created in a later era reconciles first, because it may have existed before', () => {
  const on = declare('create', sixteen);
  const born = (era: number) =>
    decided(networkMachine, { ...held, generation: 0 }, { in: 'born', on, command: 'c', era, to: '' }).context['era'];
  assert.equal([born(1), born(2)], [1, 0]);
});

test('found addresses are held for the ports that have them, and are not given to others', () => {
  const [first, second] = ['10.0.0.5', '10.0.0.6'];
  const { context, asked } = decided(networkMachine, held, {
    in: 'ready',
    on: cleared(foundAt(first), foundAt(second, 'port/t/also')),
    era: 2,
    rows: {
      'block/10.0.0': null,
      [`owner/${first}`]: null,
      [`owner/${second}`]: null,
      'port/port/t/lost': null,
      'port/port/t/also': null,
    },
    to: '',
  });
  assert.equal([context['era'], context['ports'], context['disputed']], [2, 2, []]);
  const puts = asked.map(({ params }) => params as { collection: string; key: string; value: unknown });
  const block = puts.find((put) => put.collection === 'block')?.value as Block;
  assert.equal(puts.find((put) => put.key === 'port/t/lost')?.value, { address: first, mac: '02:00:00:00:00:01' });
  const next = decided(networkMachine, context, {
    in: 'ready',
    on: allocate,
    era: 2,
    rows: { ...free, 'block/10.0.0': block },
    to: '',
  });
  assert.equal(next.asks.at(-1), 'address.allocated > port');
  const given = (next.asked.at(-1)?.params as { event: { address: string } }).event.address;
  assert.ok(given !== first && given !== second, given);
  // The very port gets what it had.
  const same = decided(networkMachine, context, {
    in: 'ready',
    on: { ...allocate, port: 'port/t/lost' },
    era: 2,
    rows: { 'beside/port/t/lost': null, 'port/port/t/lost': { address: first, mac: 'm' }, 'block/10.0.0': block },
    to: '',
  });
  assert.is((same.asked[0]?.params as { event: { address: string } }).event.address, first);
});

test('an address that two ports claim is reported and left unchanged', () => {
  const address = '10.0.0.5';
  const { context, asks } = decided(networkMachine, held, {
    in: 'ready',
    on: cleared(foundAt(address)),
    era: 2,
    rows: { 'block/10.0.0': null, [`owner/${address}`]: { port: 'port/t/p', mac: 'm' }, 'port/port/t/lost': null },
    to: '',
  });
  assert.equal(asks, []);
  assert.equal(context['disputed'], [`${address}: port/t/p here, port/t/lost on its host`]);
});

test.run();
