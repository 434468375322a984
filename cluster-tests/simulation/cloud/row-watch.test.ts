/**
 * K24 names a row that is lost, and one that another guest has written, and nothing when all rows are there; K26 bytes
 * of another snapshot than the volume names.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { IncarnationDisk } from '@photoncloud/machines/values/wiring';
import { expandCloudSeed } from '../seed-options.ts';
import { Simulation } from '../simulation.ts';
import { RowWatch } from './row-watch.ts';
import { SimulatedKernel, type QemuProcess, type Replica } from './simulated-kernel.ts';

const ownerOf = (uid: string, runEpoch: number) => ({ actor: 'incarnation/a/v@w1', uid, runEpoch });
const volume = { volume: 'volume/a/data', volumeUid: 'DATA', serial: 'S', format: 'raw' } as const;
const replica = (rows = 0): Replica => ({ owner: ownerOf('R', 1), format: 'raw', sizeBytes: 1, rows });

/** Two hosts, and a guest that runs on the first. */
function scene() {
  const simulation = new Simulation(expandCloudSeed('1', 1));
  const kernels = [1, 2].map(
    (at) =>
      new SimulatedKernel(
        `w${at}`,
        at,
        () => simulation.time.nowMs,
        () => {},
      ),
  );
  const [w1, w2] = kernels as [SimulatedKernel, SimulatedKernel];
  new RowWatch(simulation, kernels).begin();
  const runOn = (kernel: SimulatedKernel, disk: IncarnationDisk = volume, runEpoch = 1): void => {
    for (const one of kernels) one.incarnations.clear();
    const spec = { vm: 'vm/a/v', disks: [disk] } as unknown as QemuProcess['spec'];
    const owner = ownerOf(`L${runEpoch}`, runEpoch);
    const process = { owner, spec, pid: 1, status: 'running', stalled: false, frozen: false, leaving: new Map() };
    kernel.incarnations.set('v', process as unknown as QemuProcess);
  };
  const pass = (): Promise<unknown> => simulation.time.run(simulation.time.nowMs + 10_000, () => false);
  return { simulation, w1, w2, runOn, pass };
}

test('rows that are found again, here or after they were copied to another host, are no violation', async () => {
  const { simulation, w1, w2, runOn, pass } = scene();
  w1.replicas.set('DATA', replica());
  runOn(w1);
  await pass();
  const { rows = 0 } = w1.replicas.get('DATA') ?? {};
  assert.ok(rows > 3, `${rows} rows`);
  w2.replicas.set('DATA', replica(rows));
  runOn(w2);
  await pass();
  assert.equal(simulation.violations, []);
  assert.ok(simulation.reached.has('rows of another host were found'));
});

test('a host without the rows, and one that goes on with an older copy, are violations', async () => {
  const { simulation, w1, w2, runOn, pass } = scene();
  w1.replicas.set('DATA', replica());
  w2.replicas.set('DATA', replica());
  runOn(w1);
  await pass();
  runOn(w2);
  await pass();
  assert.match(simulation.violations[0] ?? '', /K24: vm\/a\/v .* on w2 finds 0 rows on volume\/a\/data, and \d+ were/);
});

test('an export that has been cut takes no rows, and the next run finds those from before', async () => {
  const { simulation, w1, w2, runOn, pass } = scene();
  const shared: IncarnationDisk = { ...volume, source: { kind: 'nbd', export: 'DATA.1.1', address: null } };
  w2.replicas.set('DATA', replica());
  const served = { owner: ownerOf('X', 1), pid: 1, volumeUid: 'DATA' };
  w2.exports.set('DATA.1', served);
  runOn(w1, shared, 1);
  await pass();
  const written = w2.replicas.get('DATA')?.rows;
  w2.cut('DATA.1');
  w2.exports.set('DATA.2', served);
  await pass();
  assert.is(w2.replicas.get('DATA')?.rows, written);
  runOn(w2, shared, 2);
  await pass();
  assert.ok((w2.replicas.get('DATA')?.rows ?? 0) > (written ?? 0));
  assert.equal(simulation.violations, []);
});

const copy = 'snapshot-copy/a/friday@w1';

test('a restored volume goes on with the rows of the snapshot, once', async () => {
  const { simulation, w1, runOn, pass } = scene();
  w1.replicas.set('DATA', replica());
  runOn(w1);
  await pass();
  const restored = { ...replica(2), origin: { copy, rows: 2, restore: 'R1' } };
  w1.replicas.set('DATA', { ...restored });
  await pass();
  assert.equal(simulation.violations, []);
  assert.ok((w1.replicas.get('DATA')?.rows ?? 0) > 2);
  assert.ok(simulation.reached.has('a volume was restored'));
  w1.replicas.set('DATA', { ...restored });
  await pass();
  assert.match(simulation.violations[0] ?? '', /K24: .* finds 2 rows on volume\/a\/data/);
});

test('a volume that is restored to the bytes of another tenant is a violation', async () => {
  const { simulation, w1, runOn, pass } = scene();
  w1.replicas.set('DATA', replica());
  runOn(w1);
  await pass();
  const origin = { copy: 'snapshot-copy/b/friday@w1', rows: 2, restore: 'R1' };
  w1.replicas.set('DATA', { ...replica(2), origin });
  await pass();
  assert.match(simulation.violations[0] ?? '', /K26: volume\/a\/data has the bytes of snapshot-copy\/b\/friday@w1/);
});

test.run();
