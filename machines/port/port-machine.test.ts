/**
 * Decisions of a port: who may bind it, what is repeated, what comes late or from an earlier run, and every deadline.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { PortContext } from './port-context.ts';
import { portMachine } from './port-machine.ts';

const id = 'port/t/p';
const vm = 'vm/t/v';
const w1 = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const w2 = { name: 'w2', index: 2, underlay: '192.0.2.2', underlayMtu: 1600 };
const network = {
  network: 'network/t/n',
  uid: 'N',
  subnets: [],
  mtu: 1450,
  dhcp: { leaseSeconds: 60, dns: [], domain: null, ntp: [] },
};
const grant = {
  address: '10.0.0.5',
  mac: '02:50:0a:00:00:05',
  prefixLength: 24,
  gateway: '10.0.0.1',
  vpc: 'vpc/t/main',
  network,
};
const request = { network: 'n', address: null, mac: null, host: null, holder: vm };
const held: PortContext = {
  id,
  uid: 'U1',
  spec: request,
  grant,
  host: w1,
  runEpoch: 2,
  next: null,
  leaving: false,
  bindingUid: null,
  proof: null,
  waiters: [],
  tries: 0,
  failure: null,
};
const fresh = { uid: '', spec: null, grant: null, host: null, runEpoch: 0 };
const own = { spec: { ...request, holder: null, host: 'w1' } };
const claiming = { grant: null, host: null };
const create = { type: 'port.create', ...request };
const bind = (host: object, runEpoch: number, holder = vm) => ({ type: 'port.bind', holder, host, runEpoch });
const unbind = { type: 'port.unbind', holder: vm };
const release = { type: 'port.release', holder: vm };
const passing = { code: 'x', message: 'x', retryable: true };
const lasting = { code: 'y', message: 'y', retryable: false };
const from = (type: string, more: object = {}) => ({ type: `binding.${type}`, host: 'w1', runEpoch: 2, ...more });
const off = ['port.left > vpc', 'binding.remove > binding'];
const allocated = { type: 'address.allocated', ...grant };

const making: readonly Row[] = [
  { in: 'born', with: fresh, on: create, to: 'claiming.asking', asks: ['address.allocate > network'] },
  {
    in: 'born',
    with: fresh,
    on: { ...create, holder: null, host: 'w1' },
    command: 'c',
    to: 'finding',
    asks: ['defer', 'host.find > cluster'],
  },
  { in: 'born', with: fresh, on: release, from: vm, to: 'gone', asks: ['port.gone > vm'] },
  { in: 'finding', with: { ...fresh, ...own }, on: { type: 'host.found', host: w1 }, to: 'claiming.asking' },
  {
    in: 'finding',
    with: { ...fresh, ...own, waiters: ['c'] },
    on: { type: 'host.missing', host: 'w1' },
    to: 'gone',
    asks: ['reject host_not_found'],
  },
  { in: 'finding', with: { ...fresh, ...own }, on: 'findDeadline', to: 'finding', asks: ['host.find > cluster'] },
  {
    in: 'finding',
    with: { ...fresh, ...own, waiters: ['c'] },
    on: { type: 'port.delete' },
    command: 'd',
    to: 'gone',
    asks: ['reject deleted'],
  },
  { in: 'claiming.asking', with: claiming, on: allocated, to: 'unbound', asks: ['port.ready > vm'] },
  {
    in: 'claiming.asking',
    with: { ...own, grant: null, waiters: ['c'] },
    on: allocated,
    to: 'binding.segment',
    asks: ['reply', 'segment.need > vpc'],
  },
  {
    in: 'claiming.asking',
    with: claiming,
    on: { type: 'address.refused', error: passing, path: 'spec.address' },
    to: 'claiming.waiting',
    asks: [],
  },
  {
    in: 'claiming.asking',
    with: { ...claiming, tries: 12 },
    on: { type: 'address.refused', error: passing, path: 'spec.address' },
    to: 'gone',
  },
  {
    in: 'claiming.asking',
    with: claiming,
    on: { type: 'address.refused', error: lasting, path: 'spec.address' },
    to: 'gone',
    asks: ['port.refused > vm', 'port.gone > vm'],
  },
  {
    in: 'claiming.asking',
    with: claiming,
    on: 'addressDeadline',
    to: 'claiming.asking',
    asks: ['address.allocate > network'],
  },
  {
    in: 'claiming.asking',
    with: { ...claiming, tries: 12 },
    on: 'addressDeadline',
    to: 'gone',
    asks: ['address.release > network', 'port.refused > vm', 'port.gone > vm'],
  },
  {
    in: 'claiming.asking',
    with: claiming,
    on: release,
    to: 'gone',
    asks: ['address.release > network', 'port.gone > vm'],
  },
  {
    in: 'claiming.asking',
    with: claiming,
    on: { type: 'port.delete' },
    command: 'c',
    to: 'claiming.asking',
    asks: ['reject in_use'],
  },
  { in: 'claiming.asking', with: claiming, on: create, to: 'claiming.asking', asks: [] },
  {
    in: 'claiming.waiting',
    with: claiming,
    on: 'backoff',
    to: 'claiming.asking',
    asks: ['address.allocate > network'],
  },
];

const binding: readonly Row[] = [
  { in: 'unbound', with: { host: null }, on: bind(w1, 2), to: 'binding.segment', asks: ['segment.need > vpc'] },
  { in: 'unbound', with: { host: null }, on: bind(w1, 2, 'vm/t/other'), to: 'unbound', asks: ['port.failed > vm'] },
  { in: 'unbound', with: { host: null }, on: unbind, to: 'unbound', asks: ['port.unbound > vm'] },
  {
    in: 'unbound',
    with: { host: null },
    on: release,
    to: 'gone',
    asks: ['address.release > network', 'port.gone > vm'],
  },
  { in: 'unbound', with: { host: null }, on: create, to: 'unbound', asks: ['port.ready > vm'] },
  { in: 'unbound', on: { ...create, network: 'm' }, command: 'c', to: 'unbound', asks: ['reject exists_differently'] },
  { in: 'unbound', on: { ...create, network: 'm' }, from: vm, to: 'unbound', asks: ['port.refused > vm'] },
  {
    in: 'binding.segment',
    on: { type: 'segment.provided', host: 'w1' },
    to: 'binding.tap',
    asks: ['binding.ensure > binding'],
  },
  { in: 'binding.segment', on: { type: 'segment.provided', host: 'w2' }, to: 'binding.segment', asks: [] },
  {
    in: 'binding.segment',
    on: { type: 'segment.failed', host: 'w1', error: passing },
    to: 'binding.waiting',
    asks: [],
  },
  {
    in: 'binding.segment',
    on: { type: 'segment.failed', host: 'w1', error: lasting },
    to: 'failed',
    asks: ['port.failed > vm'],
  },
  { in: 'binding.segment', on: 'segmentDeadline', to: 'binding.segment', asks: ['segment.need > vpc'] },
  { in: 'binding.segment', on: bind(w1, 3), to: 'binding.segment', asks: [] },
  { in: 'binding.segment', on: bind(w2, 3), to: 'unbinding', asks: off },
  { in: 'binding.segment', on: unbind, to: 'unbinding', asks: off },
  { in: 'binding.waiting', on: 'backoff', to: 'binding.segment', asks: ['segment.need > vpc'] },
  { in: 'binding.tap', on: from('tapped', { uid: 'B', tap: 't0' }), to: 'tapped', asks: ['port.tapped > vm'] },
  { in: 'binding.tap', on: from('tapped', { uid: 'B', tap: 't0', runEpoch: 1 }), to: 'binding.tap', asks: [] },
  { in: 'binding.tap', with: own, on: from('tapped', { uid: 'B', tap: 't0' }), to: 'binding.tap', asks: [] },
  { in: 'binding.tap', with: own, on: from('ready', { proof: {} }), to: 'active', asks: ['port.located > vpc'] },
  { in: 'binding.tap', on: from('ready', { proof: {}, runEpoch: 1 }), to: 'binding.tap', asks: [] },
  { in: 'binding.tap', on: from('failed', { error: passing }), to: 'binding.tap', asks: [] },
  { in: 'binding.tap', on: from('failed', { error: lasting }), to: 'failed', asks: ['port.failed > vm'] },
  { in: 'binding.tap', on: 'tapDeadline', to: 'binding.tap', asks: ['binding.ensure > binding'] },
  { in: 'binding.tap', on: bind(w1, 2), to: 'binding.tap', asks: [] },
  { in: 'binding.tap', on: bind(w1, 3), to: 'binding.tap', asks: ['binding.ensure > binding'] },
];

const bound: readonly Row[] = [
  { in: 'tapped', on: from('ready', { proof: {} }), to: 'active', asks: ['port.located > vpc', 'port.active > vm'] },
  { in: 'tapped', on: from('failed', { error: passing }), to: 'tapped', asks: [] },
  { in: 'tapped', on: from('failed', { error: lasting }), to: 'failed', asks: ['port.failed > vm'] },
  ...['tapped', 'active', 'degraded'].flatMap((state): Row[] => [
    { in: state, on: bind(w1, 2), to: 'binding.tap', asks: ['binding.ensure > binding'] },
    { in: state, on: bind(w1, 1), to: state, asks: [] },
    { in: state, on: bind(w2, 3), to: 'unbinding', asks: off },
    { in: state, on: unbind, to: 'unbinding', asks: off },
    { in: state, on: release, to: 'unbinding', asks: off },
    { in: state, on: { type: 'port.unbind' }, command: 'c', to: state, asks: ['reject in_use'] },
    { in: state, with: own, on: { type: 'port.unbind' }, command: 'c', to: 'unbinding', asks: ['defer', ...off] },
    { in: state, with: own, on: { type: 'port.delete' }, command: 'c', to: 'unbinding', asks: ['defer', ...off] },
    { in: state, on: { type: 'binding.removed', host: 'w1' }, to: state, asks: [] },
  ]),
  { in: 'active', on: from('ready', { proof: { ifindex: 7 } }), to: 'active', asks: [] },
  { in: 'active', on: from('failed', { error: passing }), to: 'degraded', asks: [] },
  { in: 'active', on: from('failed', { error: lasting }), to: 'failed', asks: ['port.failed > vm'] },
  { in: 'degraded', on: from('ready', { proof: {} }), to: 'active', asks: ['port.located > vpc', 'port.active > vm'] },
  { in: 'degraded', on: from('failed', { error: lasting }), to: 'failed' },
  { in: 'failed', on: bind(w1, 2), to: 'binding.segment', asks: ['segment.need > vpc'] },
  { in: 'failed', on: bind(w2, 3), to: 'unbinding', asks: off },
  { in: 'failed', on: release, to: 'unbinding', asks: off },
];

const leaving: readonly Row[] = [
  { in: 'unbinding', on: { type: 'binding.removed', host: 'w1' }, to: 'unbound', asks: ['port.unbound > vm'] },
  { in: 'unbinding', on: { type: 'binding.removed', host: 'w9' }, to: 'unbinding', asks: [] },
  {
    in: 'unbinding',
    with: { leaving: true },
    on: { type: 'binding.removed', host: 'w1' },
    to: 'gone',
    asks: ['address.release > network', 'port.gone > vm'],
  },
  {
    in: 'unbinding',
    with: { next: { host: w2, runEpoch: 3 } },
    on: { type: 'binding.removed', host: 'w1' },
    to: 'binding.segment',
    asks: ['segment.need > vpc'],
  },
  { in: 'unbinding', on: 'unbindDeadline', to: 'unbinding', asks: off },
  { in: 'unbinding', on: bind(w1, 3), to: 'unbinding', asks: [] },
  { in: 'unbinding', with: { leaving: true }, on: bind(w1, 3), to: 'unbinding', asks: ['port.failed > vm'] },
  { in: 'unbinding', with: { leaving: true }, on: create, from: vm, to: 'unbinding', asks: ['port.refused > vm'] },
  {
    in: 'unbinding',
    with: { ...own, leaving: true },
    on: { ...create, ...own.spec },
    command: 'c',
    to: 'unbinding',
    asks: ['reject name_busy'],
  },
  { in: 'unbinding', on: release, to: 'unbinding', asks: [] },
];

for (const [title, rows] of Object.entries({ making, binding, bound, leaving })) {
  test(`decisions: ${title}`, () => {
    assert.equal(disagreements(portMachine, held, rows), []);
  });
}

test('a rejected creation names the field and answers everybody who asked', () => {
  const row: Row = {
    in: 'claiming.asking',
    on: { type: 'address.refused', error: lasting, path: 'spec.address' },
    to: '',
  };
  const { asked } = decided(
    portMachine,
    { ...held, ...claiming, spec: { ...request, holder: null }, waiters: ['a', 'b'] },
    row,
  );
  const issues = [{ path: 'spec.address', message: 'y' }];
  assert.equal(
    asked.map(({ params }) => params),
    ['a', 'b'].map((commandId) => ({ commandId, code: 'y', message: 'y', issues })),
  );
});

test('what the binding is asked for has the present run, and no uid', () => {
  const { asked } = decided(portMachine, held, { in: 'active', on: bind(w1, 5), to: '' });
  const { event } = asked[0]?.params as { event: { spec: { owner: object; hostname: string } } };
  assert.equal(event.spec.owner, { actor: 'binding/t/p@w1', uid: '', runEpoch: 5 });
});

const hostGone = { code: 'host_gone', message: 'gone', retryable: false };
const gone = from('failed', { error: hostGone });

test('its host is gone: the VM hears it; without one the port waits for the host that it was declared for', () => {
  const all: readonly Row[] = [
    { in: 'active', on: gone, to: 'failed', asks: ['port.failed > vm'] },
    ...['binding.tap', 'active', 'degraded'].map((state) => ({
      in: state,
      with: own,
      on: gone,
      to: 'binding.waiting',
      asks: [],
    })),
    {
      in: 'binding.segment',
      with: own,
      on: { type: 'segment.failed', host: 'w1', error: hostGone },
      to: 'binding.waiting',
      asks: [],
    },
    { in: 'binding.waiting', with: own, on: 'backoff', to: 'binding.segment', asks: ['segment.need > vpc'] },
  ];
  assert.equal(disagreements(portMachine, held, all), []);
});

test.run();
