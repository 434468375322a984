/**
 * Decisions of a rollout: all hosts verify before one is activated, the canary alone, then no more at once than was
 * declared; the first that fails stops it; who keeps a system was reached; what is late, silent or ended.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { rolloutMachine } from './rollout-machine.ts';
import type { RolloutContext } from './rollout-hosts.ts';
import type { RolloutSpec } from './rollout-protocol.ts';
import { confirming, given, kept, line, of, under, waiting, working } from './rollout-rows-for-tests.ts';

const waiters = [{ commandId: 'C0', result: 'created' as const }];

const create = (change: Partial<RolloutSpec> = {}) => ({
  type: 'rollout.create',
  spec: given(change),
  labels: {},
  protect: false,
});
const stands = (host: string, phase: string, why = '') => ({ type: 'host-rollout.stands', host, phase, why });
const seen = (host: string, standing: string) => ({
  type: 'host.stands',
  host: { name: host, index: 1, underlay: '192.0.2.1', underlayMtu: 1_500 },
  standing,
});
const reached = (...results: readonly (readonly [string, string | null])[]) => ({
  type: 'rollout.reach.done',
  results: results.map(([host, error]) => ({ host, error })),
});
const busy = { code: 'rollout_busy', message: 'x', retryable: true };

const ask = 'host-rollout.receive > host-rollout';
const go = 'host-rollout.activate > host-rollout';
const keep = 'host-rollout.confirm > host-rollout';
const leave = 'host-rollout.abort > host-rollout';
const over = [...['w1', 'w2', 'w3'].map(() => 'host.unfollow > host'), 'rollout.release > cluster'] as const;
const follow = ['w1', 'w2', 'w3'].map(() => 'host.follow > host');

const rows: readonly Row[] = [
  { in: 'born', on: create(), command: 'C1', to: 'claiming', asks: ['defer', 'rollout.claim > cluster'] },
  { in: 'born', on: create({ canary: 'w9' }), command: 'C1', to: 'gone', asks: ['reject rollout_invalid'] },
  { in: 'born', on: { type: 'rollout.ask' }, to: 'gone', asks: ['rollout.release > cluster'] },
  { in: 'claiming', on: { type: 'rollout.granted' }, to: 'surveying', asks: follow },
  {
    in: 'claiming',
    with: { waiters },
    on: { type: 'rollout.refused', error: busy },
    to: 'gone',
    asks: ['reject rollout_busy', 'rollout.release > cluster'],
  },
  { in: 'claiming', on: 'claimDeadline', to: 'claiming', asks: ['rollout.claim > cluster'] },

  {
    in: 'surveying',
    with: { waiters, ...of(waiting, waiting, { ...waiting, standing: null }) },
    on: seen('w3', 'present'),
    to: 'receiving',
    asks: ['reply', ask, ask, ask],
  },
  {
    in: 'surveying',
    with: { waiters, ...of({ standing: null }) },
    on: seen('w1', 'silent'),
    to: 'surveying',
    asks: [],
  },
  {
    in: 'surveying',
    with: { waiters, ...of({ standing: null }) },
    on: 'surveyDeadline',
    to: 'gone',
    asks: ['reject host_silent', ...over],
  },

  {
    in: 'surveying',
    with: { waiters, ...of(waiting, waiting, waiting) },
    on: { type: 'rollout.abort' },
    command: 'C1',
    to: 'aborted',
    asks: ['reply', 'reply', ...over],
  },

  // Nothing is activated before every host has verified its system.
  {
    in: 'receiving',
    with: of({}, { phase: 'verifying' }, { phase: 'receiving' }),
    on: stands('w2', 'verified'),
    to: 'receiving',
    asks: [],
  },
  {
    in: 'receiving',
    with: of({}, {}, { phase: 'verifying' }),
    on: stands('w3', 'verified'),
    to: 'canary.following',
    asks: [go],
  },
  {
    in: 'receiving',
    with: of({}, {}, { phase: 'verifying' }),
    on: stands('w3', 'refused', 'no signature'),
    to: 'stopping.following',
    asks: [leave, leave],
  },
  { in: 'receiving', with: of(waiting, waiting, waiting), on: 'review', to: 'receiving', asks: [ask, ask, ask] },

  {
    in: 'canary.following',
    with: of(working),
    on: stands('w1', 'confirming'),
    to: 'canary.reaching',
    asks: ['rollout.reach'],
  },
  { in: 'canary.following', with: of(working), on: stands('w2', 'receiving'), to: 'canary.following', asks: [] },
  { in: 'canary.reaching', with: of(confirming), on: reached(['w1', null]), to: 'canary.following', asks: [keep] },
  { in: 'canary.reaching', with: of(confirming), on: reached(['w1', 'refused']), to: 'canary.following', asks: [] },
  { in: 'canary.following', with: of(confirming), on: 'reachPause', to: 'canary.reaching', asks: ['rollout.reach'] },
  {
    in: 'canary.following',
    with: of({ ...confirming, told: 'confirm' }),
    on: stands('w1', 'confirmed'),
    to: 'rolling.following',
    asks: [go],
  },
  {
    in: 'canary.following',
    with: of(working),
    on: stands('w1', 'rolledBack', 'x'),
    to: 'stopping.following',
    asks: [leave, leave],
  },
  {
    in: 'canary.following',
    with: of({ standing: 'silent' }),
    on: seen('w1', 'present'),
    to: 'canary.following',
    asks: [],
  },
  { in: 'canary.following', with: of({ standing: 'present' }), on: 'review', to: 'canary.following', asks: [go] },
  {
    in: 'canary.following',
    with: { spec: given({ holdAfterCanary: true }), ...of({ ...confirming, told: 'confirm' }) },
    on: stands('w1', 'confirmed'),
    to: 'holding',
    asks: [],
  },
  {
    in: 'holding',
    with: of(kept),
    on: { type: 'rollout.confirm' },
    command: 'C1',
    to: 'rolling.following',
    asks: ['reply', go],
  },

  { in: 'rolling.following', with: of(kept, working), on: stands('w2', 'probing'), to: 'rolling.following', asks: [] },
  {
    in: 'rolling.following',
    with: of(kept, { ...confirming, told: 'confirm' }),
    on: stands('w2', 'confirmed'),
    to: 'rolling.following',
    asks: [go],
  },
  {
    in: 'rolling.following',
    with: { spec: given({ maxParallel: 2 }), ...of(kept) },
    on: 'review',
    to: 'rolling.following',
    asks: [go, go],
  },
  {
    in: 'rolling.following',
    with: of(kept, { standing: 'silent' }),
    on: 'review',
    to: 'rolling.following',
    asks: [go],
  },
  {
    in: 'rolling.following',
    with: of(kept, kept, { ...confirming, told: 'confirm' }),
    on: stands('w3', 'confirmed'),
    to: 'completed',
    asks: over,
  },
  {
    in: 'rolling.following',
    with: of(kept, working),
    on: stands('w2', 'rolledBack', 'x'),
    to: 'stopping.following',
    asks: [leave],
  },
  // Those that are under way go on to their ends, and are reached.
  {
    in: 'rolling.following',
    with: { spec: given({ maxParallel: 2 }), ...of(kept, working, working) },
    on: stands('w2', 'rolledBack', 'x'),
    to: 'stopping.following',
    asks: [],
  },
  {
    in: 'stopping.following',
    with: of(kept, { phase: 'rolledBack' }, working),
    on: stands('w3', 'confirming'),
    to: 'stopping.reaching',
    asks: ['rollout.reach'],
  },
  {
    in: 'stopping.reaching',
    with: of(kept, { phase: 'rolledBack' }, confirming),
    on: reached(['w3', null]),
    to: 'stopping.following',
    asks: [keep],
  },
  {
    in: 'stopping.following',
    with: of(kept, { phase: 'rolledBack' }, { told: 'abort' }),
    on: stands('w3', 'untouched'),
    to: 'failed',
    asks: over,
  },

  {
    in: 'rolling.following',
    with: of(kept, working),
    on: 'review',
    at: 60_901,
    to: 'stopping.following',
    asks: [leave],
  },
  { in: 'rolling.following', with: of(kept, working), on: 'review', at: 60_900, to: 'rolling.following', asks: [] },
  // The order came too late for the host; it is its turn again.
  {
    in: 'rolling.following',
    with: { spec: given({ deadlineSeconds: 300 }), ...of(kept, { told: 'activate' }) },
    on: 'review',
    at: 60_901,
    to: 'rolling.following',
    asks: [go],
  },

  {
    in: 'rolling.following',
    with: of(kept, working),
    on: { type: 'rollout.abort' },
    command: 'C1',
    to: 'aborting',
    asks: ['reply', leave, leave],
  },
  {
    in: 'receiving',
    with: of({}, waiting, waiting),
    on: { type: 'rollout.abort' },
    command: 'C1',
    to: 'aborting',
    asks: ['reply', leave],
  },
  {
    in: 'aborting',
    with: of(kept, { told: 'abort', phase: 'rollingBack' }, { phase: 'untouched' }),
    on: stands('w2', 'rolledBack'),
    to: 'aborted',
    asks: over,
  },
  {
    in: 'aborting',
    with: of(kept, { told: 'abort', absentSince: 1_000 }, { phase: 'untouched' }),
    on: 'review',
    at: 31_001,
    to: 'aborted',
    asks: over,
  },
  {
    in: 'aborting',
    with: of(kept, { told: 'abort', absentSince: 1_000 }, { phase: 'untouched' }),
    on: 'review',
    at: 31_000,
    to: 'aborting',
    asks: [],
  },

  {
    in: 'rolling.following',
    on: { type: 'rollout.delete' },
    command: 'C1',
    to: 'rolling.following',
    asks: ['reject rollout_busy'],
  },
  {
    in: 'rolling.following',
    on: { type: 'rollout.confirm' },
    command: 'C1',
    to: 'rolling.following',
    asks: ['reject nothing_to_confirm'],
  },
  { in: 'rolling.following', on: { type: 'rollout.ask' }, to: 'rolling.following', asks: [] },
  { in: 'rolling.following', on: create(), command: 'C1', to: 'rolling.following', asks: ['reply'] },
  {
    in: 'rolling.following',
    on: { ...create({ maxParallel: 2 }), type: 'rollout.apply' },
    command: 'C1',
    to: 'rolling.following',
    asks: ['reject immutable_field'],
  },
  { in: 'failed', on: { type: 'rollout.ask' }, to: 'failed', asks: ['rollout.release > cluster'] },
  { in: 'failed', on: { type: 'rollout.delete' }, command: 'C1', to: 'gone', asks: ['defer', 'reply'] },
];

test('decisions', () => {
  assert.equal(disagreements(rolloutMachine, under, rows), []);
});

const after = (row: Omit<Row, 'to'>): RolloutContext =>
  decided(rolloutMachine, under, { ...row, to: '' }).context as unknown as RolloutContext;

test('the canary comes first, wherever it is declared', () => {
  const { hosts } = after({ in: 'claiming', with: { spec: given({ canary: 'w3' }) }, on: { type: 'rollout.granted' } });
  assert.equal(
    hosts.map(({ host }) => host),
    ['w3', 'w1', 'w2'],
  );
});

test('a stopped rollout says which host has failed and why, who runs what, and what to do', () => {
  const rolledBack = { phase: 'rolledBack', why: 'a health check: test ended with 1' } as const;
  const { failure, hosts } = after({
    in: 'stopping.following',
    with: of(kept, { told: 'activate', ...rolledBack }, { told: 'abort' }),
    on: stands('w3', 'untouched'),
  });
  assert.is(
    failure?.message,
    'w2 has gone back: a health check: test ended with 1; 1 of 3 hosts run their new systems, w3 was left as before; ' +
      'mend what w2 says, then start another rollout',
  );
  assert.equal(
    hosts.map(({ phase }) => phase),
    ['confirmed', 'rolledBack', 'untouched'],
  );
});

test('a host that is late or silent says so, and what its agent does meanwhile', () => {
  const late = after({
    in: 'rolling.following',
    with: of(kept, { ...working, why: 'slow' }),
    on: 'review',
    at: 70_000,
  });
  assert.is(
    late.hosts[1]?.why,
    'is still probing after 60 s (slow); its agent goes back by itself unless it was confirmed',
  );
  const silent = after({
    in: 'rolling.following',
    with: of(kept, { ...working, absentSince: 5_000 }),
    on: 'review',
    at: 70_000,
  });
  assert.match(silent.hosts[1]?.why ?? '', /^is silent; its agent goes back/);
});

test('at most eight hosts read from the cache at the same time', () => {
  const names = Array.from({ length: 12 }, (_, at) => `h${at}`);
  const hosts = names.map((host) => line(host, waiting));
  const { asks, context } = decided(rolloutMachine, { ...under, hosts }, { in: 'receiving', on: 'review', to: '' });
  assert.is(asks.length, 8);
  const next = decided(rolloutMachine, context, { in: 'receiving', on: stands('h0', 'verified'), to: '' });
  assert.equal(next.asks, [ask]);
});

test.run();
