/**
 * Decisions of a segment: results of every effect, newer and repeated specs, routes that come at any time, deadlines.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { joined, type SegmentContext } from './segment-context.ts';
import { segmentMachine } from './segment-machine.ts';

const id = 'segment/t/main@w1';
const self = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const bare = {
  owner: { actor: id, uid: '', runEpoch: 1 },
  vpc: 'vpc/t/main',
  vni: 4096,
  self,
  peers: [],
  networks: [],
  generation: 3,
};
const held: SegmentContext = {
  id,
  uid: 'U1',
  host: 'w1',
  vpc: 'vpc/t/main',
  spec: bare,
  realizing: 3,
  proof: null,
  queued: { added: [], removed: [] },
  applying: { added: [], removed: [] },
  tries: 0,
  failure: null,
};
const far = { address: '10.0.0.9', host: 2 };
const queue = { queued: { added: [far], removed: [] } };
const long = {
  queued: {
    added: Array.from({ length: 600 }, (_, n) => ({ address: `10.0.${n >> 8}.${n & 255}`, host: 2 })),
    removed: [],
  },
};
const ensure = (generation: number, routes: readonly object[] = []) => ({
  type: 'segment.ensure',
  spec: { ...bare, generation, routes },
});
const route = (added: readonly object[], removed: readonly object[] = []) => ({
  type: 'segment.route',
  added,
  removed,
});
const proof = (generation: number) => ({ type: 'segment.ensure.done', proof: { generation } });
const passing = { code: 'kernel_busy', message: 'busy', retryable: true };
const lasting = { code: 'mtu_too_large', message: 'too large', retryable: false };
const stored = { 'route/*': { '10.0.0.9': 2 } };
const none = { 'route/*': {} };
const ready = 'segment.ready > vpc';
const failing = 'segment.failed > vpc';

const rows: readonly Row[] = [
  {
    in: 'born',
    with: { uid: '', spec: null },
    on: ensure(1, [far]),
    rows: none,
    to: 'realizing.making',
    asks: ['put route', 'segment.ensure'],
  },
  {
    in: 'born',
    with: { uid: '', spec: null, vpc: '' },
    from: 'vpc/t/main',
    on: { type: 'segment.remove' },
    to: 'gone',
    asks: ['segment.removed > vpc'],
  },

  { in: 'realizing.making', on: proof(3), rows: none, to: 'serving.ready', asks: [ready, 'segment.watch'] },
  {
    in: 'realizing.making',
    with: queue,
    on: proof(3),
    rows: none,
    to: 'serving.routing',
    asks: [ready, 'segment.watch', 'segment.route'],
  },
  { in: 'realizing.making', with: long, on: proof(3), rows: none, to: 'realizing.making', asks: ['segment.ensure'] },
  {
    in: 'realizing.making',
    with: { realizing: 2 },
    on: proof(2),
    rows: none,
    to: 'realizing.making',
    asks: ['segment.ensure'],
  },
  { in: 'realizing.making', on: ensure(4), rows: stored, to: 'realizing.making', asks: ['remove route'] },
  { in: 'realizing.making', on: ensure(3), rows: stored, to: 'realizing.making', asks: [] },
  {
    in: 'realizing.making',
    on: { type: 'segment.ensure.failed', error: passing },
    to: 'realizing.waiting',
    asks: [failing],
  },
  { in: 'realizing.making', on: { type: 'segment.ensure.failed', error: lasting }, to: 'failed', asks: [failing] },
  { in: 'realizing.making', on: { type: 'segment.ensure.unknown', error: passing }, to: 'realizing.waiting', asks: [] },
  { in: 'realizing.making', on: 'ensureDeadline', rows: stored, to: 'realizing.making', asks: ['segment.ensure'] },
  { in: 'realizing.making', on: route([far]), to: 'realizing.making', asks: ['put route'] },
  { in: 'realizing.making', on: { type: 'segment.remove' }, to: 'removing.taking', asks: ['segment.remove'] },
  { in: 'realizing.waiting', on: 'backoff', rows: stored, to: 'realizing.making', asks: ['segment.ensure'] },
  { in: 'realizing.waiting', on: ensure(4), rows: none, to: 'realizing.making', asks: ['segment.ensure'] },
  { in: 'realizing.waiting', on: ensure(3), rows: none, to: 'realizing.waiting', asks: [] },

  { in: 'serving.ready', on: ensure(3), to: 'serving.ready', asks: [ready] },
  { in: 'serving.ready', on: ensure(4), rows: none, to: 'realizing.making', asks: ['segment.ensure'] },
  { in: 'serving.ready', on: route([far]), to: 'serving.routing', asks: ['put route', 'segment.route'] },
  {
    in: 'serving.ready',
    on: { type: 'segment.watch.done', reason: 'dnsmasq_gone', detail: 'd' },
    rows: stored,
    to: 'realizing.making',
    asks: [failing, 'segment.ensure'],
  },
  {
    in: 'serving.ready',
    on: { type: 'segment.watch.failed', error: passing },
    to: 'realizing.waiting',
    asks: [failing],
  },
  { in: 'serving.ready', on: { type: 'segment.watch.unknown', error: passing }, to: 'realizing.waiting', asks: [] },
  { in: 'serving.ready', on: { type: 'segment.remove' }, to: 'removing.taking' },
  { in: 'serving.ready', on: proof(2), to: 'serving.ready', asks: [] },
  { in: 'serving.routing', on: { type: 'segment.route.done', applied: 1 }, to: 'serving.ready', asks: [] },
  {
    in: 'serving.routing',
    with: queue,
    on: { type: 'segment.route.done', applied: 1 },
    to: 'serving.routing',
    asks: ['segment.route'],
  },
  {
    in: 'serving.routing',
    with: long,
    on: { type: 'segment.route.done', applied: 1 },
    rows: stored,
    to: 'realizing.making',
    asks: ['segment.ensure'],
  },
  { in: 'serving.routing', on: { type: 'segment.route.failed', error: passing }, to: 'realizing.waiting', asks: [] },
  { in: 'serving.routing', on: { type: 'segment.route.unknown', error: passing }, to: 'realizing.waiting', asks: [] },
  { in: 'serving.routing', on: 'routeDeadline', rows: stored, to: 'realizing.making', asks: ['segment.ensure'] },
  { in: 'serving.routing', on: route([far]), to: 'serving.routing', asks: ['put route'] },
  {
    in: 'serving.routing',
    on: { type: 'segment.watch.done', reason: 'vxlan_gone', detail: 'd' },
    rows: stored,
    to: 'realizing.making',
  },

  { in: 'failed', on: ensure(3), rows: none, to: 'realizing.making', asks: ['segment.ensure'] },
  { in: 'failed', on: route([far]), to: 'failed', asks: ['put route'] },
  { in: 'failed', on: { type: 'segment.remove' }, to: 'removing.taking' },

  {
    in: 'removing.taking',
    on: { type: 'segment.remove.done' },
    rows: stored,
    to: 'gone',
    asks: ['remove route', 'segment.removed > vpc'],
  },
  { in: 'removing.taking', on: { type: 'segment.remove.failed', error: lasting }, to: 'removing.waiting', asks: [] },
  { in: 'removing.taking', on: { type: 'segment.remove.unknown', error: passing }, to: 'removing.waiting', asks: [] },
  { in: 'removing.taking', on: 'removeDeadline', to: 'removing.taking', asks: ['segment.remove'] },
  { in: 'removing.taking', on: { type: 'segment.remove' }, to: 'removing.taking', asks: [] },
  { in: 'removing.waiting', on: 'backoff', to: 'removing.taking', asks: ['segment.remove'] },
];

test('decisions', () => {
  assert.equal(disagreements(segmentMachine, held, rows), []);
});

const askedRoutes = (row: Row): unknown => {
  const ask = decided(segmentMachine, held, row).asked.find(({ type }) => type === 'segment.ensure');
  return (ask?.params as { spec: { routes: unknown } }).spec.routes;
};

test('a spec brings its routes, a repair takes them from the rows', () => {
  const other = { address: '10.0.0.7', host: 3 };
  assert.equal(askedRoutes({ in: 'serving.ready', on: ensure(4, [other]), rows: stored, to: '' }), [other]);
  assert.equal(askedRoutes({ in: 'realizing.waiting', on: 'backoff', rows: stored, to: '' }), [far]);
});

test('what is realised from the rows is not applied once more', () => {
  const again = decided(
    segmentMachine,
    { ...held, ...queue },
    { in: 'realizing.waiting', on: 'backoff', rows: stored, to: '' },
  );
  const done = decided(segmentMachine, again.context, { in: 'realizing.making', on: proof(3), rows: stored, to: '' });
  assert.is(done.state, 'serving.ready');
});

test('the later word on an address wins', () => {
  const there = { address: '10.0.0.9', host: 3 };
  const before = { added: [far], removed: [] };
  assert.equal(joined(before, { added: [], removed: [far] }), { added: [], removed: [far] });
  assert.equal(joined(before, { added: [there], removed: [far] }), { added: [there], removed: [far] });
  assert.equal(joined({ added: [], removed: [far] }, { added: [far], removed: [] }), { added: [far], removed: [] });
});

test('a route is forgotten only when it leads where it is said to', () => {
  const event = route([], [far]);
  assert.equal(
    decided(segmentMachine, held, { in: 'serving.ready', on: event, rows: { 'route/10.0.0.9': 2 }, to: '' }).asks[0],
    'remove route',
  );
  assert.equal(
    decided(segmentMachine, held, { in: 'serving.ready', on: event, rows: { 'route/10.0.0.9': 3 }, to: '' }).asks,
    ['segment.route'],
  );
});

test('with its host a segment is gone, and the VPC hears why', () => {
  const failed = (effect: string) => ({
    type: `${effect}.failed`,
    error: { code: 'host_gone', message: 'gone', retryable: false },
  });
  const gone = [failing, 'segment.removed > vpc'];
  const all: readonly Row[] = [
    { in: 'realizing.making', on: failed('segment.ensure'), to: 'gone', asks: gone },
    { in: 'serving.ready', on: failed('segment.watch'), to: 'gone', asks: gone },
    { in: 'serving.routing', on: failed('segment.route'), to: 'gone', asks: gone },
    { in: 'removing.taking', on: failed('segment.remove'), to: 'gone', asks: ['segment.removed > vpc'] },
    { in: 'realizing.waiting', on: { type: 'host.gone' }, to: 'gone', asks: gone },
    { in: 'failed', on: { type: 'host.gone' }, to: 'gone', asks: gone },
  ];
  assert.equal(disagreements(segmentMachine, held, all), []);
});

test.run();
