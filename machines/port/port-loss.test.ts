/** A port whose VM gives up its run on a silent host: what it asks before it is free to be bound, and when it ends. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { portMachine } from './port-machine.ts';
import { held, release, vm, w1 as host, w2 } from './port-rows-for-tests.ts';

const abandon = { type: 'port.abandon', holder: vm, host: 'w1', absent: ['w1'] };
const one = { host, runEpoch: held.runEpoch, addresses: [held.grant?.address ?? ''], absent: ['w1'], fenced: false };
const fenced = { ...one, fenced: true };
const off = { host: null, proof: null, bindingUid: null };
const given = { ...off, abandoned: [one] };
const key = `${held.id}/w1`;
const realized = { type: 'element.realized', section: 'fences', key, generation: held.runEpoch };
const removed = { type: 'binding.removed', host: 'w1' };
const standby = {
  host: 'w2',
  facts: w2,
  runEpoch: held.runEpoch + 1,
  phase: 'standing',
  proof: null,
  failure: null,
  waiters: [],
} as const;

const left = 'port.left > vpc';
const remove = 'binding.remove > binding';
const put = 'element.put > vpc';
const lift = 'element.remove > vpc';
const unbound = 'port.unbound > vm';

const rows: readonly Row[] = [
  ...['active', 'degraded', 'tapped', 'binding.segment', 'binding.tap', 'binding.waiting', 'failed', 'unbinding'].map(
    (state): Row => ({ in: state, on: abandon, to: 'abandoning', asks: [left, remove, put] }),
  ),
  { in: 'unbound', with: off, on: abandon, to: 'unbound', asks: [unbound] },
  { in: 'active', on: { ...abandon, holder: 'vm/t/x' }, to: 'active', asks: ['port.unbound > vm'] },
  // It is on another host: unbound there as ever.
  { in: 'active', with: { host: w2 }, on: abandon, to: 'unbinding', asks: [left, remove] },
  // A migration had prepared it on a second host, or has moved it there.
  { in: 'active', with: { standby }, on: abandon, to: 'abandoning', asks: [remove, left, remove, put] },
  {
    in: 'active',
    with: { standby },
    on: { ...abandon, host: 'w2' },
    to: 'unbinding',
    asks: [left, remove, left, remove],
  },
  { in: 'abandoning', with: given, on: realized, to: 'unbound', asks: [unbound] },
  { in: 'abandoning', with: given, on: { ...realized, key: `${held.id}/w9` }, to: 'abandoning', asks: [] },
  { in: 'abandoning', with: given, on: { ...realized, generation: 99 }, to: 'abandoning', asks: [] },
  { in: 'abandoning', with: given, on: { ...abandon, absent: ['w1', 'w3'] }, to: 'abandoning', asks: [put] },
  { in: 'abandoning', with: given, on: 'fenceDeadline', to: 'abandoning', asks: [put] },
  { in: 'abandoning', with: given, on: removed, to: 'unbound', asks: [lift, unbound] },
  { in: 'abandoning', with: { ...given, leaving: true }, on: realized, to: 'parting', asks: [] },
  { in: 'unbinding', with: { host: w2, abandoned: [one] }, on: { ...removed, host: 'w2' }, to: 'abandoning' },
  { in: 'unbinding', with: { host: w2, abandoned: [one] }, on: removed, to: 'unbinding', asks: [lift] },
  // Its host is back.
  { in: 'active', with: { host: w2, abandoned: [fenced] }, on: removed, to: 'active', asks: [lift] },
  { in: 'unbound', with: { ...off, abandoned: [fenced] }, on: removed, to: 'unbound', asks: [lift] },
  // Its address is not free before.
  { in: 'unbound', with: { ...off, abandoned: [fenced] }, on: release, to: 'parting', asks: [] },
  {
    in: 'unbinding',
    with: { host: w2, leaving: true, abandoned: [fenced] },
    on: { ...removed, host: 'w2' },
    to: 'parting',
    asks: [],
  },
  { in: 'parting', with: { ...off, leaving: true, abandoned: [fenced] }, on: release, to: 'parting', asks: [] },
  {
    in: 'parting',
    with: { ...off, leaving: true, abandoned: [fenced] },
    on: removed,
    to: 'gone',
    asks: [lift, 'address.release > network', 'port.gone > vm'],
  },
];

test('decisions', () => {
  assert.equal(disagreements(portMachine, held, rows), []);
});

test('what is fenced is the host and all addresses of the port, and silent hosts are not waited for', () => {
  const { asked, context } = decided(
    portMachine,
    { ...held, located: ['10.9.9.9'] },
    { in: 'active', on: abandon, to: '' },
  );
  const events = asked.map(({ params }) => (params as { event?: Record<string, unknown> }).event);
  const element = events.find((event) => event?.['type'] === 'element.put');
  assert.equal(element, {
    type: 'element.put',
    section: 'fences',
    key,
    element: { host: host.index, addresses: [held.grant?.address, '10.9.9.9'] },
    generation: held.runEpoch,
    absent: ['w1'],
  });
  assert.is(events.filter((event) => event?.['type'] === 'port.left').length, 2);
  assert.is(context['host'], null);
  const again = decided(
    portMachine,
    { ...held, abandoned: [{ ...fenced, addresses: ['10.9.9.8'] }] },
    {
      in: 'active',
      on: abandon,
      to: '',
    },
  );
  assert.equal(
    (again.context['abandoned'] as { addresses: string[]; fenced: boolean }[]).map((each) => [
      each.addresses.toSorted(),
      each.fenced,
    ]),
    [[['10.9.9.8', held.grant?.address].toSorted(), false]],
    'what was fenced stays so',
  );
});

test.run();
