/**
 * The control group (cgroup v2) of each QEMU: `<parent>/photon-<prefix>/<run>`. All processes of a run are found and
 * ended through it, and where the host offers the controllers, it bounds memory and threads (docs/threats.md#t31).
 * The parent is the worker's own group; when the worker stands in a leaf named `worker` (systemd: DelegateSubgroup),
 * the group above it, because the kernel gives controllers only to children of groups without processes.
 * Called by linux-dataplane.ts and hypervisor/. Promise: the group is made after the owner file of its run and removed
 * before it, so that what a crash leaves is swept with the run; groups without such a record are not ours and are left
 * alone.
 */
import { access, constants, mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Log } from '@photoncloud/runtime/contract/log';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { signalProcess } from '../process-lookup.ts';
import type { ProcessIdentity } from '../process-lookup.ts';
import { readTextFile } from '../storage-files.ts';

const controllers = ['memory', 'pids'] as const;
const removeWithinMs = 5000;

/**
 * Where the groups of guests are below the mounted hierarchy; null when the worker's group is not visible.
 * @param mounts of /proc/self/mountinfo
 * @param own of /proc/self/cgroup
 */
export function parentGroup(mounts: string, own: string): string | null {
  const mount = mounts.split('\n').find((line) => / - cgroup2 /.test(line));
  const [, , , root, point] = mount?.split(' ') ?? [];
  const group = /^0::(\/.*)$/m.exec(own)?.[1];
  if (root === undefined || point === undefined || group === undefined) return null;
  const below = path.relative(root, path.basename(group) === 'worker' ? path.dirname(group) : group);
  return below.startsWith('..') ? null : path.join(point, below);
}

/** Says in the log what guests do not have. @returns the folder of the groups of guests; null when there can be none */
export async function findGuestGroups(prefix: string, log: Log): Promise<string | null> {
  const parent = parentGroup(
    await readFile('/proc/self/mountinfo', 'utf8'),
    await readFile('/proc/self/cgroup', 'utf8'),
  );
  if (parent === null || !(await isWritable(parent))) {
    log.info(
      { part: 'dataplane', group: parent },
      'guests have no control group: there is no cgroup2 that can be written',
    );
    return null;
  }
  const offered = await offeredBelow(parent);
  const missing = controllers.filter((one) => !offered.includes(one));
  if (missing.length > 0)
    log.info(
      { part: 'dataplane', group: parent, missing },
      'control groups of guests are without limits of these kinds',
    );
  return path.join(parent, `photon-${prefix}`);
}

/** A group that has processes gives no controllers to those below it, unless it is the root, which has no type. */
async function offeredBelow(group: string): Promise<readonly string[]> {
  const isRoot = (await wordsOf(path.join(group, 'cgroup.type'))).length === 0;
  const members = await wordsOf(path.join(group, 'cgroup.procs'));
  return isRoot || members.length === 0 ? await wordsOf(path.join(group, 'cgroup.controllers')) : [];
}

async function isWritable(folder: string): Promise<boolean> {
  try {
    await access(folder, constants.W_OK);
    return true;
  } catch (error) {
    if (errnoOf(error) === '') throw error;
    return false;
  }
}

const wordsOf = async (file: string): Promise<readonly string[]> =>
  ((await readTextFile(file)) ?? '').split(/\s+/).filter((word) => word !== '');

export interface GuestSize {
  readonly cpus: number;
  readonly memoryMib: number;
  readonly disks: number;
  readonly kvm: boolean;
}

/**
 * What is written into the files of a group. QEMU has a thread for each CPU, at most 64 for blocking I/O (its
 * thread-pool-max) and a few others; it aborts when it gets none, so the bound leaves as many again.
 * Memory beyond the guest's: a part for page tables; per CPU and per disk stacks, queues and the tables that qcow2
 * caches (32 MiB); without KVM up to 1 GiB of translated code; and 256 MiB for all else, of which a started QEMU uses
 * less than 100. What the kernel caches of files counts too, but gives way.
 */
export function groupLimits({ cpus, memoryMib, disks, kvm }: GuestSize): Readonly<Record<string, string>> {
  const mib = memoryMib + Math.ceil(memoryMib / 256) + 8 * cpus + 40 * disks + (kvm ? 0 : 1024) + 256;
  return { 'memory.max': String(mib * 2 ** 20), 'pids.max': String(cpus + 128) };
}

export async function makeGroup(group: string | null, size: GuestSize): Promise<void> {
  if (group === null) return;
  try {
    await mkdir(group, { recursive: true });
    const all = path.dirname(group);
    for (const above of [path.dirname(all), all]) await offerControllers(above);
    const there = await readdir(group);
    for (const [file, text] of Object.entries(groupLimits(size)).filter(([name]) => there.includes(name)))
      await writeFile(path.join(group, file), text);
  } catch (error) {
    throw fileError(`making the control group ${path.basename(group)}`, error);
  }
}

/** Where it cannot, as in a group that has processes of its own, the groups below are without limits. */
async function offerControllers(folder: string): Promise<void> {
  const offered = await wordsOf(path.join(folder, 'cgroup.controllers'));
  const file = path.join(folder, 'cgroup.subtree_control');
  const given = await wordsOf(file);
  for (const one of controllers.filter((name) => offered.includes(name) && !given.includes(name))) {
    try {
      await writeFile(file, `+${one}`);
    } catch (error) {
      if (!['EBUSY', 'EACCES', 'EPERM', 'EOPNOTSUPP', 'ENOENT', 'EINVAL'].includes(errnoOf(error))) throw error;
    }
  }
}

export async function joinGroup(group: string | null, pid: number): Promise<void> {
  if (group === null) return;
  try {
    await writeFile(path.join(group, 'cgroup.procs'), String(pid));
  } catch (error) {
    // It has ended already; why is known to who started it.
    if (errnoOf(error) !== 'ESRCH') throw fileError(`putting QEMU into ${path.basename(group)}`, error);
  }
}

/** SIGKILL to all of its group, or to the process alone: an older version of this program started it without one. */
export async function killWithGroup(group: string | null, identity: ProcessIdentity): Promise<void> {
  const members = group === null ? [] : await wordsOf(path.join(group, 'cgroup.procs'));
  if (group !== null && members.includes(String(identity.pid)) && (await killGroup(group))) return;
  await signalProcess(identity, 'SIGKILL');
}

/** @returns false when there is no such group, or when the kernel is older than 5.14 */
async function killGroup(group: string): Promise<boolean> {
  try {
    await writeFile(path.join(group, 'cgroup.kill'), '1', { flag: 'r+' });
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw fileError(`killing ${path.basename(group)}`, error);
  }
}

/** Ends what is left in it. @returns false when there was no group */
export async function removeGroup(group: string | null): Promise<boolean> {
  if (group === null) return false;
  const until = performance.now() + removeWithinMs;
  for (;;) {
    try {
      await rmdir(group);
      return true;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false;
      if (errnoOf(error) !== 'EBUSY' || performance.now() > until) throw fileError(`removing ${group}`, error);
    }
    await killGroup(group);
    await pause(20);
  }
}
