/**
 * Goals of the network bench from hand-made samples: which figure is judged, and that each is held and missed at its
 * bound.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { judge, type RowReport } from './bench-goals.ts';
import {
  commandGoals,
  idleGoals,
  memberGoals,
  networkGoals,
  rebootGoals,
  ruleGoals,
  wiringGoals,
} from './network-goals.ts';

const verdicts = ({ goals }: RowReport): readonly (readonly [number, boolean])[] =>
  goals.map(judge).map(({ value, holds }) => [value, holds] as const);

test('commands: the p99 of each round is judged by its median, the rate from below', () => {
  const round = (slowest: number): number[] => [...Array.from({ length: 98 }, () => 5), slowest, slowest];
  const latencies = [round(24), round(90), round(25)];
  assert.equal(verdicts(commandGoals(latencies, [200, 150, 300], [[1]])), [
    [25, true],
    [200, true],
  ]);
  assert.equal(verdicts(commandGoals([round(26)], [199], [[1]])), [
    [26, false],
    [199, false],
  ]);
});

test('a network may take twice the bare time and 100 ms', () => {
  assert.equal(verdicts(networkGoals([290, 300, 900], [90, 100, 110])), [[300, true]]);
  assert.equal(verdicts(networkGoals([301], [100])), [[301, false]]);
});

test('rules: the slowest round is judged, and the ratio is that of each round', () => {
  const rounds = {
    enforced: [
      [30, 40, 90],
      [60, 60, 501],
    ],
    observed: [[20], [50]],
    bare: [
      [10, 10],
      [30, 30],
    ],
  };
  const report = ruleGoals(rounds, '2 x 20 ports');
  assert.equal(verdicts(report), [
    [501, false],
    [2, true],
  ]);
  assert.match(report.goals[0]?.name ?? '', /2 x 20 ports/);
  assert.is(verdicts(ruleGoals({ ...rounds, bare: [[10], [19]], enforced: [[31], [60]] }, ''))[1]?.[1], false);
});

test('one element for each group that a port joins, and every time', () => {
  assert.equal(verdicts(memberGoals([2, 2, 2], 2, [[8]], [[4]], 1_000)), [[1, true]]);
  assert.equal(verdicts(memberGoals([2, 3, 2], 2, [[8]], [[4]], 1_000)), [[1.5, false]]);
});

test('wiring is judged by its growth, beside that of nft alone', () => {
  const few = { count: 10, product: [[20], [40]], bare: [[5], [5]] };
  const report = wiringGoals({ few, many: { count: 300, product: [[30], [60]], bare: [[6], [6]] } });
  assert.equal(verdicts(report), [[1.5, true]]);
  assert.match(report.goals[0]?.note ?? '', /1\.20 x/);
  const more = { count: 300, product: [[31], [64]], bare: [[6], [6]] };
  assert.is(verdicts(wiringGoals({ few, many: more }))[0]?.[1], false);
});

test('a reboot is judged from the first change of the worker, against the batch of the same round', () => {
  const reboots = { making: [300, 900, 80], whole: [5_000, 6_000, 7_000], bare: [100, 200, 40] };
  assert.equal(verdicts(rebootGoals(reboots, 100)), [[3, true]]);
  assert.equal(verdicts(rebootGoals({ ...reboots, making: [310, 900, 130] }, 100)), [[3.25, false]]);
});

test('the controller may take one percent while nothing happens', () => {
  assert.equal(verdicts(idleGoals(1, 5, 20)), [[1, true]]);
  assert.equal(verdicts(idleGoals(1.1, 5, 20)), [[1.1, false]]);
});

test('a round that was not measured is an error, no goal', () => {
  assert.throws(() => commandGoals([[]], [1], [[1]]), /not measured/);
  assert.throws(() => ruleGoals({ enforced: [[1]], observed: [[1]], bare: [] }, ''), /not measured/);
});

test.run();
