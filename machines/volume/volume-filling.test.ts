/**
 * Decisions of a volume that takes its bytes from a snapshot: a new one, and one that is restored; which answers of
 * snapshot and host count, what is refused meanwhile, every deadline.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { Filling, VolumeContext } from './volume-context.ts';
import { volumeMachine } from './volume-machine.ts';

const id = 'volume/t/d';
const w1 = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const spec = { class: 'local' as const, sizeMib: 64, format: 'raw' as const, image: null, snapshot: 's' };
const asked: Filling = { snapshot: 'snapshot/t/s', copy: null, restore: null };
const copy = { uid: 'S1', host: 'w1', allocatedBytes: 4 };
const stored: VolumeContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec,
  generation: 1,
  host: w1,
  holder: null,
  client: null,
  runEpoch: 0,
  access: null,
  source: null,
  standby: null,
  growth: null,
  resizing: null,
  captures: [],
  filling: { ...asked, copy },
};
const shared = { spec: { ...spec, class: 'shared' } };
const waiting = { waiters: [{ commandId: 'C1', result: 'created' }] };
const early = { host: null, filling: null };
const unanswered = { host: null, filling: asked };
/** A volume with bytes, and without a snapshot that it is being filled from. */
const whole = { filling: null };
const restored = { filling: { ...asked, copy, restore: 'R1' } };
const unsourced = { filling: { ...asked, restore: 'R1' } };
const declared = (verb: string, change: object = {}, more: object = {}) => ({
  type: `volume.${verb}`,
  spec: { ...spec, ...change },
  labels: {},
  protect: false,
  ...more,
});
const restore = { type: 'volume.restore', snapshot: 's' };
const remove = { type: 'volume.delete' };
const attach = { type: 'volume.attach', vm: 'vm/t/a', host: w1, runEpoch: 2 };
const locate = { type: 'volume.locate', vm: 'vm/t/a' };
const passing = { code: 'snapshot_not_ready', message: 'not yet', retryable: true };
const lasting = { code: 'snapshot_not_found', message: 'none', retryable: false };
const provided = (snapshot = 's') => ({
  type: 'snapshot.provided',
  snapshot: `snapshot/t/${snapshot}`,
  snapshotUid: 'S1',
  host: w1,
  allocatedBytes: 4,
});
const refused = (error: object, snapshot = 's') => ({
  type: 'snapshot.refused',
  snapshot: `snapshot/t/${snapshot}`,
  error,
});
const roomGranted = { type: 'room.granted', volume: id, host: w1 };
const ready = (uid: string | null = null) => ({ type: 'replica.ready', host: 'w1', restore: uid });
const failed = (error: object, uid: string | null = null) => ({ ...ready(uid), type: 'replica.failed', error });
const cut = { type: 'export.dropped', host: 'w1' };
const [need, free] = ['snapshot.need > snapshot', 'snapshot.free > snapshot'];
const [make, drop] = ['replica.ensure > replica', 'replica.drop > replica'];
const claimRoom = 'room.claim > cluster';
const close = 'export.drop > volume-export';
const told = ['volume.refused > vm'];
const ended = [free, 'room.release > cluster', 'quota.release > tenant'];

const creation: readonly Row[] = [
  { in: 'born', with: { spec: null, ...early }, on: declared('create', { image: 'i' }), to: 'gone' },
  { in: 'claiming', with: early, on: { type: 'quota.granted' }, to: 'sourcing', asks: [need] },
  { in: 'claiming', with: early, on: locate, to: 'claiming', asks: told },
  { in: 'sourcing', with: unanswered, on: provided(), to: 'reserving', asks: [claimRoom] },
  { in: 'sourcing', with: unanswered, on: provided('other'), to: 'sourcing', asks: [] },
  { in: 'sourcing', with: unanswered, on: refused(passing), to: 'sourceBackoff', asks: [] },
  { in: 'sourcing', with: unanswered, on: refused(lasting, 'other'), to: 'sourcing', asks: [] },
  {
    in: 'sourcing',
    with: { ...unanswered, ...waiting },
    on: refused(lasting),
    to: 'gone',
    asks: ['reject snapshot_not_found', ...ended],
  },
  {
    in: 'sourcing',
    with: { ...unanswered, ...waiting, tries: 6 },
    on: refused(passing),
    to: 'gone',
    asks: ['reject snapshot_not_ready', ...ended],
  },
  { in: 'sourcing', with: unanswered, on: 'snapshotDeadline', to: 'sourcing', asks: [need] },
  { in: 'sourcing', with: unanswered, on: locate, to: 'sourcing', asks: told },
  { in: 'sourcing', with: unanswered, on: remove, to: 'sourcing', asks: ['reject name_busy'] },
  { in: 'sourcing', with: unanswered, on: restore, to: 'sourcing', asks: ['reject name_busy'] },
  { in: 'sourceBackoff', with: unanswered, on: 'backoff', to: 'sourcing', asks: [need] },
  { in: 'reserving', with: waiting, on: roomGranted, to: 'filling', asks: ['reply', make] },
  {
    in: 'reserving',
    with: waiting,
    on: { type: 'room.refused', error: lasting },
    to: 'gone',
    asks: ['reject snapshot_not_found', ...ended],
  },
];

const filling: readonly Row[] = [
  { in: 'filling', on: ready(), to: 'available', asks: [free] },
  { in: 'filling', on: ready('R1'), to: 'filling', asks: [] },
  { in: 'filling', on: { ...ready(), host: 'w2' }, to: 'filling', asks: [] },
  { in: 'filling', on: failed(passing), to: 'fillBackoff', asks: [] },
  { in: 'filling', on: failed(lasting), to: 'failed', asks: [free] },
  { in: 'filling', with: { tries: 6 }, on: failed(passing), to: 'failed', asks: [free] },
  { in: 'filling', on: 'fillDeadline', to: 'filling', asks: [make] },
  { in: 'filling', on: attach, to: 'filling', asks: told },
  { in: 'filling', on: locate, to: 'filling', asks: ['volume.located > vm'] },
  { in: 'filling', on: restore, to: 'filling', asks: ['reject name_busy'] },
  { in: 'filling', on: declared('apply', { sizeMib: 65 }), to: 'filling', asks: ['reject name_busy'] },
  { in: 'filling', on: remove, to: 'removing', asks: ['defer', drop] },
  { in: 'filling', with: shared, on: remove, to: 'removing', asks: ['defer', drop] },
  { in: 'removing', with: waiting, on: { type: 'replica.removed', host: 'w1' }, to: 'gone', asks: [...ended, 'reply'] },
  { in: 'fillBackoff', on: 'backoff', to: 'filling', asks: [make] },
  { in: 'fillBackoff', on: attach, to: 'fillBackoff', asks: told },
  { in: 'failed', with: whole, on: attach, to: 'failed', asks: told },
  { in: 'failed', with: whole, on: restore, to: 'failed', asks: ['reject volume_unfilled'] },
  { in: 'failed', with: whole, on: remove, to: 'removing', asks: ['defer', drop] },
  {
    in: 'available',
    with: whole,
    on: declared('apply', { snapshot: 'z' }),
    to: 'available',
    asks: ['reject immutable_field'],
  },
];

const restoring: readonly Row[] = [
  { in: 'available', with: whole, on: restore, to: 'restoring.asking', asks: ['defer', need] },
  { in: 'available', with: { ...whole, host: null }, on: restore, to: 'available', asks: ['reject volume_empty'] },
  {
    in: 'available',
    with: { ...whole, captures: ['snapshot/t/z'] },
    on: restore,
    to: 'available',
    asks: ['reject in_use'],
  },
  { in: 'available', with: { ...whole, growth: {} }, on: restore, to: 'available', asks: ['reject name_busy'] },
  {
    in: 'held.attached',
    with: { ...whole, holder: 'vm/t/a' },
    on: restore,
    to: 'held.attached',
    asks: ['reject in_use'],
  },
  { in: 'restoring.asking', with: unsourced, on: provided(), to: 'restoring.replacing', asks: [make] },
  { in: 'restoring.asking', with: { ...shared, ...unsourced }, on: provided(), to: 'restoring.closing', asks: [close] },
  { in: 'restoring.asking', with: unsourced, on: provided('other'), to: 'restoring.asking', asks: [] },
  {
    in: 'restoring.asking',
    with: { ...unsourced, ...waiting },
    on: refused(passing),
    to: 'available',
    asks: ['reject snapshot_not_ready', free],
  },
  { in: 'restoring.asking', with: unsourced, on: 'snapshotDeadline', to: 'restoring.asking', asks: [need] },
  { in: 'restoring.closing', with: { ...shared, ...restored }, on: cut, to: 'restoring.replacing', asks: [make] },
  {
    in: 'restoring.closing',
    with: { ...shared, ...restored },
    on: 'removeDeadline',
    to: 'restoring.closing',
    asks: [close],
  },
  {
    in: 'restoring.replacing',
    with: { ...restored, ...waiting },
    on: ready('R1'),
    to: 'available',
    asks: [free, 'reply'],
  },
  { in: 'restoring.replacing', with: restored, on: ready(), to: 'restoring.replacing', asks: [] },
  { in: 'restoring.replacing', with: restored, on: ready('R0'), to: 'restoring.replacing', asks: [] },
  { in: 'restoring.replacing', with: restored, on: failed(passing, 'R1'), to: 'restoring.backoff', asks: [] },
  { in: 'restoring.replacing', with: restored, on: failed(lasting), to: 'restoring.replacing', asks: [] },
  {
    in: 'restoring.replacing',
    with: { ...restored, ...waiting },
    on: failed(lasting, 'R1'),
    to: 'available',
    asks: ['reject snapshot_not_found', free],
  },
  { in: 'restoring.replacing', with: restored, on: 'fillDeadline', to: 'restoring.replacing', asks: [make] },
  { in: 'restoring.backoff', with: restored, on: 'backoff', to: 'restoring.replacing', asks: [make] },
  ...['asking', 'closing', 'replacing', 'backoff'].flatMap((state) => [
    { in: `restoring.${state}`, with: restored, on: attach, to: `restoring.${state}`, asks: told },
    { in: `restoring.${state}`, with: restored, on: remove, to: `restoring.${state}`, asks: ['reject name_busy'] },
    { in: `restoring.${state}`, with: restored, on: restore, to: `restoring.${state}`, asks: ['reject name_busy'] },
  ]),
];

for (const [name, rows] of Object.entries({ creation, filling, restoring }))
  test(name, () =>
    assert.equal(
      disagreements(
        volumeMachine,
        stored,
        rows.map((row) => ({ command: 'K', ...row })),
      ),
      [],
    ),
  );

const saidIn = (row: Row) => decided(volumeMachine, stored, row).asked.map(({ params }) => params as { event: object });

test('a local volume gets room and bytes where the copy is, a shared one where the cluster says', () => {
  const [claim] = saidIn({ in: 'sourcing', with: unanswered, on: provided(), to: '' });
  assert.equal(claim?.event, { type: 'room.claim', volume: id, sizeMib: 64, shared: false, host: 'w1' });
  const [other] = saidIn({ in: 'sourcing', with: { ...shared, ...unanswered }, on: provided(), to: '' });
  assert.equal(other?.event, { type: 'room.claim', volume: id, sizeMib: 64, shared: true });
});

test('the host is told of the copy, and of the restoration; of neither afterwards', () => {
  const made = saidIn({ in: 'fillBackoff', on: 'backoff', to: '' })[0]?.event as { spec: { snapshot: unknown } };
  assert.equal(made.spec.snapshot, { ...copy, restore: null });
  const begun = decided(volumeMachine, stored, { in: 'available', with: whole, on: restore, to: '' });
  const filled = begun.context['filling'] as Filling;
  assert.equal(filled, { ...asked, restore: 'U2' });
  const row = { in: 'restoring.asking', with: { filling: filled }, on: provided(), to: '' };
  const replaced = saidIn(row)[0]?.event as { spec: { snapshot: unknown } };
  assert.equal(replaced.spec.snapshot, { ...copy, restore: 'U2' });
  const done = decided(volumeMachine, stored, { in: 'filling', on: ready(), to: '' }).context;
  assert.is(done['filling'], null);
  assert.is(done['observedGeneration'], 1);
});

test.run();
