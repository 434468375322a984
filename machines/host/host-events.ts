/** Events of the host chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { HostFacts } from '../values/wiring.ts';

/** What a host says of itself, as its agent has observed it. */
export interface HostReport {
  /** IPv4 address on the underlay. */
  readonly underlay: string;
  readonly underlayMtu: number;
  readonly cpus: number;
  readonly memoryMib: number;
  /** Null when the host cannot run VMs. */
  readonly qemuVersion: string | null;
  readonly kvm: boolean;
  /** Absolute folders from which `file://` images may be taken. */
  readonly allowedRoots: readonly string[];
  /** Where other nodes reach its process. */
  readonly peerUrl: string;
}

export type HostEvent =
  | { type: 'host.announce'; host: string; boot: string; facts: HostReport; meta: Meta }
  | { type: 'host.registered'; host: string; facts: HostFacts; meta: Meta }
  | { type: 'host.refused'; host: string; error: Failure; meta: Meta }
  | { type: 'host.silent'; meta: Meta }
  | { type: 'host.back'; meta: Meta }
  | { type: 'host.fence'; poweredOff: true; reason: string; meta: Meta }
  | { type: 'host.fence.done'; boot: string | null; meta: Meta }
  | { type: 'host.fence.failed'; error: Failure; meta: Meta }
  | { type: 'host.fence.unknown'; error: Failure; meta: Meta }
  | { type: 'host.cordon'; meta: Meta }
  | { type: 'host.uncordon'; meta: Meta };
