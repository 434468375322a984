/** A VM whose host is silent: it waits, or gives up its run and starts elsewhere; what it asks, and what it says. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { VmContext } from './vm-context.ts';
import { vmMachine } from './vm-machine.ts';
import { vmSpec } from './vm-protocol.ts';
import * as usual from './vm-rows-for-tests.ts';
import { condition, did, port, row } from './vm-rows-for-tests.ts';

const lostEvent = { type: 'vm.host-lost', host: 'w1' };
const found = { type: 'vm.host-found', host: 'w1' };
const declared = { ...usual.spec, hostFailurePolicy: 'elsewhere' as const, hostFailureSeconds: 20 };
/** Declared to go elsewhere, with volumes that any host can use. */
const held: VmContext = { ...usual.held, spec: declared, runSpec: declared, located: [], storage: { a: 'w3' } };
const live = { runningSince: 1, proof: usual.proof };
const loss = { host: 'w1', toldAt: 1_000, idle: false, absent: null, refusal: null };
const silent = { ...live, loss };
const idle = { loss: { ...loss, idle: true } };
const leaving = { ...live, loss: { ...loss, absent: ['w1'] }, awaited: [port] };
const granted = { type: 'loss.granted', host: 'w1', silent: ['w1', 'w5'] };
const error = { code: 'many_hosts_silent', message: 'more than a third', retryable: true };
const refused = { type: 'loss.refused', host: 'w1', error };
const going = { to: null, limits: {}, host: 'w2', commandId: 'M1', committed: false, ended: false };
const moving = { ...silent, migration: going };

const ask = 'loss.ask > cluster';
const abandon = 'port.abandon > port';
const stop = 'incarnation.stop > incarnation';
const released = ['place.release > cluster', ...usual.locates];
const stopped = { ...usual.stop };

const rows: readonly Row[] = [
  ...['starting', 'running', 'stalled', 'pausing', 'paused', 'resuming', 'placing', 'unplaced', 'backoff'].map(
    (state): Row =>
      row(state, { ...live, paused: state.startsWith('paus'), awaited: [port] }, lostEvent, 'lost.waiting', []),
  ),
  row('preparing.asking', usual.waiting, lostEvent, 'lost.waiting', []),
  row('locating', usual.waiting, lostEvent, 'lost.waiting', []),
  row('stopping', { ...live, restarting: true }, lostEvent, 'lost.waiting', []),
  row('releasing', usual.waiting, lostEvent, 'lost.waiting', []),
  row('migrating.moving', { ...live, migration: going }, lostEvent, 'lost.waiting', []),
  // What it waits for does not need the host, or it is not to go elsewhere.
  row('stopping', usual.resting, lostEvent, 'stopping', []),
  row('releasing', { ...usual.waiting, failure: usual.lasting }, lostEvent, 'releasing', []),
  row('running', { ...live, spec: usual.spec }, lostEvent, 'running', []),
  row('running', { ...live, located: usual.held.located }, lostEvent, 'running', []),
  row('running', { ...live, runSpec: { ...declared, host: 'w1' } }, lostEvent, 'running', []),
  row('running', live, { ...lostEvent, host: 'w2' }, 'running', []),
  // Declared later.
  row('running', { ...silent, spec: usual.spec }, usual.apply(declared), 'lost.waiting'),

  row('lost.waiting', silent, 'lossWait', 'lost.asking', [ask]),
  row('lost.asking', silent, 'lossDeadline', 'lost.asking', [ask]),
  row('lost.asking', silent, refused, 'lost.backoff', []),
  row('lost.asking', silent, { ...refused, host: 'w2' }, 'lost.asking', []),
  row('lost.backoff', silent, 'lossRetry', 'lost.asking', [ask]),
  row('lost.backoff', silent, granted, 'lost.backoff', []),
  row('lost.asking', silent, granted, 'lost.fencing', [abandon, stop, ask]),
  row('lost.asking', { ...idle, incarnationUid: null }, granted, 'lost.fencing', [abandon, ask]),
  row('lost.asking', moving, granted, 'lost.fencing', [abandon, stop, 'migration.abandon > migration', ask]),
  row('lost.fencing', leaving, granted, 'lost.fencing', [abandon, stop]),
  row('lost.fencing', leaving, refused, 'lost.fencing', []),
  row('lost.fencing', leaving, 'lossDeadline', 'lost.fencing', [abandon, stop, ask]),
  row('lost.fencing', leaving, usual.unbound, 'locating', released),
  row('lost.fencing', leaving, usual.gone, 'locating'),
  row('lost.fencing', leaving, found, 'lost.fencing', []),
  row('lost.fencing', leaving, stopped, 'lost.fencing'),
  row('lost.fencing', leaving, usual.ended('guest_shutdown'), 'lost.fencing', []),

  // Its host is back before.
  row('lost.waiting', silent, found, 'starting', ['incarnation.start > incarnation']),
  row('lost.asking', silent, found, 'starting', ['incarnation.start > incarnation']),
  row('lost.backoff', idle, found, 'releasing', usual.releases),
  row('lost.waiting', { ...silent, restarting: true }, found, 'stopping', [stop]),
  row('lost.waiting', moving, found, 'migrating.moving', []),
  row('lost.waiting', silent, { ...found, host: 'w2' }, 'lost.waiting', []),
  // It is to end, or not to go elsewhere any more.
  row('lost.waiting', silent, stopped, 'stopping', [stop]),
  row('lost.waiting', idle, stopped, 'releasing'),
  row('lost.waiting', silent, usual.apply(usual.spec), 'starting'),
  row('lost.waiting', silent, usual.ended('guest_shutdown'), 'releasing'),
  row('lost.waiting', silent, usual.ended('host_gone'), 'releasing'),
  row('lost.waiting', moving, usual.ended('guest_shutdown'), 'migrating.recalled', ['migration.recall > migration']),
];

test('decisions', () => {
  assert.equal(disagreements(vmMachine, held, rows), []);
});

test('it waits as long as it is declared, from when the silence was noticed', () => {
  const waits = (seconds: number, at: number): unknown => {
    const spec = { ...declared, hostFailureSeconds: seconds };
    const first = decided(vmMachine, { ...held, ...live, spec }, { in: 'running', on: lostEvent, at, to: '' });
    return first.asked.length === 0 && (first.context['loss'] as { toldAt: number }).toldAt === at;
  };
  assert.equal([waits(20, 5_000), waits(5, 7_000)], [true, true]);
});

test('a new run has a later epoch, and one later still when a migration had prepared the next', () => {
  const left = (more: object) => did('lost.fencing', { ...leaving, ...more }, usual.unbound).context;
  const again = { ...held, ...leaving };
  const plain = decided(vmMachine, again, { in: 'lost.fencing', on: usual.unbound, at: 9_000, to: '' }).context;
  assert.equal([plain['runEpoch'], plain['lastHost'], plain['host'], plain['loss']], [1, null, null, null]);
  assert.equal(plain['lastLoss'], { host: 'w1', toldAt: 1_000, leftAt: 9_000 });
  assert.equal(plain['lastEnd'], { reason: 'host_gone', at: 9_000 });
  assert.equal(
    [left({ migration: going })['runEpoch'], left({ migration: { ...going, committed: true } })['runEpoch']],
    [2, 1],
  );
  assert.is(left({ migration: going })['migration'], null);
  const placed = did('placing', { ...plain, runSpec: declared } as object, { ...usual.placed }).context;
  assert.is(placed['runEpoch'], 2, 'also on the same host, once that is back');
});

test('a VM that has changed its host meanwhile is not lost any more', () => {
  const told = [{ type: 'HostPresent', status: 'False', reason: 'HostSilent', message: '', since: 1 }];
  const commit = { type: 'migration.commit', host: { ...usual.host, name: 'w2' }, runEpoch: 2, incarnationUid: 'L2' };
  const on = { ...commit, nics: [], disks: [] };
  const context = { ...held, ...moving, conditions: told } as unknown as VmContext;
  const after = decided(vmMachine, context, { in: 'lost.waiting', on, from: 'migration/t/v', to: '' });
  assert.equal([after.state, after.context['loss']], ['migrating.moving', null]);
  assert.is(condition(after.context, 'HostPresent')?.status, 'True');
});

test('its condition says what it waits for', () => {
  const said = (state: string, more: object, on: Row['on']): string => {
    const { context } = decided(vmMachine, { ...held, ...live, ...more }, { in: state, on, to: '' });
    const { status = '', reason = '', message = '' } = condition(context, 'HostPresent') ?? {};
    return `${status} ${reason}: ${message}`;
  };
  assert.match(
    said('running', { spec: usual.spec }, lostEvent),
    /^False HostSilent: .*waits until the host is back, or/,
  );
  assert.match(said('running', {}, lostEvent), /starts on another host 20 s after that was noticed, unless/);
  assert.match(said('running', { located: usual.held.located }, lostEvent), /because volume\/t\/root has its bytes on/);
  assert.match(said('lost.asking', silent, refused), /it is not given up yet; more than a third/);
  assert.match(said('lost.asking', silent, granted), /^False HostGivenUp: its run is given up/);
  const told = [{ type: 'HostPresent', status: 'False', reason: 'HostSilent', message: '', since: 1 }];
  assert.match(said('lost.fencing', { ...leaving, conditions: told }, usual.unbound), /^True Present: $/);
});

test('the cluster is asked for another host, and told where the bytes are', () => {
  const { asked } = decided(vmMachine, { ...held, ...silent }, { in: 'lost.waiting', on: 'lossWait', to: '' });
  const { event } = asked.at(-1)?.params as { event: { host: string; storage: string[]; request: { vm: string } } };
  assert.equal([event.host, event.storage, event.request.vm], ['w1', ['w3'], usual.id]);
});

test('a VM that needs its host cannot be declared to go elsewhere', () => {
  const problem = (more: object): string | undefined => {
    const { error: found_ } = vmSpec.safeParse({ ...declared, ...more });
    return found_?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join();
  };
  assert.is(problem({}), undefined);
  assert.match(problem({ host: 'w1' }) ?? '', /^hostFailurePolicy: .*spec\.host/);
  const open = declared.nics.map((nic) => ({ ...nic, portSecurity: false }));
  assert.match(problem({ nics: open }) ?? '', /^hostFailurePolicy: .*port security/);
  assert.match(problem({ hostFailureSeconds: 4 }) ?? '', /^hostFailureSeconds/);
  assert.is(problem({ host: 'w1', hostFailurePolicy: 'none' }), undefined);
});

test.run();
