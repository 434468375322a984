/** Decisions of a snapshot: what it asks of volume, tenant, cluster and host, what ends it, every deadline. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { reasonOf } from '../values/conditions.ts';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { snapshotMachine } from './snapshot-machine.ts';
import type { SnapshotContext } from './snapshot-messages.ts';

const id = 'snapshot/t/s';
const w1 = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const source = {
  volume: 'volume/t/d',
  volumeUid: 'U1',
  class: 'local' as const,
  format: 'raw' as const,
  sizeMib: 64,
  host: w1,
};
const proof = { sizeBytes: 64, allocatedBytes: 4, takenAt: 1_000 };
const stored: SnapshotContext = {
  ...newDeclared(id),
  uid: 'S1',
  spec: { volume: 'd' },
  generation: 1,
  source,
  proof: null,
  readers: [],
};
const created = { waiters: [{ commandId: 'C1', result: 'created' }] };
const going = { waiters: [{ commandId: 'K', result: 'deleted' }] };
const early = { source: null };
const declared = (verb: string, volume = 'd', labels = {}) => ({
  type: `snapshot.${verb}`,
  spec: { volume },
  labels,
  protect: false,
});
const labelled = declared('apply', 'd', { tier: 'db' });
const remove = { type: 'snapshot.delete' };
const lasting = { code: 'no_space', message: 'full', retryable: false };
const passing = { code: 'volume_busy', message: 'busy', retryable: true };
const begun = { type: 'snapshot.begun', ...source };
const hindered = (error: object) => ({ type: 'snapshot.hindered', volume: 'volume/t/d', error });
const taken = { type: 'capture.taken', host: 'w1', proof };
const failed = (error: object) => ({ type: 'capture.failed', host: 'w1', error });
const need = (sizeMib = 64, volume = 'volume/t/e') => ({ type: 'snapshot.need', volume, sizeMib });
const free = { type: 'snapshot.free', volume: 'volume/t/e' };
const read = { readers: ['volume/t/e'] };
const [provided, refused] = ['snapshot.provided > volume', 'snapshot.refused > volume'];
const [begin, end] = ['snapshot.begin > volume', 'snapshot.ended > volume'];
const [claim, release] = ['quota.claim > tenant', 'quota.release > tenant'];
const [claimRoom, releaseRoom] = ['room.claim > cluster', 'room.release > cluster'];
const [ask, drop] = ['capture.ensure > snapshot-copy', 'capture.drop > snapshot-copy'];
const ended = [end, releaseRoom, release];

const creation: readonly Row[] = [
  { in: 'born', with: { spec: null, ...early }, on: declared('create'), to: 'asking', asks: ['defer', begin] },
  { in: 'born', with: { spec: null, ...early }, on: declared('apply'), to: 'asking', asks: ['defer', begin] },
  { in: 'asking', with: early, on: begun, to: 'claiming', asks: [claim] },
  { in: 'asking', with: early, on: hindered(passing), to: 'askBackoff', asks: [] },
  {
    in: 'asking',
    with: { ...early, ...created, tries: 6 },
    on: hindered(passing),
    to: 'gone',
    asks: ['reject volume_busy', ...ended],
  },
  {
    in: 'asking',
    with: { ...early, ...created },
    on: hindered(lasting),
    to: 'gone',
    asks: ['reject no_space', ...ended],
  },
  { in: 'asking', with: early, on: 'askDeadline', to: 'asking', asks: [begin] },
  { in: 'asking', with: early, on: remove, to: 'asking', asks: ['reject name_busy'] },
  { in: 'askBackoff', with: early, on: 'backoff', to: 'asking', asks: [begin] },
  { in: 'askBackoff', with: early, on: begun, to: 'claiming', asks: [claim] },
  { in: 'claiming', on: { type: 'quota.granted' }, to: 'reserving', asks: [claimRoom] },
  {
    in: 'claiming',
    with: created,
    on: { type: 'quota.refused', error: { ...lasting, code: 'quota_exceeded' } },
    to: 'gone',
    asks: ['reject quota_exceeded', ...ended],
  },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: [claim] },
  { in: 'claiming', on: declared('create'), to: 'claiming', asks: ['defer'] },
  { in: 'claiming', on: declared('apply', 'e'), to: 'claiming', asks: ['reject immutable_field'] },
  { in: 'reserving', with: created, on: { type: 'room.granted' }, to: 'taking', asks: ['reply', ask] },
  {
    in: 'reserving',
    with: created,
    on: { type: 'room.refused', error: lasting },
    to: 'gone',
    asks: ['reject no_space', ...ended],
  },
  { in: 'reserving', on: 'roomDeadline', to: 'reserving', asks: [claimRoom] },
  { in: 'reserving', on: remove, to: 'reserving', asks: ['reject name_busy'] },
];

const copying: readonly Row[] = [
  { in: 'taking', on: taken, to: 'ready', asks: [end] },
  { in: 'taking', on: failed(passing), to: 'takeBackoff', asks: [] },
  { in: 'taking', with: { tries: 6 }, on: failed(passing), to: 'failed', asks: [end] },
  { in: 'taking', on: failed(lasting), to: 'failed', asks: [end] },
  { in: 'taking', on: 'takeDeadline', to: 'taking', asks: [ask] },
  { in: 'taking', on: remove, to: 'removing', asks: ['defer', drop] },
  { in: 'takeBackoff', on: 'backoff', to: 'taking', asks: [ask] },
  { in: 'takeBackoff', on: remove, to: 'removing', asks: ['defer', drop] },
  { in: 'ready', on: failed(lasting), to: 'ready', asks: [] },
  { in: 'ready', on: taken, to: 'ready', asks: [] },
  { in: 'failed', on: remove, to: 'removing', asks: ['defer', drop] },
];

const living: readonly Row[] = ['taking', 'takeBackoff', 'ready', 'failed'].flatMap((state) => [
  { in: state, on: declared('create'), to: state, asks: ['reply'] },
  { in: state, on: labelled, to: state, asks: ['reply'] },
  { in: state, on: declared('apply', 'e'), to: state, asks: ['reject immutable_field'] },
  { in: state, with: { protect: true }, on: remove, to: state, asks: ['reject protected'] },
]);

const ending: readonly Row[] = [
  { in: 'ready', on: remove, to: 'removing', asks: ['defer', drop] },
  { in: 'removing', with: going, on: { type: 'capture.dropped', host: 'w1' }, to: 'gone', asks: [...ended, 'reply'] },
  { in: 'removing', on: 'removeDeadline', to: 'removing', asks: [drop] },
  { in: 'removing', on: declared('create'), to: 'removing', asks: ['reject name_busy'] },
  { in: 'removing', on: remove, to: 'removing', asks: ['defer'] },
  { in: 'removing', on: taken, to: 'removing', asks: [] },
];

const filling: readonly Row[] = [
  { in: 'born', with: { spec: null, ...early }, on: need(), to: 'absent', asks: [refused] },
  ...['asking', 'claiming', 'reserving', 'taking', 'takeBackoff', 'failed', 'removing'].map((state) => ({
    in: state,
    on: need(),
    to: state,
    asks: [refused],
  })),
  { in: 'ready', with: { proof }, on: need(), to: 'ready', asks: [provided] },
  { in: 'ready', with: { proof }, on: need(63), to: 'ready', asks: [refused] },
  { in: 'ready', with: { proof, ...read }, on: remove, to: 'ready', asks: ['reject in_use'] },
  { in: 'ready', with: { proof, ...read }, on: free, to: 'ready', asks: [] },
];

const asCommand = (row: Row): Row => ({ command: 'K', ...row });

for (const [name, rows] of Object.entries({ creation, copying, living, ending, filling }))
  test(name, () => assert.equal(disagreements(snapshotMachine, stored, rows.map(asCommand)), []));

test('the copy is asked of the host of the volume, and quota and room for its size', () => {
  const copy = decided(snapshotMachine, stored, { in: 'reserving', on: { type: 'room.granted' }, to: '' }).asked;
  const { to, event } = copy.at(-1)?.params as { to: string; event: { spec: object } };
  const owner = { actor: 'snapshot-copy/t/s@w1', uid: 'S1', runEpoch: 1 };
  assert.equal(
    [to, event.spec],
    [owner.actor, { owner, snapshotUid: 'S1', volumeUid: 'U1', format: 'raw', sizeMib: 64 }],
  );
  const claims = [
    decided(snapshotMachine, { ...stored, ...early }, { in: 'asking', on: begun, to: '' }),
    decided(snapshotMachine, stored, { in: 'claiming', on: { type: 'quota.granted' }, to: '' }),
  ].map(({ asked }) => (asked.at(-1)?.params as { event: object }).event);
  assert.equal(claims, [
    { type: 'quota.claim', kind: 'snapshot', claimant: id, mib: 64 },
    { type: 'room.claim', volume: id, sizeMib: 64, host: 'w1' },
  ]);
});

test('it is kept as long as a volume is being filled from it, and says by which one', () => {
  const at = (on: { type: string }, more: object) =>
    decided(snapshotMachine, { ...stored, proof, ...more }, { in: 'ready', on, to: '', command: 'K' });
  const readers = (on: { type: string }, more: object = {}) => at(on, more).context['readers'];
  assert.equal(readers(need()), ['volume/t/e']);
  assert.equal(readers(need(), read), ['volume/t/e']);
  assert.equal(readers(need(64, 'volume/t/f'), read), ['volume/t/e', 'volume/t/f']);
  assert.equal(readers(free, read), []);
  const [{ params } = { params: {} }] = at(remove, read).asked;
  assert.match((params as { message: string }).message, /copied into volume\/t\/e/);
});

test('a snapshot that failed says why, and one whose host came back no longer', () => {
  const after = (state: string, on: { type: string }, more: object = {}) =>
    reasonOf(decided(snapshotMachine, { ...stored, ...more }, { in: state, on, to: '' }).context as never);
  assert.is(after('taking', failed(lasting)), 'full');
  assert.is(after('ready', failed(lasting)), 'full');
  assert.is(after('ready', taken, { failure: lasting }), null);
});

test.run();
