// needs: kernel
// time limit: 240 s
// test limit: 120 s
/**
 * Documents applied, changed and applied again, on real hosts: what can change in place does so without a disturbance,
 * what needs a start waits for it and says so, what cannot change is refused with its path. A controller that is killed
 * between the two commits of a change (the network has accepted it, its VPC has not heard) leaves one generation, and
 * that one realized. What is realized is read in the kernel and the processes of the worker, never asked of the
 * product.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ActorObject } from '@photoncloud/runtime/client/client';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readGuest } from '../demo/guest-page.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { launchCluster, photonCli, startNode, type PhotonCluster } from './cluster-launch.ts';
import { sightOf, type Sight } from './crash-sight.ts';
import { openPortGuest } from './crash-ports.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { findProgram, isRunning, startProgram } from './node-program.ts';
import type { PlannedNode } from './photon-commands.ts';
import { isAlive, signal, until } from './process-identity.ts';
import { insideFolder } from './topology-record.ts';

const test = suite('changed documents');
const controller: PlannedNode = { name: 'c1', role: 'controller' };
const nodes: readonly PlannedNode[] = [{ name: 's1', role: 'store' }, controller, { name: 'w1', role: 'worker' }];
const crashingMain = join(import.meta.dirname, 'crashing-controller-main.ts');
const folder = mkdtempSync(join(tmpdir(), 'photon-changed-'));
const file = join(folder, 'tenant.json');

/** What the documents of this test differ in from time to time. */
interface Changes {
  readonly vms?: number;
  readonly dns?: string;
  readonly subnets?: readonly string[];
  readonly mtu?: number;
  readonly tier?: string;
  readonly restart?: string;
  readonly memoryMib?: number;
  readonly cidrs?: readonly string[];
  readonly userData?: string;
}

let cluster: PhotonCluster;
let acme: CrashTenant;
let commandLine = '';

/** Documents as a tenant would keep them in one file; JSON is YAML. */
function documents({ vms = 10, dns = '192.0.2.53', mtu = 1400, ...rest }: Changes): string {
  const { subnets = ['10.20.0.0/24'], tier = 'web', restart = 'on-failure', memoryMib = 128 } = rest;
  const { cidrs = ['198.51.100.0/24'], userData = '#cloud-config\n# hunter2 at first\n' } = rest;
  const of = (kind: string, name: string, spec: object, more: object = {}) => ({ kind, tenant, name, spec, ...more });
  const image = (name: string, path: string, format: string) =>
    of('image', name, { source: { path: `file:///run/guest/${path}` }, format });
  const boot = { kernel: 'guest-kernel', initrd: 'guest-initrd', commandLine };
  const all = [
    { kind: 'tenant', name: tenant, spec: { quota: { vm: vms } } },
    of('network', 'front', { mtu, subnets: subnets.map((cidr) => ({ cidr })), dhcp: { dns: [dns] } }),
    of('address-set', 'office', { cidrs }),
    image('guest-kernel', 'vmlinuz', 'kernel'),
    image('guest-initrd', 'initrd.img', 'initrd'),
    of('volume', 'visits', { sizeMib: 64 }),
    of(
      'vm',
      'web-1',
      { memoryMib, restart, nics: [{ network: 'front' }], disks: [{ volume: 'visits' }], boot, seed: { userData } },
      { labels: { tier } },
    ),
  ];
  return all.map((one) => JSON.stringify(one)).join('\n---\n');
}

const cli = (...argv: string[]): Promise<string> => photonCli(cluster.clientFile, argv);

function write(changes: Changes): void {
  writeFileSync(file, documents(changes));
}

/** First word of every line that apply prints, by object. */
async function apply(changes: Changes): Promise<Readonly<Record<string, string>>> {
  write(changes);
  const lines = (await cli('apply', '-f', file, '--wait')).trimEnd().split('\n');
  return Object.fromEntries(lines.map((line) => line.split(/\s+/)).map(([result = '', id = '']) => [id, result]));
}

const objects = [
  'tenant/acme/acme',
  'network/acme/front',
  'address-set/acme/office',
  'image/acme/guest-kernel',
  'image/acme/guest-initrd',
];
const all = (result: string): Readonly<Record<string, string>> =>
  Object.fromEntries([...objects, 'volume/acme/visits', 'vm/acme/web-1'].map((id) => [id, result]));

interface Declared {
  readonly generation: number;
  readonly observedGeneration: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly conditions: readonly { readonly type: string; readonly status: string; readonly message: string }[];
}
const statusOf = (actor: ActorObject): Declared => actor.status as Declared;

async function read(id: string): Promise<Declared> {
  const actor = await acme.find(id);
  if (actor === undefined) throw new Error(`${id} is not there`);
  return statusOf(actor);
}

const realized = (id: string): Promise<ActorObject> =>
  acme.reach(id, 'realized as declared', (actor) => {
    if (actor === undefined) return false;
    const { generation, observedGeneration } = statusOf(actor);
    return generation === observedGeneration;
  });

/** Everything that configures the DHCP servers of the worker, as they were given it. */
const dhcpFiles = (): Promise<string> =>
  cluster.topology.exec('w1', ['sh', '-c', 'cat /run/photon-*/dhcp/*/*/* 2>/dev/null; true']);
/** What a command prints in each namespace `$n` of the worker. */
const inNamespaces = (command: string): Promise<string> =>
  cluster.topology.exec('w1', ['sh', '-c', `for n in $(ip netns list | cut -d" " -f1); do ${command}; done`]);
const seen = (): Promise<Sight> => sightOf(cluster.topology, 'w1');
const restartRequired = (status: Declared) => status.conditions.find(({ type }) => type === 'RestartRequired');

test.before(async () => {
  const guest = await buildGuestImage();
  commandLine = guest.commandLine;
  cluster = await launchCluster({ stem: 'change', nodes, images: { '/run/guest': guest.folder } });
  acme = await CrashTenant.open(cluster);
});

test.after(async () => {
  acme?.close();
  rmSync(folder, { recursive: true });
  await cluster?.topology.stop(0);
});

test('a second apply changes nothing, and diff says so', async () => {
  assert.equal(await apply({}), all('created'));
  await readGuest(await acme.placeOf('web-1'), 60_000);
  const before = await seen();
  assert.equal(await apply({}), all('unchanged'));
  const same = await cli('diff', '-f', file);
  assert.match(same, /^0 of 7 differ$/m, same);
  assert.equal(await seen(), before);
});

const changed: Changes = {
  vms: 20,
  dns: '192.0.2.54',
  subnets: ['10.20.0.0/24', '10.21.0.0/24'],
  tier: 'front',
  restart: 'always',
  memoryMib: 160,
  cidrs: ['198.51.100.0/24', '203.0.113.0/24'],
  userData: '#cloud-config\n# hunter2 again\n',
};

test('in place: quota, DHCP, an added subnet, an address set, labels, restart policy; the guest runs on', async () => {
  const before = await seen();
  write(changed);
  const told = await cli('diff', '-f', file);
  assert.match(told, /spec\.memoryMib +128 -> 160 +\(next start\)/);
  assert.match(told, /spec\.seed\.userData +"sealed:1:\S+" -> "\(another secret\)" +\(next start\)/);
  assert.match(told, /spec\.dhcp\.dns +\["192\.0\.2\.53"\] -> \["192\.0\.2\.54"\]$/m);
  assert.match(told, /^4 of 7 differ$/m);
  const results = await apply(changed);
  const updated = ['tenant/acme/acme', 'network/acme/front', 'address-set/acme/office', 'vm/acme/web-1'];
  assert.equal(results, { ...all('unchanged'), ...Object.fromEntries(updated.map((id) => [id, 'updated'])) });
  await realized('network/acme/front');
  const after = await seen();
  assert.equal([after.qemus, after.taps], [before.qemus, before.taps], 'QEMU and its tap are untouched');
  const dhcp = await dhcpFiles();
  assert.match(dhcp, '192.0.2.54');
  assert.not.match(dhcp, '192.0.2.53');
  assert.match(dhcp, '10.21.0.');
  assert.match(await inNamespaces('ip -n $n -4 -o addr'), '10.21.0.1/24');
  await realized('address-set/acme/office');
  const sets = await inNamespaces('ip netns exec $n nft list sets inet');
  assert.match(sets, /198\.51\.100\.0\/24, 203\.0\.113\.0\/24/);
  const { labels } = await read('vm/acme/web-1');
  assert.equal(labels, { tier: 'front' });
  await readGuest(await acme.placeOf('web-1'), 60_000);
});

/** Files of a node that have a text, the command lines of its processes among them. */
const filesWith = async (node: string, text: string): Promise<readonly string[]> => {
  const places = `${insideFolder} /run/photon-* /proc/[0-9]*/cmdline /proc/[0-9]*/environ`;
  // The bracket keeps the search from finding itself.
  const pattern = `[${text.slice(0, 1)}]${text.slice(1)}`;
  const found = await cluster.topology.exec(node, ['sh', '-c', `grep -rlsa '${pattern}' ${places}; true`]);
  return found.trim().split('\n').filter(Boolean);
};
const isSeed = (path: string): boolean => /^\/run\/photon-[^/]+\/incarnations\/[^/]+\/seed$/.test(path);

test('user data is on the seed disk of the run, and nowhere else in store, archive, logs or processes', async () => {
  assert.ok((await filesWith('s1', 'sealed:1:')).length > 0, 'the store has it sealed');
  assert.equal((await Promise.all(['s1', 'c1'].map((node) => filesWith(node, 'hunter2')))).flat(), []);
  const [seed = '', ...others] = await filesWith('w1', 'hunter2 at first');
  assert.equal([isSeed(seed), others], [true, []], seed);
  const shown = await cli('-t', tenant, 'history', 'vm/acme/web-1', '-o', 'json');
  assert.match(shown, 'sealed:1:');
  assert.not.match(shown, 'hunter2');
});

test('next start: more memory and other user data are shown as pending, and are there after a restart', async () => {
  const pending = await read('vm/acme/web-1');
  assert.ok(pending.generation > pending.observedGeneration);
  assert.match(JSON.stringify(restartRequired(pending)), /"status":"True".*memoryMib, seed\.userData/);
  await cli('-t', tenant, 'vm', 'restart', 'web-1');
  await realized('vm/acme/web-1');
  const { qemus } = await seen();
  assert.is(qemus.length, 1);
  assert.match(qemus[0]?.words ?? '', /-m (size=)?160/);
  const seeds = await filesWith('w1', 'hunter2');
  assert.equal([seeds.length, isSeed(seeds[0] ?? ''), await filesWith('w1', 'hunter2 again')], [1, true, seeds]);
  assert.is(restartRequired(await read('vm/acme/web-1'))?.status, 'False');
  assert.equal(await apply(changed), all('unchanged'));
});

test('replace: refused with the path, the values and what to do; nothing is changed', async () => {
  const before = await read('network/acme/front');
  write({ ...changed, mtu: 1350 });
  const refused = await cli('apply', '-f', file).then(
    () => 'was accepted',
    (error: { stderr: string }) => error.stderr,
  );
  assert.match(refused, /immutable_field/);
  assert.match(refused, /spec\.mtu.*1400.*1350/);
  assert.match(await cli('diff', '-f', file), /^! network\/acme\/front +refused/m);
  assert.equal(await read('network/acme/front'), before);
});

async function killController(): Promise<void> {
  const program = findProgram(cluster.topology, 'c1', 'controller');
  signal(program, 'SIGKILL');
  await until('the controller is gone', () => !isAlive(program));
}

test('killed between the two commits of a change: one generation, and that one realized', async () => {
  const before = await read('network/acme/front');
  await killController();
  // It ends itself right after the first commit that names the network: the one that accepts the change.
  const argv = [process.execPath, crashingMain, insideFolder, `${tenant}/front`, '1'];
  await startProgram(cluster.topology, 'c1', 'controller', argv);
  const subnets = (changed.subnets ?? []).map((cidr) => ({ cidr }));
  const spec = { mtu: 1400, subnets, dhcp: { dns: ['192.0.2.55'] } };
  // The client asks again by itself, with the same key, once the controller is back.
  const answer = acme.ask('network.update', 'front', spec);
  answer.catch(() => undefined); // awaited below
  await until('the controller has killed itself', () => !isRunning(cluster.topology, 'c1', 'controller'));
  await startNode(cluster.topology, controller);
  const { result } = (await answer) as { result: { generation: number } };
  assert.is(result.generation, before.generation + 1);
  const after = statusOf(await realized('network/acme/front'));
  assert.is(after.generation, before.generation + 1, 'the change was accepted once');
  await until('the DHCP server has the new options', async () => /192\.0\.2\.55/.test(await dhcpFiles()));
  assert.not.match(await dhcpFiles(), '192.0.2.54');
  const { qemus } = await seen();
  assert.is(qemus.length, 1, 'the VM runs on');
});

test('each NIC has a network, an address and groups; other groups apply while the guest runs', async () => {
  await acme.ask('network.create', 'back', { subnets: [{ cidr: '10.22.0.0/24' }] });
  await acme.ask('security-group.create', 'closed', { rules: [{ direction: 'egress' }] });
  const boot = { kernel: 'guest-kernel', initrd: 'guest-initrd', commandLine };
  const spec = (securityGroups: readonly string[] | null) => ({
    memoryMib: 160,
    restart: 'always',
    nics: [{ network: 'front' }, { name: 'eth1', network: 'back', securityGroups }],
    disks: [{ volume: 'visits' }],
    boot,
  });
  await acme.ask('vm.update', 'web-1', spec(['closed']));
  await cli('-t', tenant, 'vm', 'restart', 'web-1');
  await realized('vm/acme/web-1');
  const place = await acme.placeOf('web-1');
  let facts = await readGuest(place, 60_000);
  await until('the guest has both leases', async () => (facts = await readGuest(place)).addresses.length === 2);
  const [front = '', back = ''] = facts.addresses.map((one) => one.replace(/\/24$/, ''));
  assert.match(back, /^10\.22\.0\./);
  await acme.directPort('neighbour', 'w1');
  const { guest } = await openPortGuest(cluster, acme, 'neighbour');
  try {
    await guest.dhcp({ timeoutMs: 5_000 });
    const answers = async (to: string) => (await guest.ping(to, { count: 2, intervalMs: 20, timeoutMs: 500 })).received;
    assert.equal([await answers(front), await answers(back)], [2, 0], 'eth1 is closed');
    await acme.ask('vm.update', 'web-1', spec(null));
    await until('eth1 answers', async () => (await answers(back)) === 2);
  } finally {
    await guest.close();
  }
  assert.is((await readGuest(place)).boot_id, facts.boot_id, 'the guest has run on');
  const { status } = (await acme.find('vm/acme/web-1')) as ActorObject;
  const { ports, wiring } = status as Record<'ports' | 'wiring', Record<string, { groups: readonly string[] }>>;
  const id = 'port/acme/web-1.eth1';
  assert.equal(
    [ports[id]?.groups, wiring[id]?.groups],
    [['security-group/acme/default'], ['security-group/acme/default']],
  );
});

test.run();
