/**
 * Decisions of a plan: it is made once, verified before its first step, carried out in waves of one level and in order,
 * repeated when the outcome of a wave is not known, and ended by the first step that is refused or has moved.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decided, disagreements, type Row } from '../values/decision-table-for-tests.ts';
import { nextWave, planMachine, type PlanContext } from './plan-machine.ts';
import type { PlanAction, PlanOrder, PlanStep } from './plan-protocol.ts';

const revision = { digest: 'd'.repeat(64), parts: 1, tenants: 'own', objects: 2 } as const;
const order: PlanOrder = {
  deployment: 'deployment/t/web',
  revision,
  prune: true,
  adopt: false,
  maxDeletes: 5,
  readyWithinS: 300,
  owned: {},
};
const step = (name: string, action: PlanAction, level = 0): PlanStep => {
  const rest = { level, base: null, changes: [], reason: null, movedFrom: null, inUse: false };
  return { id: `address-set/t/${name}`, action, ...rest };
};
const made = [step('same', 'no-op'), step('first', 'create'), step('second', 'update', 1), step('old', 'delete', 2)];

const held: PlanContext = {
  id: 'plan/t/web.p1',
  uid: 'U1',
  order,
  digest: 'a'.repeat(64),
  steps: made,
  owned: {},
  outcomes: {},
  problems: [],
  madeAt: 500,
  startedAt: 0,
  endedAt: 0,
  tries: 0,
  failure: null,
};

const make = { type: 'plan.make', order };
const start = { type: 'plan.start' };
const drop = { type: 'plan.drop' };
const told = 'plan.stands > deployment';
const computed = (...steps: readonly PlanStep[]) => ({ type: 'plan.compute.done', digest: 'b', steps, owned: {} });
const verified = (...moved: readonly string[]) => ({
  type: 'plan.verify.done',
  moved: moved.map((id) => ({ id, reason: 'was changed meanwhile' })),
});
const result = (at: number, is: 'done' | 'refused' | 'moved') => ({ step: at, result: is, reason: null });
const applied = (...results: readonly ReturnType<typeof result>[]) => ({ type: 'plan.apply.done', results });
const error = (retryable: boolean) => ({ code: 'x', message: 'no', retryable });
const failed = (effect: string, retryable: boolean, how = 'failed') => ({
  type: `plan.${effect}.${how}`,
  error: error(retryable),
});
const done = { result: 'done', reason: null } as const;
const firstDone = { outcomes: { 1: done } };
const allDone = { outcomes: { 1: done, 2: done, 3: done } };

/** The states in which a repeated request is answered with where the plan stands, and nothing else follows. */
const answering: Readonly<Record<string, boolean>> = {
  empty: true,
  blocked: true,
  applied: true,
  failed: true,
  stale: true,
  verifying: false,
  verifyBackoff: false,
  applying: false,
  applyBackoff: false,
  settling: false,
  settleBackoff: false,
};

const repeated: readonly Row[] = Object.entries(answering).flatMap(([state, mayGo]): Row[] => [
  { in: state, on: make, to: state, asks: [told] },
  { in: state, on: start, to: state, asks: [told] },
  ...(mayGo ? [{ in: state, on: drop, to: 'gone', asks: [] }] : []),
]);

const effects: readonly (readonly [state: string, effect: string, backoff: string])[] = [
  ['making', 'compute', 'makeBackoff'],
  ['verifying', 'verify', 'verifyBackoff'],
  ['applying', 'apply', 'applyBackoff'],
  ['settling', 'settle', 'settleBackoff'],
];

/** What is not known is asked again, a few times; what cannot succeed ends the plan. */
const unlucky: readonly Row[] = effects.flatMap(([state, effect, backoff]): Row[] => [
  { in: state, on: failed(effect, true), to: backoff, asks: [] },
  { in: state, on: failed(effect, true, 'unknown'), to: backoff, asks: [] },
  { in: state, on: failed(effect, false), to: 'failed', asks: [told] },
  { in: state, with: { tries: 6 }, on: failed(effect, true), to: 'failed', asks: [told] },
  { in: backoff, on: 'backoff', to: state },
]);

const rows: readonly Row[] = [
  { in: 'born', with: { order: null, uid: '' }, on: make, to: 'making', asks: ['plan.compute'] },
  { in: 'born', with: { order: null }, on: start, from: 'deployment/t/web', to: 'gone', asks: [told] },
  { in: 'born', with: { order: null }, on: drop, to: 'gone', asks: [] },
  { in: 'making', on: computed(...made), to: 'ready', asks: [told] },
  { in: 'making', on: computed(step('same', 'no-op')), to: 'empty', asks: [told] },
  { in: 'making', on: computed(), to: 'empty', asks: [told] },
  { in: 'making', on: computed(...made, step('x', 'blocked')), to: 'blocked', asks: [told] },
  { in: 'making', on: make, to: 'making', asks: [] },
  { in: 'making', on: drop, to: 'gone', asks: [] },
  { in: 'making', on: 'makeDeadline', to: 'making', asks: ['plan.compute'] },
  { in: 'makeBackoff', on: make, to: 'makeBackoff', asks: [] },
  { in: 'makeBackoff', on: drop, to: 'gone', asks: [] },
  { in: 'ready', on: make, to: 'ready', asks: [told] },
  { in: 'ready', on: drop, to: 'gone', asks: [] },
  { in: 'ready', on: start, to: 'verifying', asks: [told, 'plan.verify'] },
  { in: 'verifying', on: verified(), to: 'applying', asks: ['plan.apply'] },
  { in: 'verifying', on: verified('address-set/t/first'), to: 'stale', asks: [told] },
  { in: 'verifying', with: allDone, on: verified(), to: 'settling', asks: ['plan.settle'] },
  { in: 'verifying', on: 'verifyDeadline', to: 'verifying', asks: [told, 'plan.verify'] },
  { in: 'applying', on: applied(result(1, 'done')), to: 'applying', asks: ['plan.apply'] },
  { in: 'applying', with: firstDone, on: applied(result(2, 'refused')), to: 'failed', asks: [told] },
  { in: 'applying', with: firstDone, on: applied(result(2, 'moved')), to: 'stale', asks: [told] },
  {
    in: 'applying',
    with: { outcomes: { 1: done, 2: done } },
    on: applied(result(3, 'done')),
    to: 'settling',
    asks: ['plan.settle'],
  },
  { in: 'applying', on: 'waveDeadline', to: 'applying', asks: ['plan.apply'] },
  { in: 'settling', on: { type: 'plan.settle.done', unready: [] }, to: 'applied', asks: [told] },
  { in: 'settling', on: 'settleDeadline', to: 'settling', asks: ['plan.settle'] },
  ...repeated,
  ...unlucky,
];

test('decisions', () => {
  assert.equal(disagreements(planMachine, held, rows), []);
});

test('a wave has steps of one level that are not done, at most sixteen, and none that changes nothing', () => {
  const many = Array.from({ length: 20 }, (_, at) => step(`n${at}`, at === 0 ? 'no-op' : 'create'));
  const steps = [...many, step('x', 'blocked'), step('late', 'create', 1)];
  const first = nextWave({ steps, outcomes: {} });
  assert.equal([first.length, first[0]?.step], [16, 1]);
  const outcomes = Object.fromEntries(first.map((one) => [one.step, done]));
  const second = nextWave({ steps, outcomes });
  assert.equal(
    second.map((one) => one.step),
    [17, 18, 19],
  );
  const third = nextWave({ steps, outcomes: { ...outcomes, 17: done, 18: done, 19: done } });
  assert.equal(
    third.map(({ id }) => id),
    ['address-set/t/late'],
  );
});

const asked = (row: Omit<Row, 'to'>) => decided(planMachine, held, { ...row, to: '' });

test('a wave that is repeated has the keys and the steps that it had', () => {
  const params = (row: Omit<Row, 'to'>) => asked(row).asked.at(-1)?.params as { key: string; steps: object };
  const begun = { startedAt: 900 };
  const first = params({ in: 'verifying', with: begun, on: verified() });
  assert.is(first.key, '900-U1');
  assert.equal(params({ in: 'applyBackoff', with: { ...begun, tries: 3 }, on: 'backoff' }), first);
  assert.is(asked({ in: 'ready', with: begun, on: start, at: 5_000 }).context['startedAt'], 900);
});

test('what was refused, has moved or is not ready is named with its reason', () => {
  const { problems, failure } = asked({ in: 'applying', on: applied(result(1, 'refused')) })
    .context as unknown as PlanContext;
  assert.equal(problems, [{ id: 'address-set/t/first', reason: 'was refused' }]);
  assert.match(failure?.message ?? '', /address-set\/t\/first was refused; make another plan/);
  const unready = [{ id: 'address-set/t/second', reason: 'is realizing' }];
  const late = asked({ in: 'settling', on: { type: 'plan.settle.done', unready }, at: 2_000 }).context;
  assert.equal([late['problems'], late['endedAt']], [unready, 2_000]);
});

test.run();
