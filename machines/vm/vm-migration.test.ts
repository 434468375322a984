/** Decisions of a VM about its move to another host: what hinders it, and for which run alone it changes its host. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { VmContext } from './vm-context.ts';
import { vmMachine } from './vm-machine.ts';
import { canMigrate } from './vm-migration.ts';
import * as v from './vm-rows-for-tests.ts';
import { held, row, runs } from './vm-rows-for-tests.ts';

const migration = 'migration/t/v';
const limits = { maxDowntimeMs: 300, stallSeconds: 30, onStall: 'abort' as const, deadlineSeconds: 3_600 };
const migrate = (to: string | null = null) => ({ type: 'vm.migrate', to, ...limits });
const move = { to: null, limits, host: 'w2', commandId: null, committed: false, ended: false };
const moving = { ...runs, migration: move };
const crashed = { ...moving, failure: v.passing };
const w2 = { ...v.host, name: 'w2', index: 2 };
const commit = (runEpoch: number) => ({
  type: 'migration.commit',
  host: w2,
  runEpoch,
  incarnationUid: 'L2',
  nics: [],
  disks: [],
});
const nextEnded = { ...v.ended('crash'), runEpoch: 2, incarnationUid: 'L2' };
const summary = { result: 'moved', from: 'w1', to: 'w2', method: 'live', failure: null };
const endedMove = { type: 'migration.ended', summary };
const pinned = { ...v.spec, host: 'w1' };

/** One of its volumes was used by another VM, in its run 6. */
const inherits = { epochFloor: 6 };

const of = (state: string, changed: object, on: Row['on'], to: string, asks: readonly string[], from = migration) =>
  row(state, changed, on, to, asks, { from });
const rows: readonly Row[] = [
  row('running', runs, migrate(), 'migrating.moving', ['defer', 'migration.start > migration']),
  row('running', runs, migrate('w2'), 'migrating.moving', ['defer', 'migration.start > migration']),
  row('running', runs, migrate('w1'), 'running', ['reject same_host']),
  row('running', { ...runs, runSpec: pinned }, migrate(), 'running', ['reject host_declared']),
  row('stalled', { ...runs, failure: v.diskFull }, migrate(), 'stalled', ['reject guest_stalled']),
  row('paused', { ...runs, paused: true }, migrate(), 'paused', ['reject guest_paused']),
  row('stopped', v.atRest, migrate(), 'stopped', ['reject not_running']),
  row('starting', {}, migrate(), 'starting', ['reject not_running']),
  row('migrating.moving', moving, migrate(), 'migrating.moving', ['reject migration_active']),

  of('migrating.moving', moving, commit(2), 'migrating.moving', ['migration.committed > migration']),
  of('migrating.moving', moving, commit(1), 'migrating.moving', ['migration.refused > migration']),
  of('migrating.moving', moving, commit(3), 'migrating.moving', ['migration.refused > migration']),
  of('migrating.moving', moving, commit(2), 'migrating.moving', ['migration.refused > migration'], 'migration/t/x'),
  of('migrating.recalled', { ...moving, wanted: 'stopped' }, commit(2), 'migrating.recalled', [
    'migration.refused > migration',
  ]),
  of(
    'migrating.moving',
    { ...moving, migration: { ...move, committed: true }, runEpoch: 2, incarnationUid: 'L2' },
    commit(2),
    'migrating.moving',
    ['migration.committed > migration'],
  ),
  of('running', runs, commit(2), 'running', ['migration.refused > migration']),

  // The run that was to take its place has ended before: the guest is still whole where it is.
  row('migrating.moving', moving, nextEnded, 'migrating.moving', []),
  of('migrating.moving', { ...moving, migration: { ...move, lost: 'L2' } }, commit(2), 'migrating.moving', [
    'migration.refused > migration',
  ]),
  of('migrating.moving', { ...moving, migration: { ...move, lost: 'L0' } }, commit(2), 'migrating.moving', [
    'migration.committed > migration',
  ]),

  row('migrating.moving', moving, v.stop, 'migrating.recalled', ['migration.recall > migration']),
  row('migrating.moving', moving, v.ended('crash'), 'migrating.recalled', ['migration.recall > migration']),
  row('migrating.recalled', { ...moving, wanted: 'stopped' }, 'migrationReview', 'migrating.recalled', [
    'migration.recall > migration',
  ]),
  of('migrating.moving', moving, endedMove, 'running', []),
  of('migrating.moving', { ...crashed, migration: { ...move, ended: true } }, endedMove, 'backoff', []),
  of('migrating.moving', moving, endedMove, 'migrating.moving', [], 'migration/t/x'),
];

test('a VM moves when nothing hinders it, and changes its host for the next run alone, once', () => {
  assert.equal(disagreements(vmMachine, held, rows), []);
  const after = (on: Row['on']) => decided(vmMachine, held, of('migrating.moving', moving, on, '', [])).context;
  const { host, runEpoch, incarnationUid } = after(commit(2)) as unknown as VmContext;
  assert.equal([host?.name, runEpoch, incarnationUid], ['w2', 2, 'L2']);
  assert.is((after(commit(3)) as unknown as VmContext).runEpoch, 1);
  assert.is((after(nextEnded) as unknown as VmContext).migration?.lost, 'L2');
  assert.is((after({ ...nextEnded, runEpoch: 1 }) as unknown as VmContext).migration?.lost, undefined);
});

test('the end of the run that moves counts once, however often it is told', () => {
  const one = of('migrating.moving', moving, v.ended('crash'), '', []);
  const first = decided(vmMachine, held, one).context as unknown as VmContext;
  const again = { in: 'migrating.recalled', on: v.ended('gone'), to: '' };
  const second = decided(vmMachine, first, again).context as unknown as VmContext;
  assert.equal([second.lastEnd?.reason, second.crashes], [first.lastEnd?.reason, first.crashes]);
});

test('whether it can be moved is said with everything that hinders it', () => {
  const codes = (changed: object): readonly string[] =>
    canMigrate({ ...held, ...changed } as VmContext).reasons.map(({ code }) => code);
  assert.equal(codes(runs), []);
  assert.equal(codes({ ...runs, paused: true, runSpec: pinned }), ['guest_paused', 'host_declared']);
  const refused = decided(vmMachine, held, {
    ...row('running', { ...runs, runSpec: pinned }, migrate('w1'), ''),
  });
  const [{ params } = { params: {} }] = refused.asked;
  assert.match((params as { message: string }).message, /change spec\.host to null first/);
  const method = (qemuVersion: string, disks: object) =>
    canMigrate({ ...held, ...runs, proof: { ...v.proof, qemuVersion }, disks } as VmContext).method;
  assert.equal([method('10.0.13', {}), method('7.2.5', {})], ['live', 'stopped']);
});

test('all volumes of the run move with it; one that is shared needs no room there', () => {
  const shared = 'volume/t/s';
  const context = { ...held, ...runs, disks: { [v.volume]: {}, [shared]: {} } };
  const { asked } = decided(vmMachine, context, { in: 'running', on: migrate(), to: '' });
  const [start] = asked.flatMap(({ params }) => ('event' in Object(params) ? [params as { event: Row['on'] }] : []));
  assert.equal((start?.event as { volumes?: unknown } | undefined)?.volumes, [
    { volume: v.volume, sizeMib: 8 },
    { volume: shared, sizeMib: 0 },
  ]);
});

test('its next run is above those in which its volumes were used by other VMs', () => {
  const eventOf = ({ asked }: ReturnType<typeof v.did>, type: string) =>
    asked
      .map(
        ({ params }) =>
          (params as { event?: { type: string; runEpoch?: number; nextEpoch?: number } } | undefined)?.event,
      )
      .find((event) => event?.type === type);
  const locating = { host: null, lastHost: null, runEpoch: 0 };
  const located = v.did('locating', locating, { ...v.located, runEpoch: 6 });
  assert.is(located.context['epochFloor'], 6);
  const placed = v.did('placing', { ...locating, ...inherits }, v.placed);
  assert.is(eventOf(placed, 'volume.attach')?.runEpoch, 7);
  // It stays on its host: the volume has its higher epoch already.
  assert.is(v.did('placing', { ...inherits, lastHost: 'w1' }, v.placed).context['runEpoch'], held.runEpoch);
  assert.is(v.did('locating', locating, { ...v.located, runEpoch: 0 }).context['epochFloor'], undefined);

  assert.is(eventOf(v.did('running', { ...runs, ...inherits }, migrate()), 'migration.start')?.nextEpoch, 7);
  assert.is(eventOf(v.did('running', runs, migrate()), 'migration.start')?.nextEpoch, undefined);
  const moves = [
    of('migrating.moving', { ...moving, ...inherits }, commit(7), 'migrating.moving', [
      'migration.committed > migration',
    ]),
    of('migrating.moving', { ...moving, ...inherits }, commit(2), 'migrating.moving', [
      'migration.refused > migration',
    ]),
    row('migrating.moving', { ...moving, ...inherits }, { ...nextEnded, runEpoch: 7 }, 'migrating.moving', []),
  ];
  assert.equal(disagreements(vmMachine, held, moves), []);
});

test.run();
