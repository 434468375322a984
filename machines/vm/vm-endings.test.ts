/** Decisions of a VM whose run ends, is stopped or restarted, and of its deletion; every command in each such state. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { vmMachine } from './vm-machine.ts';
import { reasonOf } from '../values/conditions.ts';
import * as v from './vm-rows-for-tests.ts';
import { bare, dying, held, lasting, locates, needs, passing, port, releases } from './vm-rows-for-tests.ts';
import { did, resting, row, spec, waiting } from './vm-rows-for-tests.ts';

const askStop = 'incarnation.stop > incarnation';
const preparing = 'preparing.asking';
const release = ['port.release > port'];
/** Of a VM with no port: there is none to be taken off the host. */
const portlessReleases = releases.slice(1);
const failedOnce = { runSpec: null, runGeneration: 0, host: null, incarnationUid: null, failure: lasting };
const same = (state: string, changed: object = {}): Row => row(state, changed, v.create(), state, ['reply']);
const other = (state: string, changed: object = {}): Row =>
  row(state, changed, v.create(bare), state, ['reject exists_differently']);

const once = ['once', 'manual', 'never'] as const;
const policy = (name: 'always' | 'on-failure' | (typeof once)[number]) => ({ spec: { ...spec, restart: name } });

const running: readonly Row[] = [
  row('running', {}, v.start, 'running', ['reply']),
  row('running', {}, v.stop, 'stopping', [askStop]),
  row('running', {}, v.restart, 'stopping', [askStop]),
  row('running', {}, v.remove, 'stopping', ['defer', askStop]),
  row('running', {}, v.portFailed(passing), 'running', []),
  row('running', {}, v.running('L1'), 'running', []),
  row('running', {}, v.ended('killed', null, 'L0'), 'running', []),
  row('running', {}, v.unbound, 'running', []),
  row('running', {}, v.stalled('L1'), 'stalled', []),
  row('running', {}, v.stalled('L0'), 'running', []),

  row('stalled', {}, v.running('L1'), 'running', []),
  row('stalled', {}, v.running('L0'), 'stalled', []),
  row('stalled', {}, v.start, 'stalled', ['reply']),
  row('stalled', {}, v.stop, 'stopping', [askStop]),
  row('stalled', {}, v.restart, 'stopping', [askStop]),
  row('stalled', {}, v.remove, 'stopping', ['defer', askStop]),
  row('stalled', {}, v.portFailed(passing), 'stalled', []),
  row('stalled', policy('always'), v.ended('killed'), 'backoff', []),
];

test('a running VM', () => {
  assert.equal(disagreements(vmMachine, held, running), []);
});

const crashes = ['host_quit', 'crash', 'killed', 'gone'];

const ends: readonly Row[] = [
  ...crashes.flatMap((reason) => [
    row('running', policy('always'), v.ended(reason), 'backoff', []),
    row('running', policy('on-failure'), v.ended(reason), 'backoff', []),
    ...once.flatMap((name) => [
      row('running', policy(name), v.ended(reason), 'releasing', releases),
      row('running', { ...policy(name), ...v.portless }, v.ended(reason), 'failed'),
    ]),
  ]),
  ...['guest_shutdown', 'stopped'].flatMap((reason) => [
    row('running', policy('always'), v.ended(reason), 'backoff', []),
    row('running', policy('on-failure'), v.ended(reason), 'releasing', releases),
    ...once.map((name) => row('running', policy(name), v.ended(reason), 'releasing', releases)),
    row('running', { ...policy('on-failure'), ...v.portless }, v.ended(reason), 'stopped'),
    row('running', { ...policy('never'), ...v.portless }, v.ended(reason), 'stopped'),
  ]),
  ...(['always', 'on-failure', 'never'] as const).map((name) =>
    row('running', { ...policy(name), ...v.portless }, v.ended('start_failed', lasting), 'failed', portlessReleases),
  ),

  row('backoff', {}, 'backoff', preparing, needs),
  row('backoff', {}, v.start, preparing, needs),
  row('backoff', {}, v.restart, preparing, needs),
  row('backoff', {}, v.stop, 'releasing', releases),
  row('backoff', {}, v.remove, 'releasing', ['defer', ...releases]),
  row('backoff', {}, v.ended('crash'), 'backoff', []),
  row('backoff', {}, v.tapped, 'backoff', []),
  same('backoff'),
  other('backoff'),
];

test('the restart policy decides after an unrequested end', () => {
  assert.equal(disagreements(vmMachine, held, ends), []);
});

const stopping: readonly Row[] = [
  row('stopping', resting, v.ended('stopped'), 'releasing', releases),
  row('stopping', resting, v.ended('crash', passing), 'releasing', releases),
  row('stopping', { ...policy('always'), ...resting }, v.ended('guest_shutdown'), 'releasing', releases),
  row('stopping', { restarting: true }, v.ended('stopped'), preparing, needs),
  row('stopping', { restarting: true }, v.ended('crash'), preparing, needs),
  row('stopping', { restarting: true, ...policy('never') }, v.ended('guest_shutdown'), preparing, needs),
  row('stopping', { restarting: true, ...resting }, v.ended('stopped'), 'releasing', releases),
  row('stopping', { restarting: true, ...dying }, v.ended('stopped'), 'releasing', releases),
  row('stopping', resting, v.ended('stopped', null, 'L0'), 'stopping', []),
  row('stopping', resting, v.running('L1'), 'stopping', []),
  row('stopping', resting, 'stopDeadline', 'stopping', [askStop]),
  row('stopping', resting, v.start, 'stopping', []),
  row('stopping', resting, v.stop, 'stopping', []),
  row('stopping', { restarting: true }, v.stop, 'stopping', []),
  row('stopping', resting, v.remove, 'stopping', ['defer']),
  same('stopping'),
  other('stopping'),

  row('releasing', { ...resting, ...waiting }, v.unbound, 'stopped', []),
  row('releasing', { ...resting, awaited: [port, 'port/t/v.eth1'] }, v.unbound, 'releasing', []),
  row('releasing', { ...waiting, failure: lasting }, v.unbound, 'failed', []),
  row('releasing', waiting, v.unbound, 'locating', locates),
  row('releasing', { ...dying, ...waiting }, v.unbound, 'dismantling', release),
  row('releasing', { ...dying, ...waiting, failure: lasting }, v.unbound, 'dismantling', release),
  row('releasing', { ...resting, ...waiting }, 'releaseDeadline', 'releasing', releases),
  row('releasing', { ...resting, ...waiting }, v.ended('stopped'), 'releasing', []),
  row('releasing', { ...resting, ...waiting }, v.start, 'releasing', []),
  row('releasing', { ...resting, ...waiting }, v.stop, 'releasing', []),
  row('releasing', { ...resting, ...waiting }, v.remove, 'releasing', ['defer']),
  same('releasing', waiting),
];

test('stopping, restarting and letting go', () => {
  assert.equal(disagreements(vmMachine, held, stopping), []);
});

const standing: readonly Row[] = (
  [
    ['stopped', v.atRest],
    ['failed', failedOnce],
  ] as const
).flatMap(([state, of]) => [
  row(state, of, v.start, 'locating', locates),
  row(state, { ...of, ...v.portless, spec: bare }, v.start, 'placing', ['place > cluster']),
  row(state, of, v.remove, 'dismantling', ['defer', ...release]),
  row(state, { ...of, ...v.portless, spec: bare }, v.remove, 'gone', ['defer', 'reply', 'quota.release > tenant']),
  row(state, of, v.ended('crash'), state, []),
  row(state, of, v.unbound, state, []),
  row(state, of, v.placed, state, []),
  same(state, of),
  other(state, of),
]);

test('a VM at rest', () => {
  assert.equal(disagreements(vmMachine, held, standing), []);
  const stops = [
    row('stopped', v.atRest, v.stop, 'stopped', ['reply']),
    row('failed', failedOnce, v.stop, 'stopped', []),
  ];
  assert.equal(disagreements(vmMachine, held, stops), []);
});

const deleting: readonly Row[] = [
  ...['stopping', 'releasing', 'dismantling'].flatMap((state) => [
    ...[v.create(), v.create(bare), v.apply(), v.update(bare), v.start, v.stop].map((on) =>
      row(state, { ...dying, ...waiting }, on, state, ['reject name_busy']),
    ),
    row(state, { ...dying, ...waiting }, v.remove, state, ['defer']),
  ]),
  row('dismantling', { ...dying, ...waiting }, v.gone, 'gone', ['reply', 'quota.release > tenant']),
  row('dismantling', { ...dying, awaited: [port, 'port/t/v.eth1'] }, v.gone, 'dismantling', []),
  row('dismantling', { ...dying, ...waiting }, 'releaseDeadline', 'dismantling', release),
  row('dismantling', { ...dying, ...waiting }, v.unbound, 'dismantling', []),
  row('dismantling', { ...dying, ...waiting }, v.portReady, 'dismantling', []),
];

test('a deletion cannot be undone, and every other command is rejected', () => {
  assert.equal(disagreements(vmMachine, held, deleting), []);
});

const after = (one: Row) => decided(vmMachine, held, one).context;

const underway = ['locating', 'placing', 'unplaced', preparing, 'starting'];

test('a start of what is being started changes nothing; a restart where there is no run is left to be rejected', () => {
  const rows = [
    ...underway.filter((state) => state !== 'unplaced').map((state) => row(state, waiting, v.start, state, ['reply'])),
    ...underway.map((state) => row(state, waiting, v.restart, state, [])),
    ...['claiming', 'addressing', 'withdrawing', 'dismantling', 'stopping', 'releasing'].map((state) =>
      row(state, waiting, v.restart, state, []),
    ),
    row('stopped', v.atRest, v.restart, 'stopped', []),
    row('failed', failedOnce, v.restart, 'failed', []),
  ];
  assert.equal(disagreements(vmMachine, held, rows), []);
});

test('a new VM of the same name and spec is answered with the standing one', () => {
  const rows = [...underway, 'running'].flatMap((state) => [
    same(state, waiting),
    row(state, waiting, v.create(bare), state, ['reject exists_differently']),
  ]);
  assert.equal(disagreements(vmMachine, held, rows), []);
});

test('failures in a row count, ten healthy minutes or a command reset the count', () => {
  const tries = (since: number, at: number, reason: string) =>
    after(row('running', { tries: 3, runningSince: since }, v.ended(reason), '', [], { at }))['tries'];
  assert.equal([tries(0, 599_999, 'crash'), tries(0, 600_000, 'crash'), tries(0, 5, 'stopped')], [4, 1, 0]);
  // A guest that powers itself off at once rests as long as one that crashes.
  assert.equal([tries(0, 5, 'guest_shutdown'), tries(0, 600_000, 'guest_shutdown')], [4, 1]);
  assert.equal(after(row('backoff', { tries: 3, failure: passing }, v.start, ''))['tries'], 0);
  const waits = [1, 2, 3, 6, 9].map(
    (before) => decided(vmMachine, { ...held, tries: before - 1 }, row('running', {}, v.ended('crash'), '')).armed,
  );
  assert.equal(
    waits.map(([timer]) => timer?.delayMs),
    [1_000, 2_000, 4_000, 32_000, 60_000],
  );
});

test('three crashes in a row are a loop, until it runs for ten minutes, ends cleanly or is started', () => {
  const crashed = (before: number, on: Row['on'], state = 'running') => {
    const seen = after(row(state, { crashes: before }, on, '', [], { at: 7 }));
    const loop = v.condition(seen, 'CrashLoop');
    return [seen['crashes'], loop?.status, loop?.message];
  };
  assert.equal(crashed(1, v.ended('crash')), [2, undefined, undefined]);
  const message = '3 runs in a row have crashed within 10 min of their start, the last one: gone';
  assert.equal(crashed(2, v.ended('gone')), [3, 'True', message]);
  const looping = after(row('running', { crashes: 2 }, v.ended('crash'), '', [], { at: 7 }));
  assert.equal(looping['lastEnd'], { reason: 'crash', at: 7 });
  const next = (state: string, on: Row['on'], at = 8) => {
    const { context } = decided(vmMachine, looping, row(state, {}, on, '', [], { at }));
    return [context['crashes'], context['tries'], v.condition(context, 'CrashLoop')?.status];
  };
  assert.equal(next('running', 'healthy'), [0, 0, 'False']);
  assert.equal(next('running', v.ended('guest_shutdown')), [0, 2, 'False'], 'it rests longer all the same');
  assert.equal(next('backoff', v.start), [0, 0, 'False']);
});

test('with the policy manual only commands start and stop it', () => {
  const manual = { ...spec, restart: 'manual' as const };
  const stood = v.made(manual);
  const rows = [
    row('addressing', { ...waiting, spec: manual, runSpec: null, ports: {} }, v.portReady, 'stopped'),
    row('stopped', { ...v.atRest, spec: { ...manual, running: false } }, v.update(manual), 'stopped', ['reply']),
    row('stopped', { ...v.atRest, spec: manual }, v.start, 'locating', locates),
    row('running', { ...stood, ...v.runs }, v.update({ ...manual, running: false }), 'running', ['reply']),
    row('stopped', { ...v.atRest, spec: manual }, v.update(spec), 'locating'),
  ];
  assert.equal(disagreements(vmMachine, held, rows), []);
  const { context } = did('addressing', { ...waiting, spec: manual, runSpec: null, ports: {} }, v.portReady);
  assert.is(v.condition(context, 'Ready')?.status, 'True', 'it rests as declared');
});

test('the end of a run says why; a clean one leaves no failure', () => {
  const failure = (reason: string, error: object | null) =>
    (after(row('running', {}, v.ended(reason, error), ''))['failure'] as { code: string } | null)?.code;
  assert.equal([failure('crash', null), failure('start_failed', passing)], ['run_crash', 'disk_busy']);
  assert.is(failure('guest_shutdown', null), undefined);
});

test('the last command says what is wanted, and clears the failure before it', () => {
  const wanted = (command: Row['on'], state: string, before: object) => {
    const { context } = decided(vmMachine, held, row(state, { ...waiting, failure: lasting, ...before }, command, ''));
    return [context['wanted'], context['failure'], context['restarting']];
  };
  assert.equal(wanted(v.start, 'stopping', resting), ['running', null, true]);
  assert.equal(wanted(v.start, 'stopping', { restarting: true, failure: null }), ['running', null, true]);
  assert.equal(wanted(v.start, 'releasing', {}), ['running', null, false]);
  assert.equal(wanted(v.start, 'failed', failedOnce), ['running', null, false]);
  assert.equal(wanted(v.stop, 'running', {}), ['stopped', null, false]);
  assert.equal(wanted(v.stop, 'stopping', {}), ['stopped', null, false]);
  assert.equal(wanted(v.stop, 'releasing', {}), ['stopped', null, false]);
  assert.equal(wanted(v.stop, 'failed', failedOnce), ['stopped', null, false]);
  assert.equal(wanted(v.restart, 'running', { failure: null }), ['running', null, true]);
  for (const state of ['running', 'stopping', 'releasing']) {
    assert.equal(wanted(v.remove, state, resting), ['deleted', null, false], state);
  }
  assert.equal(wanted(v.remove, 'stopped', v.atRest), ['deleted', null, false]);
  assert.equal(wanted(v.remove, 'failed', failedOnce), ['deleted', null, false]);
});

test('what QEMU says when it refuses to start is the reason of its VM, also while it is tried again', () => {
  const words = (retryable: boolean) => ({ code: 'disk_damaged', message: 'QEMU says why', retryable });
  const reasonAfter = (retryable: boolean) => {
    const { state, context } = did('starting', v.portless, v.ended('start_failed', words(retryable)));
    return [state, reasonOf(context as never), v.condition(context, 'Ready')?.message];
  };
  assert.equal(reasonAfter(true), ['backoff', 'QEMU says why', 'QEMU says why']);
  assert.equal(reasonAfter(false), ['failed', 'QEMU says why', 'QEMU says why']);
});

test('a guest that stands still is not ready and says why; it has run since its start when it goes on', () => {
  const stands = after(row('running', v.runs, v.stalled('L1'), '', [], { at: 9_000 }));
  const ready = v.condition(stands, 'Ready');
  assert.equal([ready?.status, ready?.reason, ready?.message], ['False', 'Stalled', v.diskFull.message]);
  assert.equal([stands['failure'], stands['runningSince']], [v.diskFull, 500]);
  const { context } = decided(vmMachine, stands, row('stalled', {}, v.running('L1'), '', [], { at: 12_000 }));
  assert.equal([context['failure'], context['runningSince'], context['proof']], [null, 500, v.proof]);
  assert.is(v.condition(context, 'Ready')?.status, 'True');
});

test('a restart is over when the next run is prepared', () => {
  assert.is(after(row('stopping', { restarting: true }, v.ended('stopped'), ''))['restarting'], false);
});

test('a port that fails under a running guest is shown, and stops nothing', () => {
  assert.equal(after(row('running', {}, v.portFailed(passing), ''))['failure'], passing);
});

test('the time the guest is given to power off', () => {
  const grace = (command: Row['on']) => {
    const { context, armed, asked } = decided(vmMachine, held, row('running', {}, command, ''));
    const sent = asked.find(({ type }) => type === 'send')?.params as { event: { graceMs: number } };
    assert.is(armed[0]?.delayMs, sent.event.graceMs + 60_000);
    return [context['graceMs'], sent.event.graceMs];
  };
  assert.equal(
    [grace(v.stop), grace(v.restart), grace(v.remove), grace(v.update({ ...spec, running: false }))],
    [
      [3_000, 3_000],
      [3_000, 3_000],
      [2_000, 2_000],
      [10_000, 10_000],
    ],
  );
});

test('what is let go of is forgotten, addresses and the last host are not', () => {
  const free = after(row('releasing', { ...resting, ...waiting }, v.unbound, ''));
  assert.equal([free['host'], free['incarnationUid'], free['located']], [null, null, []]);
  assert.equal([free['ports'], free['lastHost'], free['uid']], [held.ports, 'w1', 'U1']);
});

test('a deletion is answered by its own command', () => {
  assert.equal(after(row('running', {}, v.remove, ''))['waiters'], v.waiters('deleted', 'C').waiters);
  const { asked } = decided(vmMachine, held, row('dismantling', { ...dying, ...waiting }, v.gone, ''));
  const result = { uid: 'U1', generation: 1, result: 'deleted', ports: {} };
  assert.equal(asked[0]?.params, { commandId: 'D1', result });
});

const hostGone = { code: 'host_gone', message: 'gone', retryable: false };
const told: readonly Row[] = [v.portFailed(hostGone), v.volumeRefused(hostGone), v.imageRefused(hostGone)].map((on) =>
  row(preparing, { failure: passing }, on, 'releasing', releases),
);
const moves: readonly Row[] = [
  ...(['always', 'on-failure'] as const).flatMap((name) => [
    row('running', policy(name), v.ended('host_gone'), 'releasing', releases),
    row('running', { ...policy(name), ...v.portless }, v.ended('host_gone'), 'locating', [
      ...portlessReleases,
      ...locates,
    ]),
    row('starting', { ...policy(name), ...v.portless }, v.ended('host_gone'), 'locating', [
      ...portlessReleases,
      ...locates,
    ]),
  ]),
  row('running', { ...policy('never'), ...v.portless }, v.ended('host_gone'), 'failed', portlessReleases),
  row('stopping', { ...policy('never'), ...v.portless, restarting: true }, v.ended('host_gone'), 'locating'),
  row('stopping', { ...resting, ...v.portless }, v.ended('host_gone'), 'stopped', portlessReleases),
  ...told,
  row('releasing', { ...waiting, failure: null }, v.unbound, 'locating', locates),
];

test('after its host is fenced a VM is placed again, as the restart policy says', () => {
  assert.equal(disagreements(vmMachine, held, moves), []);
  for (const at of told) assert.is(decided(vmMachine, held, at).context['failure'], null);
});

test.run();
