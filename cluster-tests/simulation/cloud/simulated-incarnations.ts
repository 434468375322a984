/**
 * QEMU processes of the simulated dataplane, by the contract in incarnation-contract.ts: one process per incarnation,
 * which outlives the worker. The process exists from the moment it is started, whatever the outcome of the call.
 * Called by simulated-dataplane.ts; the state is in simulated-kernel.ts.
 */
import { waitOutside, type Call } from '@photoncloud/actors/dataplane/contract/call-contract';
import type {
  GuestReading,
  IncarnationDataplane,
  IncarnationEnd,
  IncarnationRef,
  IncarnationStarted,
  IncarnationStop,
} from '@photoncloud/actors/dataplane/contract/incarnation-contract';
import { silentGuest } from '@photoncloud/actors/dataplane/hypervisor/guest-agent';
import {
  diskAbsent,
  fileMissing,
  incarnationAlive,
  incarnationMissing,
  olderRunAlive,
  qmpTimeout,
} from '@photoncloud/actors/dataplane/hypervisor/qemu-errors';
import { stallOf } from '@photoncloud/actors/dataplane/hypervisor/qemu-stall';
import { runIsSent } from '@photoncloud/actors/dataplane/migration/migration-errors';
import { tapMissing } from '@photoncloud/actors/dataplane/tap/tap-errors';
import type { IncarnationSpec, OwnerToken } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import { isOnHost, plug } from './simulated-disks.ts';
import { agentAnswers, keepThawing } from './simulated-agents.ts';
import { isAlive, type QemuProcess, type SimulatedKernel } from './simulated-kernel.ts';
import { leaveNics, plugNics, tapOf } from './simulated-nics.ts';
import type { SimulatedSite } from './simulated-site.ts';

export const incarnationId = ({ actor, uid, runEpoch }: OwnerToken): string => `${actor} ${uid} ${runEpoch}`;

const quit: IncarnationEnd = { reason: 'host_quit', detail: 'QEMU was told to quit.' };
const killed: IncarnationEnd = { reason: 'killed', detail: 'QEMU did not answer and was killed.' };
const poweredOff: IncarnationEnd = { reason: 'guest_shutdown', detail: 'The guest powered off when asked to.' };
const gone: IncarnationEnd = { reason: 'gone', detail: 'The QEMU process is gone and gave no reason.' };

export function simulatedIncarnations(site: SimulatedSite): IncarnationDataplane {
  const { kernel } = site;
  const lockOf = ({ owner }: IncarnationRef): string => `incarnation ${incarnationId(owner)}`;
  const find = ({ owner }: IncarnationRef): QemuProcess | undefined => kernel.incarnations.get(incarnationId(owner));
  const tell = (
    operation: 'resumeIncarnation' | 'pauseIncarnation' | 'resetIncarnation',
    incarnation: IncarnationRef,
    call: Call,
    change: (found: QemuProcess) => void,
  ) =>
    site.change(operation, 'incarnation', lockOf(incarnation), incarnation.owner, call, () => {
      const found = find(incarnation);
      if (!isAlive(found)) throw incarnationMissing(incarnation.owner.actor);
      if (found.sending) throw runIsSent(incarnation.owner.actor);
      if (found.hung) throw qmpTimeout(`telling ${incarnation.owner.actor}`, 2_000);
      change(found);
      return { runStatus: found.status };
    });
  return {
    startIncarnation: (spec, call) =>
      site.change('startIncarnation', 'incarnation', lockOf(spec), spec.owner, call, () => start(kernel, spec)),
    resumeIncarnation: async (incarnation, call) => {
      let resumedAt: number | null = null;
      const { runStatus } = await tell('resumeIncarnation', incarnation, call, (found) => {
        resumedAt = found.status === 'running' ? null : kernel.nowMs();
        kernel.run(found);
      });
      return { runStatus, resumedAt };
    },
    pauseIncarnation: (incarnation, call) =>
      tell('pauseIncarnation', incarnation, call, (found) => kernel.pause(found)),
    // QEMU says of a guest that has not run since its reset what it says before the first instruction.
    resetIncarnation: (incarnation, call) =>
      tell('resetIncarnation', incarnation, call, (found) => {
        for (const volumeUid of found.leaving.keys()) found.leaving.set(volumeUid, kernel.nowMs());
        found.frozen = false;
        if (found.status === 'paused') found.status = 'prelaunch';
      }),
    watchIncarnation: (incarnation, call) => {
      void keepThawing(site, () => find(incarnation), call.signal);
      return site.watch(call.signal, (): IncarnationEnd | null => {
        const found = find(incarnation);
        if (found?.status === 'shutdown') kernel.rest(found, 'dead', quit);
        const known = found?.end ?? gone;
        return isAlive(found) ? null : known;
      });
    },
    watchDisks: (incarnation, call) =>
      site.watch(call.signal, () => (find(incarnation)?.stalled === true ? stallOf(true, 'a disk') : null)),
    awaitDisks: async (incarnation, call) => {
      await site.watch(call.signal, () => !kernel.diskFull || null);
      await site.locks.hold(lockOf(incarnation), async () => {
        call.signal.throwIfAborted();
        const found = find(incarnation);
        if (found !== undefined) found.stalled = false;
      });
    },
    resizeDisk: ({ incarnation, volumeUid, sizeMib }, call) =>
      site.change('resizeDisk', 'incarnation', lockOf(incarnation), incarnation.owner, call, () => {
        const found = find(incarnation);
        if (!isAlive(found)) throw incarnationMissing(incarnation.owner.actor);
        if (found.sending) throw runIsSent(incarnation.owner.actor);
        if (found.hung) throw qmpTimeout(`telling ${incarnation.owner.actor}`, 2_000);
        const disk = incarnation.disks.find((one) => one.volumeUid === volumeUid && !isOnHost(one));
        if (disk === undefined) throw diskAbsent(incarnation.owner.actor, volumeUid);
        found.sizes.set(volumeUid, sizeMib);
      }),
    plugDevices: ({ incarnation, disks, ...ofNics }, call) =>
      site.change('plugDevices', 'incarnation', lockOf(incarnation), incarnation.owner, call, () => {
        const found = find(incarnation);
        if (!isAlive(found)) throw incarnationMissing(incarnation.owner.actor);
        if (found.sending) throw runIsSent(incarnation.owner.actor);
        if (found.hung) throw qmpTimeout(`telling ${incarnation.owner.actor}`, 2_000);
        leaveNics(site, found, ofNics.nics);
        return { disks: plug(site, found, disks), nics: plugNics(kernel, found, ofNics) };
      }),
    stopIncarnation: (stop, call) =>
      site.change('stopIncarnation', 'incarnation', lockOf(stop.incarnation), stop.incarnation.owner, call, () =>
        end(site, find(stop.incarnation), stop, call),
      ),
    readIncarnation: (incarnation) => {
      const found = find(incarnation);
      if (!isAlive(found))
        return Promise.resolve({ presence: 'absent', proof: null, runStatus: null, guestMacs: [] } as const);
      const { proof } = describe(found, false);
      if (found.hung) return Promise.resolve({ presence: 'hung', proof, runStatus: null, guestMacs: [] } as const);
      const guestMacs = found.spec.nics.map((nic) => nic.mac);
      return Promise.resolve({ presence: 'alive', proof, runStatus: found.status, guestMacs } as const);
    },
    readConsole: () => Promise.resolve(Buffer.alloc(0)),
    openConsole: () => Promise.reject(new PhotonError('rejection', 'console_absent', 'simulated guests print nothing')),
    readGuest: (incarnation) => Promise.resolve(guestOf(kernel, incarnation)),
    cleanIncarnation: (incarnation, call) =>
      site.change('cleanIncarnation', 'incarnation', lockOf(incarnation), incarnation.owner, call, () => {
        const found = find(incarnation);
        if (isAlive(found)) throw incarnationAlive(incarnation.owner.actor, found.pid);
        return { removed: kernel.incarnations.delete(incarnationId(incarnation.owner)) };
      }),
  };
}

/** The agent answers as long as the guest runs. */
function guestOf(kernel: SimulatedKernel, incarnation: string): GuestReading {
  const found = [...kernel.incarnations.values()].find(
    (one) => one.owner.actor === incarnation && one.status === 'running',
  );
  if (found === undefined || !agentAnswers(found)) return silentGuest;
  const interfaces = found.spec.nics.map(({ mac }, at) => ({ name: `eth${at}`, mac, addresses: [] }));
  return { ...silentGuest, answers: true, system: 'simulated', interfaces };
}

export function start(kernel: SimulatedKernel, spec: IncarnationSpec): IncarnationStarted {
  const id = incarnationId(spec.owner);
  const found = kernel.incarnations.get(id);
  if (isAlive(found)) {
    if (found.hung) throw qmpTimeout(`taking up ${spec.owner.actor}`, 2_000);
    return describe(found, false).answer;
  }
  for (const other of kernel.incarnations.values())
    if (other.owner.actor === spec.owner.actor && isAlive(other))
      throw olderRunAlive(spec.owner.actor, other.owner.runEpoch, other.pid);
  requireParts(kernel, spec);
  const pid = kernel.next();
  const taps = spec.nics.map(tapOf);
  const incarnation: QemuProcess = {
    id,
    owner: spec.owner,
    spec,
    leaving: new Map(),
    pid,
    startTime: String(pid),
    taps,
    status: spec.incoming === undefined ? 'prelaunch' : 'incoming',
    sending: false,
    end: null,
    hung: false,
    stalled: false,
    frozen: false,
    sizes: new Map(),
  };
  for (const name of taps) {
    const tap = kernel.findTap(name);
    if (tap !== undefined) tap.heldBy = pid;
  }
  kernel.incarnations.set(id, incarnation);
  kernel.noteDisks(incarnation);
  kernel.changed();
  return describe(incarnation, true).answer;
}

/** Checks preconditions in the order of the real dataplane, so that both return the same error. */
function requireParts(kernel: SimulatedKernel, spec: IncarnationSpec): void {
  for (const nic of spec.nics) {
    const name = tapOf(nic);
    const tap = kernel.findTap(name);
    if (tap === undefined || tap.vpc !== null) throw tapMissing(name, nic.port);
  }
  for (const disk of spec.disks.filter(isOnHost))
    if (!kernel.replicas.has(disk.volumeUid)) throw fileMissing('disk_missing', `The replica of ${disk.volume}`);
  for (const [sha256, format] of [
    [spec.boot?.kernelSha256, 'kernel'],
    [spec.boot?.initrdSha256, 'initrd'],
  ] as const)
    if (sha256 !== undefined && !kernel.copies.has(`${sha256}.${format}`))
      throw fileMissing('image_missing', `The ${format} ${sha256.slice(0, 12)}`);
  for (const nic of spec.nics) {
    const tap = kernel.findTap(tapOf(nic));
    if (tap?.heldBy !== null) throw new PhotonError('fault', 'tap_busy', `The tap of ${nic.port} is held.`);
  }
  const writes = (incarnation: QemuProcess): boolean =>
    isAlive(incarnation) &&
    incarnation.spec.disks.some((disk) => isOnHost(disk) && spec.disks.some((own) => own.volumeUid === disk.volumeUid));
  if ([...kernel.incarnations.values()].some(writes))
    throw new PhotonError('fault', 'disk_locked', `Another process writes a disk of ${spec.vm}.`);
}

function describe(incarnation: QemuProcess, started: boolean) {
  const { pid, startTime, spec, status } = incarnation;
  const { diskSlots, nicSlots, machineType } = spec;
  const proof = {
    pid,
    startTime,
    qemuVersion: '7.2.0',
    machineType: machineType ?? 'pc-q35-7.2',
    ...(diskSlots === undefined ? {} : { diskSlots }),
    ...(nicSlots === undefined ? {} : { nicSlots }),
  };
  return { proof, answer: { ...proof, started, runStatus: status } };
}

async function end(
  site: SimulatedSite,
  incarnation: QemuProcess | undefined,
  { graceMs }: IncarnationStop,
  call: Call,
): Promise<{ how: 'absent' | 'guest' | 'quit' | 'killed' }> {
  const { kernel } = site;
  const { random } = site.options;
  if (!isAlive(incarnation)) return { how: 'absent' };
  if (incarnation.hung) {
    await site.pause(2_000);
    kernel.rest(incarnation, 'dead', killed);
    return { how: 'killed' };
  }
  const guestPowersOff = random.fraction() < 0.7;
  if (incarnation.status === 'running' && !incarnation.stalled && graceMs > 0) {
    const powersOffMs = guestPowersOff ? random.fraction() * graceMs : graceMs;
    await waitOutside(call, () => site.pause(powersOffMs));
    if (guestPowersOff) kernel.rest(incarnation, 'shutdown', poweredOff);
  }
  // The chart has left the state that asked for this stop: a later state decides what happens to the process.
  call.signal.throwIfAborted();
  const powered = incarnation.status === 'shutdown';
  kernel.rest(incarnation, 'dead', quit);
  return { how: powered ? 'guest' : 'quit' };
}
