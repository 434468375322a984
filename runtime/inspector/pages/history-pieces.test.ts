import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  covers,
  isMove,
  olderRange,
  stepOf,
  withNewest,
  withOlder,
  withWindow,
  type Pieces,
} from './history-pieces.ts';
import type { HistoryRow, Older } from './inspector-feed.ts';

const row = (version: number, more: Partial<HistoryRow> = {}): HistoryRow => ({
  version,
  at: version,
  event: { type: 'x' },
  cause: 'c',
  from: 'a',
  to: 'a',
  kind: 'transition',
  asked: [],
  changed: {},
  ...more,
});
const rows = (from: number, to: number): HistoryRow[] =>
  Array.from({ length: to - from + 1 }, (_, index) => row(from + index));
const page = (from: number, to: number, older: Older = 'more') => ({ rows: rows(from, to), older });
const shape = (pieces: Pieces): string =>
  pieces.map(({ rows: of, older }) => `${of[0]?.version}-${of.at(-1)?.version} (${of.length}) ${older}`).join(', ');
const note = (version: number, at: number): HistoryRow => row(version, { kind: 'rejected', at });

test('a read that continues the newest piece extends it; one that leaves out steps begins a piece of its own', () => {
  const pieces = withNewest([], page(1, 3, 'none'));
  assert.is(shape(withNewest(pieces, page(3, 5, 'lost'))), '1-5 (5) none');
  assert.is(shape(withNewest(pieces, page(9, 12, 'more'))), '9-12 (4) more, 1-3 (3) none');
  assert.is(shape(withNewest(pieces, { rows: [], older: 'none' })), '1-3 (3) none');
  const noted = withNewest(pieces, { rows: [row(3), note(3, 7)], older: 'lost' });
  assert.is(shape(noted), '1-3 (4) none', 'an input without a transition is appended to its version');
});

test('older pages lead to the begin, also through a version with more entries than a page', () => {
  const notes = Array.from({ length: 6 }, (_, at) => note(2, at + 10));
  const all = [row(1), row(2), ...notes, row(3)];
  let pieces = withNewest([], { rows: all.slice(-3), older: 'more' });
  const [top] = pieces;
  assert.ok(top);
  assert.equal(olderRange(top), { to: 2, skip: 2 });
  pieces = withOlder(pieces, top, { rows: all.slice(-6, -3), older: 'more' });
  const [next] = pieces;
  assert.ok(next);
  assert.equal(olderRange(next), { to: 2, skip: 5 });
  pieces = withOlder(pieces, next, { rows: all.slice(0, 3), older: 'none' });
  assert.equal(pieces, [{ rows: all, older: 'none' }]);
});

test('pieces join when the steps between them are read', () => {
  let pieces = withWindow(withNewest([], page(90, 100)), page(40, 50));
  assert.is(shape(pieces), '90-100 (11) more, 40-50 (11) more');
  assert.equal([covers(pieces, 45), covers(pieces, 60), covers(pieces, 90)], [true, false, true]);
  const [top] = pieces;
  assert.ok(top);
  pieces = withOlder(pieces, top, page(45, 89));
  assert.is(shape(pieces), '40-100 (61) more');
  assert.is(shape(withWindow(pieces, page(60, 70))), '40-100 (61) more', 'what is known is not put in again');
});

test('of entries that share a version, the transition is the step; a refused command may be one that moved', () => {
  const moved = row(4, { kind: 'rejected', from: 'a', to: 'b' });
  const shared = [row(4, { kind: 'upgraded', at: 1 }), row(4, { at: 2 }), note(4, 3)];
  assert.is(stepOf(shared, 4)?.at, 2);
  assert.is(stepOf([note(7, 1), note(7, 2)], 7)?.at, 2);
  assert.equal([isMove(moved), isMove(note(4, 1)), isMove(row(4))], [true, false, true]);
});

test.run();
