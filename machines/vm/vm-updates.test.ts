/**
 * What becomes of a VM's changed declaration: each class of change in each kind of state, the ports of added and
 * removed NICs, generations, conditions, labels and protection.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Condition } from '../values/declared.ts';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { vmMachine } from './vm-machine.ts';
import type { VmSpec } from './vm-protocol.ts';
import * as v from './vm-rows-for-tests.ts';
import { atRest, dying, held, initrd, lasting, locates, passing, port } from './vm-rows-for-tests.ts';
import { row, spec, volume, waiting } from './vm-rows-for-tests.ts';

const preparing = 'preparing.asking';
const failed = { runSpec: null, runGeneration: 0, host: null, incarnationUid: null, failure: lasting };
const runs = { runningSince: 500 };
/** Each living state, with a context it may be met with. */
const living: readonly (readonly [string, object])[] = [
  ...['locating', 'placing', 'unplaced', preparing, 'starting', 'backoff'].map((state) => [state, waiting] as const),
  ['running', runs],
  ['stopping', v.resting],
  ['releasing', { ...v.resting, ...waiting }],
  ['stopped', atRest],
  ['failed', failed],
];

const eth1 = { name: 'eth1', network: 'n', address: '10.0.0.9', mac: null };
const eth1Port = 'port/t/v.eth1';
const more: VmSpec = { ...spec, nics: [...spec.nics, eth1] };
const both = { [port]: v.portReady, [eth1Port]: { ...v.portReady, port: eth1Port } };
const eth1Ready = { type: 'port.ready', port: eth1Port, address: '10.0.0.9', mac: '02:50:0a:00:00:09' };
const eth1Refused = { ...v.portRefused, port: eth1Port };
const eth1Gone = { type: 'port.gone', port: eth1Port };
const eth1Claim = 'port.claim > port';

const did = (state: string, changed: object, on: Row['on'], rest: Partial<Row> = {}) =>
  decided(vmMachine, held, row(state, changed, on, '', undefined, rest));
const condition = (context: Readonly<Record<string, unknown>>, of: string): Condition | undefined =>
  (context['conditions'] as readonly Condition[]).find(({ type }) => type === of);
const restart = (context: Readonly<Record<string, unknown>>) => {
  const { status, message } = condition(context, 'RestartRequired') ?? { status: 'absent', message: '' };
  return [status, message];
};
const needed = (fields: string) => ['True', `changed and waiting for the next start: ${fields}; send vm.restart`];
const none = ['False', ''];
const generations = (context: Readonly<Record<string, unknown>>) => [
  context['generation'],
  context['runGeneration'],
  context['observedGeneration'],
];

test('an equal declaration is unchanged in every state', () => {
  const rows = living.flatMap(([state, of]) =>
    [v.create(), v.apply(), v.update()].map((on) => row(state, of, on, state, ['reply'])),
  );
  assert.equal(disagreements(vmMachine, held, rows), []);
  const { asked } = did('running', runs, v.apply());
  const result = { uid: 'U1', generation: 1, result: 'unchanged', ports: held.ports };
  assert.equal(asked[0]?.params, { commandId: 'C', result });
});

const nextStart: Readonly<Record<string, Partial<VmSpec>>> = {
  cpus: { cpus: 2 },
  memoryMib: { memoryMib: 512 },
  machineType: { machineType: 'pc-q35-8.2' },
  host: { host: 'w2' },
  'disks.1': { disks: [{ volume: 'root' }, { volume: 'data' }] },
  'disks.0': { disks: [] },
  'nics.0': { nics: [] },
  boot: { boot: null },
  'boot.kernel': { boot: { kernel: 'k2', initrd: 'i', commandLine: '' } },
};

test('what is of the next start is accepted at once, and the run goes on as it was begun', () => {
  for (const [path, change] of Object.entries(nextStart)) {
    const changed = { ...spec, ...change };
    for (const [state, of] of living.filter(([, at]) => at !== atRest && at !== failed)) {
      for (const on of [v.update(changed), v.apply(changed)]) {
        const { asks, context, state: to } = did(state, of, on);
        assert.equal([to, asks], [state, ['reply']], `${path} in ${state}`);
        assert.equal([context['spec'], context['runSpec'], ...generations(context)], [changed, spec, 2, 1, 1], path);
        assert.equal(restart(context), needed(path), path);
      }
    }
  }
});

test('a VM at rest has nothing that waits for a start', () => {
  for (const [path, change] of Object.entries(nextStart).filter(([key]) => key !== 'nics.0')) {
    for (const [state, of] of [
      ['stopped', atRest],
      ['failed', failed],
    ] as const) {
      const { asks, context, state: to } = did(state, of, v.update({ ...spec, ...change }));
      assert.equal([to, asks, restart(context)], [state, ['reply'], none], path);
      assert.equal(generations(context), [2, 0, state === 'stopped' ? 2 : 1], path);
    }
  }
});

test('the restart policy changes in place: the run has it at once', () => {
  const always: VmSpec = { ...spec, restart: 'always' };
  for (const [state, of] of living) {
    const { asks, context, state: to } = did(state, of, v.update(always));
    assert.equal([to, asks, restart(context)], [state, ['reply'], none], state);
    const [generation, , observed] = generations(context);
    assert.equal([generation, observed], [2, ['running', 'stopped'].includes(state) ? 2 : 1], state);
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
  const other = { name: 'eth0', network: 'm', address: null, mac: null };
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
  assert.equal([restart(context), generations(context)], [none, [3, 3, 3]]);
});

test('the next run is made of the newest spec, and its generation is the one that is realized', () => {
  const waits = did(
    'running',
    runs,
    v.update({ ...spec, boot: { kernel: 'k2', initrd: 'i', commandLine: '' } }),
  ).context;
  const again = did('stopping', { ...waits, restarting: true }, v.ended('stopped'));
  assert.equal([again.state, restart(again.context)], [preparing, none]);
  assert.equal(again.asks, ['image.free > image', ...v.needs], 'the image that only the last run had is released');
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
  const { asked } = did(preparing, { ...changed, awaited: [initrd] }, v.provided(initrd));
  const { event } = asked[0]?.params as { event: { spec: { cpus: number; nics: unknown[]; disks: unknown[] } } };
  assert.equal([event.spec.cpus, event.spec.nics.length, event.spec.disks.length], [1, 1, 1]);
  const rows = [
    row('placing', { ...changed, host: null }, 'placeDeadline', 'placing', ['place > cluster']),
    row(preparing, { ...changed, awaited: [volume] }, 'prepareDeadline', preparing, ['volume.attach > volume']),
    row('releasing', { ...changed, ...waiting }, 'releaseDeadline', 'releasing', v.releases),
    row('unplaced', { ...changed, host: null }, 'placeRetry', 'placing'),
  ];
  assert.equal(disagreements(vmMachine, held, rows), []);
  assert.equal(
    did('unplaced', { ...changed, host: null }, 'placeRetry').asks,
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

test('a NIC is added once its port has an address, and is used by the next run', () => {
  for (const [state, of] of living) {
    const asked = did(state, of, v.update(more));
    assert.equal([asked.state, asked.asks], [state, ['defer', eth1Claim]], state);
    assert.equal([asked.context['spec'], asked.context['generation']], [spec, 1], 'nothing is accepted yet');
    const claim = asked.asked.at(-1)?.params as { to: string; event: object };
    const { name: _, ...nic } = eth1;
    const wanted = { type: 'port.claim', spec: { ...nic, host: null }, holder: v.id };
    assert.equal([claim.to, claim.event], [eth1Port, wanted], state);
    const { context, asks } = did(state, asked.context, eth1Ready);
    assert.equal(asks, ['reply'], state);
    assert.equal([context['spec'], context['generation'], context['proposed']], [more, 2, null], state);
    const isAtRest = of === atRest || of === failed;
    assert.equal(restart(context), isAtRest ? none : needed('nics.1'), state);
    assert.is(context['observedGeneration'], state === 'stopped' ? 2 : 1, state);
  }
  const { asked } = did('running', did('running', runs, v.apply(more)).context, eth1Ready);
  const ports = { ...held.ports, [eth1Port]: { address: '10.0.0.9', mac: '02:50:0a:00:00:09' } };
  assert.equal(asked[0]?.params, {
    commandId: 'C',
    result: { uid: 'U1', generation: 2, result: 'updated', ports },
  });
});

test('a refused port rejects the change, names the field, and leaves the old spec', () => {
  const three = { ...more, nics: [...more.nics, { ...eth1, name: 'eth2', address: null }] };
  for (const [state, of] of living) {
    const proposed = did(state, of, v.update(three)).context;
    const { asks, asked, context } = did(state, proposed, eth1Refused);
    assert.equal(asks, ['reject taken', 'port.release > port'], state);
    assert.equal((asked[0]?.params as { issues: object }).issues, [
      { path: 'spec.nics.1.address', message: v.portRefused.error.message },
    ]);
    assert.is((asked[1]?.params as { to: string }).to, 'port/t/v.eth2');
    assert.equal([context['spec'], context['generation'], context['proposed']], [spec, 1, null], state);
    assert.equal([restart(context), context['claimed']], [none, [port, 'port/t/v.eth2']], state);
    const late = did(state, context, { ...eth1Ready, port: 'port/t/v.eth2' });
    assert.equal([late.asks, late.context['ports']], [[], held.ports], 'it is being released');
  }
});

test('ports of a proposed change are claimed until they answer, and no other change is accepted meanwhile', () => {
  const proposed = did('running', runs, v.update(more)).context;
  const again = did('running', proposed, 'proposalDeadline');
  assert.equal([again.state, again.asks], ['running', [eth1Claim]]);
  assert.equal(did('running', runs, 'proposalDeadline').asks, []);
  const same = did('running', proposed, v.update(more), { command: 'D' });
  assert.equal(same.asks, ['defer', eth1Claim]);
  assert.equal(same.context['waiters'], v.waiters('updated', 'C', 'D').waiters);
  const rows = [v.update({ ...spec, cpus: 2 }), v.apply({ ...more, cpus: 2 }), v.update(more, { protect: true })].map(
    (on) => row('running', proposed, on, 'running', ['reject name_busy']),
  );
  assert.equal(disagreements(vmMachine, held, rows), []);
  const entering: readonly (readonly [string, object, Row['on']])[] = [
    ['unplaced', { host: null }, 'placeRetry'],
    ['running', runs, v.ended('crash')],
    ['starting', {}, v.running('L1')],
    ['running', runs, v.restart],
    ['stopping', v.resting, 'stopDeadline'],
    ['stopping', v.resting, v.ended('stopped')],
    ['releasing', { ...v.resting, ...waiting }, v.unbound],
    ['stopped', atRest, 'proposalDeadline'],
    ['failed', failed, 'proposalDeadline'],
  ];
  for (const [state, of, on] of entering) {
    const { asks, state: to } = did(state, { ...of, proposed: proposed['proposed'] }, on);
    assert.ok(asks.includes(eth1Claim), `${to} does not repeat the claim`);
  }
});

test('with the VM its undecided change is over', () => {
  for (const [state, of] of living) {
    const proposed = did(state, of, v.update(more)).context;
    const { asks, context } = did(state, proposed, v.remove, { command: 'D' });
    assert.equal(asks.slice(0, 2), ['reject deleted', 'defer'], state);
    assert.equal([context['proposed'], context['waiters']], [null, v.waiters('deleted', 'D').waiters], state);
    assert.equal(context['claimed'], [port, eth1Port], 'to be released with the others');
  }
});

const twoNics = { ...v.made(more), claimed: [port, eth1Port], ports: both };

test('the port of a removed NIC is released once no run uses it', () => {
  const removed = did('running', { ...twoNics, ...runs }, v.update());
  assert.equal([removed.asks, restart(removed.context)], [['reply'], needed('nics.1')]);
  const ended = did('stopping', { ...removed.context, restarting: true }, v.ended('stopped'));
  assert.equal([ended.state, ended.asks], [preparing, ['port.release > port', ...v.needs]]);
  assert.is((ended.asked[0]?.params as { to: string }).to, eth1Port);
  const released = did(
    'releasing',
    { ...removed.context, ...v.resting, runningSince: null, awaited: [eth1Port] },
    {
      type: 'port.unbound',
      port: eth1Port,
    },
  );
  assert.equal([released.state, released.asks], ['stopped', ['port.release > port']]);
  assert.equal(generations(released.context), [2, 0, 1], 'its port has not ended yet');
  assert.equal(generations(did('stopped', released.context, eth1Gone).context), [2, 0, 2]);
  const resting = did('stopped', { ...twoNics, ...atRest }, v.update());
  assert.equal(
    [resting.asks, generations(resting.context)],
    [
      ['port.release > port', 'reply'],
      [2, 0, 1],
    ],
  );
});

test('a removed NIC comes back without a claim while the run has it, else not before its port has ended', () => {
  const removed = did('running', { ...twoNics, ...runs }, v.update()).context;
  const back = did('running', removed, v.update(more));
  assert.equal([back.asks, restart(back.context), generations(back.context)], [['reply'], none, [3, 3, 3]]);
  const other = { ...more, nics: [...spec.nics, { ...eth1, address: null }] };
  assert.equal(did('running', removed, v.update(other)).asks, ['defer', eth1Claim], 'the port refuses another spec');
  const kept = did('running', did('running', removed, v.update(other)).context, eth1Refused).context;
  assert.equal(kept['claimed'], [port, eth1Port], 'it is still the port of the run');
  const resting = did('stopped', { ...twoNics, ...atRest }, v.update()).context;
  assert.equal(did('stopped', resting, v.update(more)).asks, ['reject name_busy']);
  assert.equal(did('stopped', did('stopped', resting, eth1Gone).context, v.update(more)).asks, ['defer', eth1Claim]);
});

test('labels and protection change in place, with no new generation', () => {
  const said = { labels: { app: 'web' }, protect: true };
  for (const [state, of] of living) {
    const { asks, context } = did(state, of, v.apply(spec, said));
    assert.equal(asks, ['reply'], state);
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
  assert.equal(ready('running', {}, v.ended('crash')), ['False', 'BackingOff', 'the run on w1 ended: crash']);
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
