/**
 * The hypervisor half of the simulated dataplane, by the contract in machine-contract.ts: one process per run,
 * which outlives the worker. The process exists from the moment it is launched, whatever becomes of the call.
 * Called by simulated-dataplane.ts; state in simulated-kernel.ts.
 */
import type {
  MachineDataplane,
  MachineEnd,
  MachineRef,
  MachineStarted,
  MachineStop,
} from '@photoncloud/actors/dataplane/contract/machine-contract';
import {
  fileMissing,
  machineAlive,
  machineMissing,
  olderRunAlive,
  qmpTimeout,
} from '@photoncloud/actors/dataplane/hypervisor/machine-errors';
import { KernelNames } from '@photoncloud/actors/dataplane/kernel-names';
import { tapMissing } from '@photoncloud/actors/dataplane/tap/tap-errors';
import type { MachineSpec, OwnerToken } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Machine, SimulatedKernel } from './simulated-kernel.ts';
import type { SimulatedSite } from './simulated-site.ts';

const names = new KernelNames('sim');
const machineId = ({ actor, uid, runEpoch }: OwnerToken): string => `${actor} ${uid} ${runEpoch}`;
const isAlive = (machine: Machine | undefined): machine is Machine =>
  machine !== undefined && machine.status !== 'dead';

const quit: MachineEnd = { reason: 'host_quit', detail: 'QEMU was told to quit.' };
const killed: MachineEnd = { reason: 'killed', detail: 'QEMU did not answer and was killed.' };
const poweredOff: MachineEnd = { reason: 'guest_shutdown', detail: 'The guest powered off when asked to.' };
const gone: MachineEnd = { reason: 'gone', detail: 'The QEMU process is gone without a word.' };

export function simulatedMachines(site: SimulatedSite): MachineDataplane {
  const { kernel } = site;
  const lockOf = ({ owner }: MachineRef): string => `machine ${machineId(owner)}`;
  const find = ({ owner }: MachineRef): Machine | undefined => kernel.machines.get(machineId(owner));
  return {
    startMachine: (spec, call) =>
      site.change('startMachine', 'machine', lockOf(spec), spec.owner, call, () => start(kernel, spec)),
    resumeMachine: (machine, call) =>
      site.change('resumeMachine', 'machine', lockOf(machine), machine.owner, call, () => {
        const found = find(machine);
        if (!isAlive(found)) throw machineMissing(machine.owner.actor);
        if (found.hung) throw qmpTimeout(`resuming ${machine.owner.actor}`, 2_000);
        kernel.run(found);
        return { runStatus: found.status };
      }),
    watchMachine: (machine, call) =>
      site.watch(call.signal, (): MachineEnd | null => {
        const found = find(machine);
        if (found?.status === 'shutdown') kernel.rest(found, 'dead', quit);
        const known = found?.end ?? gone;
        return isAlive(found) ? null : known;
      }),
    stopMachine: (stop, call) =>
      site.change('stopMachine', 'machine', lockOf(stop.machine), stop.machine.owner, call, () =>
        end(site, find(stop.machine), stop, call.signal),
      ),
    readMachine: (machine) => {
      const found = find(machine);
      if (!isAlive(found))
        return Promise.resolve({ presence: 'absent', proof: null, runStatus: null, guestMacs: [] } as const);
      const { proof } = describe(found, false);
      if (found.hung) return Promise.resolve({ presence: 'hung', proof, runStatus: null, guestMacs: [] } as const);
      const guestMacs = found.spec.nics.map((nic) => nic.mac);
      return Promise.resolve({ presence: 'alive', proof, runStatus: found.status, guestMacs } as const);
    },
    cleanMachine: (machine, call) =>
      site.change('cleanMachine', 'machine', lockOf(machine), machine.owner, call, () => {
        const found = find(machine);
        if (isAlive(found)) throw machineAlive(machine.owner.actor, found.pid);
        return { removed: kernel.machines.delete(machineId(machine.owner)) };
      }),
  };
}

function start(kernel: SimulatedKernel, spec: MachineSpec): MachineStarted {
  const id = machineId(spec.owner);
  const found = kernel.machines.get(id);
  if (isAlive(found)) {
    if (found.hung) throw qmpTimeout(`taking up ${spec.owner.actor}`, 2_000);
    return describe(found, false).answer;
  }
  for (const other of kernel.machines.values())
    if (other.owner.actor === spec.owner.actor && isAlive(other))
      throw olderRunAlive(spec.owner.actor, other.owner.runEpoch, other.pid);
  requireParts(kernel, spec);
  const pid = kernel.next();
  const taps = spec.nics.map((nic) => names.tapOf({ actor: nic.binding, uid: nic.bindingUid }));
  const machine: Machine = {
    id,
    owner: spec.owner,
    spec,
    pid,
    startTime: String(pid),
    taps,
    status: 'prelaunch',
    end: null,
    hung: false,
  };
  for (const name of taps) {
    const tap = kernel.findTap(name);
    if (tap !== undefined) tap.heldBy = pid;
  }
  kernel.machines.set(id, machine);
  kernel.changed();
  return describe(machine, true).answer;
}

/** In the order in which the real one asks. */
function requireParts(kernel: SimulatedKernel, spec: MachineSpec): void {
  for (const nic of spec.nics) {
    const name = names.tapOf({ actor: nic.binding, uid: nic.bindingUid });
    const tap = kernel.findTap(name);
    if (tap === undefined || tap.vpc !== null) throw tapMissing(name, nic.port);
  }
  for (const disk of spec.disks)
    if (!kernel.replicas.has(disk.volumeUid)) throw fileMissing('disk_missing', `The replica of ${disk.volume}`);
  for (const [sha256, format] of [
    [spec.boot?.kernelSha256, 'kernel'],
    [spec.boot?.initrdSha256, 'initrd'],
  ] as const)
    if (sha256 !== undefined && !kernel.copies.has(`${sha256}.${format}`))
      throw fileMissing('image_missing', `The ${format} ${sha256.slice(0, 12)}`);
  for (const nic of spec.nics) {
    const tap = kernel.findTap(names.tapOf({ actor: nic.binding, uid: nic.bindingUid }));
    if (tap?.heldBy !== null) throw new PhotonError('fault', 'tap_busy', `The tap of ${nic.port} is held.`);
  }
  const writes = (machine: Machine): boolean =>
    isAlive(machine) && machine.spec.disks.some((disk) => spec.disks.some((own) => own.volumeUid === disk.volumeUid));
  if ([...kernel.machines.values()].some(writes))
    throw new PhotonError('fault', 'disk_locked', `Another process writes a disk of ${spec.vm}.`);
}

function describe(machine: Machine, started: boolean) {
  const { pid, startTime, spec, status } = machine;
  const proof = { pid, startTime, qemuVersion: '7.2.0', machineType: spec.machineType ?? 'pc-q35-7.2' };
  return { proof, answer: { ...proof, started, runStatus: status } };
}

async function end(
  site: SimulatedSite,
  machine: Machine | undefined,
  { graceMs }: MachineStop,
  signal: AbortSignal,
): Promise<{ how: 'absent' | 'guest' | 'quit' | 'killed' }> {
  const { kernel } = site;
  const { random } = site.options;
  if (!isAlive(machine)) return { how: 'absent' };
  if (machine.hung) {
    await site.pause(2_000);
    kernel.rest(machine, 'dead', killed);
    return { how: 'killed' };
  }
  const heeds = random.fraction() < 0.7;
  if (machine.status === 'running' && graceMs > 0) {
    await site.pause(heeds ? random.fraction() * graceMs : graceMs);
    if (heeds) kernel.rest(machine, 'shutdown', poweredOff);
  }
  // The power button is pressed for nobody who has gone: what follows would be another state's business.
  signal.throwIfAborted();
  const powered = machine.status === 'shutdown';
  kernel.rest(machine, 'dead', quit);
  return { how: powered ? 'guest' : 'quit' };
}
