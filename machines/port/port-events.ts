/** Events of the port chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { HostFacts, NetworkSpec, TapProof } from '../values/wiring.ts';

export interface PortRequest {
  /** Name of the network. */
  readonly network: string;
  readonly address?: string | null;
  readonly mac?: string | null;
  /** Name of a host to bind it on at once, without a VM. */
  readonly host?: string | null;
  /** Actor id of the VM it belongs to; only a VM says so. */
  readonly holder?: string | null;
}

/** `runEpoch` says which asking it answers: an earlier one's answer may still be under way. */
interface FromBinding {
  readonly host: string;
  readonly runEpoch: number;
  readonly meta: Meta;
}

export type PortEvent =
  | ({ type: 'port.create'; meta: Meta } & PortRequest)
  | { type: 'port.bind'; holder: string; host: HostFacts; runEpoch: number; meta: Meta }
  | { type: 'port.unbind'; holder?: string; meta: Meta }
  | { type: 'port.release'; holder: string; meta: Meta }
  | { type: 'port.delete'; meta: Meta }
  | { type: 'host.found'; host: HostFacts; meta: Meta }
  | { type: 'host.missing'; host: string; meta: Meta }
  | {
      type: 'address.allocated';
      address: string;
      mac: string;
      prefixLength: number;
      gateway: string;
      vpc: string;
      network: NetworkSpec;
      meta: Meta;
    }
  | { type: 'address.refused'; error: Failure; path: string; meta: Meta }
  | { type: 'segment.provided'; host: string; network: string; vpc: string; meta: Meta }
  | { type: 'segment.failed'; host: string; error: Failure; meta: Meta }
  | ({ type: 'binding.tapped'; uid: string; tap: string } & FromBinding)
  | ({ type: 'binding.ready'; proof: TapProof } & FromBinding)
  | ({ type: 'binding.failed'; error: Failure } & FromBinding)
  | { type: 'binding.removed'; host: string; meta: Meta };
