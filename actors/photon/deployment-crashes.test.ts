// time limit: 400 s
// test limit: 380 s
/**
 * A controller that dies after any commit of an apply, on a real store: another one takes over, the same command is run
 * again, and everything is as declared, once: what was to be created, updated, replaced, adopted, renamed and pruned.
 * The number of crashes is printed.
 */
import { randomInt } from 'node:crypto';
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
/** How many commits apart the crashes are: 1 in `npm run campaign`. */
const stride = Number(process.env['PHOTON_CRASH_STRIDE'] ?? 4);

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

interface Wanted {
  /** All that is managed in the end. */
  readonly ids: readonly string[];
  /** Of these, what is a new object, and what gets another declaration. */
  readonly born: readonly string[];
  readonly declared: readonly string[];
}

/**
 * The state alternates, so every round creates, updates, replaces (a port cannot change its network), adopts what was
 * made by hand, renames, and prunes what was of the round before.
 */
async function write(round: number): Promise<Wanted> {
  const turn = round % 2;
  const set = (name: string, more: object = {}) => ({
    kind: 'address-set',
    name,
    spec: { cidrs: [`192.0.${turn}.0/24`] },
    ...more,
  });
  const documents = [
    { kind: 'network', name: `n${turn}`, spec: { subnets: [{ cidr: `10.${20 + turn}.0.0/24` }] } },
    { kind: 'port', name: `p${turn}`, spec: { network: `n${turn}` } },
    { kind: 'port', name: 'replaced', spec: { network: `n${turn}` } },
    set('office'),
    set(`adopted${turn}`),
    set(`named${turn}`, { movedFrom: `named${1 - turn}` }),
    { kind: 'security-group', name: 'web', spec: { rules: [{ direction: turn === 0 ? 'egress' : 'ingress' }] } },
  ];
  writeFileSync(file, documents.map((one) => JSON.stringify(one)).join('\n---\n'));
  const id = (name: string, kind = 'address-set'): string => `${kind}/${tenant}/${name}`;
  await command(root, id(`adopted${turn}`), 'create', { spec: { cidrs: [] } });
  return {
    ids: documents.map(({ kind, name }) => id(name, kind)).toSorted(),
    born: [id(`n${turn}`, 'network'), id(`p${turn}`, 'port'), id('replaced', 'port'), id(`named${turn}`)],
    declared: [id('office'), id(`adopted${turn}`), id('web', 'security-group')],
  };
}

/** Plans and applies; @returns whether the controller lived through it */
async function applyOnce(): Promise<boolean> {
  const deadline = deadlineIn(60);
  const work = (async () => {
    const { digest } = await makePlan(root, deployment, { file: [file], prune: true, adopt: true }, deadline);
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
  await write(0);
  assert.is(await applyOnce(), true);
  let crashes = 0;
  let round = 1;
  for (let after = 1 + randomInt(stride); ; after += stride, round += 1) {
    const { ids, born, declared } = await write(round);
    const lives = born.map((id) => site.lives(id));
    const generations = await Promise.all(declared.map(generationOf));
    site.crashAfter(after);
    const lived = await applyOnce();
    site.crashAfter(undefined);
    if (!lived) {
      crashes += 1;
      await site.restart();
      while (!(await applyOnce())) await site.restart();
    }
    const when = `after ${after} commits`;
    assert.equal(await managed(), ids, when);
    const bornOnce = lives.map((had) => had + 1);
    assert.equal(
      born.map((id) => site.lives(id)),
      bornOnce,
      `made once, ${when}: ${born.join()}`,
    );
    const declaredOnce = generations.map((had) => had + 1);
    assert.equal(await Promise.all(declared.map(generationOf)), declaredOnce, `${when}: ${declared.join()}`);
    const { phase } = await makePlan(root, deployment, { file: [file], prune: true }, deadlineIn(60));
    assert.is(phase, 'empty', when);
    if (lived) break;
  }
  console.log(`${crashes} crashes, ${partsOfId(deployment).name} as declared after each`);
  assert.ok(crashes > 5, `${crashes} crashes`);
});

test.run();
