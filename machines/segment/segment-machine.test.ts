/**
 * Decisions of a segment: whole sections and increments, results of every effect by section, missed increments,
 * deadlines.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { SegmentContext } from './segment-context.ts';
import { segmentMachine } from './segment-machine.ts';
import {
  all,
  broken,
  changed,
  done,
  held,
  hostGone,
  increment,
  key,
  lasting,
  long,
  passing,
  publish,
  queue,
  rowsOf,
  section,
  whole,
  withRoutes,
} from './segment-rows-for-tests.ts';

const proven = 'segment.proven > vpc';
const failing = 'segment.failed > vpc';
const missed = 'segment.missed > vpc';
const put = 'put section.routes';

const rows: readonly Row[] = [
  {
    in: 'born',
    with: { uid: '', sections: {} },
    on: publish(whole('base', 1, { vni: 5 }), whole('routes', 1, { a: 2 })),
    rows: rowsOf({}, {}),
    to: 'realizing.making',
    asks: ['put section.base', put, 'segment.realize'],
  },
  // An increment without a base.
  {
    in: 'born',
    with: { uid: '', sections: {}, vpc: '' },
    on: publish(increment(4, { b: 2 })),
    rows: key(),
    to: 'empty',
    asks: [missed],
  },
  {
    in: 'born',
    with: { uid: '', sections: {}, vpc: '' },
    from: 'vpc/t/main',
    on: { type: 'segment.withdraw' },
    to: 'gone',
    asks: ['segment.removed > vpc'],
  },
  {
    in: 'empty',
    with: { sections: {} },
    on: publish(whole('base', 5, { vni: 5 })),
    rows: rowsOf({}, {}),
    to: 'realizing.making',
    asks: ['put section.base', 'segment.realize'],
  },
  { in: 'empty', with: { sections: {} }, on: 'missedDeadline', to: 'removing.taking', asks: ['segment.remove'] },

  {
    in: 'realizing.making',
    on: done({ base: 3, routes: 7 }),
    to: 'serving.ready',
    asks: [proven, 'segment.watch'],
  },
  {
    in: 'realizing.making',
    with: queue,
    on: done({ base: 3, routes: 7 }),
    to: 'serving.changing',
    asks: [proven, 'segment.watch', 'segment.change'],
  },
  {
    in: 'realizing.making',
    with: long,
    on: done({ base: 3, routes: 7 }),
    rows: all,
    to: 'realizing.making',
    asks: [proven, 'segment.realize'],
  },
  {
    in: 'realizing.making',
    with: { outdated: true },
    on: done({ base: 3, routes: 7 }),
    rows: all,
    to: 'realizing.making',
    asks: [proven, 'segment.realize'],
  },
  // One section that fails stops no other.
  {
    in: 'realizing.making',
    on: done({ base: 3 }, { routes: passing }),
    to: 'lagging.ready',
    asks: [proven, failing, 'segment.watch'],
  },
  {
    in: 'realizing.making',
    on: done({}, { base: lasting, routes: passing }),
    to: 'lagging.ready',
    asks: [failing, failing, 'segment.watch'],
  },
  {
    in: 'realizing.making',
    on: publish(whole('routes', 9, { b: 2 })),
    rows: all,
    to: 'realizing.making',
    asks: ['remove section.routes', put],
  },
  { in: 'realizing.making', on: publish(increment(7, { b: 2 })), rows: key(), to: 'realizing.making', asks: [put] },
  {
    in: 'realizing.making',
    on: { type: 'segment.realize.failed', error: passing },
    to: 'realizing.waiting',
    asks: [failing],
  },
  {
    in: 'realizing.making',
    on: { type: 'segment.realize.unknown', error: passing },
    to: 'realizing.waiting',
    asks: [],
  },
  { in: 'realizing.making', on: 'realizeDeadline', rows: all, to: 'realizing.making', asks: ['segment.realize'] },
  { in: 'realizing.making', on: { type: 'segment.withdraw' }, to: 'removing.taking', asks: ['segment.remove'] },
  { in: 'realizing.waiting', on: 'retry', rows: all, to: 'realizing.making', asks: ['segment.realize'] },
  {
    in: 'realizing.waiting',
    on: publish(whole('routes', 8, { a: 2, b: 2 })),
    rows: all,
    to: 'realizing.making',
    asks: [put, put, 'segment.realize'],
  },
  { in: 'realizing.waiting', on: publish(increment(7, { b: 2 })), rows: key(), to: 'realizing.waiting', asks: [put] },
  {
    in: 'realizing.waiting',
    with: { failure: lasting },
    on: publish(increment(7, { b: 2 })),
    rows: all,
    to: 'realizing.making',
    asks: [put, 'segment.realize'],
  },

  // An unchanged publication is answered with the proof again.
  { in: 'serving.ready', on: publish(whole('routes', 7, { a: 2 })), rows: all, to: 'serving.ready', asks: [proven] },
  // The same generation with other elements: one side has lost state, and the VPC is authoritative.
  {
    in: 'serving.ready',
    on: publish(whole('routes', 7, { a: 3 })),
    rows: all,
    to: 'realizing.making',
    asks: [put, 'segment.realize'],
  },
  {
    in: 'serving.ready',
    on: publish(increment(7, { b: 2 })),
    rows: key(),
    to: 'serving.changing',
    asks: [put, 'segment.change'],
  },
  {
    in: 'serving.ready',
    on: publish(increment(7, {}, ['b'])),
    rows: key(2),
    to: 'serving.changing',
    asks: ['remove section.routes', 'segment.change'],
  },
  { in: 'serving.ready', on: publish(increment(6, { b: 2 })), rows: key(), to: 'serving.ready', asks: [missed] },
  { in: 'serving.ready', on: publish(increment(8, { b: 2 })), rows: key(), to: 'serving.ready', asks: [missed] },
  // An increment that cannot be applied does not block another one.
  {
    in: 'serving.ready',
    on: publish({ section: 'base', from: 1, to: 2, put: {}, removed: [] }, increment(7, { b: 2 })),
    rows: key(),
    to: 'serving.changing',
    asks: [missed, put, 'segment.change'],
  },
  { in: 'serving.ready', on: broken, rows: all, to: 'realizing.making', asks: [failing, 'segment.realize'] },
  {
    in: 'serving.ready',
    on: { type: 'segment.watch.failed', error: passing },
    to: 'realizing.waiting',
    asks: [failing],
  },
  { in: 'serving.ready', on: { type: 'segment.watch.unknown', error: passing }, to: 'realizing.waiting', asks: [] },
  { in: 'serving.ready', on: { type: 'segment.withdraw' }, to: 'removing.taking' },
  { in: 'serving.ready', on: done({ base: 2 }), to: 'serving.ready', asks: [] },
  { in: 'serving.changing', on: changed({ routes: 8 }), to: 'serving.ready', asks: [proven] },
  {
    in: 'serving.changing',
    with: queue,
    on: changed({ routes: 8 }),
    to: 'serving.changing',
    asks: [proven, 'segment.change'],
  },
  {
    in: 'serving.changing',
    with: long,
    on: changed({ routes: 8 }),
    rows: all,
    to: 'realizing.making',
    asks: [proven, 'segment.realize'],
  },
  {
    in: 'serving.changing',
    on: changed({}, { routes: passing }),
    to: 'lagging.ready',
    asks: [failing, 'segment.watch'],
  },
  {
    in: 'serving.changing',
    on: { type: 'segment.change.failed', error: passing },
    to: 'realizing.waiting',
    asks: [failing],
  },
  { in: 'serving.changing', on: { type: 'segment.change.unknown', error: passing }, to: 'realizing.waiting', asks: [] },
  { in: 'serving.changing', on: 'changeDeadline', rows: all, to: 'realizing.making', asks: ['segment.realize'] },
  { in: 'serving.changing', on: publish(increment(7, { b: 2 })), rows: key(), to: 'serving.changing', asks: [put] },
  { in: 'serving.changing', on: broken, rows: all, to: 'realizing.making' },

  { in: 'lagging.ready', on: 'retry', rows: all, to: 'realizing.making', asks: ['segment.realize'] },
  // The other sections are served.
  {
    in: 'lagging.ready',
    with: { sections: { base: section(3, { failure: passing }), routes: section(7) } },
    on: publish(increment(7, { b: 2 })),
    rows: key(),
    to: 'lagging.changing',
    asks: [put, 'segment.change'],
  },
  {
    in: 'lagging.changing',
    with: { sections: { base: section(3, { failure: passing }), routes: section(7) } },
    on: changed({ routes: 8 }),
    to: 'lagging.ready',
    asks: [proven],
  },
  // A failed section waits for its retry, but a permanent failure is retried when something new is published.
  {
    in: 'lagging.ready',
    with: withRoutes({ failure: passing }),
    on: publish(increment(7, { b: 2 })),
    rows: key(),
    to: 'lagging.ready',
    asks: [put],
  },
  {
    in: 'lagging.ready',
    with: withRoutes({ failure: lasting }),
    on: publish(increment(7, { b: 2 })),
    rows: all,
    to: 'realizing.making',
    asks: [put, 'segment.realize'],
  },
  {
    in: 'lagging.ready',
    with: withRoutes({ failure: lasting, proven: 0 }),
    on: publish(whole('routes', 7, { a: 2 })),
    rows: all,
    to: 'realizing.making',
    asks: ['segment.realize'],
  },
  { in: 'lagging.ready', on: { type: 'segment.withdraw' }, to: 'removing.taking' },

  {
    in: 'removing.taking',
    on: { type: 'segment.remove.done' },
    rows: all,
    to: 'gone',
    asks: ['remove section.base', 'remove section.routes', 'segment.removed > vpc'],
  },
  { in: 'removing.taking', on: { type: 'segment.remove.failed', error: lasting }, to: 'removing.waiting', asks: [] },
  { in: 'removing.taking', on: { type: 'segment.remove.unknown', error: passing }, to: 'removing.waiting', asks: [] },
  { in: 'removing.taking', on: 'removeDeadline', to: 'removing.taking', asks: ['segment.remove'] },
  { in: 'removing.taking', on: { type: 'segment.withdraw' }, to: 'removing.taking', asks: [] },
  { in: 'removing.waiting', on: 'backoff', to: 'removing.taking', asks: ['segment.remove'] },
];

test('decisions', () => {
  assert.equal(disagreements(segmentMachine, held, rows), []);
});

const saidIn = (row: Row, context: SegmentContext = held) =>
  decided(segmentMachine, context, row)
    .asked.filter(({ type }) => type === 'send')
    .map(({ params }) => (params as { event: Record<string, unknown> }).event);

test('a transient failure is retried within seconds, a permanent one within minutes', () => {
  const delayAfter = (...failures: readonly (typeof passing)[]): number | undefined => {
    const failed = Object.fromEntries(failures.map((failure, index) => [`s${index}`, failure]));
    const { armed } = decided(segmentMachine, held, { in: 'realizing.making', on: done({}, failed), to: '' });
    return armed.find(({ type }) => type.includes('.retry.'))?.delayMs;
  };
  assert.equal([delayAfter(passing), delayAfter(lasting), delayAfter(passing, lasting)], [1_000, 300_000, 1_000]);
});

test('a segment ends when its host is fenced, and the VPC gets the reason', () => {
  const failed = (effect: string) => ({ type: `${effect}.failed`, error: hostGone });
  const removed = ['remove section.base', 'remove section.routes', 'segment.removed > vpc'];
  const gone = [failing, ...removed];
  const table: readonly Row[] = [
    { in: 'realizing.making', on: failed('segment.realize'), to: 'gone', asks: gone },
    { in: 'serving.ready', on: failed('segment.watch'), to: 'gone', asks: gone },
    { in: 'serving.changing', on: failed('segment.change'), to: 'gone', asks: gone },
    { in: 'lagging.changing', on: failed('segment.change'), to: 'gone', asks: gone },
    { in: 'removing.taking', on: failed('segment.remove'), to: 'gone', asks: removed },
    { in: 'realizing.waiting', on: { type: 'host.gone' }, to: 'gone', asks: gone },
    { in: 'lagging.ready', on: { type: 'host.gone' }, to: 'gone', asks: gone },
  ];
  assert.equal(
    disagreements(
      segmentMachine,
      held,
      table.map((row) => ({ ...row, rows: all })),
    ),
    [],
  );
  const [said] = saidIn({ in: 'serving.ready', on: { type: 'host.gone' }, rows: all, to: '' });
  assert.equal([said?.['section'], said?.['heard']], [null, { base: 3, routes: 7 }]);
});

test.run();
