/**
 * Decisions of a deployment: a desired state comes in parts and is checked, plans are made of it, one is carried out at
 * a time, and what differs afterwards is told or repaired. Whatever is asked meanwhile is refused with the reason.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { newDeclared } from '../values/declared.ts';
import { decided, disagreements, type Row, type TestEvent } from '../values/decision-table-for-tests.ts';
import type { PlanCounts, PlanPhase } from '../plan/plan-protocol.ts';
import { newDeployment, type DeploymentContext, type PlanLine } from './deployment-context.ts';
import { deploymentMachine } from './deployment-machine.ts';
import { deploymentSpec } from './deployment-protocol.ts';

const id = 'deployment/t/web';
const digest = 'd'.repeat(64);
const planDigest = 'a'.repeat(64);
const revision = { digest, parts: 1, tenants: 'own', objects: 2 } as const;
const spec = deploymentSpec.parse({});
const counts: PlanCounts = { create: 1, update: 0, replace: 0, delete: 0, adopt: 0, noOp: 1, blocked: 0, inUse: 0 };

const line = (phase: PlanLine['phase'], change: Partial<PlanLine> = {}): PlanLine => ({
  plan: 'plan/t/web.p1',
  digest: planDigest,
  phase,
  counts,
  problems: [],
  revision,
  origin: 'asked',
  owned: {},
  prune: false,
  adopt: false,
  ...change,
});
const held: DeploymentContext = { ...newDeployment(id), ...newDeclared(id), uid: 'U1', spec, generation: 1 };
const staged = { staged: revision, plansMade: 1 };
const ready = { ...staged, plans: [line('ready')] };
const making = { ...staged, plans: [line('making', { digest: '', counts: null })] };
const running = { ...staged, applied: revision, plans: [line('applying')] };
const waiters = [{ commandId: 'C0', result: 'created' as const }];

const create = (change: object = {}) => ({
  type: 'deployment.create',
  spec: deploymentSpec.parse(change),
  labels: {},
  protect: false,
});
const apply = (change: object) => ({ ...create(change), type: 'deployment.apply' });
const stage = (change: object = {}) => ({
  type: 'deployment.stage',
  digest: 'e'.repeat(64),
  schemaVersion: 1,
  part: 1,
  parts: 1,
  tenants: 'own',
  text: '{}',
  ...change,
});
const plan = (of = digest) => ({ type: 'deployment.plan', digest: of });
const execute = (of = planDigest, change: object = {}) => ({ type: 'deployment.execute', plan: of, ...change });
const remove = { type: 'deployment.delete' };
const stands = (phase: PlanPhase, change: object = {}) => ({
  type: 'plan.stands',
  plan: 'plan/t/web.p1',
  phase,
  digest: planDigest,
  counts,
  problems: [],
  owned: { 'network/t/n': 'delete' },
  ...change,
});
const error = { code: 'x', message: 'no', retryable: true };
const checked = (...issues: readonly object[]) => ({
  type: 'deployment.check.done',
  objects: 2,
  issues,
  code: issues.length === 0 ? '' : 'document_invalid',
});
const differing = { id: 'network/t/n', action: 'update', changes: [], reason: null };
const seen = (count: number) => ({
  type: 'deployment.watch.done',
  print: count === 0 ? '' : 'p',
  count,
  drift: count === 0 ? [] : [differing],
});
const enforcing = { spec: deploymentSpec.parse({ mode: 'enforce' }) };
const repair = { ...running, ...enforcing, plans: [line('making', { origin: 'drift', digest: '', counts: null })] };
const incoming = { incoming: { digest: 'e'.repeat(64), tenants: 'own', parts: 1, have: [1] }, asker: 'C0' } as const;

type Has = NonNullable<Row['with']>;

/** In which nothing else is under way. */
const free: readonly (readonly [state: string, has: Has, asks: readonly string[]])[] = [
  ['ready', {}, []],
  ['watching', { applied: revision }, ['deployment.watch']],
  ['lookBackoff', { applied: revision }, []],
];

const command = 'C1';

/** What is asked of such a state; null: it stays as it is. */
type Ask = readonly [has: Has, on: TestEvent, to: string | null, asks: readonly string[]];

const stagings: readonly Ask[] = [
  [{}, stage({ parts: 2 }), null, ['put part', 'reply']],
  [{}, stage(), 'checking', ['put part', 'defer', 'deployment.check']],
  [{}, stage({ schemaVersion: 2 }), null, ['reject schema_version']],
  [{}, stage({ part: 2 }), null, ['reject part_unknown']],
  [{}, stage({ tenants: 'all' }), null, ['reject tenants_refused']],
  [staged, stage({ digest }), null, ['reply']],
  [staged, plan(), 'planning', ['plan.make > plan', 'defer']],
  [staged, plan('f'), null, ['reject revision_unknown']],
  [{}, plan(), null, ['reject revision_unknown']],
];
const only = (one: PlanLine): Has => ({ ...staged, plans: [one] });
const deleting = (count: number, inUse = 0): Has =>
  only(line('ready', { counts: { ...counts, delete: count, inUse } }));
const started = ['reply', 'plan.start > plan'];
const executions: readonly Ask[] = [
  [ready, execute(), 'applying', started],
  [{}, execute(), null, ['reject plan_unknown']],
  [only(line('blocked')), execute(), null, ['reject plan_blocked']],
  [only(line('stale')), execute(), null, ['reject plan_stale']],
  [only(line('failed')), execute(), null, ['reject plan_stale']],
  [{ ...ready, staged: { ...revision, digest: 'f' } }, execute(), null, ['reject plan_stale']],
  [deleting(6), execute(), null, ['reject deletes_guarded']],
  [deleting(1, 1), execute(), null, ['reject deletes_guarded']],
  [deleting(6), execute(planDigest, { allowDeletes: 6 }), 'applying', started],
  [deleting(5), execute(), 'applying', started],
  [only(line('empty')), execute(), 'watching', ['reply', 'deployment.watch']],
  [{ ...only(line('applied')), applied: revision }, execute(), 'watching', ['reply', 'deployment.watch']],
];
const others: readonly Ask[] = [
  [ready, stands('ready'), null, []],
  [{}, stands('ready'), null, ['plan.drop > plan']],
  [{}, { type: 'quota.granted' }, null, []],
  [{}, apply({}), null, ['reply']],
  [ready, remove, 'gone', ['defer', 'plan.drop > plan', 'quota.release > tenant', 'reply']],
  [{ protect: true }, remove, null, ['reject protected']],
];

const whileFree: readonly Row[] = free.flatMap(([state, has, again]): Row[] => [
  ...[...stagings, ...executions, ...others].map(([more, on, to, asks]): Row => ({
    in: state,
    with: { ...has, ...more },
    on,
    command,
    to: to ?? state,
    asks,
  })),
  { in: state, with: has, on: apply({ prune: true }), command, to: state, asks: ['reply', ...again] },
]);

/** In which one thing is under way: everything else is refused, and says with what it is busy. */
const busy: readonly (readonly [state: string, has: Has])[] = [
  ['checking', incoming],
  ['planning', making],
  ['applying', running],
];

const whileBusy: readonly Row[] = busy.flatMap(([state, has]): Row[] => [
  ...[stage(), plan(), execute('f'.repeat(64)), remove].map((on): Row => ({
    in: state,
    with: has,
    on,
    command: 'C1',
    to: state,
    asks: ['reject deployment_busy'],
  })),
  { in: state, with: has, on: apply({ prune: true }), command: 'C1', to: state, asks: ['reply'] },
  { in: state, with: has, on: create(), command: 'C1', to: state, asks: ['reply'] },
  { in: state, with: has, on: { type: 'quota.granted' }, to: state, asks: [] },
  { in: state, with: has, on: stands('ready', { plan: 'plan/t/web.p0' }), to: state, asks: ['plan.drop > plan'] },
]);

const rows: readonly Row[] = [
  { in: 'born', on: create(), command: 'C1', to: 'claiming', asks: ['defer', 'quota.claim > tenant'] },
  {
    in: 'born',
    with: { id: 'deployment/system/all' },
    on: create(),
    command: 'C1',
    to: 'ready',
    asks: ['defer', 'reply'],
  },
  { in: 'born', on: stands('ready'), from: 'plan/t/web.p1', to: 'gone', asks: ['plan.drop > plan'] },
  { in: 'claiming', with: { waiters }, on: { type: 'quota.granted' }, to: 'ready', asks: ['reply'] },
  { in: 'claiming', with: { waiters }, on: { type: 'quota.refused', error }, to: 'gone', asks: ['reject x'] },
  { in: 'claiming', on: 'quotaDeadline', to: 'claiming', asks: ['quota.claim > tenant'] },
  { in: 'claiming', on: apply({ prune: true }), command: 'C1', to: 'claiming', asks: ['defer'] },
  {
    in: 'claiming',
    with: { waiters },
    on: remove,
    command: 'C1',
    to: 'gone',
    asks: ['reject deleted', 'defer', 'quota.release > tenant', 'reply'],
  },
  ...whileFree,
  ...whileBusy,

  { in: 'checking', with: incoming, on: checked(), to: 'ready', asks: ['reply'] },
  {
    in: 'checking',
    with: incoming,
    on: checked({ path: 'objects.0', message: 'no' }),
    to: 'ready',
    asks: ['reject document_invalid', 'remove part'],
  },
  {
    in: 'checking',
    with: { ...incoming, ...staged },
    on: checked(),
    to: 'ready',
    asks: ['reply', 'remove part'],
  },
  {
    in: 'checking',
    with: { ...incoming, ...staged, applied: revision },
    on: checked(),
    to: 'watching',
    asks: ['reply', 'deployment.watch'],
  },
  ...['failed', 'unknown'].map((how): Row => ({
    in: 'checking',
    with: incoming,
    on: { type: `deployment.check.${how}`, error },
    to: 'ready',
    asks: ['reject x', 'remove part'],
  })),
  { in: 'checking', with: incoming, on: 'checkDeadline', to: 'checking', asks: ['deployment.check'] },

  { in: 'planning', with: { ...making, asker: 'C0' }, on: stands('ready'), to: 'ready', asks: ['reply'] },
  { in: 'planning', with: { ...making, asker: 'C0' }, on: stands('blocked'), to: 'ready', asks: ['reply'] },
  { in: 'planning', with: { ...making, asker: 'C0' }, on: stands('failed'), to: 'ready', asks: ['reject plan_failed'] },
  { in: 'planning', with: making, on: 'planDeadline', to: 'planning', asks: ['plan.make > plan'] },
  { in: 'planning', with: repair, on: stands('ready'), to: 'applying', asks: ['plan.start > plan'] },
  {
    in: 'planning',
    with: repair,
    on: stands('ready', { counts: { ...counts, delete: 6 } }),
    to: 'watching',
    asks: ['deployment.watch'],
  },
  { in: 'planning', with: repair, on: stands('blocked'), to: 'watching', asks: ['deployment.watch'] },
  { in: 'planning', with: repair, on: stands('empty'), to: 'watching', asks: ['deployment.watch'] },

  { in: 'applying', with: running, on: execute(), command: 'C1', to: 'applying', asks: ['reply'] },
  { in: 'applying', with: running, on: stands('ready'), to: 'applying', asks: [] },
  { in: 'applying', with: running, on: stands('applying'), to: 'applying', asks: [] },
  { in: 'applying', with: running, on: 'applyReview', to: 'applying', asks: ['plan.start > plan'] },
  ...(['applied', 'failed', 'stale', 'empty', 'blocked'] as const).map((phase): Row => ({
    in: 'applying',
    with: running,
    on: stands(phase),
    to: 'watching',
    asks: ['deployment.watch'],
  })),

  { in: 'watching', with: running, on: seen(0), to: 'watching', asks: ['deployment.watch'] },
  { in: 'watching', with: { applied: revision }, on: seen(1), to: 'watching', asks: ['deployment.watch'] },
  {
    in: 'watching',
    with: { applied: revision, ...enforcing },
    on: seen(1),
    to: 'planning',
    asks: ['plan.make > plan'],
  },
  {
    in: 'watching',
    with: { applied: revision, ...enforcing },
    on: { ...seen(0), print: 'p', losses: [{ id: 'network/t/n', what: 'gone', since: 1, isOver: false }] },
    to: 'watching',
    asks: ['deployment.watch'],
  },
  ...['failed', 'unknown'].map((how): Row => ({
    in: 'watching',
    with: { applied: revision },
    on: { type: `deployment.watch.${how}`, error },
    to: 'lookBackoff',
    asks: [],
  })),
  { in: 'lookBackoff', with: { applied: revision }, on: 'lookBackoff', to: 'watching', asks: ['deployment.watch'] },
];

test('decisions', () => {
  assert.equal(disagreements(deploymentMachine, held, rows), []);
});

const after = (row: Omit<Row, 'to'>): DeploymentContext =>
  decided(deploymentMachine, held, { ...row, to: '' }).context as unknown as DeploymentContext;
const inSync = ({ conditions }: DeploymentContext) => {
  const { status, reason } = conditions.find(({ type }) => type === 'InSync') ?? {};
  return [status, reason];
};

test('what a host has lost is not repaired by a plan, and is told until it is over', () => {
  const loss = { id: 'network/t/n', what: 'gone', since: 1 };
  const row = (isOver: boolean, count = 0) => ({
    in: 'watching',
    with: { applied: revision },
    on: { ...seen(count), losses: [{ ...loss, isOver }] },
  });
  assert.equal(inSync(after(row(false))), ['False', 'Lost']);
  assert.equal(inSync(after(row(false, 1))), ['False', 'Drifted']);
  assert.equal(inSync(after(row(true))), ['True', 'AsApplied']);
});

test('a repair beyond the guard is not carried out, and says why', () => {
  const on = stands('ready', { counts: { ...counts, delete: 6 } });
  assert.equal(inSync(after({ in: 'planning', with: repair, on })), ['False', 'NotRepaired']);
});

test('only the last plans are listed, and those that are not are dropped', () => {
  const plans = [1, 2, 3, 4, 5].map((at) => line('applied', { plan: `plan/t/web.p${at}` }));
  const row = { in: 'ready', with: { ...staged, plansMade: 5, plans }, on: plan(), command: 'C1' };
  const { asks } = decided(deploymentMachine, held, { ...row, to: '' });
  assert.equal(asks, ['plan.make > plan', 'plan.drop > plan', 'defer']);
  const { plans: left } = after(row);
  assert.equal(
    left.map((one) => one.plan.slice(-2)),
    ['p2', 'p3', 'p4', 'p5', 'p6'],
  );
});

test('what is managed is what the last plan has left, and grows before it is carried out', () => {
  const before = {
    ...ready,
    owned: { 'network/t/old': 'delete' as const },
    plans: [line('ready', { owned: { x: 'delete' } })],
  };
  const begun = after({ in: 'ready', with: before, on: execute(), command: 'C1' });
  assert.equal(Object.keys(begun.owned).toSorted(), ['network/t/old', 'x']);
  assert.equal(begun.applied, revision);
  const row = { in: 'applying', with: { ...running, owned: begun.owned } };
  assert.equal(Object.keys(after({ ...row, on: stands('applied') }).owned), ['network/t/n']);
  assert.equal(after({ ...row, on: stands('failed') }).owned, begun.owned, 'it may have done part of it');
});

test.run();
