/** Decisions of a run about the disks and NICs that its VM says it is to have while its guest runs. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { incarnationMachine } from './incarnation-machine.ts';
import {
  answer,
  done,
  failed,
  held,
  id,
  lasting,
  passing,
  row,
  sent,
  spec,
  stop,
  told,
  unknown,
  watchDisks,
  wired,
} from './incarnation-rows-for-tests.ts';

const pause = { type: 'incarnation.pause', incarnationUid: 'L1' };
const reset = { type: 'incarnation.reset', incarnationUid: 'L1' };
const standing = { stall: passing };
const still = { paused: true };
const disk = { volume: 'volume/t/d', volumeUid: 'U1', serial: 's', format: 'raw', slot: 1 } as const;
const plug = { type: 'incarnation.plug', incarnationUid: 'L1', revision: 4, disks: [disk] };
const unasked = { opened: [], wired: [], failed: [] };
const toPlug = { plug: { revision: 4, disks: [disk], ...unasked } };
const [qemuPlug, toldPlugged] = ['qemu.plug', 'incarnation.plugged > vm'];
const pluggedSo = (as: string, of: string = disk.volume) =>
  done(qemuPlug, { disks: [{ volume: of, standing: as, error: null }] });
const plugs: readonly Row[] = [
  row('alive.running', {}, plug, 'alive.plugging', [qemuPlug]),
  // A guest that stands still does not answer, and goes on only if it is waited for.
  row('alive.stalled', standing, plug, 'alive.stalled', []),
  row('alive.stalled', { ...standing, ...toPlug }, done('qemu.await-disks'), 'alive.plugging', [qemuPlug]),
  row('alive.paused', still, plug, 'alive.plugging', [qemuPlug]),
  row('alive.plugging', toPlug, pluggedSo('plugged'), 'alive.running', [toldPlugged, told, watchDisks]),
  row('alive.plugging', { ...toPlug, ...still }, pluggedSo('plugged'), 'alive.pausing', [toldPlugged, 'qemu.pause']),
  row('alive.plugging', toPlug, failed(qemuPlug, passing), 'alive.running', [toldPlugged, told, watchDisks]),
  row('alive.plugging', toPlug, unknown(qemuPlug), 'alive.plugging', [qemuPlug]),
  row('alive.plugging', toPlug, 'plugDeadline', 'alive.plugging', [qemuPlug]),
  row('alive.plugging', toPlug, { ...plug, revision: 5 }, 'alive.plugging', [qemuPlug]),
  row('alive.plugging', toPlug, reset, 'alive.resetting', ['qemu.reset']),
  row('alive.plugging', toPlug, pause, 'alive.plugging', []),
  // It was noted while something else was done.
  row('alive.resuming', {}, plug, 'alive.resuming', []),
  row('alive.resuming', toPlug, done('qemu.resume', { resumedAt: 1 }), 'alive.plugging', [qemuPlug]),
  row('alive.pausing', { ...toPlug, ...still }, done('qemu.pause'), 'alive.plugging', [qemuPlug]),
  // Of another run.
  row('alive.running', {}, { ...plug, incarnationUid: 'L2' }, 'alive.running', []),
];

test('it is plugged what its VM says, which is told of each disk; what is not released is still one of the run', () => {
  assert.equal(disagreements(incarnationMachine, held, plugs), []);
  const gone = { ...disk, volume: 'volume/t/gone', volumeUid: 'U0', slot: 0 };
  const of = { ...toPlug, spec: { ...spec, disks: [gone] } };
  const after = answer(row('alive.plugging', of, pluggedSo('leaving', gone.volume), '', []));
  assert.equal((after.context['spec'] as { disks: unknown }).disks, [disk, gone]);
  const left = answer(row('alive.plugging', of, pluggedSo('plugged'), '', []));
  assert.equal([(left.context['spec'] as { disks: unknown }).disks, left.context['plug']], [[disk], null]);
  const refused = sent(row('alive.plugging', of, failed(qemuPlug, passing), '', []), 'incarnation.plugged');
  const event = { type: 'incarnation.plugged', incarnationUid: 'L1', revision: 4, disks: [], error: passing };
  assert.equal(refused, { to: 'vm/t/v', event });
});

const eth2 = {
  port: 'port/t/v.eth2',
  binding: 'binding/t/v.eth2@w1',
  bindingUid: 'B2',
  mac: '02:50:0a:00:00:07',
  mtu: 1450,
  slot: 2,
} as const;
const both = { revision: 4, disks: [], nics: [...spec.nics, eth2], ...unasked };
const opened = { plug: { ...both, opened: [eth2.binding] } };
const connected = { plug: { ...opened.plug, wired: [eth2.binding] } };
const nicsSo = (...as: readonly string[]) =>
  done(qemuPlug, {
    disks: [],
    nics: as.map((of, at) => ({ port: both.nics[at]?.port, standing: of, error: null })),
  });
const unwired = (binding: string) => ({ type: 'binding.unwired', binding, host: 'w1', error: lasting });
const connecting: readonly Row[] = [
  row('alive.plugging', { plug: both }, nicsSo('plugged', 'plugged', 'opened'), 'alive.connecting', [
    'binding.wire > binding',
  ]),
  row('alive.connecting', opened, wired(eth2.binding), 'alive.plugging', [qemuPlug]),
  row('alive.connecting', opened, wired('binding/t/other@w1'), 'alive.connecting', []),
  row('alive.connecting', opened, unwired(eth2.binding), 'alive.plugging', [qemuPlug]),
  row('alive.connecting', opened, 'connectDeadline', 'alive.plugging', [qemuPlug]),
  row('alive.connecting', opened, plug, 'alive.plugging', [qemuPlug]),
  row('alive.connecting', opened, reset, 'alive.resetting', ['qemu.reset']),
  row('alive.connecting', opened, pause, 'alive.connecting', []),
  row('alive.connecting', opened, stop, 'stopping', ['qemu.stop']),
  // The taps of those that the guest has already are wired again, in case that their ports were bound again.
  row('alive.plugging', connected, nicsSo('plugged', 'plugged', 'plugged'), 'alive.running', [
    toldPlugged,
    'binding.wire > binding',
    'binding.wire > binding',
    told,
    watchDisks,
  ]),
];

test('QEMU opens the tap of a NIC, its binding wires it, and then the guest gets the NIC', () => {
  assert.equal(disagreements(incarnationMachine, held, connecting), []);
  const nicsIn = ({ context }: ReturnType<typeof answer>) => (context['spec'] as { nics: readonly unknown[] }).nics;
  const asked = sent(
    row('alive.plugging', { plug: both }, nicsSo('plugged', 'plugged', 'opened'), '', []),
    'binding.wire',
  );
  assert.equal(asked, { to: eth2.binding, event: { type: 'binding.wire', requester: id } });
  assert.equal(
    nicsIn(answer(row('alive.plugging', connected, nicsSo('plugged', 'plugged', 'plugged'), '', []))),
    both.nics,
  );
  // One that is not wired is not given to the guest, and the VM is told why.
  for (const [on, code] of [
    [unwired(eth2.binding), lasting.code],
    ['connectDeadline', 'nic_unwired'],
  ] as const) {
    const { context, asked: asks } = answer(row('alive.connecting', opened, on, '', []));
    assert.equal((asks[0]?.params as { nics: unknown }).nics, spec.nics, code);
    const left = row('alive.plugging', context, nicsSo('plugged', 'plugged'), '', []);
    assert.equal(nicsIn(answer(left)), spec.nics);
    const { event } = sent(left, 'incarnation.plugged') as unknown as {
      event: { nics: readonly { error: { code: string } }[] };
    };
    assert.is(event.nics.at(-1)?.error.code, code);
  }
  // A guest that does not release it keeps it, and a list without NICs changes none.
  const leaving = { plug: { ...both, nics: [] } };
  assert.equal(nicsIn(answer(row('alive.plugging', leaving, nicsSo('leaving', 'leaving'), '', []))), spec.nics);
  assert.equal(nicsIn(answer(row('alive.plugging', toPlug, pluggedSo('plugged'), '', []))), spec.nics);
});

test.run();
