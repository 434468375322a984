/** Events of the tenant chart; see docs/protocol.md. */
import type { Meta } from '../values/requests.ts';

export type QuotaKind = 'vpc' | 'network' | 'vm' | 'volume' | 'image';

/** A number of each kind that the tenant counts. */
export type Counts = Readonly<Record<QuotaKind, number>>;

/** How many of each kind the tenant may have at once, and how many ports each of its networks, which counts those. */
export interface Quota extends Counts {
  readonly portsPerNetwork: number;
}

export const defaultPortsPerNetwork = 4_000;

export const defaultQuota: Quota = {
  vpc: 5,
  network: 64,
  vm: 1_000,
  volume: 100,
  image: 50,
  portsPerNetwork: defaultPortsPerNetwork,
};

export type TenantEvent =
  | { type: 'tenant.create'; quota?: Partial<Quota>; meta: Meta }
  | { type: 'tenant.delete'; meta: Meta }
  | { type: 'vpc.opened'; vpc: string; meta: Meta }
  | { type: 'quota.claim'; kind: QuotaKind; claimant: string; meta: Meta }
  | { type: 'quota.release'; kind: QuotaKind; claimant: string; meta: Meta };
