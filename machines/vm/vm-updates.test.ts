/**
 * What becomes of a VM's changed declaration: each class of change in each kind of state, generations, conditions,
 * labels and protection. Added and removed NICs are in vm-nics.test.ts.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Condition } from '../values/conditions.ts';
import { disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { vmMachine } from './vm-machine.ts';
import type { VmSpec } from './vm-protocol.ts';
import * as v from './vm-rows-for-tests.ts';
import {
  atRest,
  condition,
  did,
  dying,
  eth1Ready,
  failed,
  generations,
  held,
  initrd,
  lasting,
  living,
  locates,
  more,
  needed,
  none,
  passing,
  preparing,
  restartOf,
  row,
  runs,
  spec,
  volume,
  waiting,
} from './vm-rows-for-tests.ts';

test('an equal declaration is unchanged in every state', () => {
  const rows = living.flatMap(([state, of]) =>
    [v.create(), v.apply(), v.update()].map((on) => row(state, of, on, state, ['reply'])),
  );
  assert.equal(disagreements(vmMachine, held, rows), []);
  const { asked } = did('running', runs, v.apply());
  const result = { uid: 'U1', generation: 1, result: 'unchanged', ports: held.ports };
  assert.equal(asked[0]?.params, { commandId: 'C', result });
});

test('other security groups of a NIC are claimed of its port at once, whatever the VM does', () => {
  const [nic] = spec.nics;
  if (nic === undefined) throw new Error('no NIC');
  const inWeb = { ...spec, nics: [{ ...nic, securityGroups: ['web'] }] };
  const rows = living.map(([state, of]) => row(state, of, v.update(inWeb), state, ['port.claim > port', 'reply']));
  assert.equal(disagreements(vmMachine, held, rows), []);
  const { asked, context } = did('running', runs, v.update(inWeb));
  const { event } = asked[0]?.params as { event: { spec: { securityGroups: unknown } } };
  assert.equal(event.spec.securityGroups, ['web']);
  assert.equal(restartOf(context), none);
  // Any other field of a NIC cannot change.
  const elsewhere = { ...spec, nics: [{ ...nic, network: 'm', securityGroups: ['web'] }] };
  assert.equal(did('running', runs, v.update(elsewhere)).asks, ['reject immutable_field']);
});

const nextStart: Readonly<Record<string, Partial<VmSpec>>> = {
  cpus: { cpus: 2 },
  memoryMib: { memoryMib: 512 },
  machineType: { machineType: 'pc-q35-8.2' },
  host: { host: 'w2' },
  boot: { boot: null },
  'boot.kernel': { boot: { kernel: 'k2', initrd: 'i', commandLine: '' } },
  'seed.userData': { seed: { ...spec.seed, userData: '#!/bin/sh' } },
};

test('what is of the next start is accepted at once, and the run goes on as it was begun', () => {
  for (const [path, change] of Object.entries(nextStart)) {
    const changed = { ...spec, ...change };
    // One that waits for a host may get one with the newest spec, and asks with that.
    for (const [state, of] of living.filter(
      ([at, with_]) => at !== 'unplaced' && with_ !== atRest && with_ !== failed,
    )) {
      for (const on of [v.update(changed), v.apply(changed)]) {
        const { asks, context, state: to } = did(state, of, on);
        assert.equal([to, asks], [state, ['reply']], `${path} in ${state}`);
        assert.equal([context['spec'], context['runSpec'], ...generations(context)], [changed, spec, 2, 1, 1], path);
        assert.equal(restartOf(context), needed(path), path);
      }
    }
  }
});

test('a VM at rest has nothing that waits for a start', () => {
  for (const [path, change] of Object.entries(nextStart)) {
    for (const [state, of] of [
      ['stopped', atRest],
      ['failed', failed],
    ] as const) {
      const { asks, context, state: to } = did(state, of, v.update({ ...spec, ...change }));
      assert.equal([to, asks, restartOf(context)], [state, ['reply'], none], path);
      assert.equal(generations(context), [2, 0, state === 'stopped' ? 2 : 1], path);
    }
  }
});

test('the restart policy changes in place: the run has it at once', () => {
  const realized = ['running', 'stalled', 'pausing', 'paused', 'resuming', 'stopped'];
  const always: VmSpec = { ...spec, restart: 'always' };
  for (const [state, of] of living) {
    const { asks, context, state: to } = did(state, of, v.update(always));
    assert.equal([to, asks, restartOf(context)], [state, ['reply'], none], state);
    const [generation, , observed] = generations(context);
    assert.equal([generation, observed], [2, realized.includes(state) ? 2 : 1], state);
  }
  assert.is(did('running', { spec: always, ...runs }, v.ended('guest_shutdown')).state, 'backoff');
});

test('running declared false stops it in every state, declared true starts it', () => {
  const off: VmSpec = { ...spec, running: false };
  const stops = [
    ...['locating', 'placing', 'unplaced', preparing, 'backoff'].map((state) =>
      row(state, waiting, v.update(off), 'releasing', ['reply', ...v.releases]),
    ),
    ...['starting', 'running'].map((state) =>
      row(state, {}, v.update(off), 'stopping', ['reply', 'incarnation.stop > incarnation']),
    ),
    row('failed', failed, v.update(off), 'stopped', ['reply']),
    row('stopped', atRest, v.update(off), 'stopped', ['reply']),
    row('stopping', { restarting: true }, v.update(off), 'stopping', ['reply']),
    row('releasing', waiting, v.update(off), 'releasing', ['reply']),
  ];
  assert.equal(disagreements(vmMachine, held, stops), []);
  assert.is(did('stopping', { restarting: true }, v.update(off)).context['wanted'], 'stopped');
  const declaredOff = { ...v.made(off), ...v.resting };
  const starts = [
    row('stopped', { ...atRest, spec: off }, v.update(), 'locating', ['reply', ...locates]),
    row('failed', { ...failed, spec: off }, v.update(), 'locating', ['reply', ...locates]),
    row('running', { ...declaredOff, wanted: 'running' }, v.update(), 'running', ['reply']),
    row('stopping', declaredOff, v.update(), 'stopping', ['reply']),
    row('releasing', { ...declaredOff, ...waiting }, v.update(), 'releasing', ['reply']),
  ];
  assert.equal(disagreements(vmMachine, held, starts), []);
  const restarted = did('stopping', declaredOff, v.update()).context;
  assert.equal([restarted['wanted'], restarted['restarting']], ['running', true]);
  const runsOn = did('running', { ...declaredOff, wanted: 'running' }, v.update()).context;
  assert.is(runsOn['restarting'], false, 'an unrequested end is no restart');
});

test('a NIC that stays cannot change: the field is named, with both values', () => {
  const other = {
    name: 'eth0',
    network: 'm',
    address: null,
    mac: null,
    securityGroups: null,
    addressPairs: [],
    portSecurity: true,
    dnsName: null,
  };
  const changed = { ...spec, nics: [other] };
  const rows = living.flatMap(([state, of]) => [
    row(state, of, v.update(changed), state, ['reject immutable_field']),
    row(state, of, v.apply(changed), state, ['reject immutable_field']),
    row(state, of, v.create(changed), state, ['reject exists_differently']),
  ]);
  assert.equal(disagreements(vmMachine, held, rows), []);
  const { asked, context } = did('running', runs, v.update(changed));
  const { issues } = asked[0]?.params as { issues: readonly { path: string; message: string }[] };
  assert.is(issues[0]?.path, 'spec.nics.0');
  assert.match(issues[0]?.message ?? '', '"network":"n"} and cannot become');
  assert.equal([context['spec'], context['generation']], [spec, 1]);
});

test('a change that is taken back before the start leaves nothing that waits', () => {
  const waits = did('running', runs, v.update({ ...spec, cpus: 2 })).context;
  const { context } = did('running', waits, v.update());
  assert.equal([restartOf(context), generations(context)], [none, [3, 3, 3]]);
});

test('the next run is made of the newest spec, and its generation is the one that is realized', () => {
  const waits = did(
    'running',
    runs,
    v.update({ ...spec, boot: { kernel: 'k2', initrd: 'i', commandLine: '' } }),
  ).context;
  const again = did('stopping', { ...waits, restarting: true }, v.ended('stopped'));
  assert.equal([again.state, restartOf(again.context)], [preparing, none]);
  assert.equal(again.asks, ['image.free > image', ...v.needs], 'the image that only the last run had is let go');
  assert.equal(generations(again.context), [2, 2, 1]);
  assert.equal(generations(did('starting', again.context, v.running('L1')).context), [2, 2, 2]);
});

test('with another size, host or disk the next run is placed again; with other changes it keeps its host', () => {
  const anew: readonly Partial<VmSpec>[] = [{ cpus: 2 }, { memoryMib: 512 }, { host: 'w1' }, { disks: [] }];
  for (const change of anew) {
    const changed = { spec: { ...spec, ...change } };
    const rows = [
      row('stopping', { ...changed, restarting: true }, v.ended('stopped'), 'locating'),
      row('backoff', changed, 'backoff', 'locating'),
      row('backoff', changed, v.start, 'locating'),
      row('backoff', changed, v.restart, 'locating'),
    ].map((one) => ({ ...one, to: change.disks === undefined ? 'locating' : 'placing' }));
    assert.equal(disagreements(vmMachine, held, rows), [], JSON.stringify(change));
  }
  const bigger = { spec: { ...spec, cpus: 2, memoryMib: 512 } };
  const { context } = did('stopping', { ...bigger, restarting: true }, v.ended('stopped'));
  const { asked } = did('locating', context, v.located);
  const { event } = asked[0]?.params as { event: { cpus: number; memoryMib: number } };
  assert.equal([event.cpus, event.memoryMib], [2, 512]);
  const stays = [{ machineType: 'pc-q35-8.2' }, { boot: null }, { restart: 'always' }, { nics: [] }];
  const rows = stays.map((change) => row('backoff', { spec: { ...spec, ...change } }, 'backoff', preparing));
  assert.equal(disagreements(vmMachine, held, rows), []);
});

test('a run in the making keeps the spec it was begun with', () => {
  const changed = { spec: { ...spec, cpus: 2, nics: [], disks: [], boot: null } };
  const disks = { [volume]: { volume, volumeUid: 'V', serial: 's', format: 'raw' } };
  const nics = { [v.port]: { port: v.port, binding: 'b', bindingUid: 'B', mac: 'm', mtu: 1450 } };
  const { asked } = did(preparing, { ...changed, disks, nics, awaited: [initrd] }, v.provided(initrd));
  const { event } = asked[0]?.params as { event: { spec: { cpus: number; nics: unknown[]; disks: unknown[] } } };
  assert.equal([event.spec.cpus, event.spec.nics.length, event.spec.disks.length], [1, 1, 1]);
  const rows = [
    row('placing', { ...changed, host: null }, 'placeDeadline', 'placing', ['place > cluster']),
    row(preparing, { ...changed, awaited: [volume] }, 'prepareDeadline', preparing, ['volume.attach > volume']),
    row('releasing', { ...changed, ...waiting }, 'releaseDeadline', 'releasing', v.releases),
    row('unplaced', { ...changed, host: null }, 'placeReview', 'placing'),
  ];
  assert.equal(disagreements(vmMachine, held, rows), []);
  assert.equal(
    did('unplaced', { ...changed, host: null }, 'placeReview').asks,
    ['volume.detach > volume', 'image.free > image', 'image.free > image', 'port.release > port', 'place > cluster'],
    'before it is placed the newest spec is taken, and what only the last one had is released',
  );
});

test('what fails after it was dropped from the run changes nothing', () => {
  const dropped = v.made({ ...spec, nics: [], disks: [], boot: null });
  const rows = [v.portFailed(lasting), v.volumeRefused(lasting), v.imageRefused(lasting)].map((on) =>
    row(preparing, { ...dropped, awaited: ['image/t/other'] }, on, preparing, []),
  );
  assert.equal(disagreements(vmMachine, held, rows), []);
  assert.is(did('running', dropped, v.portFailed(passing)).context['failure'], null);
});

test('labels and protection change in place, with no new generation', () => {
  const said = { labels: { app: 'web' }, protect: true };
  for (const [state, of] of living) {
    const { asks, context } = did(state, of, v.apply(spec, said));
    assert.equal(asks, ['port.claim > port', 'reply'], state);
    assert.equal([context['labels'], context['protect'], context['generation']], [{ app: 'web' }, true, 1], state);
  }
  const kept = did('running', { ...runs, ...said }, v.update({ ...spec, cpus: 2 })).context;
  assert.equal([kept['labels'], kept['protect']], [{ app: 'web' }, true], 'what is not said stays');
  const labelled = did('running', did('running', runs, v.update(more, said)).context, eth1Ready).context;
  assert.equal([labelled['labels'], labelled['protect']], [{ app: 'web' }, true]);
});

test('a protected VM is not deleted', () => {
  const rows = [...living, ['addressing', { ...waiting, runSpec: null }] as const].map(([state, of]) =>
    row(state, { ...of, protect: true }, v.remove, state, ['reject protected']),
  );
  assert.equal(disagreements(vmMachine, held, rows), []);
});

test('the condition Ready says what is so, and why not', () => {
  const ready = (state: string, changed: object, on: Row['on']) => {
    const { status, reason, message } = condition(did(state, changed, on).context, 'Ready') ?? ({} as Condition);
    return [status, reason, message];
  };
  assert.equal(ready('starting', {}, v.running('L1')), ['True', 'Running', '']);
  assert.equal(ready('running', {}, v.restart), ['False', 'Stopping', '']);
  assert.equal(ready('running', {}, v.ended('crash')), ['False', 'BackingOff', 'the run ended: crash']);
  assert.equal(ready('placing', {}, v.unplaced), ['False', 'Unplaced', 'busy']);
  assert.equal(ready('releasing', { ...waiting, failure: lasting }, v.unbound), ['False', 'Failed', 'no']);
  const stopped = 'stopped by a command or by its guest; send vm.start';
  const off = { spec: { ...spec, running: false } };
  assert.equal(ready('releasing', { ...v.resting, ...waiting }, v.unbound), ['False', 'Stopped', stopped]);
  assert.equal(ready('releasing', { ...v.resting, ...waiting, ...off }, v.unbound), ['True', 'Stopped', '']);
  assert.equal(ready('stopped', atRest, v.update(off.spec)), ['True', 'Stopped', '']);
  assert.equal(ready('releasing', { ...dying, ...waiting }, v.unbound), ['False', 'Deleting', '']);
  const since = { conditions: [{ type: 'Ready', status: 'True', reason: 'Running', message: '', since: 7 }] };
  assert.is(condition(did('running', since, v.restart).context, 'Ready')?.since, 1_000);
});

test.run();
