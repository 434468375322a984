import { setup } from 'xstate';
import type { AnyStateMachine } from 'xstate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decide, decideInitial, restore } from '../hosting/decide.ts';
import { chartOf } from './chart-ir.ts';
import { activeStates, stateText, takenTransitions } from './chart-trace.ts';
import { jobMachine, meshMachine } from './sample-machines-for-tests.ts';

const job = chartOf(jobMachine);
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

/** What the step recorded that a host has the machine take. */
function taken(machine: AnyStateMachine, from: unknown, type: string): readonly string[] {
  const { context } = decideInitial(machine, undefined).snapshot;
  return takenTransitions(chartOf(machine), decide(machine, restore(machine, from, context), { type }).taken);
}
const takenLabels = (machine: AnyStateMachine, from: unknown, type: string): string[] =>
  labels(chartOf(machine), taken(machine, from, type));

test('the transition a step took is lit, the deepest first', () => {
  const copying = { running: { migrating: 'copying' } };
  assert.equal(takenLabels(jobMachine, copying, 'job.cancel'), ['running.migrating: job.cancel']);
  assert.equal(takenLabels(jobMachine, 'stopped', 'job.delete'), [': job.delete']);
  assert.equal(takenLabels(jobMachine, copying, 'migration.copy.progress'), [
    'running.migrating.copying: migration.copy.progress',
  ]);
  assert.equal(takenLabels(jobMachine, 'failed', 'xstate.after.backoff.job.failed'), ['failed: after backoff (2 s)']);
  assert.equal(takenLabels(jobMachine, 'placing', 'nobody.sent'), [], 'an event that the chart does not know');
});

test('the eventless rest of a step is lit too', () => {
  assert.equal(takenLabels(jobMachine, { preparing: 'plugging' }, 'slot.make.done'), [
    'preparing.plugging: slot.make.done',
    'preparing: done',
  ]);
  assert.equal(takenLabels(meshMachine, { plane: 'making', members: 'none' }, 'segment.ensure.done'), [
    'plane.making: segment.ensure.done',
    'plane.there: always',
  ]);
});

test('of guarded candidates the one that was taken is lit, whatever else leads to where the step ended', () => {
  const machine = setup({
    types: { context: {} as { tired: boolean } },
    guards: { isRested: ({ context }) => !context.tired, isTired: ({ context }) => context.tired },
  }).createMachine({
    id: 'walk',
    context: { tired: true },
    initial: 'away',
    states: {
      away: {
        on: {
          go: [
            { guard: 'isRested', target: 'home' },
            { guard: 'isTired', target: 'bench' },
          ],
        },
      },
      bench: { always: 'home' },
      home: {},
    },
  });
  const chart = chartOf(machine);
  const lit = (tired: boolean): unknown[] => {
    const step = decide(machine, restore(machine, 'away', { tired }), { type: 'go' });
    assert.is(step.snapshot.value, 'home');
    const ids = takenTransitions(chart, step.taken);
    return chart.transitions.flatMap(({ id, source, targets }) => (ids.includes(id) ? [[source, ...targets]] : []));
  };
  assert.equal(lit(false), [['away', 'home']]);
  assert.equal(lit(true), [
    ['away', 'bench'],
    ['bench', 'home'],
  ]);
});

test('what the history does not say is not guessed', () => {
  assert.equal(takenTransitions(job, undefined), []);
  assert.equal(takenTransitions(job, [':of.an.older.chart']), []);
});

test.run();
