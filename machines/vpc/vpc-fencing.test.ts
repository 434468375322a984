/** A VPC after the fencing of a host: peers, waiting ports, and outstanding proofs of that host. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';
import { failed, heard, held as bare, two, view, waits } from './vpc-rows-for-tests.ts';

const here = { ...waits(1)[0], port: 'port/t/here' };
const there = { ...waits(2)[0], port: 'port/t/there' };
const held = { ...bare, ...two, waiting: [here, there] };
const said = failed(1, { code: 'host_gone', message: 'gone', retryable: false }, null);
const gone: Row = { in: 'ready', on: said, rows: { 'location/*': {}, 'peer-member/*': {} }, to: '' };

test('the peer is removed from the other hosts, and ports that waited there are answered', () => {
  const { context, asks, asked, state } = decided(vpcMachine, held, gone);
  assert.is(state, 'ready');
  assert.equal(asks.slice(0, 2), ['segment.refused > port', 'segment.publish > segment']);
  const [refused, told] = asked.map(({ params }) => params as { to: string; event: { updates?: unknown } });
  assert.is(refused?.to, 'port/t/here');
  assert.is(told?.to, 'segment/t/main@w2');
  assert.equal(told?.event.updates, [{ section: 'overlay', from: 2, to: 3, put: {}, removed: ['peer/w1'] }]);
  assert.equal(Object.keys(context['segments'] as object), ['w2']);
  assert.is(asks.filter((ask) => ask === 'segment.provided > port').length, 1, 'the other host serves its port');
});

test('a failure sent before the last publication arrived keeps the segment, which answers that publication', () => {
  const told = (networks: number): Row => ({ ...gone, on: { ...said, heard: { ...heard, networks } } });
  const { asks, context } = decided(vpcMachine, held, told(1));
  assert.equal(asks, []);
  assert.equal(Object.keys(context['segments'] as object), ['w1', 'w2']);
  assert.equal(Object.keys(decided(vpcMachine, held, told(2)).context['segments'] as object), ['w2']);
});

test('publications and ends that cross do not go on for ever: the end of an earlier segment starts no other', () => {
  // A publication is on its way while the segment of the one before says that its host is fenced, and ends.
  const before = { ...heard, networks: 1 };
  const late = decided(vpcMachine, held, { ...gone, on: { ...said, heard: before } }).context;
  const ended = decided(vpcMachine, late, { ...gone, on: { type: 'segment.removed', host: 'w1', heard: before } });
  assert.equal(ended.asks, [], 'nothing is published: the newer publication is answered by the next segment');
  const answered = decided(vpcMachine, ended.context, gone);
  assert.equal(Object.keys(answered.context['segments'] as object), ['w2']);
});

test('its proofs are not awaited any more, also not by a VPC that is being deleted', () => {
  const owing: VpcContext = { ...bare, ...two, withdrawing: { 'network/t/a': { w1: 3 } } };
  const { asks, context } = decided(vpcMachine, owing, gone);
  assert.ok(asks.includes('network.withdrawn > network'));
  assert.equal(context['networks'], {});
  const last = { ...bare, segments: { w1: { ...view(1), removing: true } } };
  assert.is(decided(vpcMachine, last, { ...gone, in: 'removing' }).state, 'gone');
});

test.run();
