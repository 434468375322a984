/**
 * Goals from hand-made samples: which side of a bound holds, which sample is judged, a goal without samples is an
 * error.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { figureLines, goalTable, judge, type Goal } from './bench-goals.ts';

const goal: Goal = { name: 'share of the limit', unit: 'x', samples: [0.9, 0.5, 0.7], atLeast: 0.7 };

test('the median is judged, and a value equal to the bound holds', () => {
  assert.is(judge(goal).value, 0.7);
  assert.ok(judge(goal).holds);
  assert.not.ok(judge({ ...goal, atLeast: 0.71 }).holds);
  assert.ok(judge({ name: 'a', unit: 'us', samples: [3], atMost: 3 }).holds);
  assert.not.ok(judge({ name: 'a', unit: 'us', samples: [3.1], atMost: 3 }).holds);
});

test('a goal over the worst case takes the largest', () => {
  const late: Goal = { name: 'late', unit: 'ms', samples: [1, 2, 60], judged: 'largest', atMost: 50 };
  assert.is(judge(late).value, 60);
  assert.not.ok(judge(late).holds);
});

test('a goal without samples is neither kept nor missed', () => {
  assert.throws(() => judge({ ...goal, samples: [] }), /not measured/);
});

test('the table names bound, spread and verdict', () => {
  const table = goalTable([judge(goal), judge({ ...goal, name: 'other', atLeast: 0.8, note: 'of bare' })]);
  assert.match(table, /share of the limit +0\.70 x +\[0\.50 - 0\.90\] n=3 +>= 0\.7 +holds/);
  assert.match(table, /other .*MISSED +of bare/);
  const computed = goalTable([judge({ name: 'c', unit: 'ms', samples: [1], atMost: 123.4567 })]);
  assert.match(computed, /<= 123 +holds/);
  assert.match(figureLines([{ name: 'rate', unit: '/s', samples: [45_678.4] }]), /rate +45,678 \/s$/);
});

test.run();
