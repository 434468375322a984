/**
 * A shared volume: its bytes on a storage host, its holder on any host; who is let in, who is cut before, and how it
 * goes along with a VM that is moved.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { VolumeContext } from './volume-context.ts';
import { volumeMachine } from './volume-machine.ts';
import type { VolumeStandby } from './volume-standby.ts';

const id = 'volume/t/d';
const vm = 'vm/t/a';
const from = 'migration/t/a';
const host = (index: number) => ({ name: `w${index}`, index, underlay: `192.0.2.${index}`, underlayMtu: 1600 });
const [w1, w2, s1] = [host(1), host(2), { ...host(9), name: 's1' }];
const spec = { class: 'shared' as const, sizeMib: 64, format: 'raw' as const, image: null, snapshot: null };
const access = (runEpoch: number, boot = 'boot') => ({
  kind: 'nbd' as const,
  export: `U1.${runEpoch}.${boot}`,
  address: { host: s1.underlay, port: 21_000 },
});
const stored: VolumeContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec,
  generation: 1,
  observedGeneration: 1,
  host: s1,
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
const held = { holder: vm, client: w1, runEpoch: 2, access: access(2) };
const by = (phase: VolumeStandby['phase']): { standby: VolumeStandby } => ({
  standby: { host: w2, runEpoch: 3, phase, asker: from, ...(phase === 'making' ? {} : { source: access(3) }) },
});
const serving = (floor: number, ...epochs: readonly number[]) => ({
  type: 'export.serving',
  host: 's1',
  floor,
  served: epochs.map((runEpoch) => ({ runEpoch, source: access(runEpoch), pid: 7 })),
});
const lasting = { code: 'storage_failed', message: 'broken', retryable: false };
const failed = (floor: number, error: object = lasting) => ({ type: 'export.failed', host: 's1', floor, error });
const attach = (at = w1, runEpoch = 2) => ({ type: 'volume.attach', vm, host: at, runEpoch });
const detach = { type: 'volume.detach', vm };
const ready = { type: 'replica.ready', host: 's1' };
const remove = { type: 'volume.delete' };
const standby = { type: 'volume.standby', vm, host: w2, runEpoch: 3 };
const activate = { type: 'volume.activate', vm, runEpoch: 3 };
const drop = { type: 'volume.drop-standby', runEpoch: 3 };
const room = { type: 'room.granted', volume: id, host: s1 };
const ensure = 'export.ensure > volume-export';
const close = 'export.drop > volume-export';
const attached = { in: 'held.attached', to: 'held.attached', with: held, from };
const moved = { ...held, client: w2, runEpoch: 3 };

const use: readonly Row[] = [
  { in: 'reserving', with: { host: null }, on: room, to: 'available', asks: [] },
  { in: 'reserving', with: { host: null }, on: { ...room, host: null }, to: 'reserving', asks: [] },
  { in: 'available', on: attach(), to: 'held.attaching', asks: ['replica.ensure > replica'] },
  { in: 'held.attaching', with: held, on: ready, to: 'held.opening', asks: [ensure] },
  { in: 'held.opening', with: held, on: serving(2, 2), to: 'held.attached', asks: ['volume.attached > vm'] },
  { in: 'held.opening', with: held, on: serving(1, 1), to: 'held.opening', asks: [] },
  { in: 'held.opening', with: held, on: failed(2), to: 'held.stuck', asks: ['volume.refused > vm'] },
  { in: 'held.opening', with: held, on: failed(1), to: 'held.opening', asks: [] },
  { in: 'held.opening', with: held, on: 'exportDeadline', to: 'held.opening', asks: [ensure] },
  { in: 'held.opening', with: held, on: detach, to: 'available', asks: [close] },
  // The VM runs on another host now: the bytes stay, and the former run is cut before it is told.
  { in: 'held.attached', with: held, on: attach(w2, 3), to: 'held.attaching', asks: ['replica.ensure > replica'] },
  { in: 'held.attached', with: held, on: serving(2, 2), to: 'held.attached', asks: [] },
  // It has grown.
  { in: 'held.attached', with: held, on: ready, to: 'held.attached', asks: [ensure] },
  { in: 'held.attached', with: held, on: detach, to: 'available', asks: [close] },
  { in: 'available', on: remove, to: 'closing', asks: ['defer', close] },
  { in: 'closing', on: { type: 'export.dropped', host: 's1' }, to: 'removing', asks: ['replica.drop > replica'] },
  { in: 'closing', on: 'removeDeadline', to: 'closing', asks: [close] },
  { in: 'closing', on: attach(), to: 'closing', asks: ['volume.refused > vm'] },
  { in: 'closing', on: remove, to: 'closing', asks: ['defer'] },
];

const growing = { ...held, resizing: { sizeMib: 128, runEpoch: 2 } };
const grant = { ...room, type: 'room.granted' };
const larger = { growth: { spec: { ...spec, sizeMib: 128 }, labels: {}, protect: false } };
const resized = { type: 'incarnation.resized', volume: id, runEpoch: 2, sizeMib: 128, error: null };
const tellSize = 'incarnation.resize > incarnation';
const growths: readonly Row[] = [
  { ...attached, with: { ...held, ...larger }, on: grant, asks: ['replica.ensure > replica'] },
  { ...attached, with: growing, on: ready, asks: [ensure] },
  { ...attached, with: growing, on: serving(2, 2), asks: [tellSize] },
  { ...attached, with: growing, on: resized, asks: [] },
  { ...attached, with: growing, on: standby, asks: ['volume.refused > migration'] },
  { ...attached, with: { ...held, ...larger }, on: standby, asks: ['volume.refused > migration'] },
  { ...attached, with: growing, on: { type: 'snapshot.begin', snapshot: 's' }, asks: ['snapshot.hindered > s'] },
];

const migration: readonly Row[] = [
  { ...attached, on: standby, asks: [ensure] },
  { ...attached, on: { ...standby, host: s1 }, asks: [ensure] },
  { ...attached, on: { ...standby, host: w1 }, asks: ['volume.refused > migration'] },
  { ...attached, with: { ...held, ...by('making') }, on: serving(2, 2, 3), asks: ['volume.stood > migration'] },
  { ...attached, with: { ...held, ...by('making') }, on: serving(2, 2), asks: [] },
  { ...attached, with: { ...held, ...by('making') }, on: failed(2), asks: ['volume.refused > migration'] },
  { ...attached, with: { ...held, ...by('standing') }, on: activate, asks: [ensure] },
  { ...attached, with: { ...moved, ...by('cutting') }, on: serving(2, 2, 3), asks: [] },
  { ...attached, with: { ...moved, ...by('cutting') }, on: serving(3, 3), asks: ['volume.activated > migration'] },
  { ...attached, with: { ...moved, ...by('cutting') }, on: activate, asks: [ensure] },
  { ...attached, with: { ...moved, ...by('cutting') }, on: failed(3), asks: [ensure] },
  { ...attached, with: { ...moved, ...by('cutting') }, on: drop, asks: ['volume.refused > migration'] },
  { ...attached, with: { ...held, ...by('standing') }, on: drop, asks: [ensure] },
  { ...attached, with: { ...held, ...by('dropping') }, on: serving(2, 2, 3), asks: [] },
  { ...attached, with: { ...held, ...by('dropping') }, on: serving(2, 2), asks: ['volume.dropped > migration'] },
];

const table = (rows: readonly Row[]): readonly string[] =>
  disagreements(
    volumeMachine,
    stored,
    rows.map((row) => ({ command: 'K', ...row })),
  );

test('its use', () => assert.equal(table(use), []));
test('it grows while a guest uses it', () => assert.equal(table(growths), []));
test('a VM with it is moved', () => assert.equal(table(migration), []));

const after = (context: object, on: Row['on'], state = 'held.attached') => {
  const move = decided(volumeMachine, { ...stored, ...context }, { in: state, on, from, to: '' });
  const { event } = (move.asked[0]?.params ?? {}) as { event?: Record<string, unknown> };
  return { context: move.context as unknown as VolumeContext, event };
};
const clientsOf = (event?: Record<string, unknown>) => (event?.['spec'] as { clients: unknown } | undefined)?.clients;
const floorOf = (event?: Record<string, unknown>) =>
  (event?.['spec'] as { owner: { runEpoch: number } } | undefined)?.owner.runEpoch;

test('it stays on its host, and its holder finds it where the host says', () => {
  const { context } = after({}, attach(), 'available');
  assert.equal([context.host, context.client], [s1, w1]);
  const { context: open, event } = after(held, serving(2, 2), 'held.opening');
  assert.equal([open.access, event?.['source'], event?.['host']], [access(2), access(2), 's1']);
});

test('both runs are let in until the change, and only the new one afterwards', () => {
  const both = after(held, standby).event;
  const one = { runEpoch: 2, host: 'w1' };
  assert.equal([floorOf(both), clientsOf(both)], [2, [one, { runEpoch: 3, host: 'w2' }]]);
  const stood = after({ ...held, ...by('making') }, serving(2, 2, 3)).event;
  assert.equal([stood?.['copies'], stood?.['source']], [false, access(3)]);
  const { event, context } = after({ ...held, ...by('standing') }, activate);
  assert.equal([floorOf(event), clientsOf(event)], [3, [{ runEpoch: 3, host: 'w2' }]]);
  assert.equal([context.runEpoch, context.client], [3, w2]);
  const done = after({ ...context }, serving(3, 3)).context;
  assert.equal([done.access, done.standby, done.host], [access(3), null, s1]);
});

test('the guest of the run that has it is told its new size; when it does not see it, the volume says so', () => {
  const { context } = after({ ...held, ...larger }, grant);
  assert.equal([context.resizing, context.growth, context.spec?.sizeMib], [growing.resizing, null, 128]);
  const told = decided(volumeMachine, { ...stored, ...growing }, { in: 'held.attached', on: serving(2, 2), to: '' });
  const asked = { type: 'incarnation.resize', volume: id, volumeUid: 'U1', runEpoch: 2, sizeMib: 128 };
  assert.equal(told.asked[0]?.params, { to: 'incarnation/t/a@w1', event: asked });
  const required = (one: VolumeContext) => one.conditions.find(({ type }) => type === 'RestartRequired');
  const seen = after(growing, resized).context;
  assert.equal([seen.resizing, required(seen)?.status], [null, 'False']);
  const unseen = after(growing, { ...resized, error: lasting }).context;
  assert.equal([unseen.resizing, required(unseen)?.status], [null, 'True']);
  assert.match(required(unseen)?.message ?? '', /guest of vm\/t\/a does not see 128 MiB: broken; restart that VM/);
  assert.is(required(after(unseen, detach).context)?.status, 'False');
  // Answers to earlier questions, and of a run that is over.
  for (const late of [{ sizeMib: 96 }, { runEpoch: 1 }])
    assert.equal(after(growing, { ...resized, ...late }).context.resizing, growing.resizing);
  assert.is(after(growing, detach).context.resizing, null);
  assert.is(after({ ...larger, runEpoch: 2 }, grant, 'available').context.resizing, null, 'no guest has it');
});

test('a storage host that was started again has lost what was not flushed: the volume says what to do', () => {
  const { context } = after(held, { ...serving(2), served: [{ runEpoch: 2, source: access(2, 'boot2'), pid: 8 }] });
  assert.match(context.failure?.message ?? '', /the host of volume\/t\/d was started again; stop and start vm\/t\/a/);
  assert.match(context.conditions.map(({ status, reason }) => `${status} ${reason}`).join(), 'False BytesUnavailable');
});

const said = ({ conditions }: VolumeContext, type: string): string =>
  conditions
    .filter((one) => one.type === type)
    .map(({ status, reason }) => `${status} ${reason}`)
    .join();
const silent = { type: 'volume.host-lost', host: 's1' };
const back = { type: 'volume.host-found', host: 's1' };

test('its storage host is silent: it says so and tells its holder, until the host is back and serves it again', () => {
  const { context, event } = after(held, silent);
  assert.equal([said(context, 'HostPresent'), event?.['type']], ['False HostSilent', 'volume.away']);
  const found = after(context, back);
  assert.equal([said(found.context, 'HostPresent'), found.event?.['type']], ['True Present', 'volume.back']);
  const away: readonly Row[] = [
    { ...attached, on: silent, asks: ['volume.away > vm'] },
    { ...attached, on: back, asks: ['volume.back > vm', ensure] },
    { ...attached, on: { ...silent, host: 'w1' }, asks: [] },
    { in: 'available', on: silent, to: 'available', asks: [] },
    // A VM that begins to use it meanwhile is told, too.
    {
      in: 'available',
      with: { away: true },
      on: attach(),
      to: 'held.attaching',
      asks: ['volume.away > vm', 'replica.ensure > replica'],
    },
  ];
  assert.equal(table(away), []);
  const local = after({ ...held, spec: { ...spec, class: 'local' }, host: s1 }, silent);
  assert.equal([local.context.away, local.event], [undefined, undefined]);
});

test('what its host could not serve for a while is served again: it is attached as before', () => {
  const failing = after(held, failed(2)).context;
  assert.equal([said(failing, 'Ready'), failing.failure?.code], ['False BytesUnavailable', 'storage_failed']);
  const again = after(failing, serving(2, 2)).context;
  assert.equal([said(again, 'Ready'), again.failure], ['True Attached', null]);
});

test('it has the format raw', () => {
  const create = { type: 'volume.create', spec: { ...spec, format: 'qcow2' }, labels: {}, protect: false };
  const { asked } = decided(volumeMachine, { ...stored, spec: null }, { in: 'born', on: create, command: 'K', to: '' });
  assert.match(JSON.stringify(asked[0]), /format_not_shared.*spec.format/);
});

test.run();
