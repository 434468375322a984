/** Decisions of one run of a VM: results of every effect, wiring, every deadline, and a stop at any time. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { incarnationMachine } from './incarnation-machine.ts';
import {
  another,
  answer,
  bindings,
  done,
  failed,
  first,
  fresh,
  held,
  id,
  lasting,
  over,
  passing,
  proof,
  row,
  sent,
  stalled,
  start,
  started,
  stop,
  told,
  toldEnd,
  unknown,
  unstarted,
  unwirable,
  vm,
  watchDisks,
  wire,
  wired,
} from './incarnation-rows-for-tests.ts';

const starts: readonly Row[] = [
  row('born', fresh, start, 'spawning', ['qemu.start']),

  row('spawning', unstarted, started, 'alive.wiring', ['qemu.watch', wire, wire]),
  row('spawning', { ...unstarted, unwired: [] }, started, 'alive.resuming', ['qemu.watch', 'qemu.resume']),
  row('spawning', unstarted, failed('qemu.start', passing), 'stopping', ['qemu.stop']),
  row('spawning', unstarted, failed('qemu.start', lasting), 'stopping', ['qemu.stop']),
  row('spawning', unstarted, unknown('qemu.start'), 'spawning', ['qemu.start']),
  row('spawning', unstarted, 'startDeadline', 'spawning', ['qemu.start']),
  row('spawning', unstarted, stop, 'stopping', ['qemu.stop']),
  row('spawning', unstarted, start, 'spawning', []),
  row('spawning', unstarted, wired(bindings[0]), 'spawning', []),

  row('alive.wiring', { unwired: bindings }, wired(bindings[0]), 'alive.wiring', []),
  row('alive.wiring', first, wired(bindings[0]), 'alive.resuming', ['qemu.resume']),
  row('alive.wiring', first, wired(bindings[1]), 'alive.wiring', []),
  row('alive.wiring', first, unwirable, 'stopping', ['qemu.stop']),
  row('alive.wiring', first, 'wiringDeadline', 'alive.wiring', [wire]),
  row('alive.wiring', first, start, 'alive.wiring', []),

  row('alive.resuming', {}, done('qemu.resume', { resumedAt: 1 }), 'alive.running', [told, watchDisks]),
  row('alive.resuming', {}, failed('qemu.resume', passing), 'stopping', ['qemu.stop']),
  row('alive.resuming', {}, unknown('qemu.resume'), 'alive.resuming', ['qemu.resume']),
  row('alive.resuming', {}, 'resumeDeadline', 'alive.resuming', ['qemu.resume']),
  row('alive.resuming', {}, wired(bindings[0]), 'alive.resuming', []),
  row('alive.resuming', {}, unwirable, 'alive.resuming', []),
  row('alive.resuming', {}, start, 'alive.resuming', []),

  row('alive.running', {}, start, 'alive.running', [told]),
  row('alive.running', {}, done('qemu.resume', { resumedAt: 1 }), 'alive.running', []),
  row('alive.running', {}, wired(bindings[0]), 'alive.running', []),
  row('alive.running', {}, unwirable, 'alive.running', []),
];

test('QEMU is started, wired and let go', () => {
  assert.equal(disagreements(incarnationMachine, held, starts), []);
});

const full = { code: 'disk_full', message: 'no space', retryable: true };
const standing = { stall: full };
const stalls: readonly Row[] = [
  row('alive.running', {}, done(watchDisks, standing), 'alive.stalled', [stalled, 'qemu.await-disks']),
  row('alive.running', {}, failed(watchDisks, passing), 'rewatching', []),
  row('alive.running', {}, unknown(watchDisks), 'rewatching', []),
  row('alive.stalled', standing, done('qemu.await-disks'), 'alive.running', [told, watchDisks]),
  row('alive.stalled', standing, failed('qemu.await-disks', passing), 'rewatching', []),
  row('alive.stalled', standing, unknown('qemu.await-disks'), 'rewatching', []),
  row('alive.stalled', standing, start, 'alive.stalled', [stalled]),
  row('alive.stalled', standing, done(watchDisks, standing), 'alive.stalled', []),
];

test('a guest whose disk takes no request stands still until the disk takes it, and its VM is told both', () => {
  assert.equal(disagreements(incarnationMachine, held, stalls), []);
  const [stands, , , goesOn] = stalls.map((one) => decided(incarnationMachine, held, one).context['stall']);
  assert.equal([stands, goesOn], [full, null]);
});

const pause = { type: 'incarnation.pause', incarnationUid: 'L1' };
const resume = { type: 'incarnation.resume', incarnationUid: 'L1' };
const reset = { type: 'incarnation.reset', incarnationUid: 'L1' };
const ofAnother = { incarnationUid: 'L0' };
const still = { paused: true };
const toldPaused = 'incarnation.paused > vm';
const pauses: readonly Row[] = [
  ...[
    ['alive.running', {}, told],
    ['alive.stalled', standing, stalled],
  ].flatMap(([state, of, says]) => [
    row(state as string, of as object, pause, 'alive.pausing', ['qemu.pause']),
    row(state as string, of as object, { ...pause, ...ofAnother }, state as string, []),
    row(state as string, of as object, resume, state as string, [says as string]),
    row(state as string, of as object, reset, 'alive.resetting', ['qemu.reset']),
    row(state as string, of as object, { ...reset, ...ofAnother }, state as string, []),
  ]),
  row('alive.pausing', still, done('qemu.pause'), 'alive.paused', [toldPaused]),
  row('alive.pausing', {}, done('qemu.pause'), 'alive.resuming', ['qemu.resume']),
  row('alive.pausing', still, failed('qemu.pause', passing), 'rewatching', []),
  row('alive.pausing', still, unknown('qemu.pause'), 'alive.pausing', ['qemu.pause']),
  row('alive.pausing', still, 'pauseDeadline', 'alive.pausing', ['qemu.pause']),
  row('alive.pausing', still, resume, 'alive.pausing', []),

  row('alive.paused', still, pause, 'alive.paused', [toldPaused]),
  row('alive.paused', still, resume, 'alive.resuming', ['qemu.resume']),
  row('alive.paused', still, { ...resume, ...ofAnother }, 'alive.paused', []),
  row('alive.paused', still, reset, 'alive.resetting', ['qemu.reset']),
  row('alive.paused', still, start, 'alive.paused', [toldPaused]),
  // Its process was looked up again.
  row('spawning', { ...unstarted, ...still, unwired: [] }, started, 'alive.pausing', ['qemu.watch', 'qemu.pause']),
  row('alive.resuming', still, done('qemu.resume'), 'alive.pausing', ['qemu.pause']),
  row('alive.wiring', first, pause, 'alive.wiring', []),

  row('alive.resetting', {}, done('qemu.reset'), 'alive.resuming', ['qemu.resume']),
  row('alive.resetting', still, done('qemu.reset'), 'alive.pausing', ['qemu.pause']),
  row('alive.resetting', {}, failed('qemu.reset', passing), 'rewatching', []),
  row('alive.resetting', {}, unknown('qemu.reset'), 'alive.resetting', ['qemu.reset']),
  row('alive.resetting', {}, 'resetDeadline', 'alive.resetting', ['qemu.reset']),
];

test('a guest is paused, resumed and reset as its VM requests, and stays paused when its process is looked up', () => {
  assert.equal(disagreements(incarnationMachine, held, pauses), []);
});

const volume = 'volume/t/d';
const growth = { volume, volumeUid: 'U1', runEpoch: 2, sizeMib: 128 };
const resize = { type: 'incarnation.resize', ...growth };
const grown = { resizes: [growth] };
const [qemuResize, toldSize] = ['qemu.resize', 'incarnation.resized > volume'];
const growths: readonly Row[] = [
  row('alive.running', {}, resize, 'alive.resizing', [qemuResize]),
  row('alive.stalled', standing, resize, 'alive.resizing', [qemuResize]),
  row('alive.paused', still, resize, 'alive.resizing', [qemuResize]),
  row('alive.resizing', grown, done(qemuResize), 'alive.running', [toldSize, told, watchDisks]),
  row('alive.resizing', { ...grown, ...still }, done(qemuResize), 'alive.pausing', [toldSize, 'qemu.pause']),
  row('alive.resizing', grown, failed(qemuResize, passing), 'alive.running', [toldSize, told, watchDisks]),
  row('alive.resizing', grown, unknown(qemuResize), 'alive.resizing', [qemuResize]),
  row('alive.resizing', grown, 'resizeDeadline', 'alive.resizing', [qemuResize]),
  row('alive.resizing', grown, { ...resize, sizeMib: 256 }, 'alive.resizing', [qemuResize]),
  row('alive.resizing', grown, reset, 'alive.resetting', ['qemu.reset']),
  row('alive.resizing', grown, pause, 'alive.resizing', []),
  // Another one has grown, too.
  row('alive.resizing', { resizes: [growth, growth] }, done(qemuResize), 'alive.resizing', [toldSize, qemuResize]),
  // It was noted while something else was done.
  row('alive.resuming', {}, resize, 'alive.resuming', []),
  row('alive.resuming', grown, done('qemu.resume', { resumedAt: 1 }), 'alive.resizing', [qemuResize]),
  row('alive.pausing', { ...grown, ...still }, done('qemu.pause'), 'alive.resizing', [qemuResize]),
  row('alive.unsending', grown, done('qemu.unsend'), 'alive.resizing', [qemuResize]),
  // A run finds the size when it starts; another one has nothing to do with it.
  row('alive.running', {}, { ...resize, runEpoch: 1 }, 'alive.running', [toldSize]),
  row('spawning', unstarted, { ...resize, runEpoch: 3 }, 'spawning', [toldSize]),
  row('born', fresh, resize, 'gone', [toldSize]),
  row('cleaning', { reason: 'stopped', ...grown }, done('qemu.clean'), 'ended', [toldEnd, toldSize]),
];

test('the guest is told the size of a shared volume that has grown, and the volume is told how that went', () => {
  assert.equal(disagreements(incarnationMachine, held, growths), []);
  const answerOf = (on: Row['on']) => sent(row('alive.resizing', grown, on, '', []), 'incarnation.resized');
  const { volumeUid: _, ...ofRun } = growth;
  const event = { type: 'incarnation.resized', ...ofRun };
  assert.equal(answerOf(done(qemuResize)), { to: volume, event: { ...event, error: null } });
  assert.equal(answerOf(failed(qemuResize, passing)), { to: volume, event: { ...event, error: passing } });
  const newer = answer(row('alive.resizing', grown, { ...resize, sizeMib: 256 }, '', []));
  assert.equal(newer.context['resizes'], [{ ...growth, sizeMib: 256 }]);
});

const aliveStates = ['wiring', 'resuming', 'running', 'stalled', 'pausing', 'paused', 'resizing', 'resetting'];
const watched: readonly Row[] = [
  ...aliveStates
    .map((state) => `alive.${state}`)
    .flatMap((state) => [
      row(state, first, another, 'stopping', ['qemu.stop']),
      ...['guest_shutdown', 'host_quit', 'crash', 'killed', 'gone'].map((reason) =>
        row(state, first, over(reason), 'cleaning', ['qemu.clean']),
      ),
      row(state, first, failed('qemu.watch', passing), 'rewatching', []),
      row(state, first, failed('qemu.watch', lasting), 'rewatching', []),
      row(state, first, unknown('qemu.watch'), 'rewatching', []),
      row(state, first, stop, 'stopping', ['qemu.stop']),
    ]),
  row('rewatching', {}, 'retryDelay', 'spawning', ['qemu.start']),
  row('rewatching', {}, stop, 'stopping', ['qemu.stop']),
  row('rewatching', {}, over('crash'), 'rewatching', []),
  row('rewatching', {}, start, 'rewatching', []),
];

test('a process is watched from its start to its end', () => {
  assert.equal(disagreements(incarnationMachine, held, watched), []);
});

const stopped = { reason: 'stopped', graceMs: 3_000 };

const ends: readonly Row[] = [
  row('stopping', stopped, done('qemu.stop'), 'cleaning', ['qemu.clean']),
  row('stopping', stopped, failed('qemu.stop', passing), 'stopBackoff', []),
  row('stopping', stopped, failed('qemu.stop', lasting), 'stopBackoff', []),
  row('stopping', stopped, unknown('qemu.stop'), 'stopping', ['qemu.stop']),
  row('stopping', stopped, 'stopDeadline', 'stopping', ['qemu.stop']),
  row('stopping', stopped, over('guest_shutdown'), 'stopping', []),
  row('stopping', stopped, started, 'stopping', []),
  row('stopping', stopped, done('qemu.resume', { resumedAt: 1 }), 'stopping', []),
  row('stopping', stopped, wired(bindings[0]), 'stopping', []),
  row('stopping', stopped, stop, 'stopping', []),
  row('stopping', stopped, start, 'stopping', []),

  row('stopBackoff', stopped, 'retryDelay', 'stopping', ['qemu.stop']),
  row('stopBackoff', stopped, stop, 'stopBackoff', []),
  row('stopBackoff', stopped, start, 'stopBackoff', []),

  row('cleaning', stopped, done('qemu.clean'), 'ended', [toldEnd]),
  row('cleaning', stopped, failed('qemu.clean', passing), 'stopBackoff', []),
  row('cleaning', stopped, failed('qemu.clean', lasting), 'stopBackoff', []),
  row('cleaning', stopped, unknown('qemu.clean'), 'cleaning', ['qemu.clean']),
  row('cleaning', stopped, 'cleanDeadline', 'cleaning', ['qemu.clean']),
  row('cleaning', stopped, done('qemu.stop'), 'cleaning', []),
  row('cleaning', stopped, stop, 'cleaning', []),
  row('cleaning', stopped, start, 'cleaning', []),
];

test('an end is reported when nothing is left', () => {
  assert.equal(disagreements(incarnationMachine, held, ends), []);
});

test('a run waits for the binding of every NIC', () => {
  assert.equal(answer(row('born', fresh, start, '', [])).context['unwired'], bindings);
  assert.equal(answer(row('alive.wiring', { unwired: bindings }, wired(bindings[0]), '', [])).context['unwired'], [
    bindings[1],
  ]);
  const asked = sent(row('spawning', { ...unstarted, ...first }, started, '', []), 'binding.wire');
  assert.equal(asked, { to: bindings[0], event: { type: 'binding.wire', requester: id } });
});

test('the proof names one process', () => {
  const { context } = answer(row('spawning', unstarted, started, '', []));
  assert.equal([context['proof'], context['startedAt']], [proof, 1_000]);
});

test('reports to the VM name the run', () => {
  const running = sent(row('alive.resuming', {}, done('qemu.resume', { resumedAt: 1 }), '', []), 'incarnation.running');
  assert.equal(running, {
    to: vm,
    event: { type: 'incarnation.running', host: 'w1', runEpoch: 2, incarnationUid: 'L1', proof },
  });
  const end = sent(
    row('cleaning', { reason: 'start_failed', failure: lasting }, done('qemu.clean'), '', []),
    'incarnation.ended',
  );
  assert.equal(end, {
    to: vm,
    event: {
      type: 'incarnation.ended',
      host: 'w1',
      runEpoch: 2,
      incarnationUid: 'L1',
      reason: 'start_failed',
      error: lasting,
    },
  });
});

test('every way to an end has its reason', () => {
  const reason = (state: string, changed: object, on: Row['on']) => {
    const { context } = answer(row(state, changed, on, '', []));
    return [context['reason'], context['failure']];
  };
  assert.equal(reason('alive.running', {}, over('killed')), ['killed', null]);
  assert.equal(reason('alive.running', {}, stop), ['stopped', null]);
  assert.equal(reason('spawning', unstarted, stop), ['stopped', null]);
  assert.equal(reason('spawning', unstarted, failed('qemu.start', lasting)), ['start_failed', lasting]);
  assert.equal(reason('alive.wiring', first, unwirable), ['wiring_failed', lasting]);
  assert.equal(reason('alive.resuming', {}, failed('qemu.resume', passing)), ['start_failed', passing]);
});

test('a guest gets its grace time, a failed start none; the deadline outlasts it', () => {
  const grace = (one: Row) => {
    const { asked, armed } = answer(one);
    const { graceMs } = asked.find(({ type }) => type === 'qemu.stop')?.params as { graceMs: number };
    return [graceMs, armed[0]?.delayMs];
  };
  assert.equal(grace(row('alive.running', {}, stop, '', [])), [3_000, 33_000]);
  assert.equal(grace(row('stopBackoff', stopped, 'retryDelay', '', [])), [3_000, 33_000]);
  assert.equal(grace(row('spawning', { graceMs: 9 }, failed('qemu.start', lasting), '', [])), [0, 30_000]);
});

const fenced = { code: 'host_gone', message: 'gone', retryable: false };

const goneRows: readonly Row[] = [
  row('spawning', unstarted, failed('qemu.start', fenced), 'ended', [toldEnd]),
  row('alive.wiring', first, failed('qemu.watch', fenced), 'ended', [toldEnd]),
  row('alive.resuming', {}, failed('qemu.resume', fenced), 'ended', [toldEnd]),
  row('alive.running', {}, failed('qemu.watch', fenced), 'ended', [toldEnd]),
  row('stopping', {}, failed('qemu.stop', fenced), 'ended', [toldEnd]),
  row('cleaning', {}, failed('qemu.clean', fenced), 'ended', [toldEnd]),
  row('rewatching', {}, { type: 'host.gone' }, 'ended', [toldEnd]),
  row('stopBackoff', {}, { type: 'host.gone' }, 'ended', [toldEnd]),
];

test('with its host a run ends, whatever was being done', () => {
  assert.equal(disagreements(incarnationMachine, held, goneRows), []);
  const endOf = (before: object): unknown => {
    const at = row('stopping', { ...before }, failed('qemu.stop', fenced), 'ended', []);
    const { reason, failure } = decided(incarnationMachine, held, at).context;
    return [reason, failure];
  };
  assert.equal(endOf({ reason: 'wiring_failed', failure: fenced }), ['host_gone', null]);
  assert.equal(endOf({ reason: 'stopped' }), ['stopped', null], 'it was to end anyway');
});

test('a stop of a run that does not exist is answered with its end', () => {
  const { state, asked } = decided(incarnationMachine, held, { in: 'born', with: fresh, on: stop, from: vm, to: '' });
  assert.is(state, 'gone');
  const ended = {
    type: 'incarnation.ended',
    host: 'w1',
    incarnationUid: 'L1',
    runEpoch: null,
    reason: 'stopped',
    error: null,
  };
  assert.equal(
    asked.map(({ params }) => params),
    [{ to: vm, event: ended }],
  );
});

test.run();
