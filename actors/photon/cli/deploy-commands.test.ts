// time limit: 240 s
// test limit: 100 s
/**
 * Deployments on a real store, through the control API and the functions of the CLI: plan and apply, a second plan that
 * is empty, changes by field, pruning with its guard, adoption, renames, what was moved meanwhile, drift reported and
 * repaired, and the refusals of wrong documents.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { DeploymentSpec } from '@photoncloud/machines/deployment/deployment-protocol';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { patienceMs } from '@photoncloud/runtime/contract/patience-for-tests';
import { DeployerSite } from '../deployer-site-for-tests.ts';
import type { Session } from './cli-session.ts';
import { deadlineIn } from './deadline.ts';
import { carryOut, makePlan, statusOf, type PlanSettings } from './deploy-commands.ts';
import { command } from './object-commands.ts';
import { countsLine, keptLines, planLines } from './plan-text.ts';

const test = suite('deployments');
const folder = mkdtempSync(join(tmpdir(), 'photon-deploy-'));
const deployment = 'deployment/acme/web';

let site: DeployerSite;
let root: Session;
let ann: Session;

test.before(async () => {
  site = await DeployerSite.start();
  root = await site.session('root');
  ann = await site.session('ann', 'acme');
  for (const tenant of ['acme', 'bits']) await command(root, `tenant/${tenant}/${tenant}`, 'apply', { spec: {} });
});
test.after(async () => {
  await site?.stop();
  rmSync(folder, { recursive: true });
});

let files = 0;
/** A file with these documents; JSON is YAML. */
function file(...documents: readonly object[]): string {
  const path = join(folder, `${(files += 1)}.yaml`);
  writeFileSync(path, documents.map((one) => JSON.stringify(one)).join('\n---\n'));
  return path;
}

type Settings = Omit<PlanSettings, 'file'>;

async function plan(documents: readonly object[], settings: Settings = {}, id = deployment, session = ann) {
  const made = await makePlan(session, id, { file: [file(...documents)], ...settings }, deadlineIn(60));
  const { steps, counts, kept = [] } = await statusOf(session, made.plan);
  return {
    ...made,
    steps,
    kept,
    lines: planLines(steps).map((text) => text.split('\n')[0] ?? ''),
    says: countsLine(counts),
  };
}

const execute = (digest: string, allowDeletes?: number, id = deployment, session = ann): Promise<void> =>
  carryOut(
    session,
    id,
    digest,
    { timeout: 60, ...(allowDeletes === undefined ? {} : { allowDeletes }) },
    deadlineIn(60),
  );

async function apply(documents: readonly object[], settings: Settings = {}, allowDeletes?: number, id = deployment) {
  const made = await plan(documents, settings, id);
  await execute(made.digest, allowDeletes, id);
  return made;
}

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof PhotonError)) throw error;
    const { code, message, issues = [] } = error.record;
    return `${code}: ${message} ${issues.map((one) => `[${one.path}] ${one.message}`).join(' ')}`;
  }
  return 'was accepted';
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + patienceMs();
  while (!(await check())) {
    if (performance.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

interface Status {
  readonly managedBy: string | null;
  readonly generation: number;
  readonly driftCount: number;
  readonly losses: readonly { readonly id: string; readonly isOver: boolean }[];
  readonly drift: readonly { readonly id: string; readonly changes: readonly { readonly path: string }[] }[];
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string }[];
}
async function read(id: string) {
  const { status, lifecycle, version, spec } = await root.client.call('actor.get', { id });
  return { status: status as unknown as Status, lifecycle, version, spec };
}
const isGone = (id: string): Promise<boolean> =>
  read(id).then(
    ({ lifecycle }) => lifecycle === 'removed',
    () => true,
  );
const inSync = async (id = deployment): Promise<string | undefined> =>
  (await read(id)).status.conditions.find(({ type }) => type === 'InSync')?.status;

const network = (name: string, cidr: string, more: object = {}) => ({
  kind: 'network',
  name,
  spec: { subnets: [{ cidr }], ...more },
});
const port = (name: string, of: string) => ({ kind: 'port', name, spec: { network: of } });
const set = (name: string, ...cidrs: readonly string[]) => ({ kind: 'address-set', name, spec: { cidrs } });
const group = (name: string, more: readonly object[] = []) => ({
  kind: 'security-group',
  name,
  spec: { rules: [{ direction: 'egress' }, ...more] },
});
const front = network('front', '10.20.0.0/24');
const all = [group('web'), port('p1', 'front'), front, set('office', '192.0.2.0/24')];

test('a plan, then apply; everything is managed; the second plan is empty', async () => {
  const made = await plan(all);
  assert.is(made.phase, 'ready');
  assert.equal(made.lines.toSorted(), [
    '+ address-set/acme/office  create',
    '+ network/acme/front  create',
    '+ port/acme/p1  create',
    '+ security-group/acme/web  create',
  ]);
  assert.is(await isGone('network/acme/front'), true, 'a plan changes nothing');
  await execute(made.digest);
  assert.is((await read('port/acme/p1')).status.managedBy, deployment);
  const second = await plan(all.toReversed());
  assert.equal([second.phase, second.lines, second.says], ['empty', [], '4 as declared']);
  await execute(second.digest);
});

test('a changed field is one line of the plan, and nothing else is written', async () => {
  const before = await read('network/acme/front');
  const changed = [
    group('web', [{ direction: 'ingress', protocol: 'tcp', ports: { from: 80, to: 80 } }]),
    ...all.slice(1),
  ];
  const made = await apply(changed);
  assert.equal(made.lines, ['~ security-group/acme/web  update']);
  assert.equal(
    made.steps.filter(({ action }) => action === 'update').map(({ changes }) => changes.map(({ path }) => path)),
    [['spec.rules']],
  );
  assert.is((await plan(changed)).phase, 'empty');
  assert.equal((await read('network/acme/front')).status.generation, before.status.generation);
  await apply(all);
});

test('what changed after the plan was made is not overwritten, and nothing else of the plan is done', async () => {
  const made = await plan([...all, set('late', '198.51.100.0/24'), network('other', '10.21.0.0/24')]);
  await command(ann, 'security-group/acme/web', 'update', { spec: group('web').spec, labels: { by: 'hand' } });
  const why = await refusal(execute(made.digest));
  assert.match(why, /^plan_stale: .*\[security-group\/acme\/web\] was changed meanwhile; plan again/);
  assert.equal([await isGone('address-set/acme/late'), await isGone('network/acme/other')], [true, true]);
  await apply(all);
  assert.match(await refusal(execute(made.digest)), /^plan_stale: plan .* is stale; plan again/);
});

test('pruning is asked for, takes only what is managed, and many deletions take a consent', async () => {
  const extra = Array.from({ length: 6 }, (_, at) => set(`x${at}`, `198.51.100.${at}/32`));
  await apply([...all, ...extra]);
  await command(ann, 'address-set/acme/by-hand', 'create', { spec: { cidrs: [] } });
  const unpruned = await plan(all);
  assert.equal([unpruned.phase, unpruned.kept.length], ['empty', 6], 'without --prune');
  assert.match(keptLines(unpruned.kept).join(), /^not declared any more.*--prune: address-set.* and 1 more$/);
  const made = await plan(all, { prune: true });
  assert.equal(made.lines.length, 6);
  assert.match(await refusal(execute(made.digest)), /^deletes_guarded: .*deletes 6 objects.*--allow-deletes 6/);
  assert.is(await isGone('address-set/acme/x0'), false);
  await execute(made.digest, 6);
  assert.equal(await Promise.all(extra.map(({ name }) => isGone(`address-set/acme/${name}`))), Array(6).fill(true));
  assert.is(await isGone('address-set/acme/by-hand'), false);
  assert.is((await plan(all, { prune: true })).phase, 'empty');
});

test('what others made is adopted only when asked; what another deployment manages is not', async () => {
  const more = [...all, set('by-hand')];
  const blocked = await plan(more);
  assert.is(blocked.phase, 'blocked');
  assert.match(
    blocked.lines[0] ?? '',
    /^x address-set\/acme\/by-hand {2}blocked: it exists and is not managed.*--adopt/,
  );
  assert.match(await refusal(execute(blocked.digest)), /^plan_blocked: .*nothing is changed/);
  await apply(more, { adopt: true });
  assert.is((await read('address-set/acme/by-hand')).status.managedBy, deployment);
  assert.is((await plan(more)).phase, 'empty');
  const other = await plan([set('by-hand', '203.0.113.0/24')], { adopt: true }, 'deployment/acme/other');
  assert.match(other.lines[0] ?? '', /blocked: it is managed by deployment\/acme\/web; remove it there first/);
  const kept = { ...set('by-hand'), deletionPolicy: 'retain' };
  await apply([...all, kept]);
  assert.is((await plan(all, { prune: true })).phase, 'empty', 'it is retained');
});

test('a rename creates, moves and deletes, and is one line', async () => {
  const renamed = [...all.slice(0, 3), { ...set('bureau', '192.0.2.0/24'), movedFrom: 'office' }];
  const made = await apply(renamed);
  assert.equal(made.lines, ['+ address-set/acme/bureau  create  moved from address-set/acme/office']);
  assert.equal([await isGone('address-set/acme/office'), await isGone('address-set/acme/bureau')], [true, false]);
  assert.is((await plan(renamed)).phase, 'empty');
  await apply(all, { prune: true });
});

test('drift by hand is told with its fields, and repaired where that is wanted; nothing is done twice', async () => {
  await until('it is in sync', async () => (await inSync()) === 'True');
  await command(ann, 'security-group/acme/web', 'update', { spec: { rules: [] } });
  await until('drift is told', async () => (await inSync()) === 'False');
  const { drift } = (await read(deployment)).status;
  assert.equal(
    drift.map(({ id, changes }) => [id, changes.map(({ path }) => path)]),
    [['security-group/acme/web', ['spec.rules']]],
  );
  await command(ann, 'address-set/acme/office', 'delete', {});
  await until('a deleted object is drift, too', async () => (await read(deployment)).status.driftCount === 2);
  const spec: Partial<DeploymentSpec> = { mode: 'enforce' };
  await command(ann, deployment, 'update', { spec });
  await until('everything is repaired', async () => (await inSync()) === 'True');
  assert.is((await plan(all)).phase, 'empty');
  const { generation } = (await read('security-group/acme/web')).status;
  await command(ann, 'security-group/acme/web', 'update', { spec: { rules: [] } });
  await until(
    'repaired again',
    async () => (await read('security-group/acme/web')).status.generation === generation + 2,
  );
  await until('it is in sync again', async () => (await inSync()) === 'True');
  await command(ann, deployment, 'update', { spec: {} });
});

test('what a host has lost is told, is no change to repair, and afterwards it was made again', async () => {
  const id = 'network/acme/front';
  const { generation } = (await read(id)).status;
  const error = { code: 'bridge_gone', message: 'The bridge is gone.', retryable: true };
  const losses = async () => (await read(deployment)).status.losses.map(({ id: of, isOver }) => [of, isOver]);
  await site.tell(id, { type: 'network.delayed', generation, host: 'w1', error, lost: true });
  await until('the loss is told', async () => (await inSync()) === 'False');
  assert.equal([await losses(), (await read(deployment)).status.driftCount], [[[id, false]], 0]);
  await site.tell(id, { type: 'network.realized', generation });
  await until('it is over', async () => (await inSync()) === 'True');
  assert.equal(await losses(), [[id, true]]);
  assert.is((await read(id)).status.generation, generation, 'nothing was declared anew');
});

test('refused, with the path and the next step: other tenants, cycles, secrets, digests, versions, plans', async () => {
  const bad = (...documents: readonly object[]): Promise<string> => refusal(plan(documents));
  assert.match(await bad({ ...set('a'), tenant: 'bits' }), /\[.*\.yaml#1 tenant\] is bits.*tenant acme/);
  assert.match(await bad({ ...set('a'), colour: 'red' }), /document_invalid.*#1 colour/);
  const circle = (name: string, to: string) => group(name, [{ direction: 'ingress', remote: { group: to } }]);
  assert.match(await bad(circle('a', 'b'), circle('b', 'a')), /in a circle.*security-group\/acme\/a -> /);
  const digest = 'a'.repeat(64);
  const stage = (params: object, session = ann) =>
    refusal(command(session, deployment, 'stage', { digest, schemaVersion: 1, part: 1, parts: 1, ...params }));
  assert.match(await stage({ text: '{}' }), /^digest_mismatch: digest: is aaaa.*stage all parts again/);
  assert.match(await stage({ text: '{}', schemaVersion: 2 }), /^schema_version: .*is 2, and this cluster reads 1/);
  assert.match(await stage({ text: '{}', tenants: 'all' }), /^forbidden: .*only operators/);
  assert.match(await stage({ text: '{}', tenants: 'all' }, root), /^tenants_refused: .*deployment of tenant system/);
  assert.match(await refusal(command(ann, deployment, 'plan', { digest })), /^revision_unknown: .*stage the document/);
  assert.match(await refusal(execute('deadbeef')), /^plan_unknown: .*plan again/);
  assert.match(await refusal(plan([set('a')], {}, deployment, await site.session('bob', 'bits'))), /^not_found/);
  const missing = await plan([...all, port('p2', 'nowhere')]);
  assert.match(missing.lines[0] ?? '', /^x port\/acme\/p2 {2}blocked: it .*there is no network\/acme\/nowhere/);
});

test('a text of a foreign tenant that no CLI has checked is refused by the cluster, too', async () => {
  const { desiredText } = await import('./deploy-commands.ts');
  const metadata = { labels: {}, protect: false, deletionPolicy: 'delete', movedFrom: null } as const;
  const foreign = { kind: 'address-set', tenant: 'bits', name: 'a', spec: { cidrs: [] }, origin: 'x', ...metadata };
  const { text, digest } = desiredText([foreign]);
  const staged = command(ann, deployment, 'stage', { digest, schemaVersion: 1, part: 1, parts: 1, text });
  assert.match(await refusal(staged), /^document_invalid: objects\.0\.tenant: is bits/);
});

test('an operator deploys objects of several tenants through a deployment of tenant system', async () => {
  const id = 'deployment/system/tenants';
  const documents = [
    { kind: 'tenant', name: 'gold', spec: {} },
    { ...set('office', '192.0.2.0/24'), tenant: 'gold' },
  ];
  const made = await plan(documents, {}, id, root);
  assert.is(made.phase, 'ready', made.lines.join());
  await execute(made.digest, undefined, id, root);
  assert.is((await read('address-set/gold/office')).status.managedBy, id);
  assert.is((await plan(documents, {}, id, root)).phase, 'empty');
});

test('200 objects are planned and applied, and the second plan of them is empty', async () => {
  const id = 'deployment/acme/many';
  const ports = Array.from({ length: 199 }, (_, at) => port(`m${at}`, 'many'));
  const documents = [network('many', '10.30.0.0/22'), ...ports];
  const beganAt = performance.now();
  const made = await plan(documents, {}, id);
  await execute(made.digest, undefined, id);
  const tookMs = performance.now() - beganAt;
  assert.is(made.counts.create, 200);
  assert.is((await plan(documents, {}, id)).phase, 'empty');
  console.log(`200 objects planned and applied in ${(tookMs / 1_000).toFixed(1)} s`);
});

test.run();
