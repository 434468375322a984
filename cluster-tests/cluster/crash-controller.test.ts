// needs: kernel
// time limit: 600 s
// test limit: 540 s
/**
 * The controller is killed after single commits of a VM's creation, then at random moments. The VM must come up
 * once (one QEMU, one tap, one DHCP host entry with the address first given), and the command repeated with its key
 * must have the same answer. For the kill after the n-th commit the controller kills itself
 * (crashing-controller-main.ts), so that each is met exactly, and with a stride of 1 all of them.
 */
import { randomInt, randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readGuest } from '../demo/guest-page.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { launchCluster, startNode, type PhotonCluster } from './cluster-launch.ts';
import { sightOfAll, wordsFor, type Sight } from './crash-sight.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import { findProgram, isRunning, startProgram } from './node-program.ts';
import type { PlannedNode } from './photon-commands.ts';
import { isAlive, signal, until } from './process-identity.ts';
import { insideFolder } from './topology-record.ts';

const test = suite('crash-controller');
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
  { name: 'w2', role: 'worker' },
];
const workers = ['w1', 'w2'];
const controller: PlannedNode = { name: 'c1', role: 'controller' };
/** More commits than any creation has, so that an endless loop of commits fails with a message. */
const mostCommits = 90;
/** Every ninth commit is taken, beginning with one that is drawn; all of them, stride 1, by `npm run campaign`. */
const stride = Number(process.env['PHOTON_CRASH_STRIDE'] ?? 13);
const randomKills = Number(process.env['PHOTON_CRASH_MOMENTS'] ?? 3);
const seed = Number(process.env['PHOTON_CRASH_SEED'] ?? randomInt(2 ** 31));
const crashingMain = join(import.meta.dirname, 'crashing-controller-main.ts');

let cluster: PhotonCluster;
let acme: CrashTenant;

test.before(async () => {
  const guest = await buildGuestImage();
  cluster = await launchCluster({ stem: 'crashc', nodes, images: { '/run/guest': guest.folder } });
  acme = await CrashTenant.open(cluster);
  await acme.declareBasics(guest.commandLine);
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop(0);
});

const look = (): Promise<Sight> => sightOfAll(cluster.topology, workers);
const isUp = (): boolean => isRunning(cluster.topology, 'c1', 'controller');

async function killController(): Promise<void> {
  const program = findProgram(cluster.topology, 'c1', 'controller');
  signal(program, 'SIGKILL');
  await until('the controller is gone', () => !isAlive(program));
}

/** Starts a controller that kills itself right after the `last`-th commit that names the VM. */
async function startCrashing(name: string, last: number): Promise<void> {
  const argv = [process.execPath, crashingMain, insideFolder, `${tenant}/${name}`, String(last)];
  await startProgram(cluster.topology, 'c1', 'controller', argv);
}

async function startNormal(): Promise<void> {
  await killController();
  await startNode(cluster.topology, controller);
}

/** The commits that name the VM, one line each, as the crashing controller has recorded them. */
function commitsOf(name: string): string[] {
  const path = join(cluster.topology.node('c1').folder, `commits-${tenant}-${name}`);
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : [];
}

interface Creation {
  readonly name: string;
  readonly network: string;
  readonly key: string;
  readonly answer: Promise<unknown>;
}

function create(name: string, network = 'front'): Creation {
  const key = randomUUID();
  // The client repeats the command by itself when the controller is back.
  const answer = acme.ask('vm.create', name, acme.vmParams(network), key);
  answer.catch(() => undefined); // awaited in existsOnce, maybe after a failure elsewhere
  return { name, network, key, answer };
}

interface VmStatus {
  readonly ports: Readonly<Record<string, { readonly address: string; readonly mac: string }>>;
  readonly runs: number;
  readonly tries: number;
}

/** Asserts that a VM whose creation was disturbed exists exactly once. @returns its address */
async function existsOnce({ name, network, key, answer }: Creation): Promise<string> {
  const id = `vm/${tenant}/${name}`;
  const first = await answer;
  const again = await acme.ask('vm.create', name, acme.vmParams(network), key);
  assert.equal(again, first, `the same key has the same answer: ${JSON.stringify({ first, again })}`);
  const { status } = await acme.reachState(id, /^running$/, 60_000);
  const { ports, runs, tries } = status as VmStatus;
  assert.equal({ runs, tries }, { runs: 1, tries: 0 }, `${id} was started more than once`);
  await acme.reachState(`port/${tenant}/${name}.eth0`, /^active$/);
  const { address, mac } = ports[`port/${tenant}/${name}.eth0`] ?? { address: '', mac: '' };
  const sight = await look();
  const counts = [sight.qemus.length, sight.taps.length];
  assert.equal(counts, [1, 1], `${id}: wanted one QEMU and one tap, there are: ${wordsFor(sight)}`);
  assert.match(sight.taps[0]?.owner ?? '', `binding/${tenant}/${name}.eth0@`);
  assert.equal(sight.dhcpHosts, [{ address, line: `${mac},${address},${name}.` }], `DHCP hosts of ${id}`);
  return address;
}

/** Stops and deletes the VM and waits until nothing of it is left on a worker. */
async function remove(name: string): Promise<void> {
  const id = `vm/${tenant}/${name}`;
  await acme.ask('vm.stop', name, { graceMs: 0 });
  await acme.reachState(id, /^stopped$/);
  await acme.ask('vm.delete', name);
  await acme.reachAbsence(`port/${tenant}/${name}.eth0`);
  let sight = await look();
  await until(`nothing is left of ${id}`, async () => {
    sight = await look();
    return sight.qemus.length + sight.taps.length + sight.dhcpHosts.length === 0;
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}; there are: ${wordsFor(sight)}`);
  });
}

/** @returns true when the controller has killed itself, false when the creation has ended and no commit follows */
async function killedIn(name: string): Promise<boolean> {
  const quietMs = 400;
  let noted = 0;
  let quietSince = performance.now();
  let settled = false;
  void Promise.all([
    acme.reachState(`vm/${tenant}/${name}`, /^running$/, 60_000),
    acme.reachState(`port/${tenant}/${name}.eth0`, /^active$/, 60_000),
  ]).then(
    () => (settled = true),
    () => undefined,
  ); // the bound below says what did not come
  await until(
    `the controller has made ${name} or is gone`,
    () => {
      const now = commitsOf(name).length;
      if (now !== noted || !settled) quietSince = performance.now();
      noted = now;
      return !isUp() || performance.now() - quietSince > quietMs;
    },
    60_000,
  );
  return !isUp();
}

/** Random moments from a seed, so that a run can be repeated (mulberry32). */
function momentsFrom(start: number): (belowMs: number) => number {
  let at = start;
  return (belowMs) => {
    at = (at + 0x6d2b79f5) | 0;
    let mixed = Math.imul(at ^ (at >>> 15), at | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % belowMs;
  };
}

const nameOf = (stem: string, index: number): string => `${stem}${String(index).padStart(2, '0')}`;

test('controller killed after single commits of a creation: the VM comes up once', async () => {
  console.log(`commits and moments from PHOTON_CRASH_SEED=${seed}`);
  const first = 1 + (seed % stride);
  await killController();
  await startCrashing(nameOf('k', first), first);
  const startedAt = performance.now();
  for (let index = first; ; index += stride) {
    assert.ok(index <= mostCommits, `a creation has more than ${mostCommits} commits`);
    const name = nameOf('k', index);
    const creation = create(name);
    const killed = await killedIn(name);
    const after = commitsOf(name).at(-1);
    if (killed) await startCrashing(nameOf('k', index + stride), index + stride);
    else await startNormal(); // or the commits of the deletion would be counted and kill it
    try {
      await existsOnce(creation);
      if (index < first + stride) await readGuest(await acme.placeOf(name), 60_000);
    } catch (error) {
      throw new Error(`killed after commit ${after}: ${String(error)}`, { cause: error });
    }
    await remove(name);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
    console.log(`${seconds} s  ${killed ? 'killed' : 'ended'} after ${after}`);
    if (!killed) break;
  }
});

test('controller killed at random moments of a creation: the VM comes up once', async () => {
  const moment = momentsFrom(seed);
  await startNormal();
  for (let round = 0; round < randomKills; round++) {
    const name = nameOf('r', round);
    // In a new network, so that bridge and DHCP server are part of the creation, unlike in the test before.
    const network = `n-${name}`;
    await acme.ask('network.create', network, { subnets: [{ name: 'a', cidr: `10.30.${round}.0/24` }] });
    const creation = create(name, network);
    // A creation takes about this long; a later moment meets a VM that has just been created.
    const delayMs = moment(1_500);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await startNormal();
    try {
      await existsOnce(creation);
    } catch (error) {
      throw new Error(`killed ${delayMs} ms after the command was sent: ${String(error)}`, { cause: error });
    }
    await remove(name);
    await acme.ask('network.delete', network);
    console.log(`round ${round}: killed after ${delayMs} ms`);
  }
});

test.run();
