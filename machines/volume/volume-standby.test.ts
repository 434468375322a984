/**
 * A volume on a second host: prepared for the next run of its holder, made the only one, or dropped; what is late, what
 * is repeated, and what comes from the wrong host.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import type { VolumeContext } from './volume-context.ts';
import { volumeMachine } from './volume-machine.ts';
import { shownStandby, type VolumeStandby } from './volume-standby.ts';

const id = 'volume/t/d';
const vm = 'vm/t/a';
const from = 'migration/t/a';
const w1 = { name: 'w1', index: 1, underlay: '192.0.2.1', underlayMtu: 1600 };
const w2 = { ...w1, name: 'w2', index: 2, underlay: '192.0.2.2' };
const w3 = { ...w1, name: 'w3', index: 3, underlay: '192.0.2.3' };
const stored: VolumeContext = {
  ...newDeclared(id),
  uid: 'U1',
  spec: { class: 'local', sizeMib: 64, format: 'raw', image: 'i', snapshot: null },
  generation: 1,
  observedGeneration: 1,
  host: w1,
  holder: vm,
  client: w1,
  runEpoch: 2,
  access: null,
  source: { sha256: 'ab', format: 'raw' },
  standby: null,
  growth: null,
  resizing: null,
  captures: [],
  filling: null,
};
const by = (phase: VolumeStandby['phase'], more: Partial<VolumeStandby> = {}): { standby: VolumeStandby } => ({
  standby: { host: w2, runEpoch: 3, phase, asker: from, ...more },
});
const standby = (host = w2, runEpoch = 3) => ({ type: 'volume.standby', vm, host, runEpoch });
const activate = (runEpoch = 3, of = vm) => ({ type: 'volume.activate', vm: of, runEpoch });
const drop = { type: 'volume.drop-standby', runEpoch: 3 };
const leave = { type: 'volume.detach', vm };
const attach = (host: typeof w1, runEpoch: number) => ({ type: 'volume.attach', vm, host, runEpoch });
const lasting = { code: 'no_space', message: 'full', retryable: false };
const of = (verb: string, host: string) => ({ type: `replica.${verb}`, host, error: lasting });
const make = 'replica.ensure > replica';
const remove = 'replica.drop > replica';
const stood = 'volume.stood > migration';
const refused = 'volume.refused > migration';
const activated = 'volume.activated > migration';
const dropped = 'volume.dropped > migration';
const attached = { in: 'held.attached', to: 'held.attached', from };
const free = { host: w1, holder: null };

const preparation: readonly Row[] = [
  { ...attached, on: standby(), asks: [make] },
  { ...attached, with: by('making'), on: standby(), asks: [make] },
  { ...attached, with: by('standing'), on: standby(), asks: [stood] },
  { ...attached, with: by('standing'), on: standby(w3), asks: [refused] },
  { ...attached, with: by('dropping'), on: standby(), asks: [refused] },
  { ...attached, on: standby(w1), asks: [refused] },
  { ...attached, on: standby(w2, 2), asks: [refused] },
  { ...attached, on: { ...standby(), vm: 'vm/t/b' }, asks: [refused] },
  { ...attached, in: 'held.attaching', to: 'held.attaching', on: standby(), asks: [refused] },
  { ...attached, in: 'available', to: 'available', with: free, on: standby(), asks: [refused] },

  { ...attached, with: by('making'), on: of('ready', 'w2'), asks: [stood] },
  { ...attached, with: by('making'), on: of('ready', 'w1'), asks: [] },
  { ...attached, with: by('standing'), on: of('ready', 'w2'), asks: [] },
  { ...attached, with: by('making'), on: of('failed', 'w2'), asks: [refused, remove] },
  { ...attached, with: by('standing'), on: of('failed', 'w2'), asks: [refused, remove] },
  { ...attached, with: by('dropping'), on: of('failed', 'w2'), asks: [] },
];

const change: readonly Row[] = [
  { ...attached, with: by('standing'), on: activate(), asks: [remove, activated] },
  { ...attached, with: by('making'), on: activate(), asks: [refused] },
  { ...attached, with: by('standing'), on: activate(4), asks: [refused] },
  { ...attached, with: by('standing'), on: activate(3, 'vm/t/b'), asks: [refused] },
  { ...attached, on: activate(2), asks: [activated] },
  { ...attached, on: activate(), asks: [refused] },
  { ...attached, in: 'available', to: 'available', with: free, on: activate(), asks: [refused] },
  // The VM says it first.
  { ...attached, with: by('standing'), on: attach(w2, 3), to: 'held.attaching', asks: [remove, make] },
  { ...attached, with: by('standing'), on: attach(w2, 2), asks: ['volume.refused > vm'] },
  { ...attached, with: by('making'), on: attach(w2, 3), asks: ['volume.refused > vm'] },
];

const drops: readonly Row[] = [
  { ...attached, with: by('making'), on: drop, asks: [remove] },
  { ...attached, with: by('standing'), on: drop, asks: [remove] },
  { ...attached, with: by('dropping', { asker: null }), on: drop, asks: [] },
  { ...attached, on: drop, asks: [dropped] },
  { ...attached, with: by('standing', { runEpoch: 4 }), on: drop, asks: [dropped] },
  { ...attached, with: by('dropping'), on: of('removed', 'w2'), asks: [dropped] },
  { ...attached, with: by('standing'), on: of('removed', 'w2'), asks: [] },
  { ...attached, with: by('dropping'), on: of('removed', 'w1'), asks: [] },
  // The holder goes, or runs again where it was.
  { ...attached, with: by('standing'), on: leave, to: 'available', asks: [remove] },
  { ...attached, with: by('standing'), on: { ...leave, host: 'w1', runEpoch: 2 }, to: 'available', asks: [remove] },
  { ...attached, with: by('standing'), on: attach(w1, 2), to: 'held.attaching', asks: [remove, make] },
  { ...attached, in: 'held.attaching', with: by('dropping'), on: of('ready', 'w1'), asks: ['volume.attached > vm'] },
  { ...attached, in: 'held.attaching', to: 'held.attaching', with: by('dropping'), on: of('ready', 'w2'), asks: [] },
  { in: 'available', to: 'available', with: { ...free, ...by('dropping', { asker: null }) }, on: of('removed', 'w2') },
  { in: 'removing', to: 'removing', with: { ...free, ...by('dropping', { asker: null }) }, on: of('removed', 'w2') },
  { in: 'removing', to: 'gone', with: { ...free, ...by('dropping', { asker: null }) }, on: of('removed', 'w1') },
];

test('a VM is told in which run the volume was last used, of whichever VM, for a move needs a higher one', () => {
  const locate = { in: 'available', on: { type: 'volume.locate', vm: 'vm/t/other' }, to: '', asks: [] };
  const { asked } = decided(volumeMachine, { ...stored, ...free, runEpoch: 6 }, locate);
  assert.is((asked[0]?.params as { event: { runEpoch: number } }).event.runEpoch, 6);
  const inherited = { runEpoch: 6 };
  const moves = [
    { ...attached, with: inherited, on: standby(w2, 3), asks: [refused] },
    { ...attached, with: inherited, on: standby(w2, 7), asks: [make] },
  ];
  assert.equal(disagreements(volumeMachine, stored, moves), []);
});

test('while a snapshot is taken no second host is prepared', () => {
  const row = { in: 'held.attached', with: { captures: ['snapshot/t/s'] }, from, on: standby(), to: 'held.attached' };
  assert.equal(disagreements(volumeMachine, stored, [{ ...row, asks: ['volume.refused > migration'] }]), []);
});

test('preparation', () => assert.equal(disagreements(volumeMachine, stored, preparation), []));
test('the change', () => assert.equal(disagreements(volumeMachine, stored, change), []));
test('what is dropped', () => assert.equal(disagreements(volumeMachine, stored, drops), []));

const after = (context: object, on: Row['on']) =>
  decided(volumeMachine, { ...stored, ...context }, { ...attached, on });
const contextOf = ({ context }: { context: unknown }) => context as VolumeContext;

test('a holder that leaves after it has moved leaves its newest bytes, whatever the migration has cleared up', () => {
  const kept = (prepared: object, on: Row['on']): unknown[] => {
    const { host, holder, standby: left } = contextOf(after(prepared, on));
    return [host?.name, holder, left?.host.name, left?.phase];
  };
  assert.equal(kept(by('standing'), { ...leave, host: 'w2', runEpoch: 3 }), ['w2', null, 'w1', 'dropping']);
  assert.equal(kept(by('standing'), { ...leave, host: 'w1', runEpoch: 2 }), ['w1', null, 'w2', 'dropping']);
  assert.equal(kept(by('standing'), leave), ['w1', null, 'w2', 'dropping'], 'of an older release');
  assert.equal(kept(by('making'), { ...leave, host: 'w2', runEpoch: 3 }), ['w1', null, 'w2', 'dropping']);
});

test('what a holder may have moved to is kept when its host is gone', () => {
  const gone = { ...of('failed', 'w2'), error: { ...lasting, code: 'host_gone' } };
  const decision = after(by('standing'), gone);
  assert.is(contextOf(decision).standby?.phase, 'standing');
  assert.is(decision.asked.length, 1);
});

test('the disk of the second host is empty, and of the run that is to come', () => {
  const { asked } = after({}, standby());
  const { to, event } = asked[0]?.params as { to: string; event: { spec: object } };
  assert.is(to, 'replica/t/d@w2');
  assert.equal(event.spec, {
    owner: { actor: 'replica/t/d@w2', uid: 'U1', runEpoch: 3 },
    volumeUid: 'U1',
    serial: (event.spec as { serial: string }).serial,
    sizeMib: 64,
    format: 'raw',
    image: null,
  });
  const told = (after(by('making'), of('ready', 'w2')).asked[0]?.params as { event: Record<string, unknown> }).event;
  assert.equal([told['runEpoch'], told['host'], told['copies'], told['source']], [3, 'w2', true, null]);
});

test('it changes its host with the run, and the former host is left until it is empty', () => {
  const changed = contextOf(after(by('standing'), activate()));
  assert.equal([changed.host, changed.runEpoch], [w2, 3]);
  assert.equal(shownStandby(changed.standby), { host: 'w1', runEpoch: 2, phase: 'dropping' });
  const emptied = contextOf(after({ ...changed }, of('removed', 'w1')));
  assert.equal([emptied.host, emptied.standby], [w2, null]);
});

test('a failure of the second host is none of the volume', () => {
  assert.is(contextOf(after(by('making'), of('failed', 'w2'))).failure, null);
});

test.run();
