/** Decisions of a run that moves to another host: on its new host, and on the one that it leaves. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { incarnationMachine } from './incarnation-machine.ts';
import {
  answer,
  bindings,
  done,
  failed,
  first,
  fresh,
  held,
  over,
  passing,
  proof,
  row,
  spec,
  started,
  stop,
  told,
  toldEnd,
  unknown,
  unwirable,
  vm,
  watchDisks,
  wire,
  wired,
} from './incarnation-rows-for-tests.ts';

const here = 'migration/t/v';
const door = { host: 'w2', address: '192.0.2.2', port: 7, mirrorPort: null };
const outgoing = { migration: 'M1', door, mirrors: [], maxDowntimeMs: 300, throttle: false };
const uid = { incarnationUid: 'L1' };
const incomingSpec = { ...spec, incoming: { migration: 'M1', listen: '192.0.2.2', mirrors: [] } };
const receive = { type: 'incarnation.receive', vm, spec: incomingSpec };
const coming = { spec: incomingSpec, migration: here, door };
const goingOut = { migration: here, outgoing };
const sentAll = { method: 'live', pausedAt: 9, sentBytes: 5 };
const progress = { progress: { remainingBytes: 1 } };
const wired2 = wired(bindings[1]);

const flow = { nic: 0, protocol: 'tcp' };
const goOn = { type: 'incarnation.go-on', flows: [flow] };

const movesIn: readonly Row[] = [
  { ...row('born', fresh, receive, 'receiving', ['qemu.receive']), from: here },
  row('receiving', { ...coming, unwired: bindings }, done('qemu.receive', { ...proof, door }), 'incoming.wiring', [
    'qemu.watch',
    wire,
    wire,
  ]),
  row('receiving', coming, failed('qemu.receive', passing), 'stopping', ['qemu.stop']),
  row('receiving', coming, unknown('qemu.receive'), 'receiving', ['qemu.receive']),
  row('receiving', coming, 'startDeadline', 'receiving', ['qemu.receive']),
  row('receiving', coming, stop, 'stopping', ['qemu.stop']),
  row('incoming.wiring', { ...coming, unwired: [bindings[1]] }, wired2, 'incoming.listening', [
    'incarnation.receiving > migration',
    'qemu.await-incoming',
  ]),
  row('incoming.wiring', { ...coming, ...first }, unwirable, 'stopping', ['qemu.stop']),
  row('incoming.wiring', { ...coming, ...first }, 'wiringDeadline', 'incoming.wiring', [wire]),
  row('incoming.listening', coming, receive, 'incoming.listening', ['incarnation.receiving > migration']),
  row('incoming.listening', coming, done('qemu.await-incoming'), 'incoming.arrived', [
    'incarnation.received > migration',
  ]),
  row('incoming.listening', coming, failed('qemu.await-incoming', passing), 'stopping', ['qemu.stop']),
  row('incoming.listening', coming, { ...goOn, ...uid }, 'incoming.listening', []),
  row('incoming.arrived', coming, { ...goOn, incarnationUid: 'L0' }, 'incoming.arrived', []),
  row('incoming.arrived', coming, { ...goOn, ...uid }, 'alive.resuming', ['qemu.watch', 'qemu.resume']),
  // It has ended before the VM decided for it: the migration and the VM would wait for it for ever.
  { ...row('born', fresh, { ...goOn, ...uid }, 'gone', [toldEnd, 'incarnation.ended > migration']), from: here },
  row('incoming.arrived', coming, stop, 'stopping', ['qemu.stop']),
  row('incoming.arrived', coming, over('killed'), 'cleaning', ['qemu.clean']),
  row('cleaning', coming, done('qemu.clean'), 'ended', [toldEnd, 'incarnation.ended > migration']),
  row('alive.resuming', { migration: here }, done('qemu.resume', { resumedAt: 8 }), 'alive.running', [
    'incarnation.resumed > migration',
    told,
    watchDisks,
  ]),
];

test('a run moves in: it listens, is wired, and is resumed only when it is told to', () => {
  assert.equal(disagreements(incarnationMachine, held, movesIn), []);
  const resumed = movesIn.find(({ to }) => to === 'alive.resuming') as Row;
  assert.is((answer(resumed).context['spec'] as { incoming?: object }).incoming, undefined);
  const flowsOf = (one: Row): unknown =>
    answer(one)
      .asked.map(({ type, params }) => (type === 'qemu.resume' ? (params as { flows?: unknown }).flows : null))
      .find((flows) => flows !== null);
  assert.equal(flowsOf(resumed), [flow], 'its connections are told before it goes on');
  const again = row('alive.resuming', { flows: [flow] }, unknown('qemu.resume'), 'alive.resuming', []);
  assert.equal(flowsOf(again), [flow], 'also when that is tried again');
  const after = row('alive.resuming', { flows: [flow] }, done('qemu.resume', { resumedAt: 8, flows: 1 }), '', []);
  assert.equal(answer(after).context['flows'], []);
});

const movesOut: readonly Row[] = [
  {
    ...row('alive.running', {}, { type: 'incarnation.send', ...uid, outgoing }, 'alive.sending.measuring', [
      'qemu.send',
      'qemu.measure',
    ]),
    from: here,
  },
  row('alive.running', {}, { type: 'incarnation.send', incarnationUid: 'L0', outgoing }, 'alive.running', []),
  row('alive.sending.measuring', goingOut, done('qemu.measure', progress), 'alive.sending.resting', [
    'incarnation.progress > migration',
  ]),
  row('alive.sending.measuring', goingOut, unknown('qemu.measure'), 'alive.sending.resting', []),
  row('alive.sending.resting', goingOut, 'retryDelay', 'alive.sending.measuring', ['qemu.measure']),
  row('alive.sending.resting', goingOut, { type: 'incarnation.hold', ...uid }, 'alive.sending.holding', ['qemu.hold']),
  row('alive.sending.holding', goingOut, done('qemu.hold'), 'alive.sending.resting', []),
  row('alive.sending.resting', goingOut, done('qemu.send', sentAll), 'alive.sent', ['incarnation.sent > migration']),
  row('alive.sending.resting', goingOut, unknown('qemu.send'), 'alive.sending.measuring', [
    'qemu.send',
    'qemu.measure',
  ]),
  row('alive.sending.resting', goingOut, failed('qemu.send', passing), 'alive.unsending.trying', ['qemu.unsend']),
  row('alive.sending.resting', goingOut, { type: 'incarnation.unsend', ...uid }, 'alive.unsending.trying', [
    'qemu.unsend',
  ]),
  row('alive.sending.resting', goingOut, stop, 'stopping', ['qemu.stop']),
  row('alive.sending.resting', goingOut, unknown('qemu.watch'), 'rewatching', []),
  row('spawning', goingOut, started, 'alive.sending.measuring', ['qemu.watch', 'qemu.send', 'qemu.measure']),
  row('alive.sent', { ...goingOut, sent: sentAll }, { type: 'incarnation.unsend', ...uid }, 'alive.unsending.trying', [
    'qemu.unsend',
  ]),
  row('alive.sent', { ...goingOut, sent: sentAll }, stop, 'stopping', ['qemu.stop']),
  row('alive.unsending.trying', goingOut, done('qemu.unsend'), 'alive.running', [
    'incarnation.unsent > migration',
    told,
    watchDisks,
  ]),
  row('alive.unsending.trying', goingOut, failed('qemu.unsend', passing), 'alive.unsending.pausing', []),
  row('alive.unsending.pausing', goingOut, 'retryDelay', 'alive.unsending.trying', ['qemu.unsend']),
  { ...row('alive.running', {}, { type: 'incarnation.unsend', ...uid }, 'alive.running', []), from: here },
];

test('a run moves out: a worker that starts again goes on sending and resumes nothing; a failure lets it go on', () => {
  const rows = movesOut.map((one) =>
    'from' in one && one.in === 'alive.running' && one.to === 'alive.running'
      ? { ...one, asks: ['incarnation.unsent > migration'] }
      : one,
  );
  assert.equal(disagreements(incarnationMachine, held, rows), []);
  const { context } = answer(row('alive.unsending.trying', goingOut, done('qemu.unsend'), '', []));
  assert.equal([context['outgoing'], context['migration']], [null, null]);
  const unsent = { in: 'born', with: fresh, on: { type: 'incarnation.unsend', ...uid }, from: here, to: 'gone' };
  assert.equal(disagreements(incarnationMachine, held, [{ ...unsent, asks: ['incarnation.unsent > migration'] }]), []);
});

test.run();
