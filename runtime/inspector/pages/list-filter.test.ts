import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { changesOf } from './context-diff.ts';
import type { ActorRow, HistoryRow } from './inspector-feed.ts';
import { filterRows, noFilters, optionsOf, sortedRows } from './list-filter.ts';
import { actorPath, routeOf } from './page-route.ts';
import { ageText, dueText, durationText } from './time-text.ts';

const row = (id: string, stateName: string, waitingOn: ActorRow['waitingOn'] = ['event']): ActorRow => ({
  id,
  stateName,
  waitingOn,
  version: 1,
  gone: false,
  at: 0,
});
const rows = [
  row('job/acme/web-10', 'running.healthy'),
  row('job/acme/web-2', 'failed', ['timer']),
  row('binding/globex/web-2@w1', 'wiring.tap', ['effect', 'timer']),
];
const ids = (found: readonly ActorRow[]): string[] => found.map(({ id }) => id);

test('every word of a search must occur in the id or the state', () => {
  assert.equal(ids(filterRows(rows, { ...noFilters, search: 'WEB fail' })), ['job/acme/web-2']);
  assert.equal(ids(filterRows(rows, { ...noFilters, search: 'nothing' })), []);
});

test('rows are filtered by kind, scope, host, outermost state and what they wait for', () => {
  assert.equal(ids(filterRows(rows, { ...noFilters, kind: 'job', scope: 'acme' })), [
    'job/acme/web-10',
    'job/acme/web-2',
  ]);
  assert.equal(ids(filterRows(rows, { ...noFilters, host: 'w1' })), ['binding/globex/web-2@w1']);
  assert.equal(ids(filterRows(rows, { ...noFilters, state: 'wiring' })), ['binding/globex/web-2@w1']);
  assert.equal(ids(filterRows(rows, { ...noFilters, waiting: 'timer' })), [
    'job/acme/web-2',
    'binding/globex/web-2@w1',
  ]);
  assert.equal(optionsOf(rows).state, ['failed', 'running', 'wiring']);
  assert.equal(optionsOf(rows).host, ['w1']);
});

test('numbers sort as numbers', () => {
  assert.equal(ids(sortedRows(rows)), ['binding/globex/web-2@w1', 'job/acme/web-2', 'job/acme/web-10']);
});

test('paths are converted to pages and back', () => {
  assert.equal(routeOf('/'), { page: 'list' });
  assert.equal(routeOf('/open'), { page: 'list' });
  assert.equal(routeOf(actorPath('binding/acme/web-1.eth0@w1', 7)), {
    page: 'actor',
    id: 'binding/acme/web-1.eth0@w1',
    version: 7,
  });
  assert.equal(routeOf(actorPath('job/acme/7')), { page: 'actor', id: 'job/acme/7', version: null });
});

const step = (version: number, changed: HistoryRow['changed'], more: Partial<HistoryRow> = {}): HistoryRow => ({
  version,
  changed,
  at: 0,
  event: { type: 'x' },
  cause: '',
  from: 'a',
  to: 'a',
  kind: 'transition',
  asked: [],
  ...more,
});

test('the value before a step is the newest value in an earlier step', () => {
  const history = [step(4, { a: 1, c: 1 }), step(5, { a: 2, b: [1] }), step(6, { c: 2 }, { gone: ['a'] })];
  assert.equal(changesOf(history, 2), [
    { key: 'c', before: '1', after: '2' },
    { key: 'a', before: '2', after: null },
  ]);
  assert.is(changesOf(history, 0)[0]?.before, undefined, 'a value older than the history is unknown');
  assert.is(changesOf([step(1, { a: 1 })], 0)[0]?.before, null, 'before the first step no key existed');
  assert.is(changesOf([...history, step(7, { a: 3 })], 3)[0]?.before, null, 'it was removed before');
  assert.equal(changesOf(history, 9), []);
});

test('entries that share a version show the changes of their own', () => {
  const history = [
    step(1, { a: 1 }, { from: null, whole: 1 }),
    step(2, { a: 2, old: 'x' }),
    step(2, {}, { kind: 'rejected' }),
    step(2, { a: 2, fresh: true }, { kind: 'upgraded', whole: 2 }),
    step(2, {}, { kind: 'operated' }),
  ];
  const keys = history.map((_, index) => changesOf(history, index).map(({ key, after }) => `${key}=${after}`));
  assert.equal(keys, [['a=1'], ['a=2', 'old="x"'], [], ['fresh=true', 'old=null'], []]);
});

test('durations are shown in their two largest units, ages in the largest', () => {
  assert.is(durationText(59_000), '59 s');
  assert.is(durationText(61_000), '1 min 1 s');
  assert.is(durationText(50 * 3_600_000), '2 d 2 h');
  assert.is(ageText(3_700_000), '1 h');
  assert.is(ageText(-5), '0 s', 'clocks differ');
  assert.is(dueText(-1), 'due now');
});

test.run();
