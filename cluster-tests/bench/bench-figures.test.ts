/** Figures and targets from hand-made samples: medians, growth, limits; a step without samples is an error. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { figureTable, growth, holds, percentile, summarize, targetTable, type Target } from './bench-figures.ts';

test('a summary does not depend on the order of the samples', () => {
  assert.equal(summarize([9, 1, 5, 7]), { median: 5, min: 1, max: 9, count: 4 });
  assert.throws(() => summarize([]), /not measured/);
});

test('a percentile is a sample: the smallest that enough others do not exceed', () => {
  const samples = Array.from({ length: 100 }, (_, k) => 100 - k);
  assert.is(percentile(samples, 0.99), 99);
  assert.is(percentile(samples, 0.5), 50);
  assert.is(percentile([1, 9, 5], 0.99), 9);
  assert.throws(() => percentile([], 0.5), /not measured/);
});

test('growth compares the last tenth with the first', () => {
  const samples = Array.from({ length: 200 }, (_, k) => (k < 100 ? 10 : 15));
  assert.is(growth(samples), 1.5);
  assert.is(growth([3]), 1);
});

test('a target holds up to its limit, and the table marks one that is missed', () => {
  const target: Target = { name: 'x', unit: 'ms', product: 10, bare: 5, limit: 10, rule: '2 x bare' };
  assert.ok(holds(target));
  assert.not.ok(holds({ ...target, product: 10.01 }));
  const table = targetTable([target, { ...target, product: 11, bare: null }]);
  assert.match(table, /2\.00x\s+10\.0 \(2 x bare\)\s+holds/);
  assert.match(table, 'MISSED');
  assert.match(figureTable({ step: [1, 2, 3] }), /step\s+2\.00 ms\s+\[1\.00 - 3\.00\]\s+n=3/);
});

test.run();
