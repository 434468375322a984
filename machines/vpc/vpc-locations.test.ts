/** Watches of the ports of a VPC: who is selected, and what is told when ports come, move, change labels or go. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, type Row } from '../values/decision-table-for-tests.ts';
import type { Location, VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';
import { held, two } from './vpc-rows-for-tests.ts';

const [by, address] = ['service-ip/t/web', '10.0.0.9'];
const onTwo: VpcContext = { ...held, ...two };
const web: Location = { port: 'port/t/p', host: 1, groups: [], labels: { app: 'web', tier: 'front' } };
const watch = (select: object) => ({ type: 'members.watch', select });
const located = { type: 'port.located', address, ...web };

function step(context: VpcContext, on: Row['on'], rows: Readonly<Record<string, unknown>>) {
  const { asked, context: after } = decided(vpcMachine, context, { in: 'ready', on, from: by, rows, to: '' });
  const told = (asked as readonly { params: { to?: string; event?: { type: string } } }[])
    .map(({ params }) => params)
    .filter(({ to }) => to === by)
    .map(({ event }) => event);
  return { told, after: after as unknown as VpcContext };
}

const rowsOf = (one: Location | null) => ({ [`location/${address}`]: one });
const selecting = (select: object): VpcContext => step(onTwo, watch(select), { 'location/*': {} }).after;

test('a watch is answered with all that it selects', () => {
  const all = { 'location/*': { [address]: web, '10.0.0.10': { ...web, port: 'port/t/q', labels: {} } } };
  const member = { port: 'port/t/p', address, host: 'w1' };
  const nearby = [
    { port: 'port/t/p', labels: web.labels },
    { port: 'port/t/q', labels: {} },
  ];
  const matched = (members: readonly object[]) => [
    { type: 'members.matched', vpc: onTwo.id, members, ...(members.length === 0 ? { nearby } : {}) },
  ];
  assert.equal(step(onTwo, watch({ labels: { app: 'web' } }), all).told, matched([member]));
  assert.equal(step(onTwo, watch({ labels: { app: 'web', tier: 'back' } }), all).told, matched([]));
  assert.equal(step(onTwo, watch({ labels: { constructor: 'x' } }), all).told, matched([]));
  assert.equal(step(onTwo, watch({ ports: ['port/t/p'] }), all).told, matched([member]));
});

test('only changes of what is selected are told', () => {
  const context = selecting({ labels: { app: 'web' } });
  const [here, there] = [1, 2].map((host) => ({ port: 'port/t/p', address, host: `w${host}` }));
  const changed = (added: readonly unknown[], removed: readonly unknown[]) => [
    { type: 'members.changed', vpc: onTwo.id, added, removed },
  ];
  assert.equal(step(context, located, rowsOf(null)).told, changed([here], []), 'it comes');
  assert.equal(step(context, located, rowsOf(web)).told, [], 'it is repeated');
  assert.equal(step(context, { ...located, host: 2 }, rowsOf(web)).told, changed([there], [here]), 'it moves');
  assert.equal(step(context, { ...located, labels: {} }, rowsOf(web)).told, changed([], [here]), 'it loses its label');
  assert.equal(step(context, { ...located, groups: ['g'] }, rowsOf(web)).told, [], 'it gets other groups');
  const left = { type: 'port.left', port: 'port/t/p', address, host: 1 };
  assert.equal(step(context, left, rowsOf(web)).told, changed([], [here]), 'it goes');
  const { after } = step(context, { type: 'members.unwatch' }, {});
  assert.equal(step(after, located, rowsOf(null)).told, []);
});

test.run();
