/**
 * Compares the simulated dataplane with the real one: the same operations on a real kernel (and a real QEMU, when there
 * is one) and in memory give the same results. The cloud simulation proves as much about charts as this test proves
 * about the simulated kernel.
 */
// needs: kernel
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Dataplane } from '@photoncloud/actors/dataplane/contract/dataplane-contract';
import { inOwnNamespaces, testOptions, testQemu } from '@photoncloud/actors/dataplane/dataplane-for-tests';
import { createDataplane } from '@photoncloud/actors/dataplane/linux-dataplane';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { Chance } from '../seeded-random.ts';
import { noFaults } from './dataplane-faults.ts';
import { exportScript, incarnationScript, networkScript, recorder, type Step } from './dataplane-script.ts';
import { storageScript } from './storage-script.ts';
import { movesScript } from './dataplane-moves-script.ts';
import { createSimulatedDataplane } from './simulated-dataplane.ts';
import { SimulatedKernel } from './simulated-kernel.ts';

const bytes = 1 << 20;

function simulated(root: string): Dataplane {
  const kernel = new SimulatedKernel('w1', 1, systemClock.monotonicMs, () => {});
  const proof = { sha256: 'd'.repeat(64), sizeBytes: bytes, virtualSizeBytes: bytes };
  kernel.files.set(`${root}/disk`, { format: 'raw', proof });
  return createSimulatedDataplane({
    kernel,
    clock: systemClock,
    random: new Chance('conformance'),
    rates: () => noFaults,
    count: () => {},
    allowedRoots: [root],
    storage: false,
    memoryMib: 4_096,
    peer: () => undefined,
    echoes: () => false,
  });
}

inOwnNamespaces(import.meta.filename, () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'photon-conformance-'));
  const qemu = testQemu();
  const options = testOptions(path.join(folder, 'node'), {
    allowedRoots: [folder],
    ...(qemu === null ? {} : { qemu }),
  });
  writeFileSync(path.join(folder, 'disk'), 'a disk');
  truncateSync(path.join(folder, 'disk'), bytes);
  test.after(() => rmSync(folder, { recursive: true, force: true }));

  const alike = (name: string, script: (dp: Dataplane, step: Step) => Promise<void>): void =>
    test(name, async () => {
      const real = await createDataplane(options);
      const both = [recorder(), recorder()] as const;
      try {
        await Promise.all([script(real, both[0].step), script(simulated(folder), both[1].step)]);
      } finally {
        await real.close();
      }
      assert.ok(both[0].results.length > 10);
      assert.equal(both[1].results, both[0].results, 'the simulated dataplane differs from the kernel');
    });

  alike('segments and taps', networkScript);
  alike('ports that stand by and move', movesScript);
  alike('replicas and image copies', (dp, step) => storageScript(dp, step, folder));
  if (qemu === null) test.skip('incarnations: there is no QEMU in .cache/toolchain.json; run set-up first');
  else {
    alike('incarnations', incarnationScript);
    alike('exports', exportScript);
  }
});

test.run();
