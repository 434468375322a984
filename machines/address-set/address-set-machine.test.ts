/** Decisions of an address set: counted, published, changed in place, taken off all hosts before it ends. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { addressSetMachine, type AddressSetContext } from './address-set-machine.ts';
import { addressSetSpec, type AddressSetSpec } from './address-set-protocol.ts';

const id = 'address-set/t/office';
const specOf = (input: object): AddressSetSpec => addressSetSpec.parse(input) as AddressSetSpec;
const declare = (verb: 'create' | 'update' | 'apply', input: object) => ({
  type: `address-set.${verb}`,
  spec: specOf(input),
  ...(verb === 'update' ? {} : { labels: {}, protect: false }),
});
const office = { cidrs: ['192.0.2.0/24'] };
const moved = { cidrs: ['192.0.2.0/24', '198.51.100.7/32'] };
const held: AddressSetContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec: specOf(office),
  generation: 1,
  observedGeneration: 1,
  holders: 0,
};
const waiting = { waiters: [{ commandId: 'c', result: 'created' }] };
const error = { code: 'quota_exceeded', message: 'x', retryable: false };
const about = { section: 'address-sets', key: id };

const rows: readonly Row[] = [
  { in: 'born', on: declare('create', office), command: 'c', to: 'claiming', asks: ['defer', 'quota.claim > tenant'] },
  {
    in: 'born',
    on: declare('apply', { cidrs: ['192.0.2.1/24'] }),
    command: 'c',
    to: 'gone',
    asks: ['reject cidr_invalid'],
  },
  {
    in: 'claiming',
    with: waiting,
    on: { type: 'quota.granted' },
    to: 'ready',
    asks: ['element.put > vpc', 'reply'],
  },
  {
    in: 'claiming',
    with: waiting,
    on: { type: 'quota.refused', error },
    rows: { 'holder/*': {} },
    to: 'gone',
    asks: ['reject quota_exceeded'],
  },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: ['quota.claim > tenant'] },
  { in: 'ready', on: declare('apply', office), command: 'd', to: 'ready', asks: ['reply'] },
  {
    in: 'ready',
    on: declare('update', moved),
    command: 'd',
    to: 'ready',
    asks: ['element.put > vpc', 'reply'],
  },
  {
    in: 'ready',
    on: declare('update', { ...office, vpc: 'other' }),
    command: 'd',
    to: 'ready',
    asks: ['reject immutable_field'],
  },
  {
    in: 'ready',
    on: { type: 'address-set.delete' },
    command: 'd',
    to: 'withdrawing',
    asks: ['defer', 'element.remove > vpc'],
  },
  {
    in: 'ready',
    with: { protect: true },
    on: { type: 'address-set.delete' },
    command: 'd',
    to: 'ready',
    asks: ['reject protected'],
  },
  { in: 'withdrawing', on: 'withdrawDeadline', to: 'withdrawing', asks: ['element.remove > vpc'] },
  {
    in: 'withdrawing',
    with: waiting,
    on: { type: 'element.removed', ...about },
    to: 'gone',
    asks: ['quota.release > tenant', 'reply'],
  },
];

test('decisions', () => {
  assert.equal(disagreements(addressSetMachine, held, rows), []);
});

test('a changed list is observed once every host has proven it', () => {
  const to = (context: object, on: Row['on']): AddressSetContext =>
    decided(addressSetMachine, context, { in: 'ready', on, command: 'd', to: '' })
      .context as unknown as AddressSetContext;
  const changed = to(held, declare('update', moved));
  assert.equal([changed.generation, changed.observedGeneration], [2, 1]);
  const realized = (generation: number) => ({ type: 'element.realized', ...about, generation });
  assert.is(to(changed, realized(1)).observedGeneration, 1, 'of an earlier generation');
  assert.is(to(changed, realized(2)).observedGeneration, 2);
});

test.run();
