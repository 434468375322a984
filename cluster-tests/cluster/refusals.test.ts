/**
 * Invalid declarations are refused with code, path and reason before anything is created: afterwards the cluster has
 * the same actors, and its workers have the same files, namespaces and taps. Also: another tenant's object cannot be
 * told from a missing one, applying a file twice changes nothing, and the CLI prints these refusals and its exit codes.
 */
// needs: kernel
// time limit: 300 s
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError, type ErrorRecord } from '@photoncloud/runtime/contract/errors';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { launchCluster, type PhotonCluster } from './cluster-launch.ts';
import { command, openClient } from './overlay-guests.ts';
import * as cases from './refusals-cases.ts';
import { addressRefusals } from './refusals-addresses.ts';
import { photon, type Ended } from './refusals-program.ts';
import { imageRefusals, imagesInside, makeBadImages } from './refusals-images.ts';
import { residueOf } from './residue-check.ts';

const test = suite('refusals');
const workers = ['w1', 'w2'];

let folder = '';
let cluster: PhotonCluster;
let operator: PhotonClient;
let acme: PhotonClient;
let before: { actors: readonly string[]; workers: readonly string[] };

const standing: Readonly<Record<string, unknown>> = {
  'network/acme/front': { subnets: [{ cidr: '10.20.0.0/24' }] },
  'port/acme/p1': { network: 'front', address: cases.takenAddress, mac: cases.takenMac },
  'volume/acme/disk': { sizeMib: 1 },
  'image/acme/linux': { source: { path: `${imagesInside}/good.kernel` }, format: 'kernel' },
  'image/acme/first': { source: { path: `${imagesInside}/good.initrd` }, format: 'initrd' },
  // A /28 has ten addresses.
  'network/acme/small': { subnets: [{ cidr: '10.21.0.0/28' }] },
  ...Object.fromEntries([...Array(10).keys()].map((at) => [`port/acme/s${at}`, { network: 'small' }])),
  'vpc/beta/side': {},
  'network/beta/theirs': { subnets: [{ cidr: '10.20.0.0/24' }] },
  'volume/beta/theirs': { sizeMib: 1 },
  'image/beta/picture': { source: { path: `file://${imagesInside}/good.raw` }, format: 'raw' },
};

test.before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'refusals-'));
  makeBadImages(folder);
  cluster = await launchCluster({ stem: 'refusals', tenants: ['acme', 'beta'], images: { [imagesInside]: folder } });
  operator = await openClient(cluster, cluster.clientFile);
  acme = await openClient(cluster, cluster.tenantFile('acme'));
  for (const tenant of ['acme', 'beta']) await command(operator, 'create', `tenant/${tenant}/${tenant}`);
  for (const [id, params] of Object.entries(standing)) await command(operator, 'create', id, params);
  await command(operator, 'delete', 'port/acme/s3');
  for (const image of ['beta/picture', 'acme/linux', 'acme/first']) await untilReady(`image/${image}`);
  before = await everything();
});

test.after(async () => {
  acme?.close();
  operator?.close();
  await cluster?.topology.stop();
  if (folder !== '') rmSync(folder, { recursive: true });
});

async function untilReady(id: string): Promise<void> {
  for await (const frame of operator.watch({ ids: [id] }, AbortSignal.timeout(20_000))) {
    const seen = 'actors' in frame ? frame.actors[0] : 'actor' in frame ? frame.actor : undefined;
    if (seen?.stateName === 'ready') return;
  }
  throw new Error(`${id} was not ready within 20 s`);
}

/**
 * Every actor as `photon list` shows it, and every kernel object and file of the workers, including unfinished ones.
 */
async function everything(): Promise<typeof before> {
  const { actors } = await operator.call('actor.list', { limit: 500 });
  // The state of an agent changes by itself, because it sweeps periodically.
  const ids = actors.map(({ id, stateName }) => (id.startsWith('agent/') ? id : `${id} ${stateName}`));
  const files = workers.flatMap((node) =>
    readdirSync(join(cluster.topology.node(node).folder, 'host'), { recursive: true, encoding: 'utf8' }).map(
      (path) => `${node}: ${path}`,
    ),
  );
  return { actors: ids.sort(), workers: [...(await residueOf(cluster.topology, workers)), ...files].sort() };
}

/** Nothing was created. */
async function assertUnchanged(what: string): Promise<void> {
  const after = await everything();
  assert.equal(after.actors, before.actors, `actors after ${what}`);
  assert.equal(after.workers, before.workers, `workers after ${what}`);
}

async function refusalOf(asked: Promise<unknown>): Promise<ErrorRecord> {
  try {
    const granted = await asked;
    return assert.unreachable(`was granted: ${JSON.stringify(granted)}`) as never;
  } catch (error) {
    if (error instanceof PhotonError) return error.record;
    throw error;
  }
}

/** One line per refusal that differs from the table. */
async function wrongOf(refusals: readonly cases.Refusal[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const { what, id, params, code, path, says } of refusals) {
    const got = await command(acme, 'create', id, params).then(
      (granted) => `granted ${JSON.stringify(granted)}`,
      (error: unknown) => (error instanceof PhotonError ? error.record : String(error)),
    );
    const first = typeof got === 'string' ? undefined : got.issues?.[0];
    const isRight =
      typeof got !== 'string' &&
      got.code === code &&
      got.group === 'rejection' &&
      first?.path === path &&
      says.test(got.message) &&
      first.message !== '';
    if (!isRight) wrong.push(`${what}: wanted ${code} at ${path} saying ${String(says)}; got ${JSON.stringify(got)}`);
  }
  return wrong;
}

test('invalid networks are refused', async () => {
  assert.equal(await wrongOf(cases.networkRefusals), []);
  await assertUnchanged('networks');
});

test('invalid security groups are refused', async () => {
  assert.equal(await wrongOf(cases.groupRefusals), []);
  assert.equal(await wrongOf(cases.serviceRefusals), []);
  await assertUnchanged('security group refusals');
});

test('invalid ports are refused', async () => {
  assert.equal(await wrongOf(cases.portRefusals), []);
  assert.equal(await wrongOf(addressRefusals), []);
  await assertUnchanged('ports');
});

test('invalid volumes and VMs are refused', async () => {
  assert.equal(await wrongOf(cases.vmRefusals), []);
  await assertUnchanged('volumes and VMs');
});

test('invalid images are refused', async () => {
  assert.equal(await wrongOf(imageRefusals), []);
  // The record of the last one that reached the image still says why.
  assert.match((await acme.call('actor.get', { id: 'image/acme/bad' })).reason ?? '', /the cluster has no host w9/);
  await assertUnchanged('images');
});

test('invalid names of objects and of tenants are refused', async () => {
  for (const name of cases.badNames) {
    const shown = JSON.stringify(name.slice(0, 12));
    const volume = { name, idempotencyKey: 'names', params: { spec: { sizeMib: 1 } } };
    const object = await refusalOf(acme.call('volume.create', { ...volume, scope: 'acme' }));
    assert.equal([object.code, object.issues?.[0]?.path], ['params_invalid', 'name'], shown);
    const tenant = await refusalOf(operator.call('volume.create', { ...volume, scope: name, name: 'v' }));
    assert.equal([tenant.code, tenant.issues?.[0]?.path], ['params_invalid', 'scope'], shown);
    const id = await refusalOf(operator.call('actor.get', { id: `volume/acme/${name}` }));
    assert.match(id.code, /^(not_found|params_invalid)$/, shown);
  }
  await assertUnchanged('names');
});

test("another tenant's objects are answered like missing ones", async () => {
  const pairs = [
    ['network', 'theirs'],
    ['volume', 'theirs'],
    ['image', 'picture'],
    ['vpc', 'main'],
    ['tenant', 'beta'],
  ];
  for (const [kind = '', name = ''] of pairs) {
    const asks: ((id: string) => Promise<unknown>)[] = [
      (id) => acme.call('actor.get', { id }),
      (id) => acme.call('actor.history', { id, after: 0, limit: 5 }),
      (id) => acme.watch({ ids: [id] }, AbortSignal.timeout(5_000)).next(),
      (id) => command(acme, 'delete', id),
      ...(kind === 'tenant' ? [] : [(id: string) => command(acme, 'create', id, standing[id] ?? { sizeMib: 1 })]),
    ];
    for (const [at, ask] of asks.entries()) {
      const sameWords = ({ code, message, issues, group, retryable }: ErrorRecord, asked: string): unknown => ({
        code,
        group,
        retryable,
        issues,
        message: message.replaceAll(asked, 'it'),
      });
      const [there, nowhere] = [`${kind}/beta/${name}`, `${kind}/beta/absent`];
      const foreign = sameWords(await refusalOf(ask(there)), there);
      assert.equal(foreign, sameWords(await refusalOf(ask(nowhere)), nowhere), `${there}, ask ${at}`);
      assert.is((foreign as ErrorRecord).code, 'not_found', `${there}, ask ${at}`);
    }
  }
  for (const tenant of ['beta', 'absent']) {
    assert.is((await refusalOf(acme.call('actor.list', { scope: tenant }))).code, 'not_found');
    assert.is((await refusalOf(acme.watch({ scope: tenant }, AbortSignal.timeout(5_000)).next())).code, 'not_found');
  }
  const { actors } = await acme.call('actor.list', { limit: 500 });
  assert.equal(
    actors.filter(({ id }) => !id.includes('/acme/')),
    [],
  );
  await assertUnchanged('foreign ids');
});

/** Writes a file and runs `photon apply -f` on it for the tenant acme. */
async function apply(name: string, text: string): Promise<Ended> {
  const file = join(folder, name);
  writeFileSync(file, text);
  return await photon(cluster.tenantFile('acme'), 'apply', '-f', file);
}

const imageDocument = 'kind: image\ntenant: acme\nname: i\nspec:\n  format: raw';
const frontDocument = 'kind: network\ntenant: acme\nname: front\nspec: { subnets: [{ cidr: 10.20.0.0/24 }] }\n';

test('a file with invalid documents is refused as a whole, with document, path and reason of each error', async () => {
  const { code, out, err } = await apply(
    'wrong.yaml',
    [
      'kind: network\ntenant: acme\nname: fresh\nspec: { subnets: [{ cidr: 10.40.0.0/24 }] }',
      'kind: volume\ntenant: acme\nname: Big Disk\nspec: { sizeMib: 0, colour: red }',
      'kind: vm\ntenant: acme\nname: m\nspec:\n  nics: [{ network: front, tap: x }]\n' +
        '  boot: { kernel: k, initrd: i, commandLine: "a\\nb" }',
      'kind: bucket\ntenant: acme\nname: r',
      'kind: volume\nname: v\nspec: { sizeMib: 1 }',
      'kind: volume\ntenant: [acme',
    ].join('\n---\n'),
  );
  assert.is(code, 1);
  assert.is(out, '');
  const lines = err.trimEnd().split('\n');
  assert.match(lines[0] ?? '', /wrong\.yaml: not valid; nothing was changed \(document_invalid\)/);
  const expected = [
    /wrong\.yaml#2 name: must be 1 to 40 characters/,
    /wrong\.yaml#2 spec\.sizeMib: must be at least 1/,
    /wrong\.yaml#2 spec\.colour: unknown field/,
    /wrong\.yaml#3 spec\.nics\.0\.tap: unknown field/,
    /wrong\.yaml#3 spec\.boot\.commandLine: must be printable ASCII on one line/,
    /wrong\.yaml#4 kind: must be one of external-network, rollout, tenant, vpc, /,
    /wrong\.yaml#6: .*line/,
  ];
  for (const one of expected)
    assert.ok(
      lines.some((line) => one.test(line)),
      `${String(one)} in:\n${err}`,
    );
  assert.is(lines.length, 1 + expected.length, err);
  await assertUnchanged('a wrong file');
});

test('errors that only the cluster can find are printed in the same form', async () => {
  const table: readonly (readonly [name: string, document: string, place: string, says: RegExp])[] = [
    [
      'overlap.yaml',
      frontDocument.replace('front', 'second'),
      'spec.subnets.0.cidr',
      /10\.20\.0\.0\/24 is already a subnet of network\/acme\/front/,
    ],
    ['changed.yaml', frontDocument.replace('24 }]', '24 }], mtu: 1400'), 'spec.mtu', /is 1450 and cannot become 1400/],
    [
      'foreign.yaml',
      'kind: port\ntenant: acme\nname: q\nspec: { network: theirs }',
      'spec.network',
      /there is no network\/acme\/theirs in acme/,
    ],
    [
      'taken.yaml',
      `kind: port\ntenant: acme\nname: q\nspec: { network: front, address: ${cases.takenAddress} }`,
      'spec.address',
      /10\.20\.0\.9 is held by port\/acme\/p1/,
    ],
    [
      'link.yaml',
      `${imageDocument}\n  source: { path: ${imagesInside}/link-out.raw }`,
      'spec.source.path',
      /symbolic link/,
    ],
    [
      'digest.yaml',
      `${imageDocument}\n  source: { path: ${imagesInside}/good.raw }\n  sha256: ${'b'.repeat(64)}`,
      'spec.sha256',
      /check the file and the sha256/,
    ],
  ];
  for (const [name, document, place, says] of table) {
    const { code, out, err } = await apply(name, document);
    assert.equal([code, out], [1, ''], `${name}: ${err}`);
    assert.ok(err.includes(`${name}#1 ${place}`), `${name}: ${err}`);
    assert.match(err, says, `${name}: ${err}`);
  }
  await assertUnchanged('files the cluster refuses');
});

test('exit codes are those of --help: 1 refused, 2 usage, 3 not found, 5 unreachable', async () => {
  const mine = cluster.tenantFile('acme');
  const held = await photon(mine, 'delete', 'network', 'front');
  assert.match(held.err, /still has port\/acme\/p1; delete those first\. .*delete it again in .* \(in_use\)/);
  assert.is(held.code, 1);
  assert.is((await photon(mine, 'frobnicate')).code, 2);
  assert.is((await photon(mine, 'apply')).code, 2);
  assert.is((await photon(cluster.clientFile, 'get', 'network', 'front')).code, 2, 'no tenant named');
  for (const id of ['network/acme/absent', 'network/beta/theirs']) {
    const { code, err } = await photon(mine, 'get', id);
    assert.equal([code, err.includes(`There is no ${id} here, or it is not yours`)], [3, true], err);
  }
  assert.is((await photon(mine, 'apply', '-f', join(folder, 'absent.yaml'))).code, 2);
  const nobody = join(folder, 'nobody.json');
  const client = { url: 'ws://localhost/api', token: 'x', socketPath: join(folder, 'nobody.sock') };
  writeFileSync(nobody, JSON.stringify(client));
  const unreachable = await photon(nobody, 'list');
  assert.is(unreachable.code, 5, unreachable.err);
  await assertUnchanged('exit codes');
});

test('applying the same file again changes nothing, and says so', async () => {
  const { code, out } = await apply('again.yaml', frontDocument);
  assert.is(code, 0);
  assert.match(out, /^unchanged +network\/acme\/front +ready/);
  const second = await apply('again.yaml', frontDocument);
  assert.match(second.out, /^unchanged/);
  await assertUnchanged('the same file twice');
});

test.run();
