/** Events of the network chart; see docs/protocol.md. */
import type { Failure } from '../values/failures.ts';
import type { Meta } from '../values/requests.ts';
import type { FoundPort } from '../values/wiring.ts';

export interface SubnetRequest {
  readonly name?: string;
  readonly cidr: string;
  readonly gateway?: string | null;
}

export interface DhcpRequest {
  readonly leaseSeconds?: number;
  readonly dns?: readonly string[];
  readonly domain?: string | null;
  readonly ntp?: readonly string[];
}

export interface NetworkRequest {
  /** Name of the VPC. */
  readonly vpc?: string;
  readonly subnets: readonly SubnetRequest[];
  readonly mtu?: number;
  readonly dhcp?: DhcpRequest;
}

export type NetworkEvent =
  | ({ type: 'network.create'; meta: Meta } & NetworkRequest)
  | { type: 'network.delete'; meta: Meta }
  /** `ports`: how many it may have; a tenant of an earlier release does not say. */
  | { type: 'quota.granted'; ports?: number; meta: Meta }
  | { type: 'quota.refused'; error: Failure; meta: Meta }
  | { type: 'cidr.claimed'; vpc: string; meta: Meta }
  | { type: 'cidr.refused'; error: Failure; path: string; meta: Meta }
  | { type: 'network.withdrawn'; vpc: string; meta: Meta }
  | { type: 'address.allocate'; port: string; address: string | null; mac: string | null; meta: Meta }
  | { type: 'era.cleared'; era: number; taken: readonly FoundPort[]; meta: Meta }
  | { type: 'address.release'; port: string; address: string | null; meta: Meta };
