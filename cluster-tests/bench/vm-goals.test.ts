/** Goals of the VM bench from hand-made samples: which figure is judged, and that each is held and missed. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { judge, type RowReport } from './bench-goals.ts';
import { bootReport, lossReport, moveReport } from './vm-goals.ts';

const verdicts = ({ goals }: RowReport): readonly (readonly [number, boolean])[] =>
  goals.map(judge).map(({ value, holds }) => [value, holds] as const);

test('boots: the ratio is that of each round, the median is judged', () => {
  const bareAgain = [1000, 1000, 2000];
  const boots = {
    declared: [1100, 3000, 1200],
    bareFirst: [1000, 2000, 1200],
    restarted: [2000, 1000, 2400],
    bareAgain,
  };
  assert.equal(verdicts(bootReport(boots)), [
    [1.1, true],
    [1.2, false],
  ]);
});

test('moves: the worst gap is judged as well as the ratios', () => {
  const bare = { total: [400, 400], gap: [100, 200], pause: [1, 1] };
  const product = { total: [600, 600], gap: [130, 260], pause: [1, 1] };
  assert.equal(verdicts(moveReport({ product, bare, bareTls: product })), [
    [1.3, true],
    [260, true],
    [1.5, true],
  ]);
  const slow = { total: [601, 601], gap: [131, 301], pause: [1, 1] };
  assert.equal(
    verdicts(moveReport({ product: slow, bare, bareTls: slow })).map(([, holds]) => holds),
    [false, false, false],
  );
});

test('losses: the boot that a bare guest takes, too, is not counted, and the slowest is judged', () => {
  const losses = { left: [20_000, 20_000], answered: [33_000, 36_000], bareBoot: [5_000, 5_000] };
  assert.equal(verdicts(lossReport(losses)), [[31, false]]);
  assert.equal(verdicts(lossReport({ ...losses, answered: [33_000, 35_000] })), [[30, true]]);
});

test.run();
