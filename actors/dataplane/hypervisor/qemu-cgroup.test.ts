/** The control groups of guests: where they are, what bounds them, and that a run leaves none, with the real QEMU. */
// needs: kernel
// test limit: 60 s
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { IncarnationSpec } from '@photoncloud/machines/values/wiring';
import {
  inOwnNamespaces,
  makeTestFolder,
  nextCall,
  ownerOf,
  smallGuest,
  testOptions,
  testQemu,
} from '../dataplane-for-tests.ts';
import { createDataplane } from '../linux-dataplane.ts';
import { groupLimits, parentGroup } from './qemu-cgroup.ts';
import { incarnationId } from './qemu-folder.ts';

const qemu = testQemu();

function declare(): void {
  const { folder, remove } = makeTestFolder();
  const read = (file: string): string => readFileSync(file, 'utf8');
  const above = parentGroup(read('/proc/self/mountinfo'), read('/proc/self/cgroup'));
  const testWithQemu = qemu === null || above === null ? test.skip : test;
  const groups = path.join(above ?? '', 'photon-tst');
  const spec = (name: string): IncarnationSpec => ({
    owner: ownerOf(`incarnation/acme/${name}@w1`),
    vm: `vm/acme/${name}`,
    ...smallGuest,
    disks: [],
  });
  const groupOf = ({ owner }: IncarnationSpec): string => path.join(groups, incarnationId(owner));
  const opened = () => createDataplane(testOptions(path.join(folder, 'node'), qemu === null ? {} : { qemu }));

  test.after(remove);

  test('the groups of guests are below the group of the worker, or beside it when it stands in a leaf', () => {
    const modern = '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw';
    const older = '33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu';
    const hybrid = `${older}\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`;
    const service = '/system.slice/photoncloud-worker.service';
    assert.is(parentGroup(modern, `0::${service}\n`), `/sys/fs/cgroup${service}`);
    assert.is(parentGroup(modern, `0::${service}/worker\n`), `/sys/fs/cgroup${service}`);
    assert.is(parentGroup(hybrid, '8:pids:/x\n0::/\n'), '/sys/fs/cgroup/unified');
    const part = modern.replace('0:26 / ', '0:26 /system.slice ');
    assert.is(parentGroup(part, `0::${service}\n`), '/sys/fs/cgroup/photoncloud-worker.service');
    assert.is(parentGroup(part, '0::/user.slice\n'), null, 'its group is not mounted');
    assert.is(parentGroup(modern, '8:pids:/x\n'), null);
    assert.is(parentGroup(older, '0::/\n'), null);
  });

  test('the bounds of a group leave room for what QEMU needs beside its guest', () => {
    const small = groupLimits({ cpus: 1, memoryMib: 64, disks: 0, kvm: true });
    assert.equal(small, { 'memory.max': String((64 + 1 + 8 + 256) * 2 ** 20), 'pids.max': '129' });
    const large = groupLimits({ cpus: 4, memoryMib: 8192, disks: 2, kvm: false });
    assert.equal(large, {
      'memory.max': String((8192 + 32 + 32 + 80 + 1024 + 256) * 2 ** 20),
      'pids.max': '132',
    });
  });

  testWithQemu('each QEMU is alone in a group of its own, and nothing is left when its run is cleaned', async () => {
    const dp = await opened();
    for (const one of [spec('one'), spec('two')]) {
      const { pid } = await dp.startIncarnation(one, nextCall());
      assert.is(read(path.join(groupOf(one), 'cgroup.procs')), `${pid}\n`);
    }
    assert.not.equal(groupOf(spec('one')), groupOf(spec('two')));
    for (const one of [spec('one'), spec('two')]) {
      assert.is((await dp.stopIncarnation({ incarnation: one, graceMs: 0 }, nextCall())).how, 'quit');
      assert.ok((await dp.cleanIncarnation(one, nextCall())).removed);
      assert.not.ok(existsSync(groupOf(one)));
    }
    assert.not.ok(existsSync(groups), 'nor the group of all guests');
    await dp.close();
  });

  testWithQemu('stopping a hung QEMU kills all of its group', async () => {
    const dp = await opened();
    const { pid } = await dp.startIncarnation(spec('hung'), nextCall());
    // Another process in the group, as a guest might leave one that broke out of its QEMU.
    const other = spawn('sleep', ['1000']);
    const ended = once(other, 'exit');
    writeFileSync(path.join(groupOf(spec('hung')), 'cgroup.procs'), String(other.pid));
    process.kill(pid, 'SIGSTOP');
    const stopped = await dp.stopIncarnation({ incarnation: spec('hung'), graceMs: 0 }, nextCall());
    assert.is(stopped.how, 'killed');
    assert.equal(await ended, [null, 'SIGKILL']);
    assert.ok((await dp.cleanIncarnation(spec('hung'), nextCall())).removed);
    await dp.close();
  });

  testWithQemu(
    'a sweep ends the QEMU of a group and removes what a crash left of another, but no strange group',
    async () => {
      const dp = await opened();
      const { pid } = await dp.startIncarnation(spec('swept'), nextCall());
      const crashed = spec('crashed');
      await dp.startIncarnation(crashed, nextCall());
      await dp.stopIncarnation({ incarnation: crashed, graceMs: 0 }, nextCall());
      assert.ok(existsSync(groupOf(crashed)), 'a run that has ended keeps its group until it is cleaned');
      const strange = path.join(groups, 'strange');
      mkdirSync(strange);
      assert.equal((await dp.sweep({ owners: async () => [] }, nextCall())).failed, []);
      assert.not.ok(existsSync(`/proc/${pid}/fd`) && readdirSync(`/proc/${pid}/fd`).length > 0);
      assert.equal(
        [groupOf(spec('swept')), groupOf(crashed), strange].map((one) => existsSync(one)),
        [false, false, true],
      );
      rmdirSync(strange);
      assert.equal(await dp.residue(), []);
      await dp.sweep({ owners: async () => [] }, nextCall());
      assert.not.ok(existsSync(groups));
      await dp.close();
    },
  );

  testWithQemu('a QEMU that was started without a group is adopted and stopped', async () => {
    const dp = await opened();
    const { pid } = await dp.startIncarnation(spec('older'), nextCall());
    writeFileSync(path.join(above ?? '', 'cgroup.procs'), String(pid));
    rmdirSync(groupOf(spec('older')));
    assert.not.ok((await dp.startIncarnation(spec('older'), nextCall())).started);
    process.kill(pid, 'SIGSTOP');
    const stopped = await dp.stopIncarnation({ incarnation: spec('older'), graceMs: 0 }, nextCall());
    assert.is(stopped.how, 'killed');
    assert.ok((await dp.cleanIncarnation(spec('older'), nextCall())).removed);
    await dp.close();
  });
}

inOwnNamespaces(import.meta.filename, declare);

test.run();
