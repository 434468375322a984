/**
 * Starts QEMU for a run, paused, or adopts the QEMU process that already exists. Called by qemu-operations.ts under the
 * incarnation's lock.
 * Promise: one run never has two QEMU processes, whatever crashed before. The owner file is written before QEMU is
 * started, and an existing process is searched by its pidfile and then among all processes.
 * QEMU is started only when its taps exist with our mark: with a missing tap it would silently make one itself.
 */
import { access, open, readFile } from 'node:fs/promises';
import { z } from 'zod';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { slotted } from '@photoncloud/machines/values/device-slots';
import type { IncarnationDisk, IncarnationSpec } from '@photoncloud/machines/values/wiring';
import type { IncarnationStarted } from '../contract/incarnation-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { blobPath } from '../image/copy-paths.ts';
import { errnoOf } from '../kernel-errors.ts';
import type { ProcessIdentity } from '../process-lookup.ts';
import { keepRecords } from '../metadata/metadata-records.ts';
import { requireDescriptors } from '../descriptor-reserve.ts';
import { checkSeed, seedImage, writeSeed } from '../seed/seed-disk.ts';
import { replicaPath } from '../volume/replica-paths.ts';
import { checkActor, checkCount, checkDigest, checkOwner } from '../wiring-checks.ts';
import { defaultMachineType, incarnationArguments } from './qemu-arguments.ts';
import { makeGroup } from './qemu-cgroup.ts';
import { openDoors, removeKeys } from './qemu-doors.ts';
import { fileMissing, olderRunAlive, placedEarlier } from './qemu-errors.ts';
import { keepDevices, keptDisk, keptNic, listRuns, makeRunFolders, pathsOf } from './qemu-folder.ts';
import type { IncarnationPaths } from './qemu-folder.ts';
import { claimGuestUid, launchQemu } from './qemu-launch.ts';
import { checkDisks } from './qemu-plug-disk.ts';
import { checkNics, requireTap, tapOf } from './qemu-plug-nic.ts';
import { readSlots } from './qemu-plug.ts';
import { findIncarnation, qmpAnswerMs } from './qemu-session.ts';
import type { IncarnationSessions } from './qemu-session.ts';

export async function startQemu(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  spec: IncarnationSpec,
  era: number,
): Promise<IncarnationStarted> {
  checkIncarnation(spec);
  const paths = pathsOf(site, spec.owner);
  const running = await findIncarnation(paths, true);
  if (running !== null) return describe(sessions, paths, spec, running, false);
  // After a store rollback the cluster may place the VM on another host: a placement of an older era must not start it.
  if ((spec.era ?? 1) < era) throw placedEarlier(spec.owner.actor, spec.era ?? 1, era);
  await requireDescriptors(`Starting ${spec.vm}`);
  await refuseOlderRuns(site, spec);
  await requireParts(site, spec);
  const seed = spec.seed === undefined ? null : seedImage(spec, spec.seed, userDataOf(site, spec));
  await makeRunFolders(site, paths, spec.owner);
  await keepDevices(
    paths,
    'disk',
    slotted(spec.disks).map(([slot, disk]) => keptDisk(slot, disk)),
  );
  await keepDevices(
    paths,
    'nic',
    slotted(spec.nics).map(([slot, nic]) => keptNic(slot, nic)),
  );
  if (seed !== null) await writeSeed(paths.seed, seed);
  await keepRecords(paths.runFolder, spec, (nic) => tapOf(site, nic));
  await openDoors(site, paths, spec);
  try {
    await launch(site, sessions, paths, spec);
  } finally {
    await removeKeys(paths, spec);
  }
  const started = await findIncarnation(paths);
  if (started === null)
    throw new PhotonError(
      'fault',
      'qemu_failed',
      `QEMU of ${spec.owner.actor} ended right after its start; try again.`,
    );
  return describe(sessions, paths, spec, started, true);
}

function checkIncarnation(spec: IncarnationSpec): void {
  checkOwner(spec.owner);
  checkActor('vm', spec.vm);
  checkCount('cpus', spec.cpus, 1, 512);
  checkCount('memoryMib', spec.memoryMib, 16, 16 << 20);
  const valid = spec.machineType === null || /^pc-q35-\d{1,2}\.\d{1,2}$/.test(spec.machineType);
  if (!valid)
    throw new PhotonError(
      'defeat',
      'spec_invalid',
      `machineType must be a versioned q35 machine type such as ${defaultMachineType}; got ${spec.machineType}.`,
    );
  checkNics(spec.nics, spec.nicSlots ?? spec.nics.length);
  if (spec.nicSlots !== undefined) checkCount('nicSlots', spec.nicSlots, spec.nics.length, 32);
  checkDisks(spec.disks, spec.diskSlots ?? spec.disks.length);
  if (spec.diskSlots !== undefined) checkCount('diskSlots', spec.diskSlots, spec.disks.length, 32);
  if (spec.seed !== undefined) checkSeed(spec.seed);
  if (spec.boot === null) return;
  checkDigest('boot.kernelSha256', spec.boot.kernelSha256);
  checkDigest('boot.initrdSha256', spec.boot.initrdSha256);
  if (!/^[\x20-\x7e]{0,2000}$/.test(spec.boot.commandLine)) {
    throw new PhotonError('defeat', 'spec_invalid', 'boot.commandLine must be at most 2000 printable characters.');
  }
}

/** @throws defeat by `openSecret` */
function userDataOf({ options }: DataplaneSite, { seed, vm }: IncarnationSpec): string | null {
  const sealed = seed?.userData ?? null;
  return sealed === null ? null : options.openSecret(vm, sealed);
}

async function refuseOlderRuns(site: DataplaneSite, spec: IncarnationSpec): Promise<void> {
  for (const { paths, owner } of await listRuns(site)) {
    if (owner?.actor !== spec.owner.actor) continue;
    const alive = await findIncarnation(paths);
    if (alive !== null) throw olderRunAlive(spec.owner.actor, owner.runEpoch, alive.pid);
  }
}

const diskFile = (site: DataplaneSite, disk: IncarnationDisk): string =>
  replicaPath(site.folders.volumes, disk.volumeUid, disk.format);

async function requireParts(site: DataplaneSite, spec: IncarnationSpec): Promise<void> {
  for (const nic of spec.nics) await requireTap(site, nic);
  for (const disk of spec.disks.filter(({ source = null }) => source === null)) {
    if (!(await exists(diskFile(site, disk)))) throw fileMissing('disk_missing', `The replica of ${disk.volume}`);
  }
  if (spec.boot === null) return;
  for (const [sha256, format] of [
    [spec.boot.kernelSha256, 'kernel'],
    [spec.boot.initrdSha256, 'initrd'],
  ] as const) {
    if (!(await exists(blobPath(site.folders.images, sha256, format))))
      throw fileMissing('image_missing', `The ${format} ${sha256.slice(0, 12)}`);
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function launch(
  site: DataplaneSite,
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  spec: IncarnationSpec,
): Promise<void> {
  const blob = (sha256: string, format: 'kernel' | 'initrd'): string => blobPath(site.folders.images, sha256, format);
  const kvm = await canUseKvm();
  await makeGroup(paths.group, {
    cpus: spec.cpus,
    memoryMib: spec.memoryMib,
    disks: (spec.diskSlots ?? spec.disks.length) + 1,
    kvm,
  });
  const args = incarnationArguments(spec, {
    name: paths.id,
    files: paths,
    libDir: site.options.qemu.libDir,
    kvm,
    guestUid: await claimGuestUid(site, paths),
    tapOf: (nic) => tapOf(site, nic),
    fileOf: (disk) => diskFile(site, disk),
    boot:
      spec.boot === null
        ? null
        : {
            kernel: blob(spec.boot.kernelSha256, 'kernel'),
            initrd: blob(spec.boot.initrdSha256, 'initrd'),
            commandLine: spec.boot.commandLine,
          },
  });
  await launchQemu(site, sessions, paths, args, `starting QEMU for ${spec.vm}`);
}

/**
 * Whether QEMU can use KVM. That /dev/kvm opens is not enough: with software-only KVM (kvm_pvm) it opens too, but QEMU
 * 10 aborts or its guests hang. So the processor must also report vmx or svm.
 */
export async function canUseKvm(): Promise<boolean> {
  try {
    if (!/^flags\s*:.*\b(vmx|svm)\b/m.test(await readFile('/proc/cpuinfo', 'utf8'))) return false;
    await (await open('/dev/kvm', 'r+')).close();
    return true;
  } catch (error) {
    if (errnoOf(error) === '') throw error;
    return false;
  }
}

async function describe(
  sessions: IncarnationSessions,
  paths: IncarnationPaths,
  spec: IncarnationSpec,
  identity: ProcessIdentity,
  started: boolean,
): Promise<IncarnationStarted> {
  const client = await sessions.client(paths);
  const [runStatus, type, { diskSlots, nicSlots }] = await Promise.all([
    sessions.status(paths),
    readMachineType(client.execute('qom-get', { path: '/machine', property: 'type' }, qmpAnswerMs)),
    readSlots(client),
  ]);
  return {
    ...identity,
    ...(diskSlots === 0 ? {} : { diskSlots }),
    ...(nicSlots === 0 ? {} : { nicSlots }),
    qemuVersion: client.version,
    machineType: type ?? spec.machineType ?? defaultMachineType,
    started,
    runStatus,
  };
}

/** The machine type from the QOM type of /machine: `pc-q35-7.2-machine` becomes `pc-q35-7.2`. */
async function readMachineType(answer: Promise<unknown>): Promise<string | null> {
  const text = z.string().safeParse(await answer);
  return text.success ? text.data.replace(/-machine$/, '') : null;
}
