/** Decisions of a VPC: claims, segments by generation, routes, and its end. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { SegmentSpec } from '../values/wiring.ts';
import type { SegmentView, VpcContext } from './vpc-context.ts';
import { vpcMachine } from './vpc-machine.ts';

const host = (n: number) => ({ name: `w${n}`, index: n, underlay: `192.0.2.${n}`, underlayMtu: 1600 });
const network = (name: string) => ({
  network: `network/t/${name}`,
  uid: 'N',
  subnets: [],
  mtu: 1450,
  dhcp: { leaseSeconds: 60, dns: [], domain: null, ntp: [] },
});
const view = (n: number, more: Partial<SegmentView> = {}): SegmentView => ({
  facts: host(n),
  generation: 2,
  acknowledged: 2,
  networks: { 'network/t/a': network('a') },
  removing: false,
  failure: null,
  ...more,
});
const held: VpcContext = {
  id: 'vpc/t/main',
  uid: 'U1',
  vni: 4096,
  networks: { 'network/t/a': ['10.0.0.0/24'] },
  segments: {},
  waiting: [],
  withdrawing: {},
  waiters: [],
};
const two = { segments: { w1: view(1), w2: view(2) } };
const waits = (generation: number) => [{ port: 'port/t/p', host: host(1), network: network('a'), generation }];
const claim = (name: string, cidr: string) => ({
  type: 'cidr.claim',
  network: `network/t/${name}`,
  subnets: [{ cidr }],
});
const need = (n: number, name = 'a') => ({
  type: 'segment.need',
  port: 'port/t/p',
  host: host(n),
  network: network(name),
});
const passing = { code: 'x', message: 'x', retryable: true };
const lasting = { code: 'y', message: 'y', retryable: false };
const none = { 'location/*': {} };
const release = (name: string) => ({ type: 'cidr.release', network: `network/t/${name}` });
const owing = (failure: typeof lasting) => ({
  segments: { w1: view(1, { failure }) },
  withdrawing: { 'network/t/a': { w1: 2 } },
});
const there = { 'location/10.0.0.9': { port: 'port/t/p', host: 2 } };
const nowhere = { 'location/10.0.0.9': null };
const located = { type: 'port.located', port: 'port/t/p', address: '10.0.0.9', host: 2 };
const left = { type: 'port.left', port: 'port/t/p', address: '10.0.0.9', host: 2 };
const ensure = 'segment.ensure > segment';
const route = 'segment.route > segment';

const rows: readonly Row[] = [
  { in: 'born', on: { type: 'vpc.create' }, command: 'c', to: 'claiming', asks: ['defer', 'quota.claim > tenant'] },
  { in: 'born', on: { type: 'vpc.delete' }, to: 'gone', asks: ['quota.release > tenant'] },
  { in: 'claiming', on: { type: 'quota.granted' }, to: 'numbering', asks: ['vni.allocate > cluster'] },
  {
    in: 'claiming',
    with: { waiters: ['c'] },
    on: { type: 'quota.refused', error: lasting },
    to: 'gone',
    asks: ['reject y'],
  },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: ['quota.claim > tenant'] },
  { in: 'claiming', on: claim('a', '10.0.0.0/24'), to: 'claiming', asks: ['cidr.refused > network'] },
  { in: 'claiming', on: { type: 'vpc.delete' }, to: 'gone', asks: ['quota.release > tenant'] },
  {
    in: 'numbering',
    with: { waiters: ['c'] },
    on: { type: 'vni.allocated', vni: 5 },
    to: 'ready',
    asks: ['vpc.opened > tenant', 'reply'],
  },
  { in: 'numbering', on: 'vniDeadline', to: 'numbering', asks: ['vni.allocate > cluster'] },
  { in: 'numbering', on: need(1), to: 'numbering', asks: ['segment.failed > port'] },
  {
    in: 'numbering',
    with: { networks: {} },
    on: { type: 'vpc.delete' },
    rows: none,
    to: 'gone',
    asks: ['vni.release > cluster', 'quota.release > tenant'],
  },
  { in: 'ready', on: { type: 'vpc.create' }, command: 'c', to: 'ready', asks: ['reply', 'vpc.opened > tenant'] },
  { in: 'ready', on: { type: 'vpc.delete' }, command: 'c', to: 'ready', asks: ['reject in_use'] },
  { in: 'ready', on: { type: 'vpc.delete' }, from: 'tenant/t/t', to: 'ready', asks: [] },
  { in: 'ready', on: claim('b', '10.0.1.0/24'), to: 'ready', asks: ['cidr.claimed > network'] },
  { in: 'ready', on: claim('a', '10.0.0.0/24'), to: 'ready', asks: ['cidr.claimed > network'] },
  { in: 'ready', on: claim('b', '10.0.0.128/25'), to: 'ready', asks: ['cidr.refused > network'] },
  { in: 'ready', on: need(1), rows: none, to: 'ready', asks: [ensure] },
  { in: 'ready', with: two, on: need(1), to: 'ready', asks: ['segment.provided > port'] },
  { in: 'ready', with: { segments: { w2: view(2) } }, on: need(1), rows: none, to: 'ready', asks: [ensure, ensure] },
  { in: 'ready', with: two, on: need(1, 'b'), to: 'ready', asks: ['segment.failed > port'] },
  // A frame that the underlay of any host of the VPC cannot carry, the network's or one that is already there.
  {
    in: 'ready',
    on: { ...need(1), network: { ...network('a'), mtu: 1551 } },
    to: 'ready',
    asks: ['segment.failed > port'],
  },
  { in: 'ready', on: { ...need(1), network: { ...network('a'), mtu: 1550 } }, rows: none, to: 'ready', asks: [ensure] },
  {
    in: 'ready',
    with: { segments: { w2: view(2) } },
    on: { ...need(1), host: { ...host(1), underlayMtu: 1499 } },
    to: 'ready',
    asks: ['segment.failed > port'],
  },
  {
    in: 'ready',
    with: { segments: { w1: view(1, { acknowledged: 1 }) } },
    on: need(1),
    rows: none,
    to: 'ready',
    asks: [ensure],
  },
  {
    in: 'ready',
    with: { segments: { w1: view(1, { failure: passing }) } },
    on: need(1),
    rows: none,
    to: 'ready',
    asks: [ensure],
  },
  {
    in: 'ready',
    with: { segments: { w1: view(1, { removing: true }) } },
    on: need(1),
    rows: none,
    to: 'ready',
    asks: [],
  },
  {
    in: 'ready',
    with: { ...two, waiting: waits(2) },
    on: { type: 'segment.ready', host: 'w1', generation: 2 },
    to: 'ready',
    asks: ['segment.provided > port'],
  },
  {
    in: 'ready',
    with: { segments: { w1: view(1, { generation: 3 }) }, waiting: waits(3) },
    on: { type: 'segment.ready', host: 'w1', generation: 2 },
    to: 'ready',
    asks: [],
  },
  {
    in: 'ready',
    with: { ...two, waiting: waits(2) },
    on: { type: 'segment.failed', host: 'w1', error: passing },
    to: 'ready',
    asks: [],
  },
  {
    in: 'ready',
    with: { ...two, waiting: waits(2) },
    on: { type: 'segment.failed', host: 'w1', error: lasting },
    to: 'ready',
    asks: ['segment.failed > port'],
  },
  {
    in: 'ready',
    with: two,
    on: release('a'),
    rows: none,
    to: 'ready',
    asks: ['segment.remove > segment', 'segment.remove > segment'],
  },
  { in: 'ready', on: release('a'), rows: none, to: 'ready', asks: ['network.withdrawn > network'] },
  // Asked again: only a segment that gave up hears of it once more.
  { in: 'ready', with: owing(lasting), on: release('a'), rows: none, to: 'ready', asks: [ensure] },
  { in: 'ready', with: owing(passing), on: release('a'), rows: none, to: 'ready', asks: [] },
  { in: 'ready', on: release('z'), rows: none, to: 'ready', asks: ['network.withdrawn > network'] },
  {
    in: 'ready',
    with: { segments: { w1: view(1, { removing: true }), w2: view(2) } },
    on: { type: 'segment.removed', host: 'w1' },
    rows: none,
    to: 'ready',
    asks: [ensure],
  },
  {
    in: 'ready',
    with: { segments: { w1: view(1, { removing: true }) }, waiting: waits(9) },
    on: { type: 'segment.removed', host: 'w1' },
    rows: none,
    to: 'ready',
    asks: [ensure],
  },
  { in: 'ready', with: two, on: { type: 'segment.removed', host: 'w1' }, rows: none, to: 'ready', asks: [] },
  { in: 'ready', with: two, on: located, rows: nowhere, to: 'ready', asks: ['put location', route] },
  { in: 'ready', with: two, on: located, rows: there, to: 'ready', asks: [] },
  {
    in: 'ready',
    with: two,
    on: { ...located, host: 1 },
    rows: there,
    to: 'ready',
    asks: ['put location', route, route],
  },
  { in: 'ready', with: two, on: left, rows: there, to: 'ready', asks: ['remove location', route] },
  { in: 'ready', with: two, on: { ...left, host: 1 }, rows: there, to: 'ready', asks: [] },
  { in: 'ready', with: two, on: left, rows: nowhere, to: 'ready', asks: [] },
  {
    in: 'removing',
    with: { segments: { w1: view(1) } },
    on: { type: 'segment.removed', host: 'w1' },
    rows: none,
    to: 'gone',
    asks: ['vni.release > cluster', 'quota.release > tenant'],
  },
  {
    in: 'removing',
    with: { segments: { w1: view(1) } },
    on: 'removeDeadline',
    to: 'removing',
    asks: ['segment.remove > segment'],
  },
  { in: 'removing', with: two, on: need(1), to: 'removing', asks: ['segment.failed > port'] },
  { in: 'removing', with: two, on: claim('b', '10.0.1.0/24'), to: 'removing', asks: ['cidr.refused > network'] },
  { in: 'removing', with: two, on: { type: 'vpc.create' }, command: 'c', to: 'removing', asks: ['reject name_busy'] },
];

test('decisions', () => {
  assert.equal(disagreements(vpcMachine, held, rows), []);
});

test('CIDRs are free only when every host that had the network has proved its absence', () => {
  const segments = {
    w1: view(1, { networks: { 'network/t/a': network('a'), 'network/t/b': network('b') } }),
    w2: view(2),
  };
  const start = { ...held, networks: { ...held.networks, 'network/t/b': ['10.0.1.0/24'] }, segments };
  const first = decided(vpcMachine, start, {
    in: 'ready',
    on: release('a'),
    rows: none,
    to: '',
  });
  assert.equal(first.asks, [ensure, 'segment.remove > segment']);
  const old = { type: 'segment.ready', host: 'w1', generation: 2 };
  const late = decided(vpcMachine, first.context, { in: 'ready', on: old, to: '' });
  assert.equal(late.asks, [], 'an old proof proves nothing');
  const second = decided(vpcMachine, late.context, { in: 'ready', on: { ...old, generation: 3 }, to: '' });
  assert.equal(second.asks, []);
  assert.equal(Object.keys(second.context['networks'] as object), ['network/t/a', 'network/t/b']);
  const third = decided(vpcMachine, second.context, {
    in: 'ready',
    on: { type: 'segment.removed', host: 'w2' },
    rows: none,
    to: '',
  });
  assert.equal(third.asks, [ensure, 'network.withdrawn > network']);
  assert.equal(Object.keys(third.context['networks'] as object), ['network/t/b']);
});

test('a proof of an older generation proves no absence', () => {
  const both = { 'network/t/a': network('a'), 'network/t/b': network('b') };
  const start = {
    ...held,
    networks: { ...held.networks, 'network/t/b': ['10.0.1.0/24'] },
    segments: { w1: view(1, { networks: both }) },
  };
  const asked = decided(vpcMachine, start, {
    in: 'ready',
    on: release('a'),
    rows: none,
    to: '',
  });
  const ready = (generation: number): Row => ({
    in: 'ready',
    on: { type: 'segment.ready', host: 'w1', generation },
    to: '',
  });
  const late = decided(vpcMachine, asked.context, ready(2));
  assert.equal(late.asks, []);
  assert.equal(decided(vpcMachine, late.context, ready(3)).asks, ['network.withdrawn > network']);
});

test('a segment is told all networks, peers, and the way to everything that is elsewhere', () => {
  const locations = { 'location/*': { '10.0.0.5': { port: 'p', host: 1 }, '10.0.0.6': { port: 'q', host: 2 } } };
  const { asked } = decided(
    vpcMachine,
    { ...held, segments: { w2: view(2) } },
    { in: 'ready', on: need(1), rows: locations, to: '' },
  );
  const specs = asked.map(({ params }) => (params as { event: { spec: SegmentSpec } }).event.spec);
  assert.equal(
    specs.map(({ self, peers, routes }) => [self.name, peers.map(({ name }) => name), routes]),
    [
      ['w1', ['w2'], [{ address: '10.0.0.6', host: 2 }]],
      ['w2', ['w1'], [{ address: '10.0.0.5', host: 1 }]],
    ],
  );
});

test.run();
