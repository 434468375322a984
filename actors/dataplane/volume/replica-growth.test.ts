/**
 * A volume that grows, with the real QEMU: while a guest has it, QEMU tells the guest the new size at once, in either
 * format; at rest its file grows; it never becomes smaller. A shared one is served with its new size at the same place.
 */
// needs: kernel
// test limit: 100 s
import { statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { z } from 'zod';
import type { DiskFormat, IncarnationSpec } from '@photoncloud/machines/values/wiring';
import {
  codeOf,
  inOwnNamespaces,
  nextCall,
  openForTests,
  ownerOf,
  run,
  smallGuest,
  testOptions,
  testQemu,
} from '../dataplane-for-tests.ts';
import { pathsOf } from '../hypervisor/qemu-folder.ts';
import { QmpClient } from '../hypervisor/qmp-client.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { foldersOf } from '../dataplane-site.ts';

const qemu = testQemu();
const mib = 1 << 20;
const blocksSchema = z.array(z.object({ inserted: z.object({ image: z.object({ 'virtual-size': z.int() }) }) }));

function declare(): void {
  if (qemu === null) {
    test.skip('there is no QEMU in .cache/toolchain.json: run set-up first');
    return;
  }
  const { opened, folder } = openForTests({ qemu });
  const formats: readonly DiskFormat[] = ['raw', 'qcow2'];
  const ensure = async (format: DiskFormat, sizeMib: number) => {
    const owner = ownerOf(`replica/acme/${format}@w1`);
    const spec = { owner, volumeUid: format.toUpperCase(), serial: 'S', sizeMib, format, image: null };
    return (await opened).ensureReplica(spec, nextCall());
  };
  const spec: IncarnationSpec = {
    owner: ownerOf('incarnation/acme/web@w1'),
    vm: 'vm/acme/web',
    ...smallGuest,
    disks: formats.map((format) => ({
      volume: `volume/acme/${format}`,
      volumeUid: format.toUpperCase(),
      serial: format,
      format,
    })),
  };

  /** The sizes of the disks as the guest has them, MiB. */
  async function guestSizes(): Promise<readonly number[]> {
    const options = testOptions(folder);
    const site = { options, folders: foldersOf(options), guestGroups: null } as unknown as DataplaneSite;
    const client = await QmpClient.connect(pathsOf(site, spec.owner).toolingSocket, 5_000);
    try {
      const blocks = blocksSchema.parse(await client.execute('query-block'));
      return blocks.map(({ inserted }) => inserted.image['virtual-size'] / mib);
    } finally {
      client.close();
    }
  }

  test('while a guest uses it, the guest has the new size at once', async () => {
    for (const format of formats) await ensure(format, 4);
    await (await opened).startIncarnation(spec, nextCall());
    assert.equal(await guestSizes(), [4, 4]);
    for (const format of formats)
      assert.equal([(await ensure(format, 6)).sizeBytes, (await ensure(format, 6)).created], [6 * mib, false]);
    assert.equal(await guestSizes(), [6, 6]);
    assert.is(await codeOf(ensure('raw', 5)), 'replica_differs');
    await (await opened).stopIncarnation({ incarnation: spec, graceMs: 0 }, nextCall());
    await (await opened).cleanIncarnation(spec, nextCall());
  });

  test('at rest its file grows, and never becomes smaller', async () => {
    for (const format of formats) assert.is((await ensure(format, 8)).sizeBytes, 8 * mib);
    for (const format of formats) assert.is(await codeOf(ensure(format, 7)), 'replica_differs');
  });

  test('served to another host it has its new size at the same place', async () => {
    const volumeUid = 'RAW';
    const exports = {
      owner: ownerOf('volume-export/acme/raw@w1'),
      volumeUid,
      clients: [{ runEpoch: 1, host: 'w2' }],
    };
    const [before] = await (await opened).ensureExports(exports, nextCall());
    await ensure('raw', 12);
    assert.is(statSync(path.join(folder, 'volumes/RAW.raw')).size, 12 * mib);
    const [after] = await (await opened).ensureExports(exports, nextCall());
    assert.equal([after?.source, after?.pid === before?.pid], [before?.source, false]);
    const [again] = await (await opened).ensureExports(exports, nextCall());
    assert.is(again?.pid, after?.pid);
    assert.match(await run('sh', '-c', `tr '\\0' ' ' </proc/${after?.pid}/cmdline`), /RAW\.1/);
    await (await opened).removeExports(exports, nextCall());
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
