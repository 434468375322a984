// needs: kernel
// time limit: 420 s
// test limit: 180 s
/**
 * The example of docs/examples, as it stands there: applied by an operator and a tenant to a cluster with two gateway
 * hosts, and asked with curl from outside until both of its servers have answered. Then a server is stopped and the
 * other answers; what a group does not admit is not answered. A deployment takes it over: a changed file shows what is
 * changed and nothing else, a change by hand is told and repaired, so is a bridge that somebody deletes on a host, a
 * controller that dies leaves nothing half done or done twice, and what is not declared any more is deleted in order
 * until nothing is left. Then the same cluster has what nix/cluster declares for tenants, applied by what the deployer
 * unit of a NixOS host says.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildGuestImage } from '../guest/guest-image.ts';
import { defaultNodes, launchCluster, photonCli, startNode, waitReady, type PhotonCluster } from './cluster-launch.ts';
import { outside } from './cluster-topology.ts';
import { findProgram } from './node-program.ts';
import { checkout, type PlannedNode } from './photon-commands.ts';
import { isAlive, signal, until } from './process-identity.ts';
import { residueOf } from './residue-check.ts';
import { whyNoBuilds } from '../nix/nix-place.ts';
import { RenderedDeployer } from '../nix/rendered-deployer.ts';

const test = suite('example');
const tenant = 'acme';
const example = (name: string): string => join(checkout, 'docs/examples', name);

const controller = defaultNodes.find(({ role }) => role === 'controller') as PlannedNode;

let cluster: PhotonCluster;
const operator = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);
const shopkeeper = (...argv: string[]): Promise<string> => photonCli(cluster.tenantFile(tenant), argv);

const files = mkdtempSync(join(tmpdir(), 'photon-example-'));

function written(name: string, text: string): string {
  const path = join(files, name);
  writeFileSync(path, text);
  return path;
}

/** Exit code and JSON of a command that answers 6 when something differs. */
async function differing(...argv: string[]): Promise<{ readonly code: number; readonly shown: unknown }> {
  try {
    return { code: 0, shown: JSON.parse(await shopkeeper(...argv, '-o', 'json')) as unknown };
  } catch (error) {
    const { code, stdout } = error as { readonly code?: number; readonly stdout?: string };
    if (code !== 6 || stdout === undefined) throw error;
    return { code, shown: JSON.parse(stdout) as unknown };
  }
}

interface Planned {
  readonly digest: string;
  readonly steps: readonly {
    readonly id: string;
    readonly action: string;
    readonly changes: readonly { readonly path: string }[];
  }[];
}

/** What a plan would do, a line for each field. */
const linesOf = ({ steps }: Planned): string[] =>
  steps
    .filter(({ action }) => action !== 'no-op')
    .flatMap(({ id, action, changes }) =>
      changes.length === 0 ? [`${action} ${id}`] : changes.map(({ path }) => `${action} ${id} ${path}`),
    );

/** The same, and its digest. */
async function planned(...files_: string[]): Promise<{ readonly lines: readonly string[]; readonly digest: string }> {
  const { code, shown } = await differing('plan', ...files_.flatMap((file) => ['-f', file]), '--deployment', 'shop');
  const { digest } = shown as Planned;
  const lines = linesOf(shown as Planned);
  assert.is(code, lines.length === 0 ? 0 : 6);
  return { lines, digest };
}

interface ShownAddress {
  readonly status: { readonly address: string };
}

/** The name of the server that answers from outside; '' when none does. */
async function ask(address: string, path = '/state'): Promise<string> {
  const curl = ['curl', '-sf', '-m', '5', `http://${address}${path}`];
  const page = await cluster.topology.exec(outside.node, curl).catch(() => '{}');
  return (JSON.parse(page) as { hostname?: string }).hostname ?? '';
}

/** Asks until exactly these servers have answered, each at least once, in ten requests in a row. */
async function untilAnsweredBy(address: string, ...servers: readonly string[]): Promise<void> {
  let seen: readonly string[] = [];
  const isSo = async (): Promise<boolean> => {
    const answers: string[] = [];
    for (let turn = 0; turn < 10; turn += 1) answers.push(await ask(address));
    seen = [...new Set(answers)].sort();
    return seen.join() === servers.join();
  };
  await until(`${address} is answered by ${servers.join()}`, isSo, 60_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; the last ten answers were of ${seen.join()}`);
  });
}

test.before(async () => {
  const guest = await buildGuestImage();
  cluster = await launchCluster({
    stem: 'example',
    tenants: [tenant],
    uplinks: ['w1', 'w2'],
    nodes: defaultNodes.map((node) => (node.name === 'w2' ? { ...node, storage: true } : node)),
    images: { '/run/guest': guest.folder },
  });
});
test.after(async () => {
  rmSync(files, { recursive: true, force: true });
  await cluster?.topology.stop();
});

test('the example is answered by curl from outside, by both of its servers', async () => {
  await operator('apply', '-f', example('internet.yaml'), '--wait');
  await shopkeeper('apply', '-f', example('shop.yaml'), '--wait');
  assert.match(await shopkeeper('apply', '-f', example('shop.yaml')), /unchanged/);
  const shown = JSON.parse(await shopkeeper('get', 'external-address', 'shop', '-o', 'json')) as ShownAddress;
  const { address } = shown.status;
  assert.match(address, /^203\.0\.113\./);
  await untilAnsweredBy(address, 'web-1', 'web-2');

  // What is not in the group is not let in, whether the service IP has the port or not.
  const other = ['curl', '-s', '-m', '2', `http://${address}:22/`];
  await cluster.topology.exec(outside.node, other).then(
    () => assert.unreachable('port 22 was answered'),
    () => undefined,
  );

  await shopkeeper('vm', 'stop', 'web-1');
  await untilAnsweredBy(address, 'web-2');
  await shopkeeper('vm', 'start', 'web-1');
  await untilAnsweredBy(address, 'web-1', 'web-2');
});

/** The example with another rule, another address and another route. */
function changedShop(): string {
  const edits: readonly (readonly [string, string])[] = [
    ['ports: { from: 80, to: 80 }', 'ports: { from: 80, to: 81 }'],
    [
      'network: front, securityGroups: [web]',
      'network: front, securityGroups: [web], addressPairs: [{ cidr: 10.20.0.200 }]',
    ],
    [
      '{ network: internet } } }',
      '{ network: internet }, routes: [{ destination: 198.51.100.0/24, via: blackhole }] } }',
    ],
  ];
  let text = readFileSync(example('shop.yaml'), 'utf8');
  for (const [before, after] of edits) {
    assert.ok(text.includes(before), `shop.yaml has ${before}`);
    text = text.replace(before, after);
  }
  return written('changed.yaml', text);
}

test('a deployment takes it over; a second plan is empty, and that of a changed file has what is changed', async () => {
  const shop = example('shop.yaml');
  const refused = await shopkeeper('plan', '-f', shop, '--deployment', 'shop').catch(
    (error: unknown) => (error as { readonly stdout: string }).stdout,
  );
  assert.match(refused, /x network\/acme\/front.*--adopt/);
  await shopkeeper('apply', '-f', shop, '--deployment', 'shop', '--adopt');
  assert.equal((await planned(shop)).lines, []);

  const changed = changedShop();
  const { lines, digest } = await planned(changed);
  assert.equal(lines.toSorted(), [
    'update router/acme/edge spec.routes',
    'update security-group/acme/web spec.rules',
    'update vm/acme/web-1 spec.nics.0.addressPairs',
  ]);
  await shopkeeper('apply', '--plan', digest, '--deployment', 'shop');
  assert.equal((await planned(changed)).lines, []);
});

test('what is changed by hand is told, and repaired where that is declared', async () => {
  const byHand = `kind: security-group
name: web
spec: { rules: [{ direction: egress }] }`;
  await shopkeeper('apply', '-f', written('by-hand.yaml', byHand));
  const isTold = async (): Promise<boolean> => {
    const { code, shown } = await differing('drift', 'shop');
    const { drift } = shown as { readonly drift: readonly { readonly id: string }[] };
    return code === 6 && drift.map(({ id }) => id).join() === 'security-group/acme/web';
  };
  await until('the change is told', isTold, 60_000);
  const enforcing = '{ kind: deployment, name: shop, spec: { mode: enforce } }';
  await shopkeeper('apply', '-f', written('enforcing.yaml', enforcing));
  const isRepaired = async (): Promise<boolean> =>
    (await differing('drift', 'shop').catch(() => ({ code: 4 }))).code === 0;
  await until('it is repaired', isRepaired, 60_000);
  assert.match(await shopkeeper('get', 'security-group', 'web', '-o', 'json'), /"to": 81/);
});

/** A bridge of the network `front` on a host, and the namespace that it is in. */
async function bridgeOf(network: string): Promise<{ host: string; namespace: string; bridge: string }> {
  for (const host of ['w1', 'w2']) {
    const found = await cluster.topology.exec(host, ['sh', '-c', `grep -rl '^# ${network} ' /run/photon-* | head -1`]);
    const [, namespace, bridge] = /\/([^/]+)\/([^/]+)\/dnsmasq-[^/]+\.conf/.exec(found) ?? [];
    if (namespace !== undefined && bridge !== undefined) return { host, namespace, bridge };
  }
  throw new Error(`no host has ${network}`);
}

interface ShownLosses {
  readonly driftCount: number;
  readonly losses: readonly { readonly id: string; readonly isOver: boolean; readonly since: number }[];
}

test('a bridge that is deleted by hand is made again by its host, and drift says so', async () => {
  const id = 'network/acme/front';
  const { host, namespace, bridge } = await bridgeOf(id);
  const inside = ['nsenter', `--net=/run/netns/${namespace}`, 'ip', 'link'];
  const before = performance.now();
  await cluster.topology.exec(host, [...inside, 'del', bridge]);
  const isThere = (): Promise<boolean> =>
    cluster.topology.exec(host, [...inside, 'show', 'up', 'dev', bridge]).then(
      (shown) => shown.includes(bridge),
      () => false,
    );
  await until('the bridge is there again', isThere, 60_000);
  console.log(`a deleted bridge was made again within ${Math.round(performance.now() - before)} ms`);
  let seen: unknown;
  const isTold = async (): Promise<boolean> => {
    const { code, shown } = await differing('drift', 'shop').catch(() => ({ code: 4, shown: null }));
    seen = shown;
    if (code !== 0) return false;
    const { driftCount, losses } = shown as ShownLosses;
    return driftCount === 0 && losses.some((one) => one.id === id && one.isOver);
  };
  await until('the loss and its end are told', isTold, 60_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; there is: ${JSON.stringify(seen)}`);
  });
  console.log(await shopkeeper('drift', 'shop'));
  const shown = JSON.parse(await shopkeeper('get', 'external-address', 'shop', '-o', 'json')) as ShownAddress;
  await untilAnsweredBy(shown.status.address, 'web-1', 'web-2');
});

test('a controller that is killed amid an apply: run again, everything is there, declared once', async () => {
  const names = Array.from({ length: 40 }, (_, at) => `office-${at}`);
  const sets = names.map((name) => `{ kind: address-set, name: ${name}, spec: { cidrs: [192.0.2.0/24] } }`);
  const more = written('more.yaml', sets.join('\n---\n'));
  const changed = join(files, 'changed.yaml');
  const argv = ['apply', '-f', changed, '-f', more, '--deployment', 'shop'];
  const broken = shopkeeper(...argv).catch(() => undefined); // it may survive, or say what it does not know
  await until('it has begun', async () => (await shopkeeper('list', 'address-set')).includes('office-'));
  const program = findProgram(cluster.topology, 'c1', 'controller');
  signal(program, 'SIGKILL');
  await until('the controller is gone', () => !isAlive(program));
  await startNode(cluster.topology, controller);
  await waitReady(cluster, [controller]);
  await broken;
  await shopkeeper(...argv);
  assert.equal((await planned(changed, more)).lines, []);
  for (const name of names) {
    const shown = JSON.parse(await shopkeeper('get', 'address-set', name, '-o', 'json')) as {
      status: { generation: number };
    };
    assert.is(shown.status.generation, 1, name);
  }
});

test('what is used is not deleted; what is no longer declared goes in order, and nothing is left', async () => {
  const refusals: readonly (readonly [string, string])[] = [
    ['service-ip', 'shop'],
    ['network', 'front'],
  ];
  for (const [kind, name] of refusals) {
    const said = await shopkeeper('delete', kind, name).then(
      () => '',
      (error: unknown) => (error as { stderr: string }).stderr,
    );
    assert.match(said, /in use|in_use|still has/, kind);
  }
  const last = written('last.yaml', '{ kind: address-set, name: last, spec: { cidrs: [] } }');
  const argv = ['apply', '-f', last, '--deployment', 'shop', '--prune'];
  const guarded = await shopkeeper(...argv).catch((error: unknown) => (error as { readonly stderr: string }).stderr);
  assert.match(guarded, /--allow-deletes/);
  await shopkeeper(...argv, '--allow-deletes', '60');
  await shopkeeper('delete', 'deployment', 'shop');
  await shopkeeper('delete', 'address-set', 'last');
  await operator('-t', 'system', 'delete', 'external-network', 'internet');
  await nothingIsLeft();
});

async function nothingIsLeft(): Promise<void> {
  let left: readonly string[] = [];
  const isClean = async (): Promise<boolean> => (left = await residueOf(cluster.topology, ['w1', 'w2'])).length === 0;
  await until('nothing is left on the workers', isClean, 15_000).catch((error: unknown) => {
    throw new Error(`${String(error)}; there is: ${left.join('; ')}`);
  });
}

/** The unit of a NixOS host, run on w1 as systemd would: its own words, and its credentials in a folder. */
async function deployedByNixOs(): Promise<void> {
  const { address } = cluster.topology.node('c1');
  const { token } = JSON.parse(readFileSync(cluster.clientFile, 'utf8')) as { readonly token: string };
  const deployer = new RenderedDeployer({
    client: { url: `wss://${address}:7444/api`, token, caFile: 'ca.crt' },
    authority: join(cluster.clientFile, '../ca.crt'),
    hosts: ['w1', 'w2'],
  });
  // It was declared without a deployment, so none but --adopt would take it over.
  await operator('delete', 'tenant', tenant);
  try {
    const run = (words: readonly string[]): Promise<string> => cluster.topology.exec('w1', words, 120_000);
    const plan = async (words: readonly string[]): Promise<readonly string[]> => {
      const shown = await run([...words, '-o', 'json']).catch((error: unknown) => {
        const { code, stdout } = error as { readonly code?: number; readonly stdout?: string };
        if (code !== 6 || stdout === undefined) throw error;
        return stdout;
      });
      return linesOf(JSON.parse(shown) as Planned);
    };
    const declared = deployer.render();
    await run(declared.start);
    assert.match(await run(declared.start), /nothing to do/, 'a second run changes nothing');

    const changed = deployer.render(`{
      securityGroups.web.rules = mkForce [
        { direction = "ingress"; protocol = "tcp"; ports = { from = 80; to = 81; }; }
        { direction = "egress"; }
      ];
      ports.probe.address = mkForce "10.20.0.78";
      routers.edge.routes = [{ destination = "198.51.100.0/24"; via = "blackhole"; }];
    }`);
    assert.equal((await plan(changed.plan)).toSorted(), [
      'replace port/acme/probe spec.address',
      'update router/acme/edge spec.routes',
      'update security-group/acme/web spec.rules',
    ]);
    await run(changed.start);

    await run(deployer.renderLast().start);
    await operator('-t', 'system', 'delete', 'deployment', 'nixos');
    await operator('delete', 'tenant', 'last');
    await nothingIsLeft();
  } finally {
    deployer.close();
  }
}

const why = whyNoBuilds();
if (why === undefined)
  test(
    'the deployer of a NixOS host applies what Nix declares, and a change in the file is what is changed',
    deployedByNixOs,
  );
else test.skip(`NOT RUN, lane 2 (the deployer of a NixOS host): ${why}`);

test.run();
