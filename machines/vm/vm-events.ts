/** Events of the VM chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { DiskFormat, HostFacts, IncarnationProof } from '../values/wiring.ts';

export interface VmNic {
  /** `eth0`; the port is `<vm>.<name>`. */
  readonly name: string;
  readonly network: string;
  readonly address: string | null;
  readonly mac: string | null;
}

/** Direct boot by two images, by name; null boots the first disk. */
export interface VmBoot {
  readonly kernel: string;
  readonly initrd: string;
  readonly commandLine: string;
}

export interface VmSpec {
  readonly cpus: number;
  readonly memoryMib: number;
  /** Pinned and versioned; null pins what the host offers at the first start. */
  readonly machineType: string | null;
  /** What to do when a run ends by itself: always, only after a crash, or never start again. */
  readonly restart: 'always' | 'on-failure' | 'never';
  readonly running: boolean;
  /** Wanted host, or null. */
  readonly host: string | null;
  readonly nics: readonly VmNic[];
  readonly disks: readonly { readonly volume: string }[];
  readonly boot: VmBoot | null;
}

interface Failed {
  error: Failure;
  meta: Meta;
}

export type VmEvent =
  | ({ type: 'vm.create'; meta: Meta } & VmSpec)
  | { type: 'vm.start'; meta: Meta }
  | { type: 'vm.stop'; graceMs?: number; meta: Meta }
  | { type: 'vm.restart'; graceMs?: number; meta: Meta }
  | { type: 'vm.delete'; meta: Meta }
  | { type: 'quota.granted'; meta: Meta }
  | ({ type: 'quota.refused' } & Failed)
  | { type: 'port.ready'; port: string; address: string; mac: string; meta: Meta }
  | ({ type: 'port.refused'; port: string; path?: string } & Failed)
  | {
      type: 'port.tapped';
      port: string;
      binding: string;
      bindingUid: string;
      mac: string;
      mtu: number;
      address: string;
      meta: Meta;
    }
  | { type: 'port.active'; port: string; meta: Meta }
  | ({ type: 'port.failed'; port: string } & Failed)
  | { type: 'port.unbound'; port: string; meta: Meta }
  | { type: 'port.gone'; port: string; meta: Meta }
  | { type: 'volume.located'; volume: string; host: string | null; meta: Meta }
  | { type: 'volume.attached'; volume: string; uid: string; serial: string; format: DiskFormat; meta: Meta }
  | ({ type: 'volume.refused'; volume: string } & Failed)
  | { type: 'image.provided'; image: string; sha256: string; meta: Meta }
  | ({ type: 'image.refused'; image: string } & Failed)
  | { type: 'placed'; host: HostFacts; era: number; meta: Meta }
  | ({ type: 'place.refused'; reasons: readonly { readonly host: string; readonly reason: string }[] } & Failed)
  | { type: 'incarnation.running'; host: string; incarnationUid: string; proof: IncarnationProof; meta: Meta }
  | {
      type: 'incarnation.ended';
      host: string;
      incarnationUid: string;
      reason: string;
      error: Failure | null;
      meta: Meta;
    };
