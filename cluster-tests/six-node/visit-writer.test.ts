/** How visits are judged: what was answered is there once; what was not answered may be there; nothing else is. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { figuresOf, judgeVisits, type Attempt } from './visit-writer.ts';

const acked = (number: number, ackedMs = number): Attempt => ({
  note: `run1-${number}`,
  askedMs: ackedMs - 1,
  ackedMs,
});
const unanswered = (number: number): Attempt => ({ note: `run1-${number}`, askedMs: number });
const notes = (...numbers: readonly number[]): string[] => numbers.map((number) => `run1-${number}`);

const cases: readonly (readonly [string, readonly Attempt[], readonly string[], readonly string[]])[] = [
  ['all are there', [acked(1), acked(2)], notes(1, 2), []],
  ['an unanswered one is there', [acked(1), unanswered(2)], notes(1, 2), []],
  ['an unanswered one is not there', [acked(1), unanswered(2)], notes(1), []],
  ['visits of others do not matter', [acked(1)], ['', 'run2-1', ...notes(1)], []],
  ['an answered one is lost', [acked(1), acked(2)], notes(1), ['1 answered visits are lost: run1-2']],
  ['one is there twice', [acked(1)], notes(1, 1), ['1 visits are there more than once: run1-1']],
  ['one is there that nobody made', [acked(1)], notes(1, 7), ['1 visits are there that nobody made: run1-7']],
];

for (const [name, attempts, found, expected] of cases) {
  test(name, () => assert.equal(judgeVisits('run1', attempts, found), expected));
}

test('figures of a time: answers within it, the longest time without one, what was asked in vain', () => {
  const attempts = [acked(1, 100), acked(2, 200), { note: 'run1-3', askedMs: 300 }, acked(4, 900)];
  assert.equal(figuresOf(attempts, 150, 1_000), { acked: 2, unanswered: 1, longestGapMs: 700 });
  assert.equal(figuresOf(attempts, 1_000, 1_600), { acked: 0, unanswered: 0, longestGapMs: 600 });
});

test.run();
