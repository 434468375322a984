// needs: kernel
// time limit: 600 s
// test limit: 200 s
/**
 * kill -9 of one program after the other on one cluster: worker, store, dnsmasq, QEMU. The cluster has one VM whose
 * page counts visits, and each test says what must survive; finally everything is deleted and nothing of it may be
 * left. Killed controllers are in crash-controller.test.ts.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readGuest, visitGuest, type GuestFacts, type GuestPlace } from '../demo/guest-page.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { launchCluster, startNode, type PhotonCluster } from './cluster-launch.ts';
import {
  killInside,
  namespacesInUse,
  namespacesOf,
  sightOf,
  wordsFor,
  type SeenProcess,
  type Sight,
} from './crash-sight.ts';
import {
  assertOneAddressEach,
  declare,
  exchange,
  openPortGuest,
  told,
  toldForLong,
  workThroughRedisKill,
  type Declared,
} from './crash-ports.ts';
import { loseEverything } from './host-reboot.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { uploadThrough } from './crash-upload.ts';
import { findProgram, isRunning } from './node-program.ts';
import type { PlannedNode } from './photon-commands.ts';
import { isAlive, processesWithArgument, signal, until } from './process-identity.ts';
import { residueOf } from './residue-check.ts';
import { listPrefixes, prefixOfMark } from './topology-record.ts';

const test = suite('crash-programs');
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
];
const vm = `vm/${tenant}/web-1`;
const agent = 'agent/system/w1@w1';

let cluster: PhotonCluster;
let acme: CrashTenant;

test.before(async () => {
  const guest = await buildGuestImage();
  cluster = await launchCluster({ stem: 'crash', nodes, images: { '/run/guest': guest.folder } });
  acme = await CrashTenant.open(cluster);
  await acme.declareBasics(guest.commandLine);
  await acme.ask('vm.create', 'web-1', acme.vmParams());
  await acme.reachState(vm, /^running$/);
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop(0);
});

const look = (): Promise<Sight> => sightOf(cluster.topology, 'w1');

/** Exactly the kernel objects of one VM with this many ports. */
function assertOnce(sight: Sight, ports = 1): void {
  const counts = [sight.qemus, sight.dhcpServers, sight.taps, sight.dhcpHosts].map((list) => list.length);
  assert.equal(counts, [1, 1, ports, ports], `wanted QEMU 1, dnsmasq 1, taps and entries ${ports}: ${wordsFor(sight)}`);
}

async function killProgram(node: string, name: string): Promise<void> {
  const program = findProgram(cluster.topology, node, name);
  assert.ok(signal(program, 'SIGKILL'), `${name} in ${node} did not run`);
  await until(`${name} in ${node} is gone`, () => !isAlive(program));
}

/** The state of the guest once it has booted again, and where it is. */
async function guestAfter(formerBoot = ''): Promise<{ place: GuestPlace; facts: GuestFacts }> {
  const place = await acme.placeOf('web-1');
  let facts = await readGuest(place);
  await until('the guest has booted anew', async () => {
    facts = await readGuest(place);
    return facts.boot_id !== formerBoot;
  });
  return { place, facts };
}

function assertSameGuest(before: GuestFacts, after: GuestFacts): void {
  assert.is.not(after.boot_id, before.boot_id, 'the boot id is the same: it did not restart');
  assert.equal(after.addresses, before.addresses);
  assert.is(after.mac, before.mac);
  assert.is(after.volume_serial, before.volume_serial);
  assert.is(after.count, before.count, 'answered visits are on the volume');
}

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`;

test('kill -9 the worker: the VM goes on, and the new process adopts it without a change', async () => {
  const { place } = await guestAfter();
  const visited = await visitGuest(place);
  const before = await look();
  assertOnce(before);
  const { boot } = (await acme.reachState(agent, /./)).status as { boot: string };
  await killProgram('w1', 'worker');
  await readGuest(place);
  const during = await visitGuest(place);
  assert.is(during.boot_id, visited.boot_id);
  assert.is(during.count, (visited.count ?? 0) + 1);
  const at = performance.now();
  await startNode(cluster.topology, { name: 'w1', role: 'worker' });
  // Waits for its sweep, which would have removed anything that it took for an orphan.
  await acme.reach(
    agent,
    'resting in a new boot',
    (actor) => actor?.stateName === 'serving.resting' && (actor.status as { boot: string }).boot !== boot,
  );
  await acme.reachState('host/system/w1', /^present\.ready$/);
  console.log(`the worker serves again after ${seconds(at)}`);
  assert.equal(await look(), before, 'the same processes, taps and entries as before');
  const { status } = await acme.reachState(vm, /^running$/);
  const proof = (status as { proof: { pid: number } }).proof;
  assert.is(proof.pid, before.qemus[0]?.pid);
  assert.is((status as { runs: number }).runs, 1);
  assert.is((await readGuest(place)).boot_id, visited.boot_id);

  await acme.ask('vm.restart', 'web-1');
  const { facts } = await guestAfter(visited.boot_id);
  assertSameGuest(during, facts);
  await acme.reach(
    vm,
    'in its second run',
    (actor) => actor?.stateName === 'running' && (actor.status as { runs: number }).runs === 2,
  );
  const after = await look();
  assertOnce(after);
  assert.is.not(after.qemus[0]?.pid, before.qemus[0]?.pid);
});

test('what the guest has printed is read while it runs and after its run has ended', async () => {
  const { boot_id } = (await guestAfter()).facts;
  const printed = async (): Promise<string> => (await acme.client.call('actor.output', { id: vm })).text;
  assert.not.match(await printed(), /guest: power button/);
  await acme.ask('vm.stop', 'web-1');
  await acme.reachState(vm, /^stopped$/);
  assert.match(await printed(), /guest: power button/);
  await acme.ask('vm.start', 'web-1');
  await acme.reachState(vm, /^running$/);
  await guestAfter(boot_id);
  assert.not.match(await printed(), /guest: power button/, 'it is the output of the latest run');
});

/** Every actor's version; a store that lost nothing later has the same or a higher one. */
async function versions(): Promise<Map<string, number>> {
  const found = await acme.client.call('actor.list', { limit: 200 });
  return new Map(found.actors.map((actor) => [actor.id, actor.version]));
}

test('kill -9 the store: commits stall, nothing is lost, commands go on without help', async () => {
  const { topology } = cluster;
  const { place } = await guestAfter();
  const { count } = await visitGuest(place);
  const known = await versions();
  const wanted: Declared[] = [];
  await workThroughRedisKill(cluster, acme, wanted);

  // Killed together with its supervisor the store stays down until it is started.
  await killProgram('s1', 'store');
  const askedAt = performance.now();
  const late = Array.from({ length: 4 }, (_, at): Declared => ({ name: `late${at}`, key: randomUUID() }));
  await Promise.all(late.map((one) => declare(acme, one, 2_000)));
  assert.ok(performance.now() - askedAt < 20_000, `asked with a wait of 2 s, answered after ${seconds(askedAt)}`);
  assert.equal(
    late.filter((one) => one.answer !== undefined),
    [],
    'nothing is answered without a store',
  );
  assert.is((await visitGuest(place)).count, (count ?? 0) + 1, 'the VM does not need the store');
  await startNode(topology, { name: 's1', role: 'store' });
  const startedAt = performance.now();
  wanted.push(...late);
  for (const one of wanted) {
    const before = one.answer;
    one.answer = await acme.ask('port.create', one.name, { network: 'front' }, one.key);
    if (before !== undefined) assert.equal(one.answer, before, 'the same key has the same answer');
  }
  console.log(`store and supervisor: all ports answered ${seconds(startedAt)} after the start`);
  for (const [node, role] of [
    ['c1', 'controller'],
    ['w1', 'worker'],
  ] as const) {
    assert.ok(isRunning(topology, node, role), `${role} ended: it should wait for the store`);
  }
  for (const [id, version] of await versions()) {
    assert.ok(version >= (known.get(id) ?? 0), `${id} fell from version ${known.get(id)} to ${version}`);
    known.delete(id);
  }
  assert.equal([...known.keys()], [], 'actors that are gone');
  await assertOneAddressEach(acme, wanted);
  await acme.reachState(vm, /^running$/);
  for (const one of wanted) await acme.ask('port.delete', one.name);
});

async function dnsmasqKilled(): Promise<void> {
  const before = await look();
  assertOnce(before, 2);
  const first = await exchange(cluster, acme, 'direct');
  assert.is(first.address, first.wanted);
  const at = performance.now();
  await killInside(cluster.topology, 'w1', before.dhcpServers[0] as SeenProcess);
  let after = before;
  await until('another dnsmasq serves', async () => {
    after = await look();
    return after.dhcpServers.length === 1 && after.dhcpServers[0]?.pid !== before.dhcpServers[0]?.pid;
  });
  console.log(`dnsmasq is back after ${seconds(at)}`);
  // The other sections are made again, too.
  await acme.reachState('segment/acme/main@w1', /^serving/);
  assert.equal({ ...after, dhcpServers: [] }, { ...before, dhcpServers: [] }, 'nothing else has changed');
  assert.equal(await exchange(cluster, acme, 'direct'), first);
}

test('kill -9 dnsmasq: another one runs within seconds and gives the same address', async () => {
  await acme.directPort('direct', 'w1');
  try {
    await dnsmasqKilled();
  } finally {
    await acme.ask('port.delete', 'direct');
  }
});

test('with controller and worker down guests renew their leases and reach each other', async () => {
  for (const name of ['renews', 'other']) await acme.directPort(name, 'w1');
  const [one, other] = [await openPortGuest(cluster, acme, 'renews'), await openPortGuest(cluster, acme, 'other')];
  try {
    const first = await one.guest.dhcp({ timeoutMs: 5_000 });
    assert.equal([first.address, (await other.guest.dhcp({ timeoutMs: 5_000 })).address], [one.address, other.address]);
    const before = await look();
    await killProgram('c1', 'controller');
    await killProgram('w1', 'worker');
    try {
      assert.equal(toldForLong(await one.guest.renew()), toldForLong(first));
      assert.equal(
        told(await one.guest.dhcp({ timeoutMs: 5_000 })),
        told(first),
        'also as a guest that has just booted',
      );
      assert.is((await one.guest.ping(other.address, { count: 3, intervalMs: 20 })).received, 3);
    } finally {
      await startNode(cluster.topology, { name: 'c1', role: 'controller' });
      await startNode(cluster.topology, { name: 'w1', role: 'worker' });
    }
    await acme.reachState('host/system/w1', /^present\.ready$/);
    await acme.reachState('segment/acme/main@w1', /^serving/);
    assert.equal(await look(), before, 'the same processes, taps and entries as before');
    assert.equal(toldForLong(await one.guest.renew()), toldForLong(first));
    assert.equal(told(await one.guest.dhcp({ timeoutMs: 5_000 })), told(first), 'after a new worker has started');
    assert.is((await one.guest.ping(other.address, { count: 3, intervalMs: 20 })).received, 3);
  } finally {
    for (const { guest } of [one, other]) await guest.close();
    for (const name of ['renews', 'other']) await acme.ask('port.delete', name);
  }
});

test('kill -9 worker and controller amid an upload: the same command ends it, with the bytes of the file', async () => {
  await uploadThrough(cluster, acme, async (node, role) => {
    await killProgram(node, role);
    await startNode(cluster.topology, { name: node, role });
  });
});

test('kill -9 QEMU: the restart policy starts it again; address, disk and visits are kept', async () => {
  const { place, facts } = await guestAfter();
  const visited = await visitGuest(place);
  assert.is(visited.count, (facts.count ?? 0) + 1);
  const before = await look();
  assertOnce(before);
  const { runs } = (await acme.reachState(vm, /^running$/)).status as { runs: number };
  const at = performance.now();
  await killInside(cluster.topology, 'w1', before.qemus[0] as SeenProcess);
  await acme.reach(
    vm,
    'running once more',
    (actor) => actor?.stateName === 'running' && (actor.status as { runs: number }).runs === runs + 1,
  );
  console.log(`the VM runs again after ${seconds(at)}`);
  assertSameGuest(visited, (await guestAfter(visited.boot_id)).facts);
  const after = await look();
  assertOnce(after);
  assert.equal(after.dhcpHosts, before.dhcpHosts);
});

test('a host that lost everything in a reboot: the DHCP answer is the same, and the VM runs again', async () => {
  const { place } = await guestAfter();
  const visited = await visitGuest(place);
  const { runs } = (await acme.reachState(vm, /^running$/)).status as { runs: number };
  await acme.directPort('direct', 'w1');
  const first = await exchange(cluster, acme, 'direct');
  assert.is(first.address, first.wanted);
  const { boot } = (await acme.reachState(agent, /./)).status as { boot: string };
  await killProgram('w1', 'worker');
  await loseEverything(cluster.topology, 'w1');
  const gone = await look();
  assert.equal([gone.qemus, gone.dhcpServers, gone.taps], [[], [], []], wordsFor(gone));
  const at = performance.now();
  await startNode(cluster.topology, { name: 'w1', role: 'worker' });
  await acme.reach(
    agent,
    'resting in a new boot',
    (actor) => actor?.stateName === 'serving.resting' && (actor.status as { boot: string }).boot !== boot,
  );
  await acme.reach(
    vm,
    'running once more',
    (actor) => actor?.stateName === 'running' && (actor.status as { runs: number }).runs > runs,
  );
  assertSameGuest(visited, (await guestAfter(visited.boot_id)).facts);
  console.log(`the VM runs again ${seconds(at)} after the worker's start`);
  await until(
    'the port is wired again',
    async () => (await look()).taps.filter((tap) => tap.namespace !== '').length === 2,
  );
  await acme.reachState('segment/acme/main@w1', /^serving/);
  assert.equal(await exchange(cluster, acme, 'direct'), first);
  assertOnce(await look(), 2);
  await acme.ask('port.delete', 'direct');
});

test('deleted objects leave nothing on the worker, and a stopped cluster leaves nothing on the machine', async () => {
  const { topology } = cluster;
  const things = [
    ['vm', 'web-1'],
    ['volume', 'visits'],
    ['image', 'guest-initrd'],
    ['image', 'guest-kernel'],
    ['network', 'front'],
  ] as const;
  assert.ok(
    (await residueOf(topology, ['w1'])).length > 0,
    'the residue check finds the objects before they are deleted',
  );
  for (const [kind, name] of things) await acme.ask(`${kind}.delete`, name);
  let left: string[] = [];
  await until('the worker has nothing of the tenant', async () => {
    left = await residueOf(topology, ['w1']);
    return left.length === 0;
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}; left: ${left.join(', ')}`);
  });
  const { prefix, record } = topology;
  const roots = [record.underlay, ...record.nodes.map((node) => node.init)];
  const spaces = roots.flatMap((root) => namespacesOf(root.pid));
  assert.ok(spaces.every((name) => namespacesInUse().has(name)));
  // Held open until they have been looked for: the kernel gives the number of a namespace that is gone to the next one,
  // which may be of a test that runs beside this one.
  const kinds = ['net', 'mnt', 'pid'];
  const held = roots.flatMap(({ pid }) => kinds.map((kind) => openSync(`/proc/${pid}/ns/${kind}`, 'r')));
  acme.close();
  await topology.stop();
  const inUse = namespacesInUse();
  held.forEach(closeSync);
  assert.equal(
    spaces.filter((name) => inUse.has(name)),
    [],
    'namespaces with a process in them',
  );
  assert.equal(
    processesWithArgument((argument) => prefixOfMark(argument) === prefix),
    [],
  );
  assert.not.ok(listPrefixes().includes(prefix), 'its folder or its record is left');
  assert.not.match(readFileSync('/proc/self/mountinfo', 'utf8'), prefix);
});

test.run();
