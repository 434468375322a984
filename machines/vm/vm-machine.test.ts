/** Decisions of a VM on its way up: quota, addresses, place, preparations, start; every refusal and every deadline. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Condition } from '../values/conditions.ts';
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
const early = { runSpec: null, runGeneration: 0, observedGeneration: 0, incarnationUid: null, host: null };
const unaddressed = { ...early, ports: {}, awaited: [port], ...v.waiters('created', 'C1') };
const lone = { ...early, spec: bare, ...v.portless, ...v.waiters('created', 'C1') };
const refusal = { refusal: { error: lasting, path: 'spec.nics.0.address' } };
const withdrawn = { ...early, ...refusal, ...v.waiters('created', 'C1') };
const bigger = { ...spec, cpus: 2 };

const resting = { ...spec, running: false };
const two = [port, 'port/t/v.eth1'];

const coming: readonly Row[] = [
  row('born', fresh, v.create(), 'claiming', ['defer', claim]),
  row('born', fresh, v.apply(), 'claiming', ['defer', claim]),

  row('claiming', { ...unaddressed, claimed: [] }, v.granted, 'addressing', ['port.claim > port']),
  row('claiming', { ...lone, spec: { ...bare, running: false } }, v.granted, 'stopped', ['reply']),
  row('claiming', lone, v.granted, 'placing', ['reply', place]),
  row('claiming', { ...fresh, ...v.waiters('created', 'C1') }, v.quotaRefused, 'refused', ['reject quota_exceeded']),
  row('claiming', {}, 'quotaDeadline', 'claiming', [claim]),
  row('claiming', {}, v.create(), 'claiming', ['defer']),
  row('claiming', {}, v.apply(bigger), 'claiming', ['defer']),
  row('claiming', {}, v.create(bare), 'claiming', ['reject exists_differently']),

  row('addressing', unaddressed, v.portReady, 'locating', ['reply', ...locates]),
  row('addressing', { ...unaddressed, spec: resting }, v.portReady, 'stopped', ['reply']),
  row('addressing', { ...unaddressed, awaited: two }, v.portReady, 'addressing', []),
  row('addressing', unaddressed, v.portRefused, 'gone', ['reject taken', 'quota.release > tenant']),
  row('addressing', { ...unaddressed, awaited: two }, v.portRefused, 'addressing', []),
  row('addressing', { ...unaddressed, ...refusal }, v.portReady, 'withdrawing', ['port.release > port']),
  row('addressing', unaddressed, v.portDelayed, 'addressing', []),
  row('addressing', unaddressed, 'addressDeadline', 'addressing', ['port.claim > port']),
  row('addressing', unaddressed, v.granted, 'addressing', []),
  row('addressing', unaddressed, v.gone, 'addressing', []),
  row('addressing', unaddressed, v.create(), 'addressing', ['defer']),
  row('addressing', unaddressed, v.create(bare), 'addressing', ['reject exists_differently']),
  row('addressing', unaddressed, v.remove, 'dismantling', ['reject deleted', 'defer', 'port.release > port']),

  row('withdrawing', { ...withdrawn, ...waiting }, v.gone, 'gone', ['reject no_kvm', 'quota.release > tenant']),
  row('withdrawing', { ...withdrawn, awaited: two }, v.gone, 'withdrawing', []),
  row('withdrawing', { ...withdrawn, ...waiting }, 'releaseDeadline', 'withdrawing', ['port.release > port']),
  row('withdrawing', { ...withdrawn, ...waiting }, v.portReady, 'withdrawing', []),
  ...[v.create(), v.apply(), v.update(), v.start, v.stop].flatMap((on) => [
    row('withdrawing', { ...withdrawn, ...waiting }, on, 'withdrawing', ['reject name_busy']),
  ]),
  // A deletion works at once, and has its own answer.
  row('withdrawing', { ...withdrawn, ...waiting }, v.remove, 'withdrawing', ['defer']),
  row('withdrawing', { ...withdrawn, ...waiting, ...v.waiters('deleted', 'D1') }, v.gone, 'gone', [
    'reply',
    'quota.release > tenant',
  ]),
  row('claiming', v.waiters('created', 'C1'), v.remove, 'gone', [
    'reject deleted',
    'defer',
    'reply',
    'quota.release > tenant',
  ]),
  ...[v.start, v.stop].map((on) => row('claiming', {}, on, 'claiming', ['reject name_busy'])),
  ...[v.start, v.stop].map((on) => row('addressing', unaddressed, on, 'addressing', ['reject name_busy'])),
];

test('from the command to the addresses, or back to nothing', () => {
  assert.equal(disagreements(vmMachine, held, coming), []);
});

test('what changes before the addresses are there is claimed and answered with the rest', () => {
  const eth1 = {
    name: 'eth1',
    network: 'n',
    address: null,
    mac: null,
    securityGroups: null,
    addressPairs: [],
    portSecurity: true,
    dnsName: null,
  };
  const more = { ...spec, nics: [...spec.nics, eth1] };
  const added = row('addressing', unaddressed, v.apply(more), 'addressing', undefined);
  const { asks, context } = decided(vmMachine, held, added);
  assert.equal(asks, ['defer', 'port.claim > port', 'port.claim > port']);
  assert.equal([context['generation'], context['claimed'], context['awaited']], [2, two, two]);
  const other = { ...spec, nics: [eth1] };
  const replaced = row('addressing', unaddressed, v.apply(other), 'addressing', undefined);
  assert.equal(decided(vmMachine, held, replaced).asks, ['defer', 'port.release > port', 'port.claim > port']);
});

test('the end of an earlier port of the same name is not the answer that is awaited', () => {
  const { context } = decided(vmMachine, held, row('addressing', unaddressed, v.gone, ''));
  assert.equal([context['awaited'], context['claimed']], [[port], [port]]);
});

const away = { host: null, incarnationUid: null, awaited: [volume] };
const asked = { awaited: [port, volume, kernel, initrd] };
const preparing = 'preparing.asking';

const placing: readonly Row[] = [
  row('locating', away, v.located, 'placing', [place]),
  row('locating', away, { ...v.located, host: null }, 'placing', [place]),
  row('locating', { awaited: [volume, 'volume/t/d'] }, v.located, 'locating', []),
  row('locating', away, v.volumeRefused(passing), 'locating', []),
  row('locating', away, v.volumeRefused(lasting), 'releasing', releases),
  row('locating', away, 'locateDeadline', 'locating', locates),
  row('locating', away, v.stop, 'releasing', releases),
  row('locating', away, v.remove, 'releasing', ['defer', ...releases], { command: 'D1' }),

  row('placing', away, v.placed, preparing, needs),
  row('placing', { ...away, ...v.made(bare) }, v.placed, 'starting', [start]),
  row('placing', away, v.unplaced, 'unplaced', []),
  row('placing', away, 'placeDeadline', 'placing', [place]),
  row('placing', away, v.located, 'placing', []),
  row('placing', away, v.stop, 'releasing', releases),
  row('placing', away, v.remove, 'releasing', ['defer', ...releases]),

  row('unplaced', away, { type: 'place.changed', vm: 'vm/t/v' }, 'locating', locates),
  row('unplaced', away, 'placeReview', 'locating', locates),
  row('unplaced', away, v.placed, 'unplaced', []),
  row('unplaced', away, v.update(bigger), 'locating', ['reply', ...locates]),
  row('unplaced', away, v.update(), 'unplaced', ['reply']),
  row('unplaced', away, v.start, 'locating', ['reply', ...locates]),
  row('unplaced', away, v.stop, 'releasing', releases),
  row('unplaced', away, v.remove, 'releasing', ['defer', ...releases]),
];

test('a port that waits gives its reason to the VM, and takes it back when it waits no longer', () => {
  const reason = { code: 'host_pending', message: `${port} waits: busy`, retryable: true };
  const because = { failure: reason, delayedBy: port };
  const facts = (on: Row) => {
    const { failure, delayedBy, conditions } = decided(vmMachine, held, on).context;
    const ready = (conditions as readonly Condition[]).find(({ type }) => type === 'Ready');
    return [failure, delayedBy, ready?.reason, ready?.message];
  };
  for (const [state, more, name] of [
    ['addressing', { ...unaddressed, awaited: two }, 'Addressing'],
    ['preparing.asking', { awaited: two }, 'Preparing'],
    ['starting', {}, 'Starting'],
  ] as const)
    assert.equal(facts({ in: state, with: more, on: v.portDelayed, to: '' }), [reason, port, name, reason.message]);
  const addressed = { in: 'addressing', with: { ...unaddressed, awaited: two, ...because }, on: v.portReady, to: '' };
  assert.equal(facts(addressed), [null, null, 'Addressing', '']);
  const tapped = { in: 'preparing.asking', with: { awaited: two, ...because }, on: v.tapped, to: '' };
  assert.equal(facts(tapped), [null, null, 'Preparing', '']);
  const other = { in: 'preparing.asking', with: { awaited: two, ...because, delayedBy: two[1] }, on: v.tapped, to: '' };
  assert.equal(facts(other)[0], reason, 'another port has not said it');
  assert.equal(facts({ in: 'running', on: v.portDelayed, to: '' }).slice(0, 2), [reason, port], 'its wiring is broken');
  const repaired = { in: 'running', with: because, on: { type: 'port.active', port, proof: {} }, to: '' };
  assert.equal(facts(repaired).slice(0, 2), [null, null]);
});

test('a placement is requested until it succeeds', () => {
  assert.equal(disagreements(vmMachine, held, placing), []);
});

const readying: readonly Row[] = [
  row(preparing, asked, v.tapped, preparing, []),
  row(preparing, asked, v.attached, preparing, []),
  row(preparing, asked, v.provided(kernel), preparing, []),
  row(preparing, asked, v.provided(kernel, 'initrd'), 'releasing', releases),
  row(preparing, asked, v.provided(initrd, 'raw'), 'releasing', releases),
  row(preparing, asked, v.provided('image/t/other', 'raw'), preparing, []),
  row(preparing, waiting, v.tapped, 'starting', [start]),
  row(preparing, { awaited: [volume] }, v.attached, 'starting', [start]),
  row(preparing, { awaited: [initrd] }, v.provided(initrd), 'starting', [start]),
  row(preparing, { awaited: [initrd] }, v.tapped, preparing, []),
  row(preparing, { awaited: [volume] }, 'prepareDeadline', preparing, ['volume.attach > volume']),
  ...[v.portFailed, v.volumeRefused, v.imageRefused].flatMap((failed) => [
    row(preparing, asked, failed(passing), 'backoff', []),
    row(preparing, asked, failed(lasting), 'releasing', releases),
    row(preparing, { ...asked, ...v.portless }, failed(lasting), 'failed', releases.slice(1)),
  ]),
  row(preparing, asked, v.ended('killed', null, 'L0'), preparing, []),
  row(preparing, asked, v.stop, 'releasing', releases),
  row(preparing, asked, v.remove, 'releasing', ['defer', ...releases]),

  row('starting', {}, v.running('L1'), 'running', []),
  row('starting', {}, v.running('L0'), 'starting', []),
  row('starting', {}, v.stalled('L1'), 'stalled', []),
  row('starting', {}, v.stalled('L0'), 'starting', []),
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
  assert.equal([born['uid'], born['generation'], born['waiters']], ['U2', 1, v.waiters('created', 'C1').waiters]);
  const ready = row('addressing', unaddressed, v.portReady, '');
  assert.equal(said(ready, 'reply'), {
    commandId: 'C1',
    result: { uid: 'U1', generation: 1, result: 'created', ports: held.ports },
  });
  assert.equal([after(ready)['waiters'], after(ready)['wanted']], [[], 'running']);
  const quota = said(row('claiming', { ...early, ...v.waiters('created', 'C1') }, v.quotaRefused, ''), 'reject');
  assert.equal([quota['commandId'], quota['code']], ['C1', 'quota_exceeded']);
});

test('a refusal names the field of the VM that is to blame', () => {
  const reject = said(row('addressing', unaddressed, v.portRefused, ''), 'reject');
  assert.equal(
    [reject['commandId'], reject['issues']],
    ['C1', [{ path: 'spec.nics.0.address', message: v.portRefused.error.message }]],
  );
});

test('only another host than the last raises the run epoch', () => {
  const epochs = ['w1', 'w2', null].map(
    (lastHost) => after(row('placing', { ...away, lastHost }, v.placed, ''))['runEpoch'],
  );
  assert.equal(epochs, [1, 2, 2]);
});

test('a run is made of what was prepared, and has a uid of its own', () => {
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
    diskSlots: 8,
    nicSlots: 8,
    boot: { kernelSha256: 'K', initrdSha256: `sha of ${initrd}`, commandLine: '' },
    seed: { instanceId: 'U1', hostname: 'v', userData: null, sshKeys: [], network: true },
  });
  assert.equal([after(last)['incarnationUid'], after(last)['runs']], ['U2', 2]);
  assert.is(after(row('starting', {}, 'startDeadline', ''))['incarnationUid'], 'L1');
});

test('a run has the declared machine type, else that of the newest run that came up', () => {
  const typeOf = (with_: object): unknown => {
    const last = row(preparing, { awaited: [initrd], images: { [kernel]: 'K' }, ...with_ }, v.provided(initrd), '');
    return (said(last, 'incarnation.start') as { event: { spec: { machineType: string } } }).event.spec.machineType;
  };
  const machineType = 'pc-q35-7.0';
  assert.is(typeOf({ machineType }), machineType);
  assert.is(typeOf({ machineType, runSpec: { ...v.spec, machineType: 'pc-q35-9.9' } }), 'pc-q35-9.9');
  const came = after(row('starting', { machineType, failure: passing }, v.running('L1'), ''));
  assert.equal([came['machineType'], came['failure']], ['pc-q35-7.2', null]);
});

test('every volume reports its host and its size once', () => {
  const sizes = { awaited: [volume, 'volume/t/d'], located: [{ volume, sizeMib: 8, host: 'w1' }] };
  const found = (event: object) => after(row('locating', sizes, { ...v.located, ...event }, ''))['located'];
  assert.equal(found({ host: null }), [{ volume, sizeMib: 8, host: null }]);
  const other = { volume: 'volume/t/d', sizeMib: 9, host: 'w2' };
  assert.equal(found(other), [...sizes.located, other]);
});

test('what the kernel has of each NIC stands with the VM while a run has it', () => {
  const wired = {
    tap: 't0',
    ifindex: 9,
    bridge: 'b0',
    mtu: 1450,
    route: 'r',
    dhcpHost: 'd',
    nftGeneration: 1,
    groups: [],
  };
  const active = { type: 'port.active', port, proof: wired };
  const starting = decided(vmMachine, held, { in: 'starting', on: active, to: '' });
  assert.equal([starting.context['wiring'], starting.asks], [{ [port]: wired }, []]);
  const late = decided(vmMachine, held, { in: 'stopped', with: { runSpec: null }, on: active, to: '' });
  assert.equal(late.context['wiring'], {}, 'of a run that is over');
});

test.run();
