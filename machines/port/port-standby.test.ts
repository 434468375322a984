/** Decisions of a port about its second binding: who may ask, what is compared, what comes late, what goes with it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { portMachine } from './port-machine.ts';
import {
  bind,
  direct,
  from,
  held,
  lasting,
  off,
  passing,
  proof,
  remove,
  unbind,
  w1,
  w2,
} from './port-rows-for-tests.ts';
import type { Standby } from './port-standby.ts';

const own = { ...direct, proof, observedGeneration: 1 };
const on = (phase: Standby['phase'], more: Partial<Standby> = {}) => {
  const facts = phase === 'resolving' ? null : w2;
  const standby: Standby = { host: 'w2', facts, runEpoch: 3, phase, proof: null, failure: null, waiters: [], ...more };
  return { ...own, standby };
};
const stands = { ...proof, standby: true };
const standing = on('standing', { proof: stands });
const there = (type: string, more: object = {}) => from(type, { host: 'w2', runEpoch: 3, ...more });
const standby = (host = 'w2') => ({ type: 'port.standby', host });
const activate = (runEpoch = 3, host = 'w2') => ({ type: 'port.activate', host, runEpoch });
const drop = { type: 'port.drop-standby' };

const preparing: readonly Row[] = [
  { in: 'active', with: own, on: standby(), command: 'c', to: 'active', asks: ['defer', 'host.resolve > cluster'] },
  { in: 'active', on: standby(), command: 'c', to: 'active', asks: ['reject in_use'] },
  { in: 'active', with: own, on: standby('w1'), command: 'c', to: 'active', asks: ['reject standby_exists'] },
  { in: 'active', with: standing, on: standby('w3'), command: 'c', to: 'active', asks: ['reject standby_exists'] },
  { in: 'active', with: standing, on: standby(), command: 'c', to: 'active', asks: ['reply'] },
  { in: 'active', with: on('dropping'), on: standby(), command: 'c', to: 'active', asks: ['reject standby_busy'] },
  ...['unbound', 'binding.tap', 'failed', 'unbinding'].map((state): Row => {
    return { in: state, with: own, on: standby(), command: 'c', to: state, asks: ['reject not_active'] };
  }),
  {
    in: 'active',
    with: on('resolving'),
    on: { type: 'host.resolved', host: w2 },
    to: 'active',
    asks: ['segment.need > vpc'],
  },
  {
    in: 'active',
    with: on('resolving', { waiters: ['c'] }),
    on: { type: 'host.missing', host: 'w2' },
    to: 'active',
    asks: ['reject host_not_found'],
  },
  {
    in: 'active',
    with: on('segment'),
    on: { type: 'segment.provided', host: 'w2' },
    to: 'active',
    asks: ['binding.ensure > binding'],
  },
  {
    in: 'degraded',
    with: on('segment', { waiters: ['c'] }),
    on: { type: 'segment.refused', host: 'w2', error: passing },
    to: 'degraded',
    asks: ['reject x'],
  },
  {
    in: 'active',
    with: on('tap', { waiters: ['c', 'd'] }),
    on: there('ready', { proof: stands }),
    to: 'active',
    asks: ['reply', 'reply'],
  },
  {
    in: 'active',
    with: on('tap', { waiters: ['c'] }),
    on: there('ready', { proof: stands, runEpoch: 2 }),
    to: 'active',
    asks: [],
  },
  {
    in: 'active',
    with: on('tap', { waiters: ['c'] }),
    on: there('failed', { error: passing }),
    to: 'active',
    asks: [],
  },
  {
    in: 'active',
    with: on('tap', { waiters: ['c'] }),
    on: there('failed', { error: lasting }),
    to: 'active',
    asks: ['reject y'],
  },
];

const moving: readonly Row[] = [
  {
    in: 'active',
    with: standing,
    on: activate(),
    command: 'c',
    to: 'binding.tap',
    asks: ['defer', 'binding.ensure > binding'],
  },
  { in: 'active', on: activate(), command: 'c', to: 'active', asks: ['reject in_use'] },
  { in: 'active', with: own, on: activate(), command: 'c', to: 'active', asks: ['reject standby_conflict'] },
  { in: 'active', with: own, on: activate(2, 'w1'), command: 'c', to: 'active', asks: ['reply'] },
  ...[activate(4), activate(2), activate(3, 'w3')].map((event): Row => {
    return { in: 'active', with: standing, on: event, command: 'c', to: 'active', asks: ['reject standby_conflict'] };
  }),
  { in: 'active', with: on('tap'), on: activate(), command: 'c', to: 'active', asks: ['reject standby_conflict'] },
  {
    in: 'active',
    with: { ...standing, runEpoch: 3 },
    on: activate(),
    command: 'c',
    to: 'active',
    asks: ['reject standby_conflict'],
  },
];

const former = {
  ...on('retiring'),
  host: w2,
  runEpoch: 3,
  standby: { ...on('retiring').standby, host: 'w1', facts: w1 },
};
const retiring: readonly Row[] = [
  // What the binding said while it stood by.
  { in: 'binding.tap', with: former, on: there('ready', { proof: stands }), to: 'binding.tap', asks: [] },
  {
    in: 'binding.tap',
    with: former,
    on: there('ready', { proof }),
    to: 'active',
    asks: ['port.located > vpc', 'binding.ensure > binding'],
  },
  { in: 'binding.tap', with: former, on: drop, command: 'c', to: 'binding.tap', asks: ['reject standby_busy'] },
  {
    in: 'binding.tap',
    with: former,
    on: unbind,
    command: 'c',
    to: 'unbinding',
    // Of both: the VPC still knows it on the former host.
    asks: ['defer', ...off, ...off],
  },
];

const dropping: readonly Row[] = [
  {
    in: 'active',
    with: standing,
    on: drop,
    command: 'c',
    to: 'active',
    asks: ['defer', 'binding.remove > binding'],
  },
  { in: 'active', with: own, on: drop, command: 'c', to: 'active', asks: ['reply'] },
  {
    in: 'active',
    with: on('tap', { waiters: ['a'] }),
    on: drop,
    command: 'c',
    to: 'active',
    asks: ['reject standby_dropped', 'defer', 'binding.remove > binding'],
  },
  {
    in: 'active',
    with: on('dropping', { waiters: ['c'] }),
    on: { type: 'binding.removed', host: 'w2' },
    to: 'active',
    asks: ['reply'],
  },
  {
    in: 'active',
    with: standing,
    on: remove,
    command: 'c',
    to: 'unbinding',
    asks: ['defer', 'binding.remove > binding', ...off],
  },
  {
    in: 'unbinding',
    with: on('dropping'),
    on: { type: 'binding.removed', host: 'w2' },
    to: 'unbinding',
    asks: [],
  },
  // The first that is gone is not the last.
  {
    in: 'unbinding',
    with: { ...on('dropping'), leaving: true },
    on: { type: 'binding.removed', host: 'w1' },
    to: 'unbinding',
    asks: [],
  },
  // Of a VM: a new run makes a new tap.
  {
    in: 'active',
    with: { standby: standing.standby },
    on: bind(w1, 4),
    to: 'binding.tap',
    asks: ['binding.remove > binding', 'binding.ensure > binding'],
  },
];

// QEMU on the second host has opened the tap that is gone: only another run could have a new one.
const lost = { ...passing, code: 'tap_missing' };
const byMigration = { asker: 'migration/t/v', bindingUid: 'B' };
const takeOver = { type: 'port.take-over', holder: 'vm/t/v', host: w2, runEpoch: 3 };
const ofVm = { ...former, holder: 'vm/t/v' };
const losing: readonly Row[] = [
  {
    in: 'active',
    with: on('standing', byMigration),
    on: there('failed', { error: lost }),
    to: 'active',
    asks: ['port.standby-failed > migration'],
  },
  { in: 'active', with: on('standing', byMigration), on: there('failed', { error: passing }), to: 'active', asks: [] },
  { in: 'active', with: on('standing'), on: there('failed', { error: lost }), to: 'active', asks: [] },
  // The VM has decided for the other host before that was known: its former host is left all the same.
  {
    in: 'tapped',
    with: { ...ofVm, standby: { ...ofVm.standby, ...byMigration } },
    on: takeOver,
    from: 'migration/t/v',
    to: 'tapped',
    asks: [
      'port.located > vpc',
      'binding.ensure > binding',
      'port.taken-over > migration',
      'port.taken-over > migration',
      'port.failed > vm',
    ],
  },
  {
    in: 'failed',
    with: { ...ofVm, standby: null, failure: lasting },
    on: takeOver,
    from: 'migration/t/v',
    to: 'failed',
    asks: ['port.taken-over > migration', 'port.failed > vm'],
  },
  { in: 'tapped', with: { ...ofVm, runEpoch: 4 }, on: takeOver, from: 'migration/t/v', to: 'tapped', asks: [] },
  // What stood by went with its host: the migration, which cannot go back, does not wait for ever.
  ...['active', 'degraded', 'failed', 'unbound'].map((state): Row => {
    const asks = ['port.standby-failed > migration'];
    return { in: state, with: { ...own, holder: 'vm/t/v' }, on: takeOver, from: 'migration/t/v', to: state, asks };
  }),
  // The host that is left has failed.
  {
    in: 'failed',
    with: { ...on('standing', byMigration), holder: 'vm/t/v', failure: lasting },
    on: takeOver,
    from: 'migration/t/v',
    to: 'binding.tap',
    asks: ['binding.ensure > binding'],
  },
  { in: 'binding.tap', with: on('standing', byMigration), on: takeOver, to: 'binding.tap', asks: [] },
];

for (const [title, rows] of Object.entries({ preparing, moving, retiring, dropping, losing })) {
  test(`decisions: ${title}`, () => {
    assert.equal(disagreements(portMachine, held, rows), []);
  });
}

test('the one that stands by is asked for a tap of its own run, whose route leads to the active host', () => {
  const { asked } = decided(
    portMachine,
    { ...held, ...on('segment') },
    { in: 'active', on: { type: 'segment.provided', host: 'w2' }, to: '' },
  );
  const { event } = asked[0]?.params as { event: { spec: { owner: object; activeHost: number } } };
  assert.equal(event.spec.owner, { actor: 'binding/t/p@w2', uid: '', runEpoch: 3 });
  assert.is(event.spec.activeHost, 1);
});

test.run();
