/**
 * Decisions of a volume: its declaration, who may hold it, where its bytes are, late answers, refusals, deletion, every
 * deadline.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { reasonOf } from '../values/conditions.ts';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row, type TestEvent } from '../values/decision-table-for-tests.ts';
import { serialOf } from '../values/serials.ts';
import { volumeMachine } from './volume-machine.ts';
import type { VolumeContext } from './volume-context.ts';

const id = 'volume/t/d';
const w1 = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const w2 = { ...w1, name: 'w2', index: 2, underlay: '192.0.2.2' };
const empty = { class: 'local' as const, sizeMib: 64, format: 'raw' as const, image: null, snapshot: null };
const stored: VolumeContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec: empty,
  generation: 1,
  observedGeneration: 1,
  host: null,
  holder: null,
  client: null,
  runEpoch: 0,
  access: null,
  source: null,
  standby: null,
  growth: null,
  resizing: null,
  captures: [],
  filling: null,
};
const created = { observedGeneration: 0, waiters: [{ commandId: 'C1', result: 'created' }] };
const going = { waiters: [{ commandId: 'K', result: 'deleted' }] };
const placed = { host: w1 };
const held = { host: w1, holder: 'vm/t/a', runEpoch: 2 };
const fromImage = { spec: { ...empty, image: 'i' } };
const filled = { ...fromImage, source: { sha256: 'ab', format: 'raw' } };
const declared =
  (verb: string, more: object = {}) =>
  (change: object = {}) => ({
    type: `volume.${verb}`,
    spec: { ...empty, ...change },
    labels: {},
    protect: false,
    ...more,
  });
const create = declared('create');
const apply = declared('apply');
const update = declared('update');
const labelled = declared('apply', { labels: { tier: 'db' } });
const larger = { sizeMib: 65 };
const remove = { type: 'volume.delete' };
const locate = { type: 'volume.locate', vm: 'vm/t/a' };
const attach = (vm: string, host = w1, runEpoch = 2) => ({ type: 'volume.attach', vm, host, runEpoch });
const detach = (vm: string) => ({ type: 'volume.detach', vm });
const lasting = { code: 'no_space', message: 'full', retryable: false };
const granted = { type: 'quota.granted' };
const quotaRefused = { type: 'quota.refused', error: { ...lasting, code: 'quota_exceeded' } };
const roomGranted = { type: 'room.granted', volume: id };
const roomRefused = { type: 'room.refused', volume: id, error: lasting };
const provided = (host: string) => ({
  type: 'image.provided',
  image: 'image/t/i',
  host,
  sha256: 'ab',
  format: 'raw',
  virtualSizeBytes: 4,
});
const imageRefused = { type: 'image.refused', image: 'image/t/i', error: lasting };
const ready = { type: 'replica.ready', host: 'w1' };
const failed = { type: 'replica.failed', host: 'w1', error: lasting };
const removed = { type: 'replica.removed', host: 'w1' };
const claim = 'quota.claim > tenant';
const release = 'quota.release > tenant';
const claimRoom = 'room.claim > cluster';
const releaseRoom = 'room.release > cluster';
const ask = 'replica.ensure > replica';
const drop = 'replica.drop > replica';
const need = 'image.need > image';
const free = 'image.free > image';
const attached = 'volume.attached > vm';
const refused = 'volume.refused > vm';
const located = 'volume.located > vm';

const creation: readonly Row[] = [
  { in: 'born', with: { spec: null }, on: create(), to: 'claiming', asks: ['defer', claim] },
  { in: 'born', with: { spec: null }, on: locate, to: 'absent', asks: [refused] },
  { in: 'born', with: { spec: null }, on: attach('vm/t/a'), to: 'absent', asks: [refused] },
  { in: 'born', with: { spec: null }, on: apply(), to: 'claiming', asks: ['defer', claim] },
  { in: 'claiming', with: created, on: granted, to: 'reserving', asks: [claimRoom] },
  { in: 'claiming', with: created, on: quotaRefused, to: 'refused', asks: ['reject quota_exceeded'] },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: [claim] },
  { in: 'claiming', on: create(), to: 'claiming', asks: ['defer'] },
  { in: 'claiming', on: create(larger), to: 'claiming', asks: ['reject exists_differently'] },
  { in: 'claiming', on: apply(larger), to: 'claiming', asks: ['reject name_busy'] },
  { in: 'claiming', on: labelled(), to: 'claiming', asks: ['defer'] },
  { in: 'claiming', on: remove, to: 'claiming', asks: ['reject name_busy'] },
  { in: 'claiming', on: locate, to: 'claiming', asks: [located] },
  { in: 'claiming', on: detach('vm/t/a'), to: 'claiming', asks: [] },
  { in: 'reserving', with: created, on: roomGranted, to: 'available', asks: ['reply'] },
  { in: 'reserving', with: created, on: roomRefused, to: 'gone', asks: ['reject no_space', releaseRoom, release] },
  { in: 'reserving', on: 'roomDeadline', to: 'reserving', asks: [claimRoom] },
  { in: 'reserving', on: create(), to: 'reserving', asks: ['defer'] },
  { in: 'reserving', on: apply(larger), to: 'reserving', asks: ['reject name_busy'] },
  { in: 'reserving', on: remove, to: 'reserving', asks: ['reject name_busy'] },
  { in: 'reserving', on: locate, to: 'reserving', asks: [located] },
  { in: 'available', on: granted, to: 'available', asks: [] },
  { in: 'available', on: roomRefused, to: 'available', asks: [] },
  { in: 'available', on: quotaRefused, to: 'available', asks: [] },
];

const changes: readonly Row[] = ['available', 'held.attached', 'held.imaging', 'held.stuck'].flatMap((state) => [
  { in: state, with: held, on: create(), to: state, asks: ['reply'] },
  { in: state, with: held, on: apply(), to: state, asks: ['reply'] },
  { in: state, with: held, on: update(), to: state, asks: ['reply'] },
  { in: state, with: held, on: labelled(), to: state, asks: ['reply'] },
  { in: state, with: held, on: create(larger), to: state, asks: ['reject exists_differently'] },
  ...[{ format: 'qcow2' }, { image: 'i' }].flatMap((change) => [
    { in: state, with: held, on: apply(change), to: state, asks: ['reject immutable_field'] },
    { in: state, with: held, on: update(change), to: state, asks: ['reject immutable_field'] },
  ]),
]);

const growing = { growth: { spec: { ...empty, ...larger }, labels: {}, protect: false } };
const waits = { waiters: [{ commandId: 'C1', result: 'updated' }] };
const growth: readonly Row[] = ['available', 'held.attached', 'held.stuck'].flatMap((state) => {
  const of = { in: state, to: state, with: state === 'available' ? placed : held };
  const also = { ...of, with: { ...of.with, ...growing, ...waits } };
  return [
    { ...of, on: apply(larger), asks: [claim, 'defer'] },
    { ...of, on: update({ sizeMib: 63 }), asks: ['reject volume_shrinks'] },
    { ...also, on: update({ sizeMib: 70 }), asks: ['reject name_busy'] },
    { ...also, on: granted, asks: [claimRoom] },
    { ...also, on: quotaRefused, asks: ['reject quota_exceeded'] },
    { ...also, on: roomGranted, asks: [ask, 'reply'] },
    { ...also, on: roomRefused, asks: [claim, 'reject no_space'] },
    { ...also, on: remove, asks: [`reject ${state === 'available' ? 'name_busy' : 'in_use'}`] },
  ];
});

const attachment: readonly Row[] = [
  { in: 'available', on: attach('vm/t/a'), to: 'held.attaching', asks: [ask] },
  { in: 'available', with: placed, on: attach('vm/t/a'), to: 'held.attaching', asks: [ask] },
  { in: 'available', with: placed, on: attach('vm/t/a', w2), to: 'available', asks: [refused] },
  { in: 'available', with: fromImage, on: attach('vm/t/a'), to: 'held.imaging', asks: [need] },
  { in: 'available', with: filled, on: attach('vm/t/a'), to: 'held.attaching', asks: [ask] },
  { in: 'available', on: detach('vm/t/a'), to: 'available', asks: [] },
  { in: 'available', on: locate, to: 'available', asks: [located] },
  { in: 'available', on: ready, to: 'available', asks: [] },
  { in: 'available', on: provided('w1'), to: 'available', asks: [] },

  { in: 'held.imaging', with: { ...held, ...fromImage }, on: provided('w1'), to: 'held.attaching', asks: [ask] },
  { in: 'held.imaging', with: { ...held, ...fromImage }, on: provided('w2'), to: 'held.imaging', asks: [] },
  {
    in: 'held.imaging',
    with: { ...held, ...fromImage },
    on: { ...provided('w1'), format: 'initrd' },
    to: 'held.stuck',
    asks: [refused],
  },
  { in: 'held.imaging', with: { ...held, ...fromImage }, on: imageRefused, to: 'held.stuck', asks: [refused] },
  { in: 'held.imaging', with: { ...held, ...fromImage }, on: 'imageDeadline', to: 'held.imaging', asks: [need] },
  { in: 'held.imaging', with: { ...held, ...fromImage }, on: attach('vm/t/a'), to: 'held.imaging', asks: [need] },
  { in: 'held.imaging', with: { ...held, ...fromImage }, on: attach('vm/t/b'), to: 'held.imaging', asks: [refused] },
  { in: 'held.imaging', with: { ...held, ...fromImage }, on: detach('vm/t/a'), to: 'available', asks: [] },
  { in: 'held.imaging', with: { ...held, ...fromImage }, on: remove, to: 'held.imaging', asks: ['reject in_use'] },

  { in: 'held.attaching', with: held, on: ready, to: 'held.attached', asks: [attached] },
  { in: 'held.attaching', with: held, on: failed, to: 'held.stuck', asks: [refused] },
  { in: 'held.attaching', with: held, on: 'replicaDeadline', to: 'held.attaching', asks: [ask] },
  { in: 'held.attaching', with: held, on: attach('vm/t/a'), to: 'held.attaching', asks: [ask] },
  { in: 'held.attaching', with: held, on: attach('vm/t/b'), to: 'held.attaching', asks: [refused] },
  { in: 'held.attaching', with: held, on: detach('vm/t/a'), to: 'available', asks: [] },
  { in: 'held.attaching', with: held, on: detach('vm/t/b'), to: 'held.attaching', asks: [] },
  { in: 'held.attaching', with: held, on: provided('w1'), to: 'held.attaching', asks: [] },
  { in: 'held.attaching', with: held, on: remove, to: 'held.attaching', asks: ['reject in_use'] },

  { in: 'held.attached', with: held, on: attach('vm/t/a', w1, 3), to: 'held.attaching', asks: [ask] },
  { in: 'held.attached', with: held, on: attach('vm/t/a', w2, 3), to: 'held.attached', asks: [refused] },
  { in: 'held.attached', with: held, on: attach('vm/t/b'), to: 'held.attached', asks: [refused] },
  { in: 'held.attached', with: held, on: detach('vm/t/a'), to: 'available', asks: [] },
  { in: 'held.attached', with: held, on: detach('vm/t/b'), to: 'held.attached', asks: [] },
  { in: 'held.attached', with: held, on: locate, to: 'held.attached', asks: [located] },
  { in: 'held.attached', with: held, on: remove, to: 'held.attached', asks: ['reject in_use'] },
  { in: 'held.attached', with: held, on: ready, to: 'held.attached', asks: [] },
  { in: 'held.attached', with: held, on: failed, to: 'held.attached', asks: [] },

  { in: 'held.stuck', with: held, on: attach('vm/t/a'), to: 'held.attaching', asks: [ask] },
  {
    in: 'held.stuck',
    with: { ...held, ...fromImage, host: null },
    on: attach('vm/t/a', w2),
    to: 'held.imaging',
    asks: [need],
  },
  { in: 'held.stuck', with: held, on: attach('vm/t/b'), to: 'held.stuck', asks: [refused] },
  { in: 'held.stuck', with: held, on: detach('vm/t/a'), to: 'available', asks: [] },
  { in: 'held.stuck', with: held, on: remove, to: 'held.stuck', asks: ['reject in_use'] },
  { in: 'held.stuck', with: held, on: ready, to: 'held.stuck', asks: [] },
];

const deletion: readonly Row[] = [
  { in: 'available', on: remove, to: 'gone', asks: ['defer', releaseRoom, release, 'reply'] },
  { in: 'available', with: fromImage, on: remove, to: 'gone', asks: ['defer', free, releaseRoom, release, 'reply'] },
  { in: 'available', with: placed, on: remove, to: 'removing', asks: ['defer', drop] },
  { in: 'available', with: { protect: true }, on: remove, to: 'available', asks: ['reject protected'] },
  {
    in: 'held.attached',
    with: { ...held, protect: true },
    on: remove,
    to: 'held.attached',
    asks: ['reject protected'],
  },
  { in: 'removing', with: { ...placed, ...going }, on: removed, to: 'gone', asks: [releaseRoom, release, 'reply'] },
  {
    in: 'removing',
    with: { ...placed, ...filled, ...going },
    on: removed,
    to: 'gone',
    asks: [free, releaseRoom, release, 'reply'],
  },
  { in: 'removing', with: placed, on: 'removeDeadline', to: 'removing', asks: [drop] },
  { in: 'removing', with: placed, on: create(), to: 'removing', asks: ['reject name_busy'] },
  { in: 'removing', with: placed, on: apply(), to: 'removing', asks: ['reject name_busy'] },
  { in: 'removing', with: placed, on: remove, to: 'removing', asks: ['defer'] },
  { in: 'removing', with: placed, on: attach('vm/t/a'), to: 'removing', asks: [refused] },
  { in: 'removing', with: placed, on: detach('vm/t/a'), to: 'removing', asks: [] },
  { in: 'removing', with: placed, on: locate, to: 'removing', asks: [located] },
  { in: 'removing', with: placed, on: ready, to: 'removing', asks: [] },
];

const wrong = (rows: readonly Row[]): readonly string[] =>
  disagreements(
    volumeMachine,
    stored,
    rows.map((row) => ({ command: 'K', ...row })),
  );

test('creation', () => assert.equal(wrong(creation), []));
test('changes of the declaration', () => assert.equal(wrong(changes), []));
test('a larger size', () => assert.equal(wrong(growth), []));
test('attachment', () => assert.equal(wrong(attachment), []));
test('deletion', () => assert.equal(wrong(deletion), []));

const told = (state: string, context: object, on: TestEvent) => {
  const move = decided(volumeMachine, { ...stored, ...context }, { in: state, on, command: 'K', to: '' });
  return { ...(move.asked[0]?.params as { to: string; event: TestEvent }), context: move.context };
};
const codeOf = ({ event }: { event: TestEvent }) => (event['error'] as { code: string }).code;

const readiness = ({ context }: { context: Record<string, unknown> }): string => {
  const { conditions } = context as unknown as VolumeContext;
  return conditions.map(({ type, status, reason, message }) => `${type} ${status} ${reason} ${message}`).join();
};

test('uid and serial come with the creation', () => {
  const { context } = told('born', { ...newDeclared(id) }, create());
  assert.equal([context['uid'], context['generation'], context['observedGeneration']], ['U2', 1, 0]);
  assert.equal(context['waiters'], [{ commandId: 'K', result: 'created' }]);
  const { asked } = decided(volumeMachine, { ...stored, ...created }, { in: 'reserving', on: roomGranted, to: '' });
  const result = { uid: 'U1', generation: 1, result: 'created', serial: serialOf('U1') };
  assert.equal(asked[0]?.params, { commandId: 'C1', result });
});

test('its declaration is realized once it is granted; without its bytes it is not ready', () => {
  assert.is(readiness(told('claiming', created, granted)), 'Ready False ReservingRoom ');
  const available = told('reserving', created, roomGranted);
  assert.equal([readiness(available), available.context['observedGeneration']], ['Ready True Available ', 1]);
  assert.is(readiness(told('available', {}, attach('vm/t/a'))), 'Ready False Attaching ');
  assert.is(readiness(told('held.attaching', held, ready)), 'Ready True Attached ');
  const stuck = told('held.attaching', held, failed);
  assert.is(readiness(stuck), 'Ready False BytesUnavailable full');
  assert.is(readiness(told('held.stuck', stuck.context, detach('vm/t/a'))), 'Ready False BytesUnavailable full');
  assert.is(readiness(told('held.attached', held, failed)), 'Ready False BytesUnavailable full');
  assert.is(readiness(told('available', placed, failed)), 'Ready False BytesUnavailable full');
  assert.is(readiness(told('available', placed, remove)), 'Ready False Deleting ');
});

test('labels and protection change without a new generation, also while a VM holds it', () => {
  const { context } = told('held.attached', held, { ...labelled(), protect: true });
  const { labels, protect, generation, observedGeneration } = context as unknown as VolumeContext;
  assert.equal([labels, protect, generation, observedGeneration], [{ tier: 'db' }, true, 1, 1]);
});

test('it has the larger size once there is room for it, and no bytes are made for that', () => {
  const grown = told('held.attached', { ...held, ...growing }, roomGranted);
  const { spec, generation, observedGeneration, growth: left } = grown.context as unknown as VolumeContext;
  assert.equal([spec?.sizeMib, generation, observedGeneration, left], [65, 2, 2, null]);
  assert.is((grown.event['spec'] as { sizeMib: number }).sizeMib, 65);
  const bare = { in: 'available', with: { ...growing, host: null }, on: roomGranted, to: 'available', asks: [] };
  const filling = { ...growing.growth, spec: { ...growing.growth.spec, image: 'i' } };
  const early = { ...bare, with: { growth: filling, ...fromImage, host: w1 } };
  assert.equal(wrong([bare, early]), []);
});

test('a refused deletion names the VM that holds it', () => {
  const { message } = told('held.attached', held, remove) as unknown as { message: string };
  assert.match(message, 'vm/t/a');
});

const begin = { type: 'snapshot.begin', snapshot: 'snapshot/t/s' };
const begun = 'snapshot.begun > snapshot';
const hindered = 'snapshot.hindered > snapshot';
const captured = { captures: ['snapshot/t/s'] };
const captures: readonly Row[] = [
  { in: 'born', with: { spec: null }, on: begin, to: 'absent', asks: [hindered] },
  { in: 'reserving', on: begin, to: 'reserving', asks: [hindered] },
  { in: 'available', on: begin, to: 'available', asks: [hindered] },
  { in: 'available', with: placed, on: begin, to: 'available', asks: [begun] },
  { in: 'available', with: { ...placed, ...growing }, on: begin, to: 'available', asks: [hindered] },
  { in: 'available', with: { ...placed, ...captured }, on: begin, to: 'available', asks: [begun] },
  { in: 'available', with: { ...placed, ...captured }, on: remove, to: 'available', asks: ['reject in_use'] },
  { in: 'available', with: { ...placed, ...captured }, on: apply(larger), to: 'available', asks: ['reject name_busy'] },
  { in: 'held.attached', with: held, on: begin, to: 'held.attached', asks: [begun] },
  { in: 'held.attached', with: { ...held, ...captured }, on: detach('vm/t/a'), to: 'available', asks: [] },
  { in: 'held.attaching', with: held, on: begin, to: 'held.attaching', asks: [hindered] },
  { in: 'removing', with: placed, on: begin, to: 'removing', asks: [hindered] },
];

test('snapshots of it begin where its bytes stay, each is counted once, and ends', () => {
  assert.equal(disagreements(volumeMachine, stored, captures), []);
  const after = (on: TestEvent, more: object) => told('available', { ...placed, ...more }, on).context['captures'];
  assert.equal(after(begin, {}), ['snapshot/t/s']);
  assert.equal(after(begin, captured), ['snapshot/t/s']);
  const ended = { in: 'available', on: { ...begin, type: 'snapshot.ended' }, to: '' };
  assert.equal(decided(volumeMachine, { ...stored, ...captured }, ended).context['captures'], []);
});

test('an image that is no disk fills no volume', () => {
  const kernel = { ...provided('w1'), format: 'kernel' };
  const { event, to, context } = told('held.imaging', { ...held, ...fromImage }, kernel);
  assert.equal([to, codeOf({ event }), context['host']], ['vm/t/a', 'image_not_a_disk', null]);
});

test('a refusal goes to the requester, and the holder stays', () => {
  const byAnother = told('held.attached', held, attach('vm/t/b'));
  assert.equal([byAnother.to, codeOf(byAnother), byAnother.context['holder']], ['vm/t/b', 'volume_in_use', 'vm/t/a']);
  const elsewhere = told('available', placed, attach('vm/t/b', w2));
  assert.equal([elsewhere.to, codeOf(elsewhere), elsewhere.context['holder']], ['vm/t/b', 'volume_elsewhere', null]);
});

test('the refusal of a volume that is being deleted does not name a holder', () => {
  const { event } = told('removing', placed, attach('vm/t/b'));
  assert.not.match((event['error'] as { message: string }).message, 'null');
});

test('the run epoch never falls', () => {
  const epoch = (runEpoch: number) => told('available', { runEpoch: 5 }, attach('vm/t/a', w1, runEpoch)).context;
  assert.equal([epoch(3)['runEpoch'], epoch(7)['runEpoch']], [5, 7]);
  const { event } = told('available', { runEpoch: 5 }, attach('vm/t/a', w1, 3));
  assert.is((event['spec'] as { owner: { runEpoch: number } }).owner.runEpoch, 5);
});

test('after a refused image the volume may be created on another host, after a failed replica it may not', () => {
  assert.is(told('held.imaging', { ...held, ...fromImage }, imageRefused).context['host'], null);
  assert.equal(told('held.attaching', held, failed).context['host'], w1);
});

test('a locate request is answered with the host, or with null', () => {
  assert.is(told('available', placed, locate).event['host'], 'w1');
  assert.is(told('available', {}, locate).event['host'], null);
});

test('a volume whose host is fenced reports that, and keeps its host', () => {
  const fenced = { ...failed, error: { code: 'host_gone', message: 'gone', retryable: false } };
  const gone: readonly Row[] = [
    { in: 'available', with: placed, on: fenced, to: 'available', asks: [] },
    { in: 'held.attached', with: held, on: fenced, to: 'held.attached', asks: [] },
  ];
  assert.equal(disagreements(volumeMachine, stored, gone), []);
  const { context } = decided(volumeMachine, stored, { in: 'available', with: placed, on: fenced, to: '' });
  assert.equal([context['failure'], context['host']], [fenced.error, w1]);
});

test('the record of a refused volume keeps the reason', () => {
  const reasonAfter = (state: string, on: TestEvent) =>
    reasonOf(decided(volumeMachine, { ...stored, ...created }, { in: state, on, to: '' }).context as never);
  assert.equal([reasonAfter('claiming', quotaRefused), reasonAfter('reserving', roomRefused)], ['full', 'full']);
});

test.run();
