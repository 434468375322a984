/** Events of the tenant chart; see docs/protocol.md. */
import type { Meta } from '../values/requests.ts';

export type QuotaKind = 'vpc' | 'network' | 'vm' | 'volume' | 'image';

/** How many of each kind the tenant may have at once. */
export type Quota = Readonly<Record<QuotaKind, number>>;

export const defaultQuota: Quota = { vpc: 5, network: 20, vm: 50, volume: 100, image: 50 };

export type TenantEvent =
  | { type: 'tenant.create'; quota?: Partial<Quota>; meta: Meta }
  | { type: 'tenant.delete'; meta: Meta }
  | { type: 'vpc.opened'; vpc: string; meta: Meta }
  | { type: 'quota.claim'; kind: QuotaKind; claimant: string; meta: Meta }
  | { type: 'quota.release'; kind: QuotaKind; claimant: string; meta: Meta };
