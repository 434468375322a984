/** A VM whose host is drained or silent: what it answers, when it moves or starts elsewhere, what it says. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { Condition } from '../values/conditions.ts';
import { atRest, held, proof, spec } from './vm-rows-for-tests.ts';
import { vmMachine } from './vm-machine.ts';

const drain = 'drain/system/w1';
const evacuate = { type: 'vm.evacuate', host: 'w1', restart: false };
const restart = { ...evacuate, restart: true };
const live = { runningSince: 1, proof };
const shared = { ...live, located: [] };
const pinned = { ...shared, runSpec: { ...spec, host: 'w1' } };
const answer = 'vm.evacuation > drain';
const move = 'migration.start > migration';
const going = { to: null, limits: {}, host: 'w2', commandId: null, committed: false, ended: false, drain };
const ended = {
  type: 'migration.ended',
  summary: { result: 'rolled-back', failure: { code: 'migration_stalled', message: 'x', retryable: true } },
};

const rows: readonly Row[] = [
  { in: 'running', with: live, on: evacuate, from: drain, to: 'migrating.moving', asks: [answer, move] },
  { in: 'running', with: { ...live, host: { ...held.host, name: 'w2' } }, on: evacuate, from: drain, to: 'running' },
  { in: 'running', with: pinned, on: evacuate, from: drain, to: 'running', asks: [answer] },
  { in: 'running', with: pinned, on: restart, from: drain, to: 'running', asks: [answer] },
  { in: 'starting', on: evacuate, from: drain, to: 'starting', asks: [answer] },
  { in: 'stopped', with: atRest, on: evacuate, from: drain, to: 'stopped', asks: [answer] },
  { in: 'paused', with: { ...shared, paused: true }, on: evacuate, from: drain, to: 'paused', asks: [answer] },
  { in: 'paused', with: { ...live, paused: true }, on: restart, from: drain, to: 'paused', asks: [answer] },
  { in: 'paused', with: { ...shared, paused: true }, on: restart, from: drain, to: 'stopping' },
  { in: 'stopping', with: { ...shared, leaving: 'w1' }, on: restart, from: drain, to: 'stopping', asks: [answer] },
  { in: 'migrating.moving', with: { ...live, migration: going }, on: evacuate, from: drain, to: 'migrating.moving' },
  {
    in: 'migrating.moving',
    with: { ...live, migration: going },
    on: ended,
    from: 'migration/t/v',
    to: 'running',
    asks: [answer],
  },
];

test('decisions', () => {
  assert.equal(disagreements(vmMachine, held, rows), []);
});

interface Evacuation {
  readonly type: string;
  readonly standing: string;
  readonly reason: { readonly code: string } | null;
}
const said = (row: Row): unknown => {
  const events = decided(vmMachine, held, row).asked.map(({ params }) => (params as { event?: Evacuation }).event);
  const event = events.find((one) => one?.type === 'vm.evacuation');
  return [event?.standing, event?.reason?.code ?? null];
};

test('the drain is told whether the VM has left, is on its way, or stays and why', () => {
  const from = drain;
  assert.equal(said({ in: 'running', with: live, on: evacuate, from, to: '' }), ['moving', null]);
  assert.equal(said({ in: 'running', with: pinned, on: evacuate, from, to: '' }), ['stays', 'host_declared']);
  assert.equal(said({ in: 'starting', on: evacuate, from, to: '' }), ['stays', 'not_running']);
  assert.equal(said({ in: 'stopped', with: { host: null }, on: evacuate, from, to: '' }), ['left', null]);
  const moves = { ...live, migration: going };
  const failed = { in: 'migrating.moving', with: moves, on: ended, from: 'migration/t/v', to: '' };
  assert.equal(said(failed), ['stays', 'migration_stalled']);
  const elsewhere = { ...moves, host: { ...held.host, name: 'w2' } };
  assert.equal(said({ ...failed, with: elsewhere }), ['left', null]);
  const stops = { ...shared, leaving: 'w1' };
  assert.equal(said({ in: 'stopping', with: stops, on: restart, from, to: '' }), ['moving', null]);
  const failure = { code: 'no_host', message: 'x', retryable: true };
  assert.equal(said({ in: 'unplaced', with: { ...stops, failure }, on: restart, from, to: '' }), ['stays', 'no_host']);
});

test('a VM that is to leave is placed anywhere but on that host', () => {
  const ends = { in: 'ended', with: { ...shared, leaving: 'w1', restarting: true }, on: evacuate, from: drain, to: '' };
  assert.is(decided(vmMachine, held, ends).state, 'locating', 'not on the host that it has');
  const placing = decided(vmMachine, held, { in: 'placing', with: { leaving: 'w1' }, on: 'placeDeadline', to: '' });
  const { event } = placing.asked[0]?.params as { event: { avoid: readonly string[] } };
  assert.equal(event.avoid, ['w1']);
});

test('a VM says that its host is silent, until it is back or the VM has left it', () => {
  const conditionOf = (context: object): Condition | undefined =>
    (context as { conditions: readonly Condition[] }).conditions.find(({ type }) => type === 'HostPresent');
  const on = { type: 'vm.host-lost', host: 'w1' };
  const lost = decided(vmMachine, held, { in: 'running', with: live, on, to: '' });
  assert.equal([lost.state, conditionOf(lost.context)?.status], ['running', 'False']);
  assert.match(conditionOf(lost.context)?.message ?? '', /waits until the host is back, or an operator has fenced it/);
  const other = decided(vmMachine, held, { in: 'running', with: live, on: { ...on, host: 'w2' }, to: '' });
  assert.is(conditionOf(other.context), undefined);
  const found = decided(vmMachine, lost.context, { in: 'running', on: { type: 'vm.host-found', host: 'w1' }, to: '' });
  assert.is(conditionOf(found.context)?.status, 'True');
  const unbound = { type: 'port.unbound', port: 'port/t/v.eth0' };
  const left = decided(
    vmMachine,
    { ...lost.context, wanted: 'stopped', awaited: [unbound.port] },
    {
      in: 'releasing',
      on: unbound,
      to: '',
    },
  );
  assert.equal([left.state, conditionOf(left.context)?.status], ['stopped', 'True']);
});

test.run();
