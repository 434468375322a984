/** What a segment makes of its sections: what the kernel is asked for, and what the VPC hears by section. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { SegmentContext } from './segment-context.ts';
import { segmentMachine } from './segment-machine.ts';
import type { ChangeAsk, RealizeAsk, WatchAsk } from './segment-protocol.ts';
import {
  id,
  held,
  passing,
  lasting,
  withRoutes,
  publish,
  whole,
  increment,
  done,
  changed,
  broken,
  all,
  queue,
} from './segment-rows-for-tests.ts';

const asked = <Ask>(type: string, row: Row, context: SegmentContext = held): Ask =>
  decided(segmentMachine, context, row).asked.find((one) => one.type === type)?.params as Ask;
const saidIn = (row: Row, context: SegmentContext = held) =>
  decided(segmentMachine, context, row)
    .asked.filter(({ type }) => type === 'send')
    .map(({ params }) => (params as { event: Record<string, unknown> }).event);

test('a whole section brings its elements, a repair takes all of them from the rows', () => {
  const fresh = asked<RealizeAsk>('segment.realize', {
    in: 'serving.ready',
    on: publish(whole('routes', 8, { b: 3 })),
    rows: all,
    to: '',
  });
  assert.equal(fresh.sections, {
    base: { generation: 3, elements: { vni: 5 } },
    routes: { generation: 8, elements: { b: 3 } },
  });
  assert.equal(fresh.segment, { owner: { actor: id, uid: 'U1', runEpoch: 1 }, vpc: 'vpc/t/main' });
  const repair = asked<RealizeAsk>('segment.realize', { in: 'realizing.waiting', on: 'retry', rows: all, to: '' });
  assert.equal(repair.sections['routes'], { generation: 7, elements: { a: 2 } });
});

test('an increment that leads to everything being realized is in it, one that was missed is not', () => {
  const context = { ...held, ...withRoutes({ failure: lasting }) };
  const taken = { in: 'lagging.ready', on: publish(increment(7, { b: 2 }, ['a'])), rows: all, to: '' };
  assert.equal(asked<RealizeAsk>('segment.realize', taken, context).sections['routes'], {
    generation: 8,
    elements: { b: 2 },
  });
  const both = { ...taken, on: publish(whole('base', 4, {}), increment(5, { b: 2 })) };
  assert.equal(asked<RealizeAsk>('segment.realize', both, held).sections['routes'], {
    generation: 7,
    elements: { a: 2 },
  });
});

test('increments that come together are one change, and a removal names what the kernel has', () => {
  const first = decided(segmentMachine, held, {
    in: 'serving.changing',
    on: publish(increment(7, { b: 3, c: 1 })),
    rows: { 'section.routes/b': 2, 'section.routes/c': null },
    to: '',
  });
  const second = decided(segmentMachine, first.context, {
    in: 'serving.changing',
    on: publish({ ...increment(8, { d: 4 }, ['b', 'c']) }),
    rows: { 'section.routes/b': 3, 'section.routes/c': 1, 'section.routes/d': null },
    to: '',
  });
  const row = { in: 'serving.changing', on: changed({ routes: 7 }), to: '' };
  const ask = asked<ChangeAsk>('segment.change', row, second.context as unknown as SegmentContext);
  // b -> 3 was never requested from the kernel, so b -> 2 must be removed; c was never requested at all.
  assert.equal(ask.changes, [{ section: 'routes', to: 9, put: { d: 4 }, removed: { b: 2 } }]);
});

test('what is realized from the rows is not applied once more', () => {
  const again = decided(
    segmentMachine,
    { ...held, ...queue },
    { in: 'realizing.waiting', on: 'retry', rows: all, to: '' },
  );
  const row = { in: 'realizing.making', on: done({ base: 3, routes: 7 }), to: '' };
  assert.is(decided(segmentMachine, again.context, row).state, 'serving.ready');
});

test('the VPC hears by section what is proven and what failed, and that something is missed', () => {
  const made = saidIn({ in: 'realizing.making', on: done({ base: 3 }, { routes: passing }), to: '' });
  const heard = { base: 3, routes: 7 };
  assert.equal(made, [
    { type: 'segment.proven', host: 'w1', sections: { base: 3 } },
    { type: 'segment.failed', host: 'w1', section: 'routes', heard, error: passing },
  ]);
  const lost = saidIn({ in: 'serving.ready', on: publish(increment(9, {})), rows: {}, to: '' });
  assert.equal(lost, [{ type: 'segment.missed', host: 'w1', section: 'routes', generation: 7 }]);
  const fell = saidIn({ in: 'serving.ready', on: broken, rows: all, to: '' });
  assert.equal(fell, [
    {
      type: 'segment.failed',
      host: 'w1',
      section: 'base',
      heard,
      error: { code: 'vxlan_gone', message: 'd', retryable: true },
    },
  ]);
  const [one] = saidIn({ in: 'serving.ready', on: { ...broken, section: 'routes', key: 'a' }, rows: all, to: '' });
  assert.equal([one?.['section'], one?.['lost']], ['routes', 'a'], 'the element that has vanished is named');
});

test('a section that failed is not watched, and is proven again only by the kernel', () => {
  const row = { in: 'realizing.making', on: done({ base: 3 }, { routes: passing }), to: '' };
  assert.equal(asked<WatchAsk>('segment.watch', row).sections, ['base']);
  const { context } = decided(segmentMachine, held, row);
  const repeat = { in: 'lagging.ready', on: publish(whole('routes', 7, { a: 2 })), rows: all, to: '' };
  assert.equal(decided(segmentMachine, context, repeat).asks, ['segment.realize']);
  const mended = decided(segmentMachine, context, { in: 'realizing.making', on: done({ base: 3, routes: 7 }), to: '' });
  assert.equal([mended.state, mended.context['tries']], ['serving.ready', 0]);
});

test('a failure that passes is retried within seconds, one that lasts within minutes', () => {
  const delayAfter = (failures: readonly (typeof passing)[], tries = 0): number | undefined => {
    const failed = Object.fromEntries(failures.map((failure, index) => [`s${index}`, failure]));
    const { armed } = decided(
      segmentMachine,
      { ...held, tries },
      { in: 'realizing.making', on: done({}, failed), to: '' },
    );
    return armed.find(({ type }) => type.includes('.retry.'))?.delayMs;
  };
  assert.equal([delayAfter([passing]), delayAfter([lasting]), delayAfter([passing, lasting])], [1_000, 30_000, 1_000]);
  assert.equal([delayAfter([lasting], 1), delayAfter([lasting], 9)], [60_000, 300_000]);
});

test('the VPC hears that the host is gone, and of what it had heard', () => {
  const [said] = saidIn({ in: 'serving.ready', on: { type: 'host.gone' }, rows: all, to: '' });
  assert.equal([said?.['section'], said?.['heard']], [null, { base: 3, routes: 7 }]);
});

test.run();
