/** Decisions of an agent: every result of its two effects, a new boot at any time, deadlines. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { agentMachine, type AgentContext } from './agent-machine.ts';

const held: AgentContext = {
  id: 'agent/system/w1@w1',
  uid: 'U1',
  host: 'w1',
  boot: 'b1',
  report: null,
  index: 0,
  sweep: null,
  tries: 0,
  failure: null,
};
const boot = { type: 'agent.boot', boot: 'b2', host: 'w1' };
const error = { code: 'x', message: 'x', retryable: false };
const swept = { type: 'host.sweep.done', removed: [], removedCount: 0, failed: [], failedCount: 0 };

const rows: readonly Row[] = [
  { in: 'born', on: boot, to: 'observing.looking', asks: ['host.observe'] },
  {
    in: 'observing.looking',
    on: { type: 'host.observe.done', facts: {} },
    to: 'announcing',
    asks: ['host.announce > host'],
  },
  { in: 'observing.looking', on: { type: 'host.observe.failed', error }, to: 'observing.waiting', asks: [] },
  { in: 'observing.looking', on: { type: 'host.observe.unknown', error }, to: 'observing.waiting', asks: [] },
  { in: 'observing.looking', on: 'observeDeadline', to: 'observing.looking', asks: ['host.observe'] },
  { in: 'observing.looking', on: boot, to: 'observing.looking', asks: ['host.observe'] },
  { in: 'observing.waiting', on: 'backoff', to: 'observing.looking', asks: ['host.observe'] },
  {
    in: 'announcing',
    on: { type: 'host.admitted', index: 1, boot: 'b1' },
    to: 'serving.sweeping',
    asks: ['host.sweep'],
  },
  { in: 'announcing', on: { type: 'host.admitted', index: 1, boot: 'b0' }, to: 'announcing', asks: [] },
  { in: 'announcing', on: 'announceDeadline', to: 'announcing', asks: ['host.announce > host'] },
  { in: 'announcing', on: boot, to: 'observing.looking', asks: ['host.observe'] },
  { in: 'serving.sweeping', on: swept, to: 'serving.resting', asks: [] },
  { in: 'serving.sweeping', on: { type: 'host.sweep.failed', error }, to: 'serving.resting', asks: [] },
  { in: 'serving.sweeping', on: { type: 'host.sweep.unknown', error }, to: 'serving.resting', asks: [] },
  { in: 'serving.sweeping', on: 'sweepDeadline', to: 'serving.resting', asks: [] },
  { in: 'serving.resting', on: 'sweepInterval', to: 'serving.sweeping', asks: ['host.sweep'] },
  { in: 'serving.resting', on: { type: 'host.admitted', index: 2, boot: 'b1' }, to: 'serving.resting', asks: [] },
  { in: 'serving.resting', on: swept, to: 'serving.resting', asks: [] },
  { in: 'serving.resting', on: boot, to: 'observing.looking', asks: ['host.observe'] },
];

test('decisions', () => {
  assert.equal(disagreements(agentMachine, held, rows), []);
});

test.run();
