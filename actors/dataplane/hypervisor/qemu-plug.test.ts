/**
 * Disks and NICs that come and go while a guest runs, with the real QEMU in its sandbox: local disks in either format,
 * one through an export of the host, and taps. The guest is a boot sector, so it never answers a request to release
 * one, which is then kept until its reset; whoever asks again, also after an attempt that was cut off, finds what is
 * there. A guest that answers is in cluster-tests/cluster/volume-snapshots.test.ts.
 */
// needs: kernel
// test limit: 60 s
import { readdirSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { z } from 'zod';
import type { DiskFormat, IncarnationDisk, IncarnationNic, IncarnationSpec } from '@photoncloud/machines/values/wiring';
import {
  codeOf,
  inOwnNamespaces,
  nextCall,
  openForTests,
  ownerOf,
  smallGuest,
  tapSpec,
  testOptions,
  testQemu,
} from '../dataplane-for-tests.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { foldersOf } from '../dataplane-site.ts';
import { KernelNames } from '../kernel-names.ts';
import { echoingGuest } from './echoing-guest-for-tests.ts';
import { giveTap } from './qemu-descriptors.ts';
import { pathsOf, readDevices } from './qemu-folder.ts';
import { QmpClient } from './qmp-client.ts';

const qemu = testQemu();
const blocksSchema = z.array(
  z.object({ qdev: z.string().default(''), inserted: z.object({ image: z.object({ 'virtual-size': z.int() }) }) }),
);
const filtersSchema = z.array(z.object({ name: z.string(), 'main-mac': z.string() }));
const setsSchema = z.array(z.object({ fds: z.array(z.unknown()) }));

const local = (name: string, format: DiskFormat, slot: number): IncarnationDisk => ({
  volume: `volume/acme/${name}`,
  volumeUid: name.toUpperCase(),
  serial: name,
  format,
  slot,
});

const [tap, second] = [tapSpec(), tapSpec(12)];
const nicOf = (slot: number, { port, owner, mac, mtu } = tap): IncarnationNic => ({
  port,
  binding: owner.actor,
  bindingUid: owner.uid,
  mac,
  mtu,
  slot,
});

function declare(): void {
  if (qemu === null) {
    test.skip('there is no QEMU in .cache/toolchain.json: run set-up first');
    return;
  }
  const { opened, folder } = openForTests({ qemu });
  const boot = local('boot', 'raw', 0);
  const spec: IncarnationSpec = {
    owner: ownerOf('incarnation/acme/web@w1'),
    vm: 'vm/acme/web',
    ...smallGuest,
    disks: [boot],
    diskSlots: 8,
    nicSlots: 8,
    seed: { instanceId: 'I', hostname: 'web', userData: null, sshKeys: [], network: true },
  };
  const options = testOptions(folder);
  const names = new KernelNames(options.prefix);
  const site = { options, names, folders: foldersOf(options), guestGroups: null } as unknown as DataplaneSite;
  const paths = pathsOf(site, spec.owner);
  const ensure = async ({ volumeUid, format }: IncarnationDisk, sizeMib: number) => {
    const owner = ownerOf(`replica/acme/${volumeUid.toLowerCase()}@w1`);
    return (await opened).ensureReplica({ owner, volumeUid, serial: 'S', sizeMib, format, image: null }, nextCall());
  };
  /** Names of the disks with what came of them. */
  const plug = async (...disks: readonly IncarnationDisk[]): Promise<string> => {
    const standings = await (await opened).plugDevices({ incarnation: spec, disks }, nextCall());
    return standings.disks
      .map(({ volume, standing, error }) => `${path.basename(volume)} ${error?.code ?? standing}`)
      .toSorted()
      .join(', ');
  };
  /** The same of NICs, beside these disks. @param wired whether their taps are */
  const plugNics = async (nics: readonly IncarnationNic[], wired: boolean, ...disks: readonly IncarnationDisk[]) => {
    const ask = {
      incarnation: spec,
      disks: [boot, ...disks],
      nics,
      wired: wired ? nics.map(({ binding }) => binding) : [],
    };
    const standings = await (await opened).plugDevices(ask, nextCall());
    return standings.nics.map(({ port, standing, error }) => `${port} ${error?.code ?? standing}`).join(', ');
  };

  const asking = async <Result>(work: (client: QmpClient) => Promise<Result>): Promise<Result> => {
    const client = await QmpClient.connect(paths.toolingSocket, 5_000);
    try {
      return await work(client);
    } finally {
      client.close();
    }
  };
  /** The disks of the guest with their sizes, MiB, but for the seed. */
  const guestDisks = () =>
    asking(async (client) =>
      blocksSchema
        .parse(await client.execute('query-block'))
        .flatMap(({ qdev, inserted: { image } }) => {
          const name = /(disk\d)\//.exec(qdev)?.[1];
          return name === undefined ? [] : [`${name} ${image['virtual-size'] / 2 ** 20}`];
        })
        .toSorted(),
    );
  const [data, logs] = [local('data', 'raw', 1), local('logs', 'qcow2', 5)];

  test.before(async () => {
    await ensure(boot, 4);
    const file = path.join(folder, 'volumes/BOOT.raw');
    writeFileSync(file, echoingGuest);
    truncateSync(file, 4 << 20);
    const started = await (await opened).startIncarnation(spec, nextCall());
    assert.equal([started.diskSlots, started.nicSlots], [8, 8]);
    await (await opened).resumeIncarnation(spec, nextCall());
  });

  /** The NICs of the guest with their MACs. */
  const guestNics = () =>
    asking(async (client) => {
      const filters = filtersSchema.parse(await client.execute('query-rx-filter'));
      return filters.map(({ name, 'main-mac': mac }) => `${name} ${mac}`);
    });
  const isHeld = async (): Promise<boolean> => (await (await opened).readTap(tap, nextCall())).carrier;

  test('QEMU opens a tap, and the guest has its NIC once that is wired', async () => {
    assert.is(await plugNics([nicOf(2)], true), `${tap.port} tap_missing`);
    await (await opened).createTap(tap, nextCall());
    for (const _ of [1, 2]) assert.is(await plugNics([nicOf(2)], false), `${tap.port} opened`);
    assert.equal([await guestNics(), await isHeld()], [[], true]);
    for (const _ of [1, 2]) assert.is(await plugNics([nicOf(2)], true), `${tap.port} plugged`);
    assert.equal(await guestNics(), [`nic2 ${tap.mac}`]);
    assert.equal(
      (await readDevices(paths, 'nic')).map(({ name, slot }) => [name, slot]),
      [[tap.port, 2]],
    );
  });

  test('a NIC whose tap is not wired goes without asking the guest', async () => {
    await (await opened).createTap(second, nextCall());
    const ask = { incarnation: spec, disks: [boot], nics: [nicOf(2), nicOf(0, second)], wired: [tap.owner.actor] };
    const { nics } = await (await opened).plugDevices(ask, nextCall());
    assert.equal(
      nics.map(({ standing }) => standing),
      ['plugged', 'opened'],
    );
    assert.is(await plugNics([nicOf(2)], true), `${tap.port} plugged`);
    assert.is((await (await opened).readTap(second, nextCall())).carrier, false);
    // A tap that is not there would be made by opening it.
    assert.is(await codeOf(giveTap(paths, 'tstnone', 'n7')), 'tap_missing');
    // As an attempt that was cut off leaves it: QEMU has the descriptor, and no use for it.
    assert.is(await codeOf(giveTap(paths, site.names.tapOf(second.owner), 'n2')), 'qmp_refused');
    assert.is((await (await opened).readTap(second, nextCall())).carrier, true);
  });

  test('local disks of both formats are plugged, once', async () => {
    assert.is(await plug(boot, data, logs), 'boot plugged, data disk_missing, logs disk_missing');
    await ensure(data, 16);
    await ensure(logs, 32);
    assert.is(await plug(boot, data, logs), 'boot plugged, data plugged, logs plugged');
    assert.is(await plug(boot, data, logs), 'boot plugged, data plugged, logs plugged');
    assert.equal(await guestDisks(), ['disk0 4', 'disk1 16', 'disk5 32']);
    // Beside those of its nodes no descriptor is left, and QEMU holds the lock of each file.
    const sets = await asking(async (client) => setsSchema.parse(await client.execute('query-fdsets')));
    assert.equal(
      sets.flatMap(({ fds }) => fds),
      [],
    );
    const other = { ...spec, owner: ownerOf('incarnation/acme/other@w1'), disks: [{ ...data, slot: 0 }] };
    assert.is(await codeOf((await opened).startIncarnation(other, nextCall())), 'disk_locked');
    await (await opened).cleanIncarnation(other, nextCall());
  });

  test('a plugged volume grows, and has figures', async () => {
    await ensure(data, 24);
    assert.equal(await guestDisks(), ['disk0 4', 'disk1 24', 'disk5 32']);
    const [figures] = await (await opened).readVolumeFigures('LOGS');
    assert.equal([figures?.volume, typeof figures?.figures.readBytes], ['volume/acme/logs', 'number']);
  });

  test('an attempt that was cut off is made again', async () => {
    const name = { volume: 'volume/acme/more', volumeUid: 'MORE' };
    const more: IncarnationDisk = { ...local('more', 'raw', 2), ...name };
    await ensure(more, 8);
    // Its node is there, with nothing on it: as after the end of the worker.
    await asking((client) =>
      client.execute('blockdev-add', { driver: 'null-co', 'node-name': 'f2', size: 512, 'read-zeroes': true }),
    );
    assert.is(await plug(boot, data, logs, more), 'boot plugged, data plugged, logs plugged, more plugged');
    assert.equal((await guestDisks()).at(2), 'disk2 8');
  });

  test('an export of this host is plugged through its socket', async () => {
    const shared: IncarnationDisk = local('shared', 'raw', 3);
    await ensure(shared, 8);
    const owner = ownerOf('volume-export/acme/shared@w1');
    const [served] = await (
      await opened
    ).ensureExports({ owner, volumeUid: 'SHARED', clients: [{ runEpoch: 1, host: 'w1' }] }, nextCall());
    const source = served?.source;
    assert.ok(source);
    assert.match(await plug(boot, data, logs, { ...shared, source }), /shared plugged/);
    assert.ok((await guestDisks()).includes('disk3 8'));
  });

  test('a guest that does not answer keeps its disks and its NIC until its reset', async () => {
    assert.is(await plugNics([], true, logs), `${tap.port} leaving`);
    assert.equal([await guestNics(), await isHeld()], [[`nic2 ${tap.mac}`], true]);
    assert.ok((await guestDisks()).includes('disk1 24'));
    assert.equal(
      (await readDevices(paths, 'disk'))
        .filter(({ leaving }) => leaving)
        .map(({ uid }) => uid)
        .toSorted(),
      ['DATA', 'MORE', 'SHARED'],
    );
    // The guest may answer at any time: one that is wanted back leaves first.
    assert.match(await plug(boot, data, logs), /data leaving/);
    await (await opened).resetIncarnation(spec, nextCall());
    assert.is(await plug(boot, data, logs), 'boot plugged, data plugged, logs plugged');
    assert.is(await plugNics([nicOf(2, second)], false, data, logs), `${second.port} opened`);
    assert.equal([await guestNics(), await isHeld()], [[], false]);
    assert.is(await plugNics([], false, data, logs), '');
    assert.equal(await readDevices(paths, 'nic'), []);
    for (const one of [tap, second]) await (await opened).removeTap(one, nextCall());
    assert.equal(await guestDisks(), ['disk0 4', 'disk1 24', 'disk5 32']);
    assert.equal((await readDevices(paths, 'disk')).map(({ uid }) => uid).toSorted(), ['BOOT', 'DATA', 'LOGS']);
    assert.equal(
      readdirSync(paths.emptyFolder).filter((name) => name.startsWith('key')),
      [],
    );
  });

  test('the QEMU of an older release has no ports: nothing is plugged', async () => {
    const {
      diskSlots: _,
      nicSlots: __,
      ...older
    } = { ...spec, owner: ownerOf('incarnation/acme/older@w1'), disks: [] };
    const { slot: ___, ...first } = local('old', 'raw', 0);
    await ensure(first, 4);
    const old: IncarnationSpec = { ...older, disks: [first] };
    const started = await (await opened).startIncarnation(old, nextCall());
    assert.is('diskSlots' in started, false);
    assert.is(
      await codeOf((await opened).plugDevices({ incarnation: old, disks: [] }, nextCall())),
      'plug_unsupported',
    );
    for (const one of [old, spec]) {
      await (await opened).stopIncarnation({ incarnation: one, graceMs: 0 }, nextCall());
      await (await opened).cleanIncarnation(one, nextCall());
    }
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
