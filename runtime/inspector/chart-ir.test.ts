import { createMachine, raise, setup } from 'xstate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chartOf, type Chart, type ChartTransition } from './chart-ir.ts';
import { jobMachine, meshMachine } from './sample-machines-for-tests.ts';

const chart = chartOf(jobMachine);
const state = (id: string) => chart.states.find((candidate) => candidate.id === id);
const transitions = (source: string, event: string, from: Chart = chart): ChartTransition[] =>
  from.transitions.filter((transition) => transition.source === source && transition.label.startsWith(event));

test('states keep their place, kind, description, tags and entry actions', () => {
  assert.is(state('')?.initial, 'placing');
  assert.is(state('preparing')?.initial, 'preparing.fetching');
  assert.is(state('preparing')?.kind, 'compound');
  assert.is(state('preparing.ready')?.kind, 'final');
  assert.is(state('running.migrating.copying')?.parent, 'running.migrating');
  assert.equal(state('running.healthy')?.tags, ['steady']);
  assert.is(state('stopped')?.description, 'No process; disk and addresses are kept.');
  assert.equal(state('preparing.plugging')?.entry, [
    { name: 'slot.make', role: 'effect' },
    { name: 'send', role: 'message' },
    { name: 'send', role: 'message' },
  ]);
  assert.equal(state('running')?.exit, [{ name: 'forgetRun', role: 'update' }]);
});

test('a timer has its name, its delay and its guard, and is no failure although its state is called failed', () => {
  const [backoff] = transitions('failed', 'after backoff');
  assert.is(backoff?.kind, 'timer');
  assert.is(backoff?.label, 'after backoff (2 s)');
  assert.is(backoff?.delayMs, 2000);
  assert.is(backoff?.guard, 'canRetry');
  assert.is(backoff?.failure, false);
  const [quiet] = transitions('running.unresponsive', 'after quietPeriod');
  assert.is(quiet?.label, 'after quietPeriod', 'a computed delay has no number');
  assert.is(quiet?.guard, 'isLastTry and not canRetry');
});

test('done, failures, unknown results and transitions that stay are told apart', () => {
  assert.equal(
    transitions('preparing', 'done').map(({ kind, guard, targets }) => ({ kind, guard, targets })),
    [
      { kind: 'done', guard: 'wantsRunning', targets: ['starting'] },
      { kind: 'done', guard: null, targets: ['stopped'] },
    ],
  );
  assert.is(transitions('starting', 'process.start.failed')[0]?.failure, true);
  assert.is(transitions('preparing.plugging', 'slot.make.unknown')[0]?.reenter, true);
  assert.equal(transitions('running.migrating.copying', 'migration.copy.progress')[0]?.targets, []);
  assert.equal(transitions('', 'job.delete')[0]?.targets, ['deleting']);
});

test('parallel regions and eventless transitions', () => {
  const mesh = chartOf(meshMachine);
  assert.is(mesh.states[0]?.kind, 'parallel');
  assert.is(mesh.states[0]?.initial, null);
  assert.is(transitions('plane.there', 'always', mesh)[0]?.guard, 'allDone');
});

test('effects are those the definition names; without them, dotted names', () => {
  const only = chartOf(jobMachine, { effects: new Set(['slot.make']) });
  assert.is(only.states.find(({ id }) => id === 'starting')?.entry[0]?.role, 'update');
});

test('inline functions are shown, not dropped', () => {
  const machine = createMachine({
    id: 'inline',
    initial: 'a',
    states: { a: { entry: () => {}, on: { go: { guard: () => true, target: 'b' } } }, b: {} },
  });
  const inline = chartOf(machine);
  assert.is(inline.transitions[0]?.guard, 'inline guard');
  assert.equal(inline.states[1]?.entry, [{ name: 'inline action', role: 'update' }]);
});

test('a delayed raise, named or not, makes its event a timer', () => {
  const machine = setup({
    types: {} as { events: { type: 'due' } | { type: 'late' } },
    delays: { slow: 90_000 },
    actions: { arm: raise({ type: 'due' } as const, { delay: 'slow', id: 'arm' }) },
  }).createMachine({
    id: 'raised',
    initial: 'a',
    states: {
      a: { entry: ['arm', raise({ type: 'late' } as const, { delay: 500 })], on: { due: 'b', late: 'b' } },
      b: {},
    },
  });
  const raised = chartOf(machine);
  assert.equal(
    raised.transitions.map(({ kind, label, delayMs }) => ({ kind, label, delayMs })),
    [
      { kind: 'timer', label: 'due', delayMs: 90_000 },
      { kind: 'timer', label: 'late', delayMs: 500 },
    ],
  );
  assert.equal(raised.states[1]?.entry, [
    { name: 'arm', role: 'timer' },
    { name: 'late in 500 ms', role: 'timer' },
  ]);
});

test('the chart is plain JSON', () => {
  assert.equal(JSON.parse(JSON.stringify(chart)), chart);
});

test.run();
