/**
 * Incarnations with the real QEMU (paused, without a guest): started once, adopted, hung, killed, swept.
 */
// needs: kernel
// test limit: 100 s
import {
  appendFileSync,
  existsSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { IncarnationSpec } from '@photoncloud/machines/values/wiring';
import type { Call } from '../contract/call-contract.ts';
import {
  codeOf,
  inOwnNamespaces,
  makeTestFolder,
  nextCall,
  ownerOf,
  run,
  realized,
  segmentAsk,
  tapSpec,
  testOptions,
  testQemu,
  until,
} from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';
import { findProcesses } from '../process-lookup.ts';

const qemu = testQemu();

function declare(): void {
  if (qemu === null) {
    test.skip('there is no QEMU in .cache/toolchain.json: run set-up first');
    return;
  }
  const { folder, remove } = makeTestFolder();
  const opened = createDataplane(testOptions(path.join(folder, 'node'), { qemu }));
  const tap = tapSpec();
  const disk = {
    owner: ownerOf('replica/acme/data@w1'),
    volumeUid: 'DATA',
    serial: 'SERIAL',
    sizeMib: 4,
    format: 'raw' as const,
    image: null,
  };
  const incarnation = (runEpoch = 1, more: Partial<IncarnationSpec> = {}): IncarnationSpec => ({
    owner: ownerOf('incarnation/acme/web@w1', runEpoch),
    vm: 'vm/acme/web',
    cpus: 1,
    memoryMib: 64,
    machineType: null,
    boot: null,
    nics: [{ port: tap.port, binding: tap.owner.actor, bindingUid: tap.owner.uid, mac: tap.mac, mtu: tap.mtu }],
    disks: [{ volume: 'volume/acme/data', volumeUid: 'DATA', serial: 'SERIAL', format: 'raw' }],
    ...more,
  });
  const qemus = async (): Promise<number> =>
    (await findProcesses((words) => words[0]?.includes('qemu-system') ?? false)).length;

  test.after(async () => {
    await (await opened).close();
    remove();
  });

  test('an incarnation is not started before its taps, disks and images exist, nor with an invalid spec', async () => {
    const dp = await opened;
    assert.is(await codeOf(dp.startIncarnation(incarnation(), nextCall())), 'tap_missing');
    // Placed before a store rollback: the cluster may have undone it and placed the VM on another host.
    const early = incarnation(1, { owner: ownerOf('incarnation/acme/early@w1'), nics: [], era: 1 });
    assert.is(await codeOf(dp.startIncarnation(early, nextCall({ era: 2 }))), 'placed_in_older_era');
    await dp.createTap(tap, nextCall());
    assert.is(await codeOf(dp.startIncarnation(incarnation(), nextCall())), 'disk_missing');
    await dp.ensureReplica(disk, nextCall());
    const boot = { kernelSha256: 'a'.repeat(64), initrdSha256: 'b'.repeat(64), commandLine: '' };
    assert.is(await codeOf(dp.startIncarnation(incarnation(1, { boot }), nextCall())), 'image_missing');
    for (const more of [{ machineType: 'pc,accel=kvm' }, { cpus: 0 }, { boot: { ...boot, commandLine: 'a\nb' } }]) {
      assert.is(await codeOf(dp.startIncarnation(incarnation(1, more), nextCall())), 'spec_invalid');
    }
    assert.is(
      await codeOf(dp.startIncarnation(incarnation(1, { machineType: 'pc-q35-99.1' }), nextCall())),
      'qemu_refused',
    );
    assert.is((await dp.readIncarnation(incarnation(), nextCall())).presence, 'absent');
    assert.is(await codeOf(dp.resumeIncarnation(incarnation(), nextCall())), 'incarnation_missing');
  });

  test('it starts paused, is adopted by the same and by another dataplane, and is never started twice', async () => {
    const dp = await opened;
    const first = await dp.startIncarnation(incarnation(), nextCall());
    assert.ok(first.started);
    assert.is(first.runStatus, 'prelaunch');
    assert.is(first.machineType, 'pc-q35-7.2');
    const [again, third] = await Promise.all([
      dp.startIncarnation(incarnation(), nextCall()),
      dp.startIncarnation(incarnation(), nextCall()),
    ]);
    assert.equal([again.pid, again.started, third.pid, third.started], [first.pid, false, first.pid, false]);
    await dp.close();
    const next = await createDataplane(testOptions(path.join(folder, 'other'), { qemu }));
    const adopted = await next.startIncarnation(incarnation(), nextCall());
    assert.equal([adopted.pid, adopted.startTime, adopted.started], [first.pid, first.startTime, false]);
    assert.is((await next.readIncarnation(incarnation(), nextCall())).guestMacs[0], tap.mac);
    assert.is((await next.resumeIncarnation(incarnation(), nextCall())).runStatus, 'running');
    assert.is(await codeOf(next.cleanIncarnation(incarnation(), nextCall())), 'incarnation_alive');
    assert.is(await codeOf(next.startIncarnation(incarnation(2), nextCall())), 'older_run_alive');
    assert.is(await qemus(), 1);
    await next.close();
  });

  test('a guest is paused, reset and resumed, each as often as it is asked, also by another dataplane', async () => {
    const dp = await createDataplane(testOptions(path.join(folder, 'node'), { qemu }));
    assert.is((await dp.resumeIncarnation(incarnation(), nextCall())).runStatus, 'running');
    for (const _ of [1, 2]) assert.is((await dp.pauseIncarnation(incarnation(), nextCall())).runStatus, 'paused');
    await dp.close();
    const next = await createDataplane(testOptions(path.join(folder, 'node'), { qemu }));
    assert.is((await next.readIncarnation(incarnation(), nextCall())).runStatus, 'paused');
    assert.is((await next.resetIncarnation(incarnation(), nextCall())).runStatus, 'prelaunch', 'it stands still');
    assert.is((await next.pauseIncarnation(incarnation(), nextCall())).runStatus, 'prelaunch');
    for (const _ of [1, 2]) assert.is((await next.resumeIncarnation(incarnation(), nextCall())).runStatus, 'running');
    assert.is((await next.resetIncarnation(incarnation(), nextCall())).runStatus, 'running');
    const unknown = incarnation(1, { owner: ownerOf('incarnation/acme/nobody@w1') });
    for (const ask of [next.pauseIncarnation(unknown, nextCall()), next.resetIncarnation(unknown, nextCall())])
      assert.is(await codeOf(ask), 'incarnation_missing');
    await next.close();
  });

  test('QEMU has a user of its own, no capability, an empty root, and only the descriptors of its VM', async () => {
    const dp = await createDataplane(testOptions(path.join(folder, 'node'), { qemu }));
    const other = incarnation(1, { owner: ownerOf('incarnation/acme/other@w1'), nics: [], disks: [] });
    const pids = [
      (await dp.startIncarnation(incarnation(), nextCall())).pid,
      (await dp.startIncarnation(other, nextCall())).pid,
    ];
    const users = new Set<string>();
    for (const pid of pids) {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
      const uids = new Set(field('Uid').split('\t'));
      assert.is(uids.size, 1, field('Uid'));
      const [uid = ''] = uids;
      users.add(uid);
      assert.ok(Number(uid) >= 1_900_000_000, uid);
      assert.is(field('Groups').trim(), uid, 'and no other group');
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) assert.match(field(set), /^0+$/, set);
      assert.equal([field('NoNewPrivs'), field('Seccomp')], ['1', '2']);
      assert.equal(readdirSync(`/proc/${pid}/root`), [], 'what it sees of the host');
    }
    assert.is(users.size, 2, 'two VMs have two users');
    const descriptors = readdirSync(`/proc/${pids[0]}/fd`).map((fd) => readlinkSync(`/proc/${pids[0]}/fd/${fd}`));
    const files = descriptors.filter((file) => file.startsWith('/') && !file.startsWith('/dev/'));
    assert.equal(files.map((file) => path.basename(file)).sort(), ['DATA.raw', 'console', 'pid']);
    assert.is((await dp.stopIncarnation({ incarnation: other, graceMs: 0 }, nextCall())).how, 'quit');
    assert.ok((await dp.cleanIncarnation(other, nextCall())).removed);
    await dp.close();
  });

  test('a seed disk is read only and for root alone; it is made for each run and goes with it', async () => {
    const dp = await createDataplane(
      testOptions(path.join(folder, 'node'), { qemu, openSecret: (_, sealed) => `${sealed}: hunter2` }),
    );
    const seed = { instanceId: 'U1', hostname: 'seeded', userData: 'sealed', sshKeys: [], network: true };
    const seeded = incarnation(1, { owner: ownerOf('incarnation/acme/seeded@w1'), nics: [], disks: [], seed });
    for (const round of [1, 2]) {
      const { pid } = await dp.startIncarnation(seeded, nextCall());
      const link = readdirSync(`/proc/${pid}/fd`)
        .map((fd) => `/proc/${pid}/fd/${fd}`)
        .find((fd) => path.basename(readlinkSync(fd)) === 'seed');
      assert.ok(link, 'QEMU has it open');
      const file = readlinkSync(link ?? '');
      const { mode, uid } = statSync(file);
      assert.equal([mode & 0o777, uid], [0o600, 0], `run ${round}`);
      const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${path.basename(link ?? '')}`, 'utf8'));
      assert.is(Number.parseInt(flags?.[1] ?? '', 8) & 3, 0, 'opened for reading');
      assert.match(readFileSync(file, 'latin1'), 'sealed: hunter2');
      for (const name of ['cmdline', 'environ'])
        assert.not.match(readFileSync(`/proc/${pid}/${name}`, 'utf8'), /hunter2|sealed/);
      await dp.stopIncarnation({ incarnation: seeded, graceMs: 0 }, nextCall());
      await dp.cleanIncarnation(seeded, nextCall());
      assert.not.ok(existsSync(file), 'gone with its run');
    }
    await dp.close();
  });

  test('the end of a console is kept for the latest run, and no older or longer one', async () => {
    const dp = await createDataplane(testOptions(path.join(folder, 'node'), { qemu }));
    const runs = [1, 2].map((runEpoch) =>
      incarnation(runEpoch, { owner: ownerOf('incarnation/acme/talker@w1', runEpoch), nics: [], disks: [] }),
    );
    const printed = async (): Promise<string> =>
      (await dp.readConsole('incarnation/acme/talker@w1')).toString('latin1');
    const kept = path.join(folder, 'node/consoles');
    const consoles = (): string[] => readdirSync(kept);
    assert.is(await printed(), '');
    for (const [index, one] of runs.entries()) {
      const { pid } = await dp.startIncarnation(one, nextCall());
      const fd = readdirSync(`/proc/${pid}/fd`).find((link) =>
        readlinkSync(`/proc/${pid}/fd/${link}`).endsWith('console'),
      );
      // As QEMU does for its guest: appended, through the descriptor that QEMU has.
      appendFileSync(`/proc/${pid}/fd/${fd}`, `run ${index}: ${'x'.repeat(300_000)} end`);
      assert.is((await printed()).length, 262_144);
      assert.match(await printed(), /^x+ end$/);
      if (index === 0) appendFileSync(`/proc/${pid}/fd/${fd}`, 'z'.repeat(1 << 20));
      const left = new AbortController();
      const watch = dp.watchIncarnation(one, nextCall({}, left.signal));
      if (index === 0) await until('the console was truncated', async () => /^z*$/.test(await printed()));
      await dp.stopIncarnation({ incarnation: one, graceMs: 0 }, nextCall());
      await watch;
      await dp.cleanIncarnation(one, nextCall());
      assert.match(await printed(), index === 0 ? /^z+$/ : /^x+ end$/, 'after its end');
    }
    assert.equal(
      consoles().filter((name) => name.endsWith('.old')),
      [],
      'the older part of the first run went with it',
    );
    for (const name of consoles()) utimesSync(path.join(kept, name), new Date(0), new Date(0));
    const other = incarnation(1, { owner: ownerOf('incarnation/acme/mute@w1'), nics: [], disks: [] });
    await dp.startIncarnation(other, nextCall());
    await dp.stopIncarnation({ incarnation: other, graceMs: 0 }, nextCall());
    await dp.cleanIncarnation(other, nextCall());
    assert.equal([await printed(), consoles().length], ['', 1], 'a day later');
    await dp.close();
  });

  const reopened = (): ReturnType<typeof createDataplane> =>
    createDataplane(testOptions(path.join(folder, 'node'), { qemu }));

  test('a killed QEMU is reported as gone, also to a later watch; its tap is made again', async () => {
    const dp = await reopened();
    const { pid } = await dp.startIncarnation(incarnation(), nextCall());
    await realized(dp);
    await dp.wireTap(tap, nextCall());
    const watch = dp.watchIncarnation(incarnation(), nextCall());
    process.kill(pid, 'SIGKILL');
    assert.is((await watch).reason, 'gone');
    assert.is((await dp.watchIncarnation(incarnation(), nextCall())).reason, 'gone');
    assert.is((await dp.readIncarnation(incarnation(), nextCall())).presence, 'absent');
    assert.is((await dp.createTap(tap, nextCall())).place, 'host');
    assert.ok((await dp.cleanIncarnation(incarnation(), nextCall())).removed);
    const second = await dp.startIncarnation(incarnation(2), nextCall());
    assert.is((await dp.wireTap(tap, nextCall())).tap, (await dp.createTap(tap, nextCall())).tap);
    assert.ok(second.started);
    assert.is(await codeOf(dp.startIncarnation(incarnation(1), nextCall())), 'run_epoch_older');
    await dp.close();
  });

  test('a QEMU stopped by SIGSTOP is hung, not absent; stopping the incarnation kills its process', async () => {
    const dp = await reopened();
    const { pid } = await dp.startIncarnation(incarnation(2), nextCall());
    process.kill(pid, 'SIGSTOP');
    assert.is((await dp.readIncarnation(incarnation(2), nextCall())).presence, 'hung');
    assert.is(await codeOf(dp.resumeIncarnation(incarnation(2), nextCall())), 'qmp_timeout');
    const watch = dp.watchIncarnation(incarnation(2), nextCall());
    assert.is((await dp.stopIncarnation({ incarnation: incarnation(2), graceMs: 100 }, nextCall())).how, 'killed');
    assert.is((await watch).reason, 'killed');
    assert.is((await dp.stopIncarnation({ incarnation: incarnation(2), graceMs: 0 }, nextCall())).how, 'absent');
    await dp.close();
  });

  test('a disk has one writer, a stop without grace time is a quit, and a watch can be aborted', async () => {
    const dp = await reopened();
    await dp.createTap(tap, nextCall());
    await dp.startIncarnation(incarnation(3), nextCall());
    const rival = incarnation(1, { owner: ownerOf('incarnation/acme/rival@w1'), nics: [] });
    assert.is(await codeOf(dp.startIncarnation(rival, nextCall())), 'disk_locked');
    const left = new AbortController();
    const watch = dp.watchIncarnation(incarnation(3), nextCall({}, left.signal));
    left.abort(new Error('left'));
    await watch.then(
      () => assert.unreachable(),
      (error: Error) => assert.match(String(error), /left|abort/i),
    );
    assert.is((await dp.stopIncarnation({ incarnation: incarnation(3), graceMs: 0 }, nextCall())).how, 'quit');
    assert.is((await dp.watchIncarnation(incarnation(3), nextCall())).reason, 'host_quit');
    await dp.close();
  });

  test('a guest that has time to power off is waited for without a place, and the stop can be cancelled', async () => {
    const dp = await reopened();
    await dp.createTap(tap, nextCall());
    await dp.startIncarnation(incarnation(3), nextCall());
    await dp.resumeIncarnation(incarnation(3), nextCall());
    const cancelled = new AbortController();
    let waiting = false;
    const call: Call = {
      ...nextCall({}, cancelled.signal),
      withoutPlace: (wait) => {
        waiting = true;
        return wait();
      },
    };
    const stop = dp.stopIncarnation({ incarnation: incarnation(3), graceMs: 60_000 }, call).then(
      () => 'stopped',
      () => 'cancelled',
    );
    await until('the wait for the guest', () => waiting);
    cancelled.abort();
    assert.is(await stop, 'cancelled');
    assert.is((await dp.stopIncarnation({ incarnation: incarnation(3), graceMs: 0 }, nextCall())).how, 'quit');
    await dp.close();
  });

  test('a disk that QEMU cannot open fails the start for good, with QEMU’s own words on one line', async () => {
    const dp = await reopened();
    await dp.ensureReplica({ ...disk, volumeUid: 'SPOILT', format: 'qcow2' }, nextCall());
    const file = path.join(folder, 'node/volumes/SPOILT.qcow2');
    const bytes = readFileSync(file);
    bytes.writeUInt32BE(9, 96);
    writeFileSync(file, bytes);
    const disks = [{ volume: 'volume/acme/spoilt', volumeUid: 'SPOILT', serial: 'S', format: 'qcow2' as const }];
    const spec = incarnation(1, { owner: ownerOf('incarnation/acme/spoilt@w1'), nics: [], disks });
    const refused = await dp.startIncarnation(spec, nextCall()).catch((error: unknown) => error);
    assert.instance(refused, PhotonError);
    const { code, group, message } = (refused as PhotonError).record;
    assert.equal([group, code], ['defeat', 'disk_damaged']);
    assert.match(message, /starting QEMU for vm\/acme\/web failed: .*Reference count entry width too large/);
    assert.not.match(message, /\n|photon-dataplane/);
    assert.ok(message.length < 700, message);
    assert.ok((await dp.cleanIncarnation(spec, nextCall())).removed);
    await dp.removeReplica({ ...disk, volumeUid: 'SPOILT' }, nextCall());
    await dp.close();
  });

  test('a sweep keeps owned objects and removes others; the volume stays until it is removed', async () => {
    const dp = await reopened();
    await dp.createTap(tap, nextCall());
    const { pid } = await dp.startIncarnation(incarnation(4), nextCall());
    await dp.wireTap(tap, nextCall());
    const owners = [incarnation().owner.actor, tap.owner.actor, segmentAsk().segment.owner.actor];
    const spared = await dp.sweep({ owners: async () => owners }, nextCall());
    assert.equal(spared.failed, []);
    assert.ok(existsSync(`/proc/${pid}`));
    assert.equal((await dp.readTap(tap, nextCall())).drift, []);
    const inventory = await dp.readInventory();
    assert.equal(inventory.runs, [{ vm: 'vm/acme/web', incarnationUid: incarnation(4).owner.uid, runEpoch: 4 }]);
    assert.equal(inventory.ports, [{ vpc: tap.vpc, port: tap.port, address: tap.address, mac: tap.mac }]);
    assert.equal(inventory.vnis, [{ vpc: tap.vpc, vni: 7701 }]);
    const kept = (await dp.residue()).map((item) => item.name);
    const around = await dp.sweep({ owners: async () => [], kept }, nextCall());
    const dead = around.removed.filter((item) => item.what === 'folder' && item.owner?.runEpoch !== 4);
    assert.equal(around.removed, dead, 'only folders of incarnations whose QEMU process has ended may be removed');
    assert.ok(existsSync(`/proc/${pid}`));
    const swept = await dp.sweep({ owners: async () => [segmentAsk().segment.owner.actor] }, nextCall());
    assert.equal(swept.failed, []);
    await until(
      'QEMU to be gone',
      () => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '),
    );
    assert.is((await dp.readTap(tap, nextCall())).place, 'none');
    assert.equal((await dp.readSegment(segmentAsk(), nextCall())).drift, {});
    assert.not.match(
      await run('nsenter', `--net=/run/netns/${(await realized(dp)).namespace}`, 'nft', 'list', 'ruleset'),
      /10\.77\.1\.11/,
    );
    assert.equal((await dp.sweep({ owners: async () => [] }, nextCall())).failed, []);
    assert.equal(
      (await dp.residue()).map((item) => item.name),
      ['volumes/DATA.owner', 'volumes/DATA.raw'],
    );
    await dp.removeReplica(disk, nextCall());
    assert.equal(await dp.residue(), []);
    assert.not.ok(existsSync('/run/photon-tst'));
    await dp.close();
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
