/** Decisions of a rollout on one host: a state for each step of the agent's record, orders, a fenced host. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { hostRolloutMachine, type HostRolloutContext } from './host-rollout-machine.ts';

const system = `/nix/store/${'a'.repeat(32)}-nixos-system-w1`;
const request = { id: 'U1', system, from: null, askedAt: 5 };
const held: HostRolloutContext = {
  id: 'host-rollout/system/r@w1',
  rollout: 'rollout/system/r',
  request,
  order: 'hold',
  seen: 'verified',
  why: '',
  failure: null,
};
const receive = { type: 'host-rollout.receive', rollout: 'rollout/system/r', request };
const activate = (decidedAt = 900) => ({ type: 'host-rollout.activate', decidedAt });
const confirm = { type: 'host-rollout.confirm' };
const abort = { type: 'host-rollout.abort' };
const record = (state: string | null, why = '') => ({ type: 'system.follow.done', state, why });
const failed = (code: string) => ({
  type: 'system.follow.failed',
  error: { code, message: 'x', retryable: false },
});
const unknown = { type: 'system.follow.unknown', error: { code: 'x', message: 'x', retryable: true } };
const told = 'host-rollout.stands > rollout';
const follows = [told, 'system.follow'];
const allowed = { order: 'activate' };

const rows: readonly Row[] = [
  { in: 'born', on: receive, to: 'receiving', asks: follows },

  { in: 'receiving', with: { seen: null }, on: record(null), to: 'receiving', asks: follows },
  { in: 'receiving', with: { seen: null }, on: record('received'), to: 'receiving', asks: follows },
  { in: 'receiving', on: record('fetched'), to: 'verifying', asks: follows },
  { in: 'receiving', on: record('refused'), to: 'refused', asks: [told] },
  { in: 'receiving', with: { seen: null }, on: failed('no_nix_agent'), to: 'refused', asks: [told] },
  { in: 'receiving', on: failed('host_gone'), to: 'gone', asks: [told] },
  { in: 'receiving', on: unknown, to: 'receiving', asks: follows },
  { in: 'receiving', on: abort, to: 'receiving', asks: follows },
  { in: 'receiving', on: 'followReview', to: 'receiving', asks: follows },
  { in: 'receiving', on: activate(), to: 'receiving', asks: [] },
  { in: 'verifying', on: record('verified'), to: 'verified', asks: follows },
  { in: 'verifying', on: record('refused'), to: 'refused', asks: [told] },

  { in: 'verified', on: activate(), to: 'activating', asks: follows },
  // Late: the rollout may have stopped since.
  { in: 'verified', on: activate(900), at: 30_901, to: 'verified', asks: follows },
  { in: 'verified', on: abort, to: 'verified', asks: follows },
  { in: 'verified', with: { order: 'abort' }, on: record('refused'), to: 'untouched', asks: [told] },
  // Its agent has ended before anything was changed, and begins again.
  { in: 'verified', on: record('received'), to: 'receiving', asks: follows },
  { in: 'verified', on: { type: 'host.gone' }, to: 'gone', asks: [told] },

  { in: 'activating', with: allowed, on: record('verified'), to: 'activating', asks: follows },
  { in: 'activating', with: allowed, on: record('staged'), to: 'activating', asks: follows },
  { in: 'activating', with: allowed, on: record('probing'), to: 'probing', asks: follows },
  { in: 'activating', with: allowed, on: record('rolling-back'), to: 'rollingBack', asks: follows },
  { in: 'activating', with: allowed, on: failed('rollout_file'), to: 'failed', asks: [told] },
  { in: 'probing', with: allowed, on: record('awaiting-confirmation'), to: 'confirming', asks: follows },
  { in: 'confirming', with: allowed, on: confirm, to: 'confirming', asks: follows },
  { in: 'confirming', with: { order: 'confirm' }, on: record('confirmed'), to: 'confirmed', asks: [told] },
  { in: 'confirming', with: allowed, on: abort, to: 'confirming', asks: follows },
  { in: 'confirming', with: allowed, on: record('rolling-back'), to: 'rollingBack', asks: follows },
  { in: 'rollingBack', with: allowed, on: record('rolled-back', 'x'), to: 'rolledBack', asks: [told] },
  { in: 'rollingBack', with: allowed, on: record('failed', 'x'), to: 'failed', asks: [told] },
];

test('decisions', () => {
  assert.equal(disagreements(hostRolloutMachine, held, rows), []);
});

test('an order is handed to the agent with what was seen of it, and the rollout is told why', () => {
  const { asked } = decided(hostRolloutMachine, held, { in: 'verified', on: activate(), to: '' });
  assert.equal(asked[1]?.params, { request, order: 'activate', seen: 'verified' });
  const refusal = decided(hostRolloutMachine, held, { in: 'verifying', on: record('refused', 'no signature'), to: '' });
  const { event } = refusal.asked[0]?.params as { readonly event: object };
  assert.equal({ ...event }, { type: 'host-rollout.stands', host: 'w1', phase: 'refused', why: 'no signature' });
});

test.run();
