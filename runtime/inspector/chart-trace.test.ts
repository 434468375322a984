import { createMachine } from 'xstate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chartOf } from './chart-ir.ts';
import { activeStates, stateText, takenTransitions } from './chart-trace.ts';
import { jobMachine, meshMachine } from './sample-machines-for-tests.ts';

const job = chartOf(jobMachine);
const mesh = chartOf(meshMachine);
const labels = (chart: typeof job, ids: readonly string[]): string[] =>
  ids
    .map((id) => chart.transitions.find((transition) => transition.id === id))
    .map((found) => `${found?.source}: ${found?.label}`);

test('state values and dotted paths light the same states', () => {
  for (const value of [
    'running.migrating.copying',
    { running: { migrating: 'copying' } },
    { running: 'migrating.copying' },
  ]) {
    const { lit, within } = activeStates(value);
    assert.equal([...lit], ['running.migrating.copying']);
    assert.equal([...within].sort(), ['', 'running', 'running.migrating']);
  }
});

test('parallel regions light several', () => {
  const value = { plane: 'there', members: 'none' };
  assert.equal([...activeStates(value).lit].sort(), ['members.none', 'plane.there']);
  assert.is(stateText(value), 'plane.there + members.none');
  assert.equal([...activeStates({ a: {}, b: 'x' }).lit].sort(), ['a', 'b.x'], 'a region without children');
});

test('no state is no state', () => {
  for (const value of [undefined, null, '']) assert.is(activeStates(value).lit.size, 0);
  assert.is(stateText(undefined), '(none)');
});

test('the transition a step took is found, the deepest first', () => {
  const step = { eventType: 'job.cancel', from: { running: { migrating: 'copying' } }, to: { running: 'healthy' } };
  assert.equal(labels(job, takenTransitions(job, step)), ['running.migrating: job.cancel']);
  const root = { eventType: 'job.delete', from: 'stopped', to: 'deleting' };
  assert.equal(labels(job, takenTransitions(job, root)), [': job.delete']);
  const stays = {
    eventType: 'migration.copy.progress',
    from: { running: { migrating: 'copying' } },
    to: { running: { migrating: 'copying' } },
  };
  assert.equal(labels(job, takenTransitions(job, stays)), ['running.migrating.copying: migration.copy.progress']);
  const timer = { eventType: 'xstate.after.backoff.job.failed', from: 'failed', to: 'starting' };
  assert.equal(labels(job, takenTransitions(job, timer)), ['failed: after backoff (2 s)']);
});

test('where both a state and its parent would fit, the state took the event', () => {
  const machine = createMachine({
    id: 'both',
    initial: 'a',
    states: { a: { initial: 'b', on: { go: 'c' }, states: { b: { on: { go: '#both.c' } } } }, c: {} },
  });
  const both = chartOf(machine);
  const step = { eventType: 'go', from: { a: 'b' }, to: 'c' };
  assert.equal(labels(both, takenTransitions(both, step)), ['a.b: go']);
});

test('the eventless rest of a step is found too', () => {
  const step = { eventType: 'slot.make.done', from: { preparing: 'plugging' }, to: 'starting' };
  assert.equal(labels(job, takenTransitions(job, step)), ['preparing.plugging: slot.make.done', 'preparing: done']);
  const always = {
    eventType: 'segment.ensure.done',
    from: { plane: 'making', members: 'none' },
    to: { plane: 'settled', members: 'none' },
  };
  assert.equal(labels(mesh, takenTransitions(mesh, always)), [
    'plane.making: segment.ensure.done',
    'plane.there: always',
  ]);
});

test('an event that the chart does not know took nothing', () => {
  assert.equal(takenTransitions(job, { eventType: 'nobody.sent', from: 'placing', to: 'placing' }), []);
});

test.run();
