/** What the storage bench judges: each leg by the bare daemon of the same round, and stale reads not at all allowed. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { judge } from './bench-goals.ts';
import { legs, loadReport, visibilityReport, type Leg } from './storage-goals.ts';

const rounds = (rates: Partial<Record<Leg, readonly number[]>>) =>
  Object.fromEntries(legs.map((leg) => [leg, rates[leg] ?? [100, 100, 100]])) as Record<Leg, readonly number[]>;

test('a leg is judged by the bare one of its round, and the median of the ratios counts', () => {
  const busy = { 'shared, same host': [90, 45, 79], 'bare socket': [100, 50, 100] };
  const [near, far] = loadReport('read 4 KiB', rounds(busy)).goals.map(judge);
  assert.equal([near?.value, near?.holds, far?.value, far?.holds], [0.9, true, 1, true]);
  const slow = rounds({ 'shared, other host': [79, 79, 79] });
  assert.equal(
    loadReport('write 1 MiB', slow).goals.map((goal) => judge(goal).holds),
    [true, false],
  );
});

test('large requests are shown as throughput, small ones as requests', () => {
  const figureOf = (load: 'read 1 MiB' | 'read 4 KiB') => loadReport(load, rounds({})).figures[0];
  assert.equal(figureOf('read 1 MiB')?.samples[0], 104.8576);
  assert.equal([figureOf('read 4 KiB')?.unit, figureOf('read 4 KiB')?.samples[0]], ['/s', 100]);
});

test('one stale read is one too many', () => {
  const holds = (stale: number) => visibilityReport({ ms: [1], stale }).goals.map((goal) => judge(goal).holds);
  assert.equal([holds(0), holds(1)], [[true], [false]]);
});

test.run();
