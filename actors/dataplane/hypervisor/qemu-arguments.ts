/**
 * QEMU's command line for an IncarnationSpec. Pure. Every value from a spec is written as JSON or as an argument of its
 * own, never into a comma-separated list (docs/threats.md#t3). The format of every disk is explicit, so QEMU probes
 * nothing (docs/threats.md#t8). Called by qemu-start.ts and a test.
 */
import path from 'node:path';
import { slotted } from '@photoncloud/machines/values/device-slots';
import type { DiskSource, IncarnationDisk, IncarnationNic, IncarnationSpec } from '@photoncloud/machines/values/wiring';
import { seedSerial } from '../seed/seed-disk.ts';
import { keyObject } from '../tls-key.ts';

/** The machine type that both QEMU 7.2 and QEMU 10 know, so that a VM can move between hosts with either. */
export const defaultMachineType = 'pc-q35-7.2';

/**
 * What every host of a cluster gives its guests, with KVM or without, so that a VM that moves finds the processor that
 * it has left: x86-64-v2, and a source of entropy, without which a guest blocks at boot.
 */
export const baselineCpu = 'qemu64,+cx16,+lahf-lm,+popcnt,+ssse3,+sse4.1,+sse4.2,+rdrand,+rdseed';

export interface IncarnationFiles {
  readonly pidFile: string;
  readonly agentSocket: string;
  readonly toolingSocket: string;
  /** Leads to the QEMU guest agent, in a guest that has one. */
  readonly guestSocket: string;
  /** Output of the serial console, appended to; the watch truncates it when it grows past its limit. */
  readonly console: string;
  /** Takes input for the serial console. */
  readonly consoleSocket: string;
  /** What QEMU has as its root folder once it has opened its files. */
  readonly emptyFolder: string;
  readonly seed: string;
}

export interface IncarnationParts {
  readonly name: string;
  readonly files: IncarnationFiles;
  readonly libDir: string | undefined;
  readonly kvm: boolean;
  /** The user and group as which QEMU runs once it has opened its files. */
  readonly guestUid: number;
  readonly tapOf: (nic: IncarnationNic) => string;
  readonly fileOf: (disk: IncarnationDisk) => string;
  /** Paths of the blobs for direct boot, or null. */
  readonly boot: { readonly kernel: string; readonly initrd: string; readonly commandLine: string } | null;
}

export function incarnationArguments(spec: IncarnationSpec, parts: IncarnationParts): string[] {
  const { files } = parts;
  const slots = spec.diskSlots;
  const busOf = (slot: number): string | null => (slots === undefined ? null : rootPort(slot));
  const nicBus = (slot: number): string | null => (spec.nicSlots === undefined ? null : nicPort(slot));
  return [
    ...(parts.libDir === undefined ? [] : ['-L', parts.libDir]),
    '-name',
    `guest=${parts.name}`,
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-machine',
    spec.machineType ?? defaultMachineType,
    '-accel',
    parts.kvm ? 'kvm' : 'tcg',
    '-cpu',
    baselineCpu,
    '-smp',
    String(spec.cpus),
    '-m',
    String(spec.memoryMib),
    // QEMU starts paused until the taps are wired; after a power-off it stays, paused, so that the reason can be read.
    '-S',
    '-action',
    'shutdown=pause',
    ...(spec.incoming === undefined ? [] : ['-incoming', 'defer']),
    '-pidfile',
    files.pidFile,
    '-qmp',
    `unix:${files.agentSocket},server=on,wait=off`,
    '-qmp',
    `unix:${files.toolingSocket},server=on,wait=off`,
    '-chardev',
    `socket,id=console,path=${files.consoleSocket},server=on,wait=off,logfile=${files.console},logappend=on`,
    '-serial',
    'chardev:console',
    // elevateprivileges=deny would also deny QEMU's own change to its user. It gains nothing more: the filter sets
    // no_new_privs, and a user without capabilities cannot change to another.
    '-sandbox',
    'on,obsolete=deny,spawn=deny,resourcecontrol=deny',
    '-run-with',
    `user=${parts.guestUid}:${parts.guestUid},chroot=${files.emptyFolder}`,
    ...(spec.nicSlots === undefined ? [] : nicPortArguments(spec.nicSlots)),
    ...slotted(spec.nics).flatMap(([slot, nic]) => nicArguments(nic, slot, nicBus(slot), parts)),
    ...(slots === undefined ? [] : diskPortArguments(slots)),
    ...slotted(spec.disks).flatMap(([slot, disk]) => diskArguments(disk, slot, busOf(slot), parts)),
    ...(spec.seed === undefined ? [] : seedArguments(files.seed, busOf(slots ?? 0))),
    ...(spec.guestAgent === true ? guestAgentArguments(files.guestSocket) : []),
    ...(parts.boot === null
      ? []
      : ['-kernel', parts.boot.kernel, '-initrd', parts.boot.initrd, '-append', parts.boot.commandLine]),
  ];
}

function nicArguments(nic: IncarnationNic, slot: number, bus: string | null, parts: IncarnationParts): string[] {
  return [
    '-netdev',
    JSON.stringify({ type: 'tap', id: tapBackend(slot), ifname: parts.tapOf(nic), script: 'no', downscript: 'no' }),
    '-device',
    JSON.stringify(nicDevice(nic, slot, bus)),
  ];
}

/** What QEMU calls the tap that it has open for the NIC of a slot. */
export const tapBackend = (slot: number): string => `n${slot}`;

/** @param bus its root port; null: the root bus, where it stays as long as QEMU lives */
export const nicDevice = ({ mac, mtu }: IncarnationNic, slot: number, bus: string | null) => ({
  driver: 'virtio-net-pci',
  id: `nic${slot}`,
  ...(bus === null ? {} : { bus }),
  netdev: tapBackend(slot),
  mac,
  host_mtu: mtu,
  romfile: '',
});

/** The folder of the key for an export on another host; QEMU reads it before its root is the empty folder. */
export const keyFolder = (emptyFolder: string, slot: number): string =>
  path.join(path.dirname(emptyFolder), `key${slot}`);

/** The name of the socket in the empty folder that leads to an export on this host: its name without the boot id. */
export const doorName = (source: DiskSource): string => source.export.split('.').slice(0, 2).join('.');

/** What QEMU is told of a disk, at its start or later (qemu-plug.ts). */
export interface DiskParts {
  /** The file of a local disk, as QEMU can open it. */
  readonly filename: string;
  readonly emptyFolder: string;
  /** Where QEMU finds the key of an export on another host. */
  readonly keyDir: string;
  /** Whether it boots from its disks, in the order of their slots. */
  readonly boots: boolean;
}

/** The key of an export on another host; null for other disks. */
export const diskKey = ({ source }: IncarnationDisk, slot: number, { keyDir }: DiskParts) =>
  (source?.address ?? null) === null ? null : keyObject(`key${slot}`, 'client', keyDir);

/** The block device below the format: a file of this host, or an export (qemu-doors.ts). */
export function bytesNode({ source = null }: IncarnationDisk, slot: number, parts: DiskParts) {
  const node = { 'node-name': `f${slot}`, discard: 'unmap' };
  if (source === null) return { driver: 'file', ...node, filename: parts.filename };
  // A daemon that is started again within this time is a pause of the guest, and no error.
  const nbd = { driver: 'nbd', ...node, export: source.export, 'reconnect-delay': 30, 'open-timeout': 5 };
  if (source.address === null)
    return { ...nbd, server: { type: 'unix', path: path.join(parts.emptyFolder, doorName(source)) } };
  const server = { type: 'inet', host: source.address.host, port: String(source.address.port) };
  return { ...nbd, server, 'tls-creds': `key${slot}` };
}

export const formatNode = ({ format }: IncarnationDisk, slot: number) => ({
  driver: format,
  'node-name': `d${slot}`,
  file: `f${slot}`,
  discard: 'unmap',
});

/** @param bus its root port; null: the root bus, where it stays as long as QEMU lives */
export const diskDevice = ({ serial }: IncarnationDisk, slot: number, bus: string | null, { boots }: DiskParts) => ({
  driver: 'virtio-blk-pci',
  id: `disk${slot}`,
  ...(bus === null ? {} : { bus }),
  drive: `d${slot}`,
  serial,
  // The guest never sees an error that passes, such as a full host: QEMU holds it and repeats the request later.
  werror: 'stop',
  rerror: 'stop',
  ...(boots ? { bootindex: slot } : {}),
});

function diskArguments(disk: IncarnationDisk, slot: number, bus: string | null, parts: IncarnationParts): string[] {
  const { emptyFolder } = parts.files;
  const filename = parts.fileOf(disk);
  const of = { filename, emptyFolder, keyDir: keyFolder(emptyFolder, slot), boots: parts.boot === null };
  const key = diskKey(disk, slot, of);
  return [
    ...(key === null ? [] : ['-object', JSON.stringify(key)]),
    '-blockdev',
    JSON.stringify(bytesNode(disk, slot, of)),
    '-blockdev',
    JSON.stringify(formatNode(disk, slot)),
    '-device',
    JSON.stringify(diskDevice(disk, slot, bus, of)),
  ];
}

/** The root port of a slot: QEMU plugs nothing into the root bus of a q35 machine while the guest runs. */
export const rootPort = (slot: number): string => `slot${slot}`;
export const nicPort = (slot: number): string => `nicslot${slot}`;

interface Ports {
  readonly count: number;
  readonly nameOf: (slot: number) => string;
  /** Device of the root bus of the first eight, above what QEMU gives out by itself: it counts from 1 and knows 32. */
  readonly address: number;
  /** Of the first one; no two ports have the same. */
  readonly chassis: number;
  readonly takesPlugs: (slot: number) => boolean;
}

/** Eight ports share a device of the root bus. */
const portArguments = ({ count, nameOf, address, chassis, takesPlugs }: Ports): string[] =>
  Array.from({ length: count }, (_, slot) => [
    '-device',
    JSON.stringify({
      driver: 'pcie-root-port',
      id: nameOf(slot),
      bus: 'pcie.0',
      addr: `${(address + Math.trunc(slot / 8)).toString(16)}.${slot % 8}`,
      multifunction: true,
      chassis: chassis + slot,
      hotplug: takesPlugs(slot),
    }),
  ]).flat();

/**
 * For all NICs that a run may have. Firmware counts buses by these addresses: the first NIC is on the first bus, which
 * is where other clouds have it, and no disk that comes or goes changes the name that a guest gives it.
 */
const nicPortArguments = (count: number): string[] =>
  portArguments({ count, nameOf: nicPort, address: 0x0c, chassis: 0x40, takesPlugs: () => true });

/**
 * For all disks that a run may have, and one for the seed disk: a Linux guest names its disks by their buses, and the
 * seed disk is to be the last.
 */
const diskPortArguments = (slots: number): string[] =>
  portArguments({
    count: slots + 1,
    nameOf: rootPort,
    address: 0x10,
    chassis: 1,
    takesPlugs: (slot) => slot < slots,
  });

/**
 * The seed disk comes last, so that no other disk of the guest gets another name; it is never booted from. A virtio
 * disk, because kernels for clouds have no driver of a CD drive.
 */
function seedArguments(filename: string, bus: string | null): string[] {
  const file = { driver: 'file', filename, 'read-only': true };
  return [
    '-blockdev',
    JSON.stringify({ driver: 'raw', 'node-name': 'seed', 'read-only': true, file }),
    '-device',
    JSON.stringify({
      driver: 'virtio-blk-pci',
      id: 'seed0',
      ...(bus === null ? {} : { bus }),
      drive: 'seed',
      serial: seedSerial,
    }),
  ];
}

/** Its address is above those that QEMU gives out from 1 on, so no device has another address because of it. */
const guestAgentArguments = (socket: string): string[] => [
  '-chardev',
  `socket,id=guest,path=${socket},server=on,wait=off`,
  '-device',
  JSON.stringify({ driver: 'virtio-serial-pci', id: 'serial0', bus: 'pcie.0', addr: '1e.0', max_ports: 2 }),
  '-device',
  JSON.stringify({
    driver: 'virtserialport',
    id: 'guest0',
    bus: 'serial0.0',
    nr: 1,
    chardev: 'guest',
    name: 'org.qemu.guest_agent.0',
  }),
];
