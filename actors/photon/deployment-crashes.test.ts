// time limit: 400 s
// test limit: 380 s
/**
 * A controller that dies after any commit of an apply, on a real store: another one takes over, the same command is run
 * again, and everything is as declared, once. The number of crashes is printed.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { partsOfId } from '@photoncloud/machines/values/identifiers';
import { DeployerSite } from './deployer-site-for-tests.ts';
import type { Session } from './cli/cli-session.ts';
import { deadlineIn } from './cli/deadline.ts';
import { carryOut, makePlan } from './cli/deploy-commands.ts';
import { command } from './cli/object-commands.ts';

const test = suite('crashes of a deployer');
const folder = mkdtempSync(join(tmpdir(), 'photon-crashes-'));
const tenant = 'acme';
const deployment = `deployment/${tenant}/web`;
const file = join(folder, 'tenant.yaml');
/** How many commits apart the crashes are. */
const stride = 2;

let site: DeployerSite;
let root: Session;

test.before(async () => {
  site = await DeployerSite.start();
  root = await site.session('root');
  await command(root, `tenant/${tenant}/${tenant}`, 'apply', { spec: {} });
});
test.after(async () => {
  await site?.stop();
  rmSync(folder, { recursive: true });
});

/** The state alternates, so every round creates, changes and deletes. */
function write(round: number): readonly string[] {
  const turn = round % 2;
  const documents = [
    { kind: 'network', name: `n${turn}`, spec: { subnets: [{ cidr: `10.${20 + turn}.0.0/24` }] } },
    { kind: 'port', name: `p${turn}`, spec: { network: `n${turn}` } },
    { kind: 'address-set', name: 'office', spec: { cidrs: [`192.0.${turn}.0/24`] } },
    { kind: 'security-group', name: 'web', spec: { rules: [{ direction: turn === 0 ? 'egress' : 'ingress' }] } },
  ];
  writeFileSync(file, documents.map((one) => JSON.stringify(one)).join('\n---\n'));
  return documents.map(({ kind, name }) => `${kind}/${tenant}/${name}`).toSorted();
}

/** Plans and applies; @returns whether the controller lived through it */
async function applyOnce(): Promise<boolean> {
  const deadline = deadlineIn(60);
  const work = (async () => {
    const { digest } = await makePlan(root, deployment, { file: [file], prune: true }, deadline);
    await carryOut(root, deployment, digest, { timeout: 60, allowDeletes: 100 }, deadline);
  })();
  const result = await Promise.race([
    work.then(
      () => 'done',
      (error: unknown) => (site.isDead ? 'died' : error),
    ),
    site.died().then(() => 'died'),
  ]);
  if (result === 'done') return true;
  if (result !== 'died') throw result;
  work.catch(() => undefined); // its controller is dead
  return false;
}

async function managed(): Promise<readonly string[]> {
  const { actors } = await root.client.call('actor.list', { scope: tenant, limit: 200, detail: true });
  return actors
    .filter(({ status }) => (status as { managedBy?: string | null } | null)?.managedBy === deployment)
    .map(({ id }) => id)
    .toSorted();
}

async function generationOf(id: string): Promise<number> {
  const { status } = await root.client.call('actor.get', { id });
  return (status as unknown as { generation: number }).generation;
}

test('dead after any commit of an apply, and run again: the same end, nothing twice', async () => {
  write(0);
  assert.is(await applyOnce(), true);
  let crashes = 0;
  let round = 1;
  for (let after = 1; ; after += stride, round += 1) {
    const wanted = write(round);
    const before = await generationOf(`address-set/${tenant}/office`);
    site.crashAfter(after);
    const lived = await applyOnce();
    site.crashAfter(undefined);
    if (!lived) {
      crashes += 1;
      await site.restart();
      while (!(await applyOnce())) await site.restart();
    }
    assert.equal(await managed(), wanted, `after ${after} commits`);
    assert.is(await generationOf(`address-set/${tenant}/office`), before + 1, `declared once, after ${after} commits`);
    const { phase } = await makePlan(root, deployment, { file: [file], prune: true }, deadlineIn(60));
    assert.is(phase, 'empty', `after ${after} commits`);
    if (lived) break;
  }
  console.log(`${crashes} crashes, ${partsOfId(deployment).name} as declared after each`);
  assert.ok(crashes > 5, `${crashes} crashes`);
});

test.run();
