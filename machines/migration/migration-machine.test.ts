/**
 * Decisions of a migration: each step forward, what undoes it before the VM has decided, and that nothing does
 * afterwards; stalls, deadlines, and answers of others that come late.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { newMigration, type MigrationContext } from './migration-context.ts';
import { migrationMachine } from './migration-machine.ts';

const id = 'migration/t/v';
const vm = 'vm/t/v';
const [port, local, shared, kernel] = ['port/t/v.eth0', 'volume/t/a', 'volume/t/b', 'image/t/k'];
const [source, target] = ['incarnation/t/v@w1', 'incarnation/t/v@w2'];
const w1 = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const w2 = { ...w1, name: 'w2', index: 2, underlay: '192.0.2.2' };
const disk = (volume: string) => ({ volume, volumeUid: 'U', serial: 'S', format: 'raw' as const });
const nic = { port, binding: 'binding/t/v.eth0@w1', bindingUid: 'B1', mac: 'm', mtu: 1450 };
const run = {
  owner: { actor: source, uid: 'RUN1', runEpoch: 2 },
  vm,
  cpus: 1,
  memoryMib: 256,
  machineType: 'pc-q35-7.2',
  nics: [nic],
  disks: [disk(local), disk(shared)],
  boot: null,
};
const limits = { maxDowntimeMs: 300, stallSeconds: 30, onStall: 'abort' as const, deadlineSeconds: 3_600 };
const ask = {
  vm,
  to: 'w2',
  from: w1,
  run,
  volumes: [local, shared].map((volume) => ({ volume, sizeMib: 64 })),
  images: [{ image: kernel }],
  limits,
};
const start = { type: 'migration.start', ...ask };
const door = { host: 'w2', address: '192.0.2.2', port: 7, mirrorPort: 8 };
const newNic = { ...nic, binding: 'binding/t/v.eth0@w2', bindingUid: 'B2' };
const held: MigrationContext = {
  ...newMigration(id),
  uid: 'M1',
  newUid: 'M1',
  ask,
  host: w2,
  nics: { [port]: newNic },
  standing: [port],
  disks: { [local]: { disk: disk(local), copies: true }, [shared]: { disk: disk(shared), copies: false } },
  door,
};
const sent = { method: 'live' as const, pausedAt: 900, sentBytes: 5, flows: [] };
const error = { code: 'no', message: 'no', retryable: true };

const row = (state: string, on: Row['on'], to: string, asks: readonly string[], more: object = {}): Row => {
  const { from, command, ...context } = more as { from?: string; command?: string };
  return {
    in: state,
    with: context as Row['with'] & object,
    on,
    to,
    asks,
    ...(from === undefined ? {} : { from }),
    ...(command === undefined ? {} : { command }),
  };
};
const wrong = (rows: readonly Row[]): readonly string[] => disagreements(migrationMachine, held, rows);

const parts = ['port.stand-by > port', 'volume.standby > volume', 'volume.standby > volume', 'image.need > image'];
const back = 'incarnation.unsend > incarnation';
const told = 'migration.ended > vm';
const undo = ['port.stand-down > port', 'volume.drop-standby > volume', 'volume.drop-standby > volume'];
const one = { awaited: [source] };

const stopped = 'incarnation.stop > incarnation';
const gone = (host: string) => ({ type: 'migration.abandon', host });

const lost: readonly Row[] = [
  row('reserving', gone('w1'), 'unbegun', ['place.release > cluster', told], { host: null }),
  row('preparing.asking', gone('w1'), 'ending.asking', [told, stopped], { awaited: [port] }),
  row('sending.asking', gone('w1'), 'ending.asking', [told, stopped]),
  row('committing', gone('w1'), 'ending.asking', [told, stopped]),
  row('undoing.asking', gone('w1'), 'ending.asking', [told, stopped], one),
  row('undoing.asking', gone('w2'), 'undoing.asking', [], one),
  row('undoing.asking', { type: 'incarnation.unsent', incarnationUid: 'RUN1' }, 'removing.asking', [told, ...undo], {
    ...one,
    lost: ['w2'],
    from: source,
  }),
  row('switching.asking', gone('w2'), 'stopping.asking', [told, 'place.release > cluster', stopped], {
    awaited: [target, port],
  }),
  row('cutting.asking', gone('w2'), 'cutting.asking', [], { awaited: [shared] }),
  row('stopping.asking', gone('w1'), 'lingering', [], one),
];

test('on a host on which the VM has given up its run nobody is awaited', () => {
  assert.equal(wrong(lost), []);
});

const progress = {
  type: 'incarnation.progress',
  incarnationUid: 'RUN1',
  progress: { phase: 'copying', remainingBytes: 9 },
};

const forward: readonly Row[] = [
  row('born', start, 'reserving', ['place > cluster'], { ask: null, host: null }),
  row('reserving', { type: 'placed', vm, host: w2, era: 1 }, 'preparing.asking', ['migration.begun > vm', ...parts], {
    host: null,
    from: 'cluster/system/main',
  }),
  row('reserving', 'placeDeadline', 'reserving', ['place > cluster']),
  row(
    'preparing.asking',
    {
      type: 'volume.stood',
      volume: local,
      uid: 'U',
      serial: 'S',
      format: 'raw',
      host: 'w2',
      runEpoch: 3,
      copies: true,
      source: null,
    },
    'receiving.asking',
    ['incarnation.receive > incarnation'],
    { awaited: [local], door: null },
  ),
  row('preparing.asking', { type: 'image.provided', image: kernel }, 'preparing.asking', [], {
    awaited: [kernel, port],
  }),
  row('preparing.asking', 'partsDeadline', 'preparing.asking', ['port.stand-by > port'], { awaited: [port] }),
  row(
    'receiving.asking',
    { type: 'incarnation.receiving', incarnationUid: 'M1', proof: {}, door },
    'sending.asking',
    ['incarnation.send > incarnation'],
    { from: target, door: null },
  ),
  row(
    'receiving.asking',
    { type: 'port.stands', port, runEpoch: 3 },
    'sending.asking',
    ['incarnation.send > incarnation'],
    { standing: [] },
  ),
  row('receiving.asking', { type: 'port.stands', port, runEpoch: 3 }, 'receiving.asking', [], {
    standing: [],
    door: null,
  }),
  row('sending.asking', progress, 'sending.asking', [], { from: source }),
  row('sending.asking', { type: 'incarnation.sent', incarnationUid: 'RUN1', ...sent }, 'sending.asking', [], {
    from: source,
  }),
  row(
    'sending.asking',
    { type: 'incarnation.sent', incarnationUid: 'RUN1', ...sent },
    'committing',
    ['migration.commit > vm'],
    { from: source, arrived: true },
  ),
  row(
    'sending.asking',
    { type: 'incarnation.received', incarnationUid: 'M1' },
    'committing',
    ['migration.commit > vm'],
    { from: target, sent },
  ),
  row('sending.asking', 'sendReview', 'sending.asking', ['incarnation.send > incarnation']),
  row('committing', { type: 'migration.committed', runEpoch: 3 }, 'cutting.asking', ['volume.activate > volume'], {
    from: vm,
  }),
  row('committing', 'commitDeadline', 'committing', ['migration.commit > vm']),
  row(
    'cutting.asking',
    { type: 'volume.activated', volume: shared, runEpoch: 3 },
    'switching.asking',
    ['incarnation.go-on > incarnation', 'port.take-over > port'],
    { awaited: [shared] },
  ),
  row('switching.asking', { type: 'port.taken-over', port, runEpoch: 3 }, 'switching.asking', [], {
    awaited: [port, target],
  }),
  row(
    'switching.asking',
    { type: 'incarnation.resumed', incarnationUid: 'M1', resumedAt: 1_000 },
    'stopping.asking',
    [told, 'place.transfer > cluster', 'incarnation.stop > incarnation'],
    { from: target, awaited: [target], sent },
  ),
  // The new host was fenced: the VM decides what follows.
  row(
    'switching.asking',
    { type: 'port.standby-failed', port, error },
    'stopping.asking',
    [told, 'place.transfer > cluster', 'incarnation.stop > incarnation'],
    { awaited: [port], sent },
  ),
  row('switching.asking', 'switchDeadline', 'switching.asking', ['port.take-over > port'], { awaited: [port] }),
  row('stopping.asking', { type: 'incarnation.ended', host: 'w1', reason: 'stopped', error: null }, 'lingering', [], {
    from: source,
    ...one,
  }),
  row('lingering', 'lingerDelay', 'clearing.asking', ['port.stand-down > port', 'volume.activate > volume']),
  row('clearing.asking', { type: 'port.stood-down', port }, 'moved', ['image.free > image'], { awaited: [port] }),
];

test('forward: each step begins when the one before has answered', () => {
  assert.equal(wrong(forward), []);
});

const cancel = { type: 'migration.cancel' };
const recall = { type: 'migration.recall' };

test('before the VM has decided, everything is undone: its guest goes on first', () => {
  const ended = { type: 'incarnation.ended', host: 'w2', reason: 'killed', error: null };
  const revocable = ['preparing.asking', 'receiving.asking', 'sending.asking'];
  const rows = revocable.flatMap((state) => [
    row(state, cancel, 'undoing.asking', ['reply', back], { command: 'C', awaited: [port], standing: [] }),
    row(state, recall, 'undoing.asking', [back], { from: vm, awaited: [port], standing: [] }),
    row(state, { type: 'port.standby-failed', port, error }, 'undoing.asking', [back], {
      awaited: [port],
      standing: [],
    }),
  ]);
  assert.equal(
    wrong([
      ...rows,
      row('preparing.asking', { type: 'volume.refused', volume: local, error }, 'undoing.asking', [back], {
        awaited: [local],
      }),
      row('preparing.asking', 'stepDeadline', 'undoing.asking', [back], { awaited: [local] }),
      row('receiving.asking', ended, 'undoing.asking', [back], { from: target, door: null }),
      row('sending.asking', ended, 'undoing.asking', [back], { from: target }),
      row('sending.asking', { type: 'incarnation.unsent', incarnationUid: 'RUN1', error }, 'undoing.asking', [back], {
        from: source,
      }),
      row('sending.asking', 'moveDeadline', 'undoing.asking', [back]),
      row('committing', { type: 'migration.refused', runEpoch: 3, error }, 'undoing.asking', [back], { from: vm }),
      row(
        'reserving',
        { type: 'place.refused', vm, error, reasons: [] },
        'unbegun',
        ['place.release > cluster', told],
        { host: null },
      ),
      row(
        'undoing.asking',
        { type: 'incarnation.unsent', incarnationUid: 'RUN1', error: null },
        'ending.asking',
        [told, 'incarnation.stop > incarnation'],
        { from: source, ...one },
      ),
      row('undoing.asking', ended, 'undoing.asking', [], { from: target, ...one }),
      row('undoing.asking', 'switchDeadline', 'undoing.asking', [back], one),
      row('ending.asking', ended, 'removing.asking', undo, { from: target, awaited: [target] }),
      row(
        'removing.asking',
        { type: 'volume.dropped', volume: local, runEpoch: 3 },
        'rolledBack',
        ['image.free > image', 'place.release > cluster'],
        { awaited: [local] },
      ),
    ]),
    [],
  );
});

test('once the VM may have decided, nothing undoes it: without an answer it is asked again', () => {
  const decidedStates = ['cutting.asking', 'switching.asking', 'stopping.asking', 'lingering', 'clearing.asking'];
  const rows = decidedStates.flatMap((state) => [
    row(state, cancel, state, ['reject migration_committed'], { command: 'C', awaited: [port] }),
    row(state, recall, state, [], { from: vm, awaited: [port] }),
    row(state, start, state, ['migration.busy > vm'], { from: vm, awaited: [port] }),
  ]);
  assert.equal(wrong(rows), []);
  const ended = { type: 'incarnation.ended', host: 'w2', reason: 'killed', error: null };
  assert.equal(
    wrong([
      row('committing', cancel, 'committing', ['reject migration_committed'], { command: 'C' }),
      row('committing', recall, 'committing', [], { from: vm }),
      row('committing', ended, 'committing', [], { from: target }),
      // The VM starts it again where its volumes are.
      row(
        'switching.asking',
        ended,
        'stopping.asking',
        [told, 'place.transfer > cluster', 'incarnation.stop > incarnation'],
        { from: target, awaited: [target] },
      ),
    ]),
    [],
  );
});

test('a move that stalls does what was said when it was asked for', () => {
  const before = { progress: { phase: 'copying', remainingBytes: 9 }, lowest: { bytes: 9, at: -29_001 }, from: source };
  const by = (onStall: string) => ({ ...before, ask: { ...ask, limits: { ...limits, onStall } } });
  assert.equal(
    wrong([
      row('sending.asking', progress, 'undoing.asking', [back], before),
      row(
        'sending.asking',
        progress,
        'sending.asking',
        ['incarnation.hold > incarnation', 'incarnation.send > incarnation'],
        by('pause'),
      ),
      row('sending.asking', progress, 'sending.asking', ['incarnation.send > incarnation'], by('throttle')),
      row('sending.asking', progress, 'sending.asking', [], { ...before, held: true }),
      row('sending.asking', progress, 'sending.asking', [], { ...before, lowest: { bytes: 9, at: -28_999 } }),
      row('sending.asking', progress, 'sending.asking', [], { ...before, lowest: { bytes: 10, at: -60_000 } }),
    ]),
    [],
  );
});

test('the new run is the present one with another host, epoch, taps and disks, and the pause is measured', () => {
  const params = (of: Row): { event: Record<string, never> } => {
    const { asked } = decided(migrationMachine, held, of);
    return asked[0]?.params as { event: Record<string, never> };
  };
  const { event } = params(row('receiving.asking', 'partsDeadline', '', [], { door: null }));
  const { owner, nics, incoming, machineType } = event['spec'] as unknown as Record<string, unknown>;
  assert.equal(owner, { actor: target, uid: 'M1', runEpoch: 3 });
  const above = row('receiving.asking', 'partsDeadline', '', [], { door: null, ask: { ...ask, nextEpoch: 7 } });
  assert.is((params(above).event['spec'] as unknown as { owner: typeof run.owner }).owner.runEpoch, 7);
  assert.equal([nics, machineType], [[newNic], 'pc-q35-7.2']);
  assert.equal(incoming, { migration: 'M1', listen: '192.0.2.2', mirrors: [local] });
  const resumed = { type: 'incarnation.resumed', incarnationUid: 'M1', resumedAt: 1_000 };
  const { summary } = params(row('switching.asking', resumed, '', [], { from: target, awaited: [target], sent }))
    .event as {
    summary: Record<string, unknown>;
  } & Record<string, never>;
  assert.equal([summary['result'], summary['pauseMs'], summary['from'], summary['to']], ['moved', 100, 'w1', 'w2']);
  // At 1,000 ms, which is when the last one has answered.
  assert.is(summary['gapMs'], 100);
});

test.run();
