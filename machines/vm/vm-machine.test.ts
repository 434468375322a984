/** Decisions of a VM on its way up: quota, addresses, place, preparations, start; every refusal and every deadline. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { vmMachine } from './vm-machine.ts';
import * as v from './vm-rows-for-tests.ts';
import {
  bare,
  fresh,
  held,
  kernel,
  initrd,
  lasting,
  locates,
  needs,
  passing,
  port,
  releases,
} from './vm-rows-for-tests.ts';
import { row, spec, volume, waiting } from './vm-rows-for-tests.ts';

const claim = 'quota.claim > tenant';
const start = 'incarnation.start > incarnation';
const stop = 'incarnation.stop > incarnation';
const place = 'place > cluster';
const unaddressed = { ports: {}, awaited: [port], createCommand: 'C1' };
const lone = { spec: bare, ports: {}, createCommand: 'C1' };
const refusal = { refusal: { error: lasting, path: 'spec.nics.0.address' } };

const coming: readonly Row[] = [
  row('born', fresh, v.create(), 'claiming', ['defer', claim], { command: 'C1' }),

  row('claiming', unaddressed, v.granted, 'addressing', ['port.create > port']),
  row('claiming', { ...lone, wanted: 'stopped' }, v.granted, 'stopped', ['reply']),
  row('claiming', lone, v.granted, 'placing', ['reply', place]),
  row('claiming', fresh, v.quotaRefused, 'refused', ['reject quota_exceeded']),
  row('claiming', {}, 'quotaDeadline', 'claiming', [claim]),
  row('claiming', {}, v.create(), 'claiming', ['reject name_busy']),
  row('claiming', {}, v.create(bare), 'claiming', ['reject name_busy']),
  row('claiming', {}, v.remove, 'claiming', ['reject name_busy']),

  row('addressing', unaddressed, v.portReady, 'locating', ['reply', ...locates]),
  row('addressing', { ...unaddressed, wanted: 'stopped' }, v.portReady, 'stopped', ['reply']),
  row('addressing', { ...unaddressed, awaited: [port, 'port/t/v.eth1'] }, v.portReady, 'addressing', []),
  row('addressing', unaddressed, v.portRefused, 'gone', ['reject taken', 'quota.release > tenant']),
  row('addressing', { ...unaddressed, awaited: [port, 'port/t/v.eth1'] }, v.portRefused, 'addressing', []),
  row('addressing', { ...unaddressed, ...refusal }, v.portReady, 'withdrawing', ['port.release > port']),
  row('addressing', unaddressed, 'addressDeadline', 'addressing', ['port.create > port']),
  row('addressing', unaddressed, v.granted, 'addressing', []),
  row('addressing', unaddressed, v.create(), 'addressing', ['reject name_busy']),
  row('addressing', unaddressed, v.remove, 'addressing', ['reject name_busy']),

  row('withdrawing', { ...waiting, ...refusal }, v.gone, 'gone', ['reject no_kvm', 'quota.release > tenant']),
  row('withdrawing', { awaited: [port, 'port/t/v.eth1'], ...refusal }, v.gone, 'withdrawing', []),
  row('withdrawing', { ...waiting, ...refusal }, 'releaseDeadline', 'withdrawing', ['port.release > port']),
  row('withdrawing', { ...waiting, ...refusal }, v.portReady, 'withdrawing', []),
  row('withdrawing', { ...waiting, ...refusal }, v.create(), 'withdrawing', ['reject name_busy']),
  row('withdrawing', { ...waiting, ...refusal }, v.remove, 'withdrawing', ['reject name_busy']),
];

test('from the command to the addresses, or back to nothing', () => {
  assert.equal(disagreements(vmMachine, held, coming), []);
});

const away = { host: null, incarnationUid: null, awaited: [volume] };
const asked = { awaited: [port, volume, kernel, initrd] };
const preparing = 'preparing.asking';

const placing: readonly Row[] = [
  row('locating', away, v.located, 'placing', [place]),
  row('locating', away, { ...v.located, host: null }, 'placing', [place]),
  row('locating', { awaited: [volume, 'volume/t/d'] }, v.located, 'locating', []),
  row('locating', away, v.volumeRefused(passing), 'unplaced', []),
  row('locating', away, 'locateDeadline', 'locating', locates),
  row('locating', away, v.stop, 'releasing', releases),
  row('locating', away, v.remove, 'releasing', ['defer', ...releases], { command: 'D1' }),

  row('placing', away, v.placed, preparing, needs),
  row('placing', { ...away, spec: bare }, v.placed, 'starting', [start]),
  row('placing', away, v.unplaced, 'unplaced', []),
  row('placing', away, 'placeDeadline', 'placing', [place]),
  row('placing', away, v.located, 'placing', []),
  row('placing', away, v.stop, 'releasing', releases),
  row('placing', away, v.remove, 'releasing', ['defer', ...releases]),

  row('unplaced', away, 'placeRetry', 'locating', locates),
  row('unplaced', away, v.placed, 'unplaced', []),
  row('unplaced', away, v.stop, 'releasing', releases),
  row('unplaced', away, v.remove, 'releasing', ['defer', ...releases]),
];

test('a place is asked for until there is one', () => {
  assert.equal(disagreements(vmMachine, held, placing), []);
});

const readying: readonly Row[] = [
  row(preparing, asked, v.tapped, preparing, []),
  row(preparing, asked, v.attached, preparing, []),
  row(preparing, asked, v.provided(kernel), preparing, []),
  row(preparing, waiting, v.tapped, 'starting', [start]),
  row(preparing, { awaited: [volume] }, v.attached, 'starting', [start]),
  row(preparing, { awaited: [initrd] }, v.provided(initrd), 'starting', [start]),
  row(preparing, { awaited: [initrd] }, v.tapped, preparing, []),
  row(preparing, { awaited: [volume] }, 'prepareDeadline', preparing, ['volume.attach > volume']),
  ...[v.portFailed, v.volumeRefused, v.imageRefused].flatMap((failed) => [
    row(preparing, asked, failed(passing), 'backoff', []),
    row(preparing, asked, failed(lasting), 'releasing', releases),
    row(preparing, { ...asked, ports: {} }, failed(lasting), 'failed', releases),
  ]),
  row(preparing, asked, v.ended('killed', null, 'L0'), preparing, []),
  row(preparing, asked, v.stop, 'releasing', releases),
  row(preparing, asked, v.remove, 'releasing', ['defer', ...releases]),

  row('starting', {}, v.running('L1'), 'running', []),
  row('starting', {}, v.running('L0'), 'starting', []),
  row('starting', {}, v.ended('start_failed', passing), 'backoff', []),
  row('starting', {}, v.ended('start_failed', lasting), 'releasing', releases),
  row('starting', {}, v.ended('wiring_failed', passing), 'backoff', []),
  row('starting', {}, v.ended('killed', null, 'L0'), 'starting', []),
  row('starting', {}, v.tapped, 'starting', []),
  row('starting', {}, 'startDeadline', 'starting', [start]),
  row('starting', {}, v.stop, 'stopping', [stop]),
  row('starting', {}, v.remove, 'stopping', ['defer', stop]),
];

test('a run is prepared wholly before it starts', () => {
  assert.equal(disagreements(vmMachine, held, readying), []);
});

const after = (one: Row) => decided(vmMachine, held, one).context;
const said = (one: Row, type: string) =>
  decided(vmMachine, held, one).asked.find(({ type: name, params }) => {
    const sent = params as { event?: { type: string } } | undefined;
    return name === type || sent?.event?.type === type;
  })?.params as Record<string, unknown>;

test('creation keeps the command and is answered by it', () => {
  const born = after(row('born', fresh, v.create(), '', [], { command: 'C1' }));
  assert.equal([born['uid'], born['wanted'], born['createCommand']], ['U2', 'running', 'C1']);
  const reply = said(row('addressing', unaddressed, v.portReady, ''), 'reply');
  assert.equal(reply, { commandId: 'C1', result: { uid: 'U1', ports: held.ports } });
  assert.is(after(row('addressing', unaddressed, v.portReady, ''))['createCommand'], null);
  const quota = said(row('claiming', { createCommand: 'C1' }, v.quotaRefused, ''), 'reject');
  assert.equal([quota['commandId'], quota['issues']], ['C1', undefined]);
});

test('a refusal names the field of the VM that is to blame', () => {
  const reject = said(row('addressing', unaddressed, v.portRefused, ''), 'reject');
  assert.equal(
    [reject['commandId'], reject['issues']],
    ['C1', [{ path: 'spec.nics.0.address', message: v.portRefused.error.message }]],
  );
  const { path: _, ...pathless } = v.portRefused;
  assert.equal(said(row('addressing', unaddressed, pathless, ''), 'reject')['issues'], [
    { path: 'spec.nics.0.network', message: v.portRefused.error.message },
  ]);
});

test('only another host than the last raises the run epoch', () => {
  const epochs = ['w1', 'w2', null].map(
    (lastHost) => after(row('placing', { ...away, lastHost }, v.placed, ''))['runEpoch'],
  );
  assert.equal(epochs, [1, 2, 2]);
});

test('a run is made of what was prepared, and has a life of its own', () => {
  const nics = { [port]: { port, binding: 'b', bindingUid: 'B', mac: 'm', mtu: 1450 } };
  const disks = { [volume]: { volume, volumeUid: 'V', serial: 's', format: 'raw' } };
  const last = row(preparing, { awaited: [initrd], nics, disks, images: { [kernel]: 'K' } }, v.provided(initrd), '');
  const { event } = said(last, 'incarnation.start') as { event: { spec: unknown } };
  assert.equal(event.spec, {
    owner: { actor: 'incarnation/t/v@w1', uid: 'U2', runEpoch: 1 },
    vm: v.id,
    era: 1,
    cpus: 1,
    memoryMib: 256,
    machineType: null,
    nics: [nics[port]],
    disks: [disks[volume]],
    boot: { kernelSha256: 'K', initrdSha256: `sha of ${initrd}`, commandLine: '' },
  });
  assert.equal([after(last)['incarnationUid'], after(last)['runs']], ['U2', 2]);
  assert.is(after(row('starting', {}, 'startDeadline', ''))['incarnationUid'], 'L1');
});

test('the machine type of the first run stays', () => {
  const types = [null, 'pc-q35-7.0'].map(
    (machineType) => after(row('starting', { machineType }, v.running('L1'), ''))['machineType'],
  );
  assert.equal(types, ['pc-q35-7.2', 'pc-q35-7.0']);
  assert.is(after(row('starting', { failure: passing }, v.running('L1'), ''))['failure'], null);
});

test('volumes tell their hosts once each', () => {
  const hosts = [v.located, { ...v.located, host: 'w2' }, { ...v.located, host: null }].map(
    (event) => after(row('locating', { awaited: [volume, 'volume/t/d'] }, event, ''))['volumeHosts'],
  );
  assert.equal(hosts, [['w1'], ['w1', 'w2'], ['w1']]);
});

test('an existing VM keeps its spec', () => {
  const { issues } = said(row('running', {}, v.create({ ...spec, cpus: 2 }), ''), 'reject');
  assert.equal(issues, [{ path: 'spec.cpus', message: 'is 1 and cannot be changed' }]);
});

test.run();
