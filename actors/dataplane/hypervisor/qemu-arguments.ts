/**
 * QEMU's command line for an IncarnationSpec. Pure. Everything that comes from a spec stands in JSON or in an argument
 * of its own, never in a comma list (T3); every disk's format is explicit (T8); nothing is probed and nothing is
 * implied. Called by qemu-start.ts and its test.
 */
import type { IncarnationDisk, IncarnationNic, IncarnationSpec } from '@photoncloud/machines/values/wiring';

/** Known to QEMU 7.2 and 10: an incarnation that started on one host can go to the other. */
export const defaultMachineType = 'pc-q35-7.2';

export interface IncarnationFiles {
  readonly pidFile: string;
  readonly agentSocket: string;
  readonly toolingSocket: string;
  /** Serial console, appended to; watching cuts it down when it grows past its bound. */
  readonly console: string;
}

export interface IncarnationParts {
  readonly name: string;
  readonly files: IncarnationFiles;
  readonly libDir: string | undefined;
  readonly kvm: boolean;
  readonly sandbox: boolean;
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
    // a guest without a source of chance waits for one at boot; the emulated model offers it only when asked
    '-cpu',
    parts.kvm ? 'host' : 'qemu64,+rdrand,+rdseed',
    '-smp',
    String(spec.cpus),
    '-m',
    String(spec.memoryMib),
    // paused until everything it needs is wired; a guest that powers off stays readable until we quit it
    '-S',
    '-action',
    'shutdown=pause',
    '-daemonize',
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
    // spawn and elevateprivileges cannot be denied: QEMU puts the filter on before -daemonize forks and calls setsid
    ...(parts.sandbox ? ['-sandbox', 'on,obsolete=deny,resourcecontrol=deny'] : []),
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
      ...(parts.boot === null ? { bootindex: index } : {}),
    }),
  ];
}
