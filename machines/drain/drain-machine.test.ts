/** Decisions of a drain: rounds, how many VMs are asked at once, VMs that stay, its end and its cancellation. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { drainMachine, progressOf, type DrainContext } from './drain-machine.ts';

const [a, b, c] = ['vm/t/a', 'vm/t/b', 'vm/t/c'] as const;
const drained: DrainContext = {
  id: 'drain/system/w1',
  host: 'w1',
  limits: { maxParallel: 2, restart: false },
  since: 500,
  moved: 0,
  left: [],
  moving: [],
  pending: [],
  waiting: [],
  tries: 0,
};
const start = { type: 'drain.start', host: 'w1', limits: { maxParallel: 2, restart: false } };
const cancel = { type: 'drain.cancel' };
const occupants = (vms: readonly string[], more: object = {}) => ({
  type: 'occupants',
  host: 'w1',
  vms,
  arriving: 0,
  open: false,
  ...more,
});
const reason = { code: 'no_host', message: 'no host can take it' };
const says = (vm: string, standing: string) => ({
  type: 'vm.evacuation',
  vm,
  host: 'w1',
  standing,
  reason: standing === 'stays' ? reason : null,
});
const ask = 'occupants.ask > cluster';
const go = 'vm.evacuate > vm';
const told = 'drain.stands > host';
const two = { moving: [a, b], pending: [c] };

const rows: readonly Row[] = [
  { in: 'born', on: start, to: 'counting', asks: [ask] },
  { in: 'born', on: cancel, to: 'cancelled', asks: [told] },

  { in: 'counting', on: occupants([]), to: 'drained', asks: [told] },
  { in: 'counting', on: occupants([], { arriving: 1 }), to: 'waiting' },
  { in: 'counting', on: occupants([], { open: true }), to: 'waiting' },
  { in: 'counting', on: occupants([a]), to: 'moving', asks: [go, told] },
  { in: 'counting', on: occupants([a, b, c]), to: 'moving', asks: [go, go, told] },
  { in: 'counting', with: { moving: [a] }, on: occupants([a, b, c]), to: 'moving', asks: [go, go, told] },
  { in: 'counting', with: { left: [a] }, on: occupants([a]), to: 'waiting' },
  { in: 'counting', with: { moving: [a] }, on: says(a, 'left'), to: 'counting', asks: [] },
  { in: 'counting', on: 'countDeadline', to: 'counting', asks: [ask] },
  { in: 'counting', on: start, to: 'counting', asks: [ask] },
  { in: 'counting', on: cancel, to: 'cancelled', asks: [told] },

  { in: 'moving', with: two, on: says(a, 'moving'), to: 'moving', asks: [told] },
  { in: 'moving', with: two, on: says(a, 'left'), to: 'moving', asks: [go, told] },
  { in: 'moving', with: two, on: says(a, 'stays'), to: 'moving', asks: [go, told] },
  { in: 'moving', with: two, on: says(c, 'left'), to: 'moving', asks: [] },
  { in: 'moving', with: { moving: [a] }, on: says(a, 'left'), to: 'waiting' },
  { in: 'moving', with: { moving: [a] }, on: says(a, 'stays'), to: 'waiting' },
  { in: 'moving', with: two, on: 'moveReview', to: 'counting', asks: [ask] },
  { in: 'moving', with: two, on: start, to: 'counting', asks: [ask] },
  { in: 'moving', with: two, on: cancel, to: 'cancelled', asks: [told] },

  { in: 'waiting', on: 'review', to: 'counting', asks: [ask] },
  { in: 'waiting', on: start, to: 'counting', asks: [ask] },
  { in: 'waiting', on: cancel, to: 'cancelled', asks: [told] },
];

test('decisions', () => {
  assert.equal(disagreements(drainMachine, drained, rows), []);
});

test('a VM counts as moved once, when it says so or when the cluster does', () => {
  const step = (context: object, state: string, on: Row['on']): DrainContext =>
    decided(drainMachine, context, { in: state, on, to: '' }).context as unknown as DrainContext;
  const said = step({ ...drained, moving: [a, b] }, 'moving', says(a, 'left'));
  assert.equal([said.moved, said.left, progressOf(said, 'moving').moved], [0, [a], 1]);
  const counted = step(said, 'counting', occupants([b]));
  assert.equal([counted.moved, counted.left, counted.moving], [1, [], [b]]);
  const unsaid = step(counted, 'counting', occupants([]));
  assert.is(unsaid.moved, 2);
});

test('a VM that stays is shown with its reason, and may be restarted elsewhere only when it is asked again', () => {
  const context = { ...drained, limits: { maxParallel: 2, restart: true }, moving: [a] };
  const stays = decided(drainMachine, context, { in: 'moving', on: says(a, 'stays'), to: '' });
  assert.equal(stays.context['waiting'], [{ vm: a, ...reason }]);
  const again = decided(drainMachine, stays.context, { in: 'counting', on: occupants([a, b]), to: '' });
  const restarts = again.asked
    .slice(0, 2)
    .map(({ params }) => (params as { event: { restart: boolean } }).event.restart);
  assert.equal(restarts, [true, false]);
  const gone = decided(drainMachine, again.context, { in: 'moving', on: says(a, 'left'), to: '' });
  assert.equal(gone.context['waiting'], []);
});

test.run();
