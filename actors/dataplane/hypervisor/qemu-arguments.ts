/**
 * QEMU's command line for an IncarnationSpec. Pure. Every value from a spec is written as JSON or as an argument of its
 * own, never into a comma-separated list (docs/threats.md#t3). The format of every disk is explicit, so QEMU probes
 * nothing (docs/threats.md#t8). Called by qemu-start.ts and a test.
 */
import type { IncarnationDisk, IncarnationNic, IncarnationSpec } from '@photoncloud/machines/values/wiring';

/** The machine type that both QEMU 7.2 and QEMU 10 know, so that a VM can move between hosts with either. */
export const defaultMachineType = 'pc-q35-7.2';

export interface IncarnationFiles {
  readonly pidFile: string;
  readonly agentSocket: string;
  readonly toolingSocket: string;
  /** Output of the serial console, appended to; the watch truncates it when it grows past its limit. */
  readonly console: string;
  /** What QEMU has as its root folder once it has opened its files. */
  readonly emptyFolder: string;
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
    // A guest without a source of entropy blocks at boot; the emulated CPU has rdrand and rdseed only on request.
    '-cpu',
    parts.kvm ? 'host' : 'qemu64,+rdrand,+rdseed',
    '-smp',
    String(spec.cpus),
    '-m',
    String(spec.memoryMib),
    // QEMU starts paused until the taps are wired; after a power-off it stays, paused, so that the reason can be read.
    '-S',
    '-action',
    'shutdown=pause',
    '-pidfile',
    files.pidFile,
    '-qmp',
    `unix:${files.agentSocket},server=on,wait=off`,
    '-qmp',
    `unix:${files.toolingSocket},server=on,wait=off`,
    '-chardev',
    `file,id=console,path=${files.console},append=on`,
    '-serial',
    'chardev:console',
    // elevateprivileges=deny would also deny QEMU's own change to its user. It gains nothing more: the filter sets
    // no_new_privs, and a user without capabilities cannot change to another.
    '-sandbox',
    'on,obsolete=deny,spawn=deny,resourcecontrol=deny',
    '-run-with',
    `user=${parts.guestUid}:${parts.guestUid},chroot=${files.emptyFolder}`,
    ...spec.nics.flatMap((nic, index) => nicArguments(nic, index, parts)),
    ...spec.disks.flatMap((disk, index) => diskArguments(disk, index, parts)),
    ...(parts.boot === null
      ? []
      : ['-kernel', parts.boot.kernel, '-initrd', parts.boot.initrd, '-append', parts.boot.commandLine]),
  ];
}

function nicArguments(nic: IncarnationNic, index: number, parts: IncarnationParts): string[] {
  return [
    '-netdev',
    JSON.stringify({ type: 'tap', id: `n${index}`, ifname: parts.tapOf(nic), script: 'no', downscript: 'no' }),
    '-device',
    JSON.stringify({
      driver: 'virtio-net-pci',
      id: `nic${index}`,
      netdev: `n${index}`,
      mac: nic.mac,
      host_mtu: nic.mtu,
      romfile: '',
    }),
  ];
}

function diskArguments(disk: IncarnationDisk, index: number, parts: IncarnationParts): string[] {
  return [
    '-blockdev',
    JSON.stringify({ driver: 'file', 'node-name': `f${index}`, filename: parts.fileOf(disk), discard: 'unmap' }),
    '-blockdev',
    JSON.stringify({ driver: disk.format, 'node-name': `d${index}`, file: `f${index}`, discard: 'unmap' }),
    '-device',
    JSON.stringify({
      driver: 'virtio-blk-pci',
      id: `disk${index}`,
      drive: `d${index}`,
      serial: disk.serial,
      // The guest never sees an error that passes, such as a full host: QEMU holds it and repeats the request later.
      werror: 'stop',
      rerror: 'stop',
      ...(parts.boot === null ? { bootindex: index } : {}),
    }),
  ];
}
