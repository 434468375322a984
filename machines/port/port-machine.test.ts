/**
 * Decisions of a port: who may bind it, what is repeated, what comes late or from an earlier run, every deadline, and
 * what becomes of a changed declaration.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { portMachine } from './port-machine.ts';
import {
  allocated,
  bind,
  claim,
  claiming,
  create,
  direct,
  fresh,
  from,
  held,
  lasting,
  off,
  onHost,
  other,
  own,
  passing,
  proof,
  release,
  remove,
  rest,
  unbind,
  vm,
  w1,
  w2,
  waits,
} from './port-rows-for-tests.ts';

const making: readonly Row[] = [
  { in: 'born', with: fresh, on: claim, to: 'claiming.asking', asks: ['address.allocate > network'] },
  {
    in: 'born',
    with: fresh,
    on: create(onHost),
    command: 'c',
    to: 'resolving',
    asks: ['defer', 'host.resolve > cluster'],
  },
  { in: 'born', with: fresh, on: release, from: vm, to: 'gone', asks: ['port.gone > vm'] },
  { in: 'resolving', with: { ...fresh, ...direct }, on: { type: 'host.resolved', host: w1 }, to: 'claiming.asking' },
  {
    in: 'resolving',
    with: { ...fresh, ...direct, ...waits('c') },
    on: { type: 'host.missing', host: 'w1' },
    to: 'gone',
    asks: ['reject host_not_found'],
  },
  {
    in: 'resolving',
    with: { ...fresh, ...direct },
    on: 'hostDeadline',
    to: 'resolving',
    asks: ['host.resolve > cluster'],
  },
  {
    in: 'resolving',
    with: { ...fresh, ...direct, ...waits('c') },
    on: remove,
    command: 'd',
    to: 'gone',
    asks: ['reject deleted', 'defer', 'reply'],
  },
  {
    in: 'claiming.asking',
    with: claiming,
    on: allocated,
    to: 'unbound',
    asks: ['reference.add > security-group', 'port.ready > vm'],
  },
  // Answers to a former port of the same name.
  { in: 'claiming.asking', with: claiming, on: { ...allocated, portUid: 'U0' }, to: 'claiming.asking', asks: [] },
  {
    in: 'claiming.asking',
    with: claiming,
    on: { type: 'address.refused', error: lasting, path: 'spec.address', portUid: 'U0' },
    to: 'claiming.asking',
    asks: [],
  },
  {
    in: 'claiming.asking',
    with: { ...direct, grant: null, ...waits('c') },
    on: { ...allocated, portUid: 'U1' },
    to: 'binding.segment',
    asks: ['reference.add > security-group', 'reply', 'segment.need > vpc'],
  },
  {
    in: 'claiming.asking',
    with: claiming,
    on: { type: 'address.refused', error: passing, path: 'spec.address' },
    to: 'claiming.waiting',
    asks: ['port.delayed > vm'],
  },
  {
    in: 'claiming.asking',
    with: claiming,
    on: { type: 'address.refused', error: { ...passing, code: 'addresses_resting' }, path: 'spec.address' },
    to: 'gone',
    asks: ['port.refused > vm', 'port.gone > vm'],
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
    asks: ['port.delayed > vm', 'address.allocate > network'],
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
    on: remove,
    command: 'c',
    to: 'claiming.asking',
    asks: ['reject in_use'],
  },
  { in: 'claiming.asking', with: claiming, on: claim, to: 'claiming.asking', asks: [] },
  {
    in: 'claiming.waiting',
    with: claiming,
    on: 'backoff',
    to: 'claiming.asking',
    asks: ['address.allocate > network'],
  },
];

const binding: readonly Row[] = [
  {
    in: 'unbound',
    with: { host: null },
    on: bind(w1, 2),
    to: 'binding.segment',
    asks: ['reference.add > security-group', 'segment.need > vpc'],
  },
  { in: 'unbound', with: { host: null }, on: bind(w1, 2, 'vm/t/other'), to: 'unbound', asks: ['port.failed > vm'] },
  { in: 'unbound', with: { host: null }, on: rest, to: 'unbound', asks: ['port.unbound > vm'] },
  {
    in: 'unbound',
    with: { host: null },
    on: release,
    to: 'gone',
    asks: ['address.release > network', 'port.gone > vm'],
  },
  { in: 'unbound', with: { host: null }, on: claim, to: 'unbound', asks: ['port.ready > vm'] },
  { in: 'unbound', with: direct, on: unbind, command: 'c', to: 'unbound', asks: ['reply'] },
  { in: 'unbound', on: { ...claim, spec: other }, to: 'unbound', asks: ['port.refused > vm'] },
  { in: 'unbound', on: { ...claim, holder: 'vm/t/other' }, to: 'unbound', asks: ['port.refused > vm'] },
  { in: 'unbound', with: own, on: claim, to: 'unbound', asks: ['port.refused > vm'] },
  {
    in: 'binding.segment',
    on: { type: 'segment.provided', host: 'w1' },
    to: 'binding.tap',
    asks: ['binding.ensure > binding'],
  },
  { in: 'binding.segment', on: { type: 'segment.provided', host: 'w2' }, to: 'binding.segment', asks: [] },
  {
    in: 'binding.segment',
    on: { type: 'segment.refused', host: 'w1', error: passing },
    to: 'binding.waiting',
    asks: ['port.delayed > vm'],
  },
  {
    in: 'binding.segment',
    on: { type: 'segment.delayed', host: 'w1', error: passing },
    to: 'binding.segment',
    asks: ['port.delayed > vm'],
  },
  {
    in: 'binding.segment',
    on: { type: 'segment.delayed', host: 'w2', error: passing },
    to: 'binding.segment',
    asks: [],
  },
  {
    in: 'binding.segment',
    on: { type: 'segment.refused', host: 'w1', error: lasting },
    to: 'failed',
    asks: ['port.failed > vm'],
  },
  {
    in: 'binding.segment',
    on: 'segmentDeadline',
    to: 'binding.segment',
    asks: ['port.delayed > vm', 'segment.need > vpc'],
  },
  { in: 'binding.segment', on: bind(w1, 3), to: 'binding.segment', asks: [] },
  { in: 'binding.segment', on: bind(w2, 3), to: 'unbinding', asks: off },
  { in: 'binding.segment', on: rest, to: 'unbinding', asks: off },
  { in: 'binding.waiting', on: 'backoff', to: 'binding.segment', asks: ['segment.need > vpc'] },
  { in: 'binding.tap', on: from('tapped', { uid: 'B', tap: 't0' }), to: 'tapped', asks: ['port.tapped > vm'] },
  { in: 'binding.tap', on: from('tapped', { uid: 'B', tap: 't0', runEpoch: 1 }), to: 'binding.tap', asks: [] },
  { in: 'binding.tap', with: direct, on: from('tapped', { uid: 'B', tap: 't0' }), to: 'binding.tap', asks: [] },
  { in: 'binding.tap', with: direct, on: from('ready', { proof }), to: 'active', asks: ['port.located > vpc'] },
  { in: 'binding.tap', on: from('ready', { proof, runEpoch: 1 }), to: 'binding.tap', asks: [] },
  { in: 'binding.tap', on: from('failed', { error: passing }), to: 'binding.tap', asks: ['port.delayed > vm'] },
  { in: 'binding.tap', on: from('failed', { error: lasting }), to: 'failed', asks: ['port.failed > vm'] },
  { in: 'binding.tap', on: 'tapDeadline', to: 'binding.tap', asks: ['port.delayed > vm', 'binding.ensure > binding'] },
  { in: 'binding.tap', on: bind(w1, 2), to: 'binding.tap', asks: [] },
  { in: 'binding.tap', on: bind(w1, 3), to: 'binding.tap', asks: ['binding.ensure > binding'] },
];

const bound: readonly Row[] = [
  { in: 'tapped', on: from('ready', { proof }), to: 'active', asks: ['port.located > vpc', 'port.active > vm'] },
  { in: 'tapped', on: from('failed', { error: passing }), to: 'tapped', asks: ['port.delayed > vm'] },
  { in: 'tapped', on: from('failed', { error: lasting }), to: 'failed', asks: ['port.failed > vm'] },
  ...['tapped', 'active', 'degraded'].flatMap((state): Row[] => [
    { in: state, on: bind(w1, 2), to: 'binding.tap', asks: ['binding.ensure > binding'] },
    { in: state, on: bind(w1, 1), to: state, asks: [] },
    { in: state, on: bind(w2, 3), to: 'unbinding', asks: off },
    { in: state, on: rest, to: 'unbinding', asks: off },
    { in: state, on: release, to: 'unbinding', asks: off },
    { in: state, on: unbind, command: 'c', to: state, asks: ['reject in_use'] },
    { in: state, with: direct, on: unbind, command: 'c', to: 'unbinding', asks: ['defer', ...off] },
    { in: state, with: direct, on: remove, command: 'c', to: 'unbinding', asks: ['defer', ...off] },
    { in: state, on: { type: 'binding.removed', host: 'w1' }, to: state, asks: [] },
  ]),
  { in: 'active', with: { proof }, on: from('ready', { proof: { ...proof, ifindex: 7 } }), to: 'active', asks: [] },
  { in: 'active', on: from('failed', { error: passing }), to: 'degraded', asks: ['port.delayed > vm'] },
  { in: 'active', on: from('failed', { error: lasting }), to: 'failed', asks: ['port.failed > vm'] },
  { in: 'degraded', on: from('ready', { proof }), to: 'active', asks: ['port.located > vpc', 'port.active > vm'] },
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
  { in: 'unbinding', with: { leaving: true }, on: claim, from: vm, to: 'unbinding', asks: ['port.refused > vm'] },
  {
    in: 'unbinding',
    with: { ...own, leaving: true },
    on: create(),
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

test('a rejected creation names the field and answers every deferred command', () => {
  const row: Row = {
    in: 'claiming.asking',
    on: { type: 'address.refused', error: lasting, path: 'spec.address' },
    to: '',
  };
  const { asked } = decided(portMachine, { ...held, ...own, ...claiming, ...waits('a', 'b') }, row);
  const issues = [{ path: 'spec.address', message: 'y' }];
  assert.equal(
    asked.map(({ params }) => params),
    ['a', 'b'].map((commandId) => ({ commandId, code: 'y', message: 'y', issues })),
  );
});

test('the request to the binding has the present run epoch, and no uid', () => {
  const { asked } = decided(portMachine, held, { in: 'active', on: bind(w1, 5), to: '' });
  const { event } = asked[0]?.params as { event: { spec: { owner: object; hostname: string } } };
  assert.equal(event.spec.owner, { actor: 'binding/t/p@w1', uid: '', runEpoch: 5 });
});

const hostGone = { code: 'host_gone', message: 'gone', retryable: false };
const gone = from('failed', { error: hostGone });

test('when its host is fenced the VM gets a message; without a VM the port waits for its declared host', () => {
  const all: readonly Row[] = [
    { in: 'active', on: gone, to: 'failed', asks: ['port.failed > vm'] },
    ...['binding.tap', 'active', 'degraded'].map((state) => ({
      in: state,
      with: direct,
      on: gone,
      to: 'binding.waiting',
      asks: [],
    })),
    {
      in: 'binding.segment',
      with: direct,
      on: { type: 'segment.refused', host: 'w1', error: hostGone },
      to: 'binding.waiting',
      asks: [],
    },
    { in: 'binding.waiting', with: direct, on: 'backoff', to: 'binding.segment', asks: ['segment.need > vpc'] },
  ];
  assert.equal(disagreements(portMachine, held, all), []);
});

test.run();
