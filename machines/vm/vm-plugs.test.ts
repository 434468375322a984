/**
 * Disks that are declared while the VM runs: a volume is attached before its host is told, and detached only once QEMU
 * has closed it. Whatever is refused or not answered is said, and asked again.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { VmContext } from './vm-context.ts';
import { hindrances } from './vm-migration.ts';
import * as v from './vm-rows-for-tests.ts';
import {
  attachedSays,
  did,
  follow,
  generations,
  lasting,
  none,
  passing,
  restartOf,
  runs,
  spec,
  volume,
} from './vm-rows-for-tests.ts';

const data = 'volume/t/data';
const disk = (id: string, slot: number) => ({
  volume: id,
  volumeUid: id.toUpperCase(),
  serial: 's',
  format: 'raw',
  slot,
});
const pluggable = { ...runs, proof: { ...v.proof, diskSlots: 8 }, disks: { [volume]: disk(volume, 0) } };
const two = { ...spec, disks: [{ volume: 'root' }, { volume: 'data' }] };
const none_ = { ...spec, disks: [] };
const located = (host: string | null, more: object = {}) => ({
  ...v.located,
  volume: data,
  host,
  sizeMib: 16,
  ...more,
});
const attached = { ...v.attached, volume: data, uid: 'D', host: 'w2' };
const refused = (error: object) => ({ ...v.volumeRefused(error), volume: data });
const plugged = (revision: number, standings: Readonly<Record<string, string>>, error: object | null = null) => ({
  type: 'incarnation.plugged',
  incarnationUid: 'L1',
  revision,
  disks: Object.entries(standings).map(([id, standing]) => ({
    volume: id,
    standing,
    error: standing === 'failed' ? passing : null,
  })),
  error,
});
const locates = 'volume.locate > volume';
const attaches = 'volume.attach > volume';
const detaches = 'volume.detach > volume';
const plugs = 'incarnation.plug > incarnation';

const saysOf = (context: VmContext): unknown => attachedSays(context, 'DisksAttached');
const phases = ({ plugs: of }: VmContext): unknown =>
  Object.entries(of).map(([id, { phase, slot }]) => [id, phase, slot]);

test('a volume that is declared is located, attached, and plugged into the run', () => {
  const waits = follow('running', pluggable, [
    [v.update(two), ['reply', locates]],
    [located('w1'), [attaches]],
    [attached, [plugs]],
  ]);
  assert.equal([phases(waits), generations(waits as never)], [[[data, 'plugging', 1]], [2, 1, 1]]);
  assert.equal(saysOf(waits), ['False', 'Attaching', `${data} is being plugged`]);
  assert.equal(restartOf(waits as never), none);
  const over = follow('running', waits, [[plugged(1, { [volume]: 'plugged', [data]: 'plugged' }), []]]);
  assert.equal([over.plugs, over.runSpec, generations(over as never)], [{}, two, [2, 2, 2]]);
  assert.equal([Object.keys(over.disks), over.disks[data]?.slot], [[volume, data], 1]);
  assert.equal(saysOf(over), ['True', 'AsDeclared', '']);
});

test('while the guest stands still it is the same', () => {
  for (const [state, of] of [
    ['stalled', { ...pluggable, failure: v.diskFull }],
    ['paused', { ...pluggable, paused: true }],
  ] as const)
    follow(state, of, [
      [v.update(two), ['reply', locates]],
      [located(null, { shared: true }), [attaches]],
      [attached, [plugs]],
    ]);
});

test('one without bytes is promised room on the host before; there may be none', () => {
  const placing = follow('running', pluggable, [
    [v.update(two), ['reply', locates]],
    [located(null), ['place > cluster']],
  ]);
  follow('running', placing, [[v.placed, [attaches]]]);
  const full = follow('running', placing, [[v.unplaced, []]]);
  assert.equal(saysOf(full), ['False', 'Refused', `${data}: ${passing.message}`]);
  follow('running', full, [['proposalDeadline', ['place > cluster']]]);
});

/** A VM with a local volume where it runs would find no host at its next start. */
const elsewhere = new RegExp(`^${data} has its bytes on another host.*; ${volume} is on that of the VM: take one`);

test('what is refused is said; it is asked again when that may help', () => {
  const asked = follow('running', pluggable, [
    [v.update(two), ['reply', locates]],
    [located('w1'), [attaches]],
    [refused(passing), []],
  ]);
  assert.equal(saysOf(asked), ['False', 'Refused', `${data}: ${passing.message}`]);
  follow('running', asked, [['proposalDeadline', [locates]]]);
  for (const on of [refused(lasting), located('w2')]) {
    const left = follow('running', did('running', pluggable, v.update(two)).context, [[on, []]]);
    assert.is((saysOf(left) as string[])[1], 'Refused');
    follow('running', left, [['proposalDeadline', []]]);
    if (on.type === 'volume.located') assert.match(String((saysOf(left) as string[])[2]), elsewhere);
    // Nothing was attached that would have to be given back.
    follow('running', left, [[v.update(spec), ['reply', detaches]]]);
  }
  const unplugged = follow('running', asked, [
    [located('w1'), [attaches]],
    [attached, [plugs]],
    [plugged(1, { [volume]: 'plugged', [data]: 'failed' }), []],
    ['proposalDeadline', [plugs]],
    [plugged(1, {}, lasting), []],
  ]);
  assert.equal(saysOf(unplugged), ['False', 'Refused', `${data}: ${lasting.message}`]);
});

test('a volume that is declared no more stays until QEMU has closed it', () => {
  const waits = follow('running', pluggable, [
    [v.update(none_), ['reply', plugs]],
    [plugged(1, { [volume]: 'leaving' }), []],
    ['proposalDeadline', [plugs]],
    [plugged(1, { [volume]: 'leaving' }), []],
  ]);
  assert.match(String((saysOf(waits) as string[])[2]), /volume\/t\/root is to be detached and stays in use until/);
  assert.equal([phases(waits), generations(waits as never)], [[[volume, 'removing', 0]], [2, 1, 1]]);
  assert.equal(
    hindrances(waits).map(({ code }) => code),
    ['disks_change'],
  );
  const over = follow('running', waits, [[plugged(1, {}), [detaches]]]);
  assert.equal([over.plugs, over.disks, over.located, generations(over as never)], [{}, {}, [], [2, 2, 2]]);
  assert.equal(hindrances(over), []);
});

test('an answer to an earlier list counts for nothing', () => {
  const back = follow('running', pluggable, [
    [v.update(none_), ['reply', plugs]],
    [v.update(spec), ['reply', plugs]],
    [v.update(none_), ['reply', plugs]],
  ]);
  assert.is(back.plugRevision, 3);
  follow('running', back, [
    [plugged(1, {}), []],
    [plugged(2, { [volume]: 'plugged' }), []],
    [plugged(3, {}), [detaches]],
  ]);
  // It leaves before it is plugged anew.
  const returned = follow('running', pluggable, [
    [v.update(none_), ['reply', plugs]],
    [v.update(spec), ['reply', plugs]],
    [plugged(2, { [volume]: 'leaving' }), []],
    ['proposalDeadline', [plugs]],
    [plugged(2, { [volume]: 'plugged' }), []],
  ]);
  assert.equal([returned.plugs, returned.runSpec], [{}, spec]);
});

test('one that is on its way and is not wanted any more is given back', () => {
  const coming = did('running', pluggable, v.update(two)).context;
  const dropped = follow('running', coming, [[v.update(spec), ['reply', detaches]]]);
  assert.equal([dropped.plugs, dropped.runSpec, saysOf(dropped)], [{}, spec, ['True', 'AsDeclared', '']]);
  follow('running', dropped, [
    [located('w1'), []],
    [attached, []],
  ]);
});

test('what it boots from stays until the next start, and so do the disks of a run without ports', () => {
  const own = { spec: { ...spec, boot: null }, runSpec: { ...spec, boot: null } };
  const swapped = { ...spec, boot: null, disks: [{ volume: 'data' }] };
  const waits = follow('running', { ...pluggable, ...own }, [
    [v.update(swapped), ['reply', locates]],
    [located('w1'), [attaches]],
    [attached, [plugs]],
    [plugged(1, { [volume]: 'plugged', [data]: 'plugged' }), []],
  ]);
  assert.equal(waits.runSpec?.disks, [{ volume: 'root' }, { volume: 'data' }]);
  assert.equal(restartOf(waits as never), v.needed('disks.0'));
  const older = follow('running', { ...pluggable, proof: v.proof }, [[v.update(two), ['reply']]]);
  assert.equal([restartOf(older as never), saysOf(older)], [v.needed('disks.1'), ['absent', undefined, undefined]]);
});

test('a slot is given again only when it is free; with all taken a volume waits, and says so', () => {
  const names = Array.from({ length: 8 }, (_, at) => `v${at}`);
  const full = { ...spec, disks: names.map((name) => ({ volume: name })) };
  const held = Object.fromEntries(names.map((name, at) => [`volume/t/${name}`, disk(`volume/t/${name}`, at)]));
  const other = { ...full, disks: [...full.disks.slice(1), { volume: 'data' }] };
  const waits = follow('running', { ...pluggable, ...v.made(full), disks: held }, [
    [v.update(other), ['reply', plugs]],
  ]);
  assert.match(String((saysOf(waits) as string[])[2]), /volume\/t\/data waits for one of 8 slots/);
  const rest = Object.fromEntries(names.slice(1).map((name) => [`volume/t/${name}`, 'plugged']));
  const next = follow('running', waits, [[plugged(1, rest), [detaches, locates]]]);
  assert.equal(phases(next), [[data, 'locating', 0]]);
});

test('the next start has what is declared, and gives back the rest', () => {
  const leaving = did('running', pluggable, v.update(none_)).context;
  const ended = did('running', { ...leaving, restarting: true }, v.ended('stopped'));
  assert.ok(ended.asks.includes(detaches), ended.asks.join());
  assert.equal((ended.context as unknown as VmContext).plugs, {});
});

test.run();
