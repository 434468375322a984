/** Decisions of a volume: who may hold it, where its bytes are, late answers, refusals, deletion, every deadline. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { SentEvent } from '../values/requests.ts';
import { serialOf } from '../values/serials.ts';
import type { VolumeContext } from './volume-context.ts';
import { volumeMachine } from './volume-machine.ts';

const id = 'volume/t/d';
const w1 = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const w2 = { ...w1, name: 'w2', index: 2, underlay: '192.0.2.2' };
const empty = { sizeMib: 64, format: 'raw' as const, image: null };
const stored: VolumeContext = {
  id,
  uid: 'U1',
  serial: serialOf('U1'),
  spec: empty,
  host: null,
  holder: null,
  runEpoch: 0,
  source: null,
  createCommand: null,
  deleteCommand: null,
  failure: null,
};
const placed = { host: w1 };
const held = { host: w1, holder: 'vm/t/a', runEpoch: 2 };
const fromImage = { spec: { ...empty, image: 'i' } };
const filled = { ...fromImage, source: { sha256: 'ab', format: 'raw' } };
const create = (sizeMib = 64) => ({ type: 'volume.create', ...empty, sizeMib });
const remove = { type: 'volume.delete' };
const locate = { type: 'volume.locate', vm: 'vm/t/a' };
const attach = (vm: string, host = w1, runEpoch = 2) => ({ type: 'volume.attach', vm, host, runEpoch });
const detach = (vm: string) => ({ type: 'volume.detach', vm });
const lasting = { code: 'no_space', message: 'full', retryable: false };
const granted = { type: 'quota.granted' };
const quotaRefused = { type: 'quota.refused', error: { ...lasting, code: 'quota_exceeded' } };
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
const ask = 'replica.ensure > replica';
const drop = 'replica.remove > replica';
const need = 'image.need > image';
const free = 'image.free > image';
const attached = 'volume.attached > vm';
const refused = 'volume.refused > vm';
const located = 'volume.located > vm';

const creation: readonly Row[] = [
  { in: 'born', with: { spec: null }, on: create(), to: 'claiming', asks: ['defer', claim] },
  { in: 'born', with: { spec: null }, on: locate, to: 'absent', asks: [refused] },
  { in: 'born', with: { spec: null }, on: attach('vm/t/a'), to: 'absent', asks: [refused] },
  { in: 'claiming', on: granted, to: 'available', asks: ['reply'] },
  { in: 'claiming', on: quotaRefused, to: 'refused', asks: ['reject quota_exceeded'] },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: [claim] },
  { in: 'claiming', on: create(), to: 'claiming', asks: ['reject name_busy'] },
  { in: 'claiming', on: remove, to: 'claiming', asks: ['reject name_busy'] },
  { in: 'claiming', on: locate, to: 'claiming', asks: [located] },
  { in: 'claiming', on: detach('vm/t/a'), to: 'claiming', asks: [] },
  { in: 'available', on: create(), to: 'available', asks: ['reply'] },
  { in: 'available', on: create(65), to: 'available', asks: ['reject exists_differently'] },
  { in: 'available', on: granted, to: 'available', asks: [] },
  { in: 'available', on: quotaRefused, to: 'available', asks: [] },
  { in: 'held.attached', with: held, on: create(), to: 'held.attached', asks: ['reply'] },
  { in: 'held.attached', with: held, on: create(65), to: 'held.attached', asks: ['reject exists_differently'] },
];

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
  { in: 'available', on: remove, to: 'gone', asks: ['defer', release, 'reply'] },
  { in: 'available', with: fromImage, on: remove, to: 'gone', asks: ['defer', free, release, 'reply'] },
  { in: 'available', with: placed, on: remove, to: 'removing', asks: ['defer', drop] },
  { in: 'removing', with: placed, on: removed, to: 'gone', asks: [release, 'reply'] },
  { in: 'removing', with: { ...placed, ...filled }, on: removed, to: 'gone', asks: [free, release, 'reply'] },
  { in: 'removing', with: placed, on: 'removeDeadline', to: 'removing', asks: [drop] },
  { in: 'removing', with: placed, on: create(), to: 'removing', asks: ['reject name_busy'] },
  { in: 'removing', with: placed, on: remove, to: 'removing', asks: ['reject name_busy'] },
  { in: 'removing', with: placed, on: attach('vm/t/a'), to: 'removing', asks: [refused] },
  { in: 'removing', with: placed, on: detach('vm/t/a'), to: 'removing', asks: [] },
  { in: 'removing', with: placed, on: locate, to: 'removing', asks: [located] },
  { in: 'removing', with: placed, on: ready, to: 'removing', asks: [] },
];

test('creation', () => assert.equal(disagreements(volumeMachine, stored, creation), []));
test('attachment', () => assert.equal(disagreements(volumeMachine, stored, attachment), []));
test('deletion', () => assert.equal(disagreements(volumeMachine, stored, deletion), []));

const told = (state: string, context: object, on: SentEvent) => {
  const move = decided(volumeMachine, { ...stored, ...context }, { in: state, on, to: '' });
  return { ...(move.asked[0]?.params as { to: string; event: SentEvent }), context: move.context };
};
const codeOf = ({ event }: { event: SentEvent }) => (event['error'] as { code: string }).code;

test('uid and serial come with the creation', () => {
  const born = { ...stored, uid: '', serial: '', spec: null };
  const { context } = decided(volumeMachine, born, { in: 'born', on: create(), command: 'C1', to: '' });
  assert.equal([context['uid'], context['serial'], context['createCommand']], ['U2', serialOf('U2'), 'C1']);
});

test('a refusal goes to the one who asked, and the holder stays', () => {
  const byAnother = told('held.attached', held, attach('vm/t/b'));
  assert.equal([byAnother.to, codeOf(byAnother), byAnother.context['holder']], ['vm/t/b', 'volume_in_use', 'vm/t/a']);
  const elsewhere = told('available', placed, attach('vm/t/b', w2));
  assert.equal([elsewhere.to, codeOf(elsewhere), elsewhere.context['holder']], ['vm/t/b', 'volume_elsewhere', null]);
});

test('a volume that goes is not said to be held by nobody', () => {
  const { event } = told('removing', placed, attach('vm/t/b'));
  assert.not.match((event['error'] as { message: string }).message, 'null');
});

test('the run epoch never falls', () => {
  const epoch = (runEpoch: number) => told('available', { runEpoch: 5 }, attach('vm/t/a', w1, runEpoch)).context;
  assert.equal([epoch(3)['runEpoch'], epoch(7)['runEpoch']], [5, 7]);
  const { event } = told('available', { runEpoch: 5 }, attach('vm/t/a', w1, 3));
  assert.is((event['spec'] as { owner: { runEpoch: number } }).owner.runEpoch, 5);
});

test('an image that cannot be had leaves the volume free to go to another host, a failed replica does not', () => {
  assert.is(told('held.imaging', { ...held, ...fromImage }, imageRefused).context['host'], null);
  assert.equal(told('held.attaching', held, failed).context['host'], w1);
});

test('a locator hears the host, or that there is none', () => {
  assert.is(told('available', placed, locate).event['host'], 'w1');
  assert.is(told('available', {}, locate).event['host'], null);
});

test('a volume whose host is gone says so, and keeps its place', () => {
  const fenced = { ...failed, error: { code: 'host_gone', message: 'gone', retryable: false } };
  const gone: readonly Row[] = [
    { in: 'available', with: placed, on: fenced, to: 'available', asks: [] },
    { in: 'held.attached', with: held, on: fenced, to: 'held.attached', asks: [] },
  ];
  assert.equal(disagreements(volumeMachine, stored, gone), []);
  const { context } = decided(volumeMachine, stored, { in: 'available', with: placed, on: fenced, to: '' });
  assert.equal([context['failure'], context['host']], [fenced.error, w1]);
});

test.run();
