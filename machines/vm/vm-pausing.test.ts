/** Decisions of a VM whose guest is to stand still, and of its reset. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { vmMachine } from './vm-machine.ts';
import * as v from './vm-rows-for-tests.ts';
import { dying, held, passing, row, waiting } from './vm-rows-for-tests.ts';

const askStop = 'incarnation.stop > incarnation';
const after = (one: Row) => decided(vmMachine, held, one).context;

const still = { paused: true };
const askPause = 'incarnation.pause > incarnation';
const askResume = 'incarnation.resume > incarnation';
const askReset = 'incarnation.reset > incarnation';
const pauses: readonly Row[] = [
  ...['running', 'stalled', 'resuming'].flatMap((state) => [
    row(state, {}, v.pause, 'pausing', [askPause]),
    row(state, {}, v.reset, state, [askReset]),
  ]),
  row('running', {}, v.resume, 'running', ['reply']),
  row('running', {}, v.paused('L1'), 'resuming', [askResume]),
  row('starting', {}, v.paused('L1'), 'resuming', [askResume]),
  row('starting', {}, v.pause, 'starting', []),
  row('starting', still, v.running('L1'), 'pausing', [askPause]),
  row('resuming', {}, v.running('L1'), 'running', []),
  row('resuming', {}, v.running('L0'), 'resuming', []),
  row('resuming', {}, v.stalled('L1'), 'stalled', []),
  row('resuming', {}, 'pauseDeadline', 'resuming', [askResume]),

  row('pausing', still, v.paused('L1'), 'paused', []),
  row('pausing', still, v.paused('L0'), 'pausing', []),
  row('pausing', still, v.running('L1'), 'pausing', []),
  row('pausing', still, 'pauseDeadline', 'pausing', [askPause]),
  row('pausing', still, v.resume, 'pausing', []),
  row('pausing', {}, v.paused('L1'), 'resuming', [askResume]),

  row('paused', still, v.paused('L1'), 'paused', []),
  row('paused', still, v.running('L1'), 'paused', []),
  row('paused', still, v.pause, 'paused', ['reply']),
  row('paused', still, v.resume, 'resuming', [askResume]),
  row('paused', still, v.start, 'resuming', [askResume]),
  row('paused', still, v.reset, 'paused', [askReset]),
  ...['pausing', 'paused', 'resuming'].flatMap((state) => {
    const of = state === 'resuming' ? {} : still;
    return [
      row(state, of, v.stop, 'stopping', [askStop]),
      row(state, of, v.restart, 'stopping', [askStop]),
      row(state, of, v.remove, 'stopping', ['defer', askStop]),
      row(state, of, v.ended('killed'), 'backoff', []),
      row(state, of, v.ended('killed', null, 'L0'), state, []),
      row(state, of, v.portFailed(passing), state, []),
    ];
  }),
  row('stopped', v.atRest, v.pause, 'stopped', []),
  row('stopped', v.atRest, v.resume, 'stopped', []),
  row('stopped', v.atRest, v.reset, 'stopped', []),
  row('stopping', { ...dying, ...waiting }, v.pause, 'stopping', ['reject name_busy']),
];

test('a guest stands still by command until it is resumed, started, restarted or stopped', () => {
  assert.equal(disagreements(vmMachine, held, pauses), []);
  const stands = after(row('pausing', { ...still, ...v.runs }, v.paused('L1'), ''));
  const ready = v.condition(stands, 'Ready');
  assert.equal([ready?.status, ready?.reason, stands['runningSince']], ['False', 'Paused', 500]);
  const wanted = [v.resume, v.start, v.restart, v.stop, v.remove].map(
    (on) => after(row('paused', still, on, ''))['paused'],
  );
  assert.equal(wanted, [false, false, false, false, false]);
  assert.is(after(row('paused', still, v.ended('crash'), ''))['paused'], true, 'the next run is to stand still, too');
});

test.run();
