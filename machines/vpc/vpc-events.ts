/** Events of the vpc chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { HostFacts, NetworkSpec, SegmentProof } from '../values/wiring.ts';

export type VpcEvent =
  | { type: 'vpc.create'; meta: Meta }
  | { type: 'vpc.delete'; meta: Meta }
  | { type: 'quota.granted'; meta: Meta }
  | { type: 'quota.refused'; error: Failure; meta: Meta }
  | { type: 'vni.allocated'; vni: number; meta: Meta }
  | { type: 'cidr.claim'; network: string; subnets: readonly { readonly cidr: string }[]; meta: Meta }
  | { type: 'cidr.release'; network: string; meta: Meta }
  | { type: 'segment.need'; port: string; host: HostFacts; network: NetworkSpec; meta: Meta }
  | { type: 'segment.ready'; host: string; generation: number; proof: SegmentProof; meta: Meta }
  | { type: 'segment.failed'; host: string; generation?: number; error: Failure; meta: Meta }
  | { type: 'segment.removed'; host: string; meta: Meta }
  | { type: 'port.located'; port: string; address: string; host: number; meta: Meta }
  | { type: 'port.left'; port: string; address: string; host: number; meta: Meta };
