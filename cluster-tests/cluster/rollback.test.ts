// needs: kernel
// time limit: 300 s
// test limit: 150 s
/**
 * A store rollback under a running cluster: the store gets an earlier copy of its files. A VM that was made after the
 * copy goes on running, no second one of its name is started, its address is not given to another port, and objects
 * that the copy contains go on working. Processes are counted in the kernels of the workers, never by the product.
 */
import { randomUUID } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readGuest } from '../demo/guest-page.ts';
import { buildGuestImage } from '../guest/guest-image.ts';
import { launchCluster, type PhotonCluster } from './cluster-launch.ts';
import { sightOfAll, wordsFor, type SeenProcess, type Sight } from './crash-sight.ts';
import { CrashTenant, tenant } from './crash-tenant.ts';
import type { PlannedNode } from './photon-commands.ts';
import { copyStore } from './store-copy.ts';

const test = suite('rollback');
const nodes: readonly PlannedNode[] = [
  { name: 's1', role: 'store' },
  { name: 'c1', role: 'controller' },
  { name: 'w1', role: 'worker' },
  { name: 'w2', role: 'worker' },
];
const workers = ['w1', 'w2'];
const [known, lost, fresh] = ['known', 'lost', 'fresh'] as const;
const clusterActor = 'cluster/system/main';

let cluster: PhotonCluster;
let acme: CrashTenant;

test.before(async () => {
  const guest = await buildGuestImage();
  cluster = await launchCluster({ stem: 'rollb', nodes, images: { '/run/guest': guest.folder } });
  acme = await CrashTenant.open(cluster);
  await acme.declareBasics(guest.commandLine);
});

test.after(async () => {
  acme?.close();
  await cluster?.topology.stop(0);
});

const vm = (name: string): string => `vm/${tenant}/${name}`;
/** Start times count from the machine's boot; pids are those inside the workers, where two may be equal. */
const sameProcess = (one: SeenProcess, other: SeenProcess): boolean =>
  one.pid === other.pid && one.startTime === other.startTime;
const look = (): Promise<Sight> => sightOfAll(cluster.topology, workers);
const create = (name: string): Promise<unknown> =>
  acme.ask('vm.create', name, { ...acme.vmParams(), disks: [] }, randomUUID());
const isUp = (name: string): Promise<unknown> => acme.reachState(vm(name), /^running$/, 60_000);
const entryOf = (sight: Sight, name: string): string | undefined =>
  sight.dhcpHosts.find((host) => host.line.endsWith(`,${name}.`))?.line;

interface ClusterStatus {
  readonly era: number;
  readonly recovery: { readonly liftedAt: number | null; readonly heard: readonly string[] } | null;
}

test('a VM made after the copy goes on; no second one is started, and its address stays its own', async () => {
  await create(known);
  await isUp(known);
  const rollBack = copyStore(cluster.topology);
  await create(lost);
  await isUp(lost);
  await acme.reachState(`port/${tenant}/${lost}.eth0`, /^active$/);
  const page = await readGuest(await acme.placeOf(lost), 60_000);
  const place = await acme.placeOf(lost);
  const before = await look();
  assert.is(before.qemus.length, 2, wordsFor(before));
  const startedAt = performance.now();
  await rollBack();
  const opened = await acme.reach(
    clusterActor,
    'open in its second era',
    (actor) => actor?.stateName === 'open' && (actor.status as ClusterStatus).era === 2,
    60_000,
  );
  console.log(`open again ${((performance.now() - startedAt) / 1000).toFixed(1)} s after the store rollback`);
  assert.equal([...((opened.status as ClusterStatus).recovery?.heard ?? [])].toSorted(), workers);
  assert.is(await acme.find(vm(lost)), undefined, 'the store does not contain it any more');
  await isUp(known);

  // Declared again under its name it gets its address, and it is not placed while the first one runs.
  await create(lost);
  const again = await acme.reachState(vm(lost), /^unplaced$/);
  assert.is((again.status as { failure: { code: string } }).failure.code, 'runs_already');
  const { address } = (again.status as { ports: Record<string, { address: string }> }).ports[
    `port/${tenant}/${lost}.eth0`
  ] ?? { address: '' };
  assert.is(entryOf(before, lost)?.split(',')[1], address, 'the port of that name has the address it had');
  await create(fresh);
  await isUp(fresh);
  // Waits for a sweep, which must leave the VM that no record mentions alone.
  for (const name of workers) {
    await acme.reach(
      `agent/system/${name}@${name}`,
      'swept in the new era',
      (actor) => actor?.stateName === 'serving.resting',
      60_000,
    );
  }
  const after = await look();
  assert.equal(
    before.qemus.filter((one) => after.qemus.every((other) => !sameProcess(one, other))),
    [],
    `both QEMU from before run on: ${wordsFor(after)}`,
  );
  assert.is(after.qemus.length, 3, wordsFor(after));
  assert.is(entryOf(after, lost), entryOf(before, lost));
  const addresses = after.dhcpHosts.map((host) => host.address);
  assert.is(new Set(addresses).size, 3, `one port per address: ${wordsFor(after)}`);
  assert.is((await readGuest(place, 60_000)).boot_id, page.boot_id, 'the guest was not restarted');
});

test.run();
