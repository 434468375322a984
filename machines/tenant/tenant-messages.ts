/** Context and messages of a tenant: pure functions, computed before the context changes. */
import { assertEvent } from 'xstate';
import type { DeclaredContext } from '../values/declared.ts';
import type { Failure } from '../values/failures.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import { quotaGranted, quotaRefused } from '../values/quota.ts';
import { putRow, reject, removeRow, row, rows, send, type Asked, type Seen } from '../values/telling.ts';
import { defaultGroupName, groupClose, groupOpen } from '../security-group/security-group-protocol.ts';
import { vpcClose, vpcOpen } from '../vpc/vpc-protocol.ts';
import { defaultQuota, type Quota, type TenantEvent, type TenantSpec } from './tenant-protocol.ts';

export interface TenantContext extends DeclaredContext<TenantSpec> {
  /** Claims granted per kind, and `volumeMib`; the claims themselves are rows `claim/<actor id>`. */
  readonly used: Readonly<Record<string, number>>;
}

/** Row `claim/<actor id>`. */
export interface Claim {
  readonly kind: string;
  /** Of a volume: its size. */
  readonly mib?: number;
}

export type At = Seen<TenantContext, TenantEvent>;

export const mainVpcOf = (context: TenantContext): string => idOf('vpc', partsOfId(context.id).name, 'main');

const defaultGroupOf = (context: TenantContext): string =>
  idOf('security-group', partsOfId(context.id).name, defaultGroupName);

/** A kind of a later release has its default until the quota names it. */
const quotaOf = ({ spec }: TenantContext): Quota => ({ ...defaultQuota, ...spec?.quota });
const usedOf = ({ used }: TenantContext, kind: string): number => used[kind] ?? 0;

export const openVpc = ({ context }: At): readonly Asked[] => [send(mainVpcOf(context), vpcOpen({}))];
export const openGroup = ({ context }: At): readonly Asked[] => [send(defaultGroupOf(context), groupOpen({}))];
export const closeGroup = ({ context }: At): readonly Asked[] => [send(defaultGroupOf(context), groupClose({}))];
export const closeVpc = ({ context }: At): readonly Asked[] => [send(mainVpcOf(context), vpcClose({}))];

const claimed = (event: TenantEvent & { claimant: string }): Claim | undefined => row(event, 'claim', event.claimant);

/** The quota that is used up; undefined when the claim fits, or was granted before with as many MiB. */
function exceeded({ context, event }: At): string | undefined {
  assertEvent(event, 'quota.claim');
  const { kind, mib = 0 } = event;
  const held = claimed(event);
  const more = mib - (held?.mib ?? 0);
  const quota = quotaOf(context);
  if (held === undefined && usedOf(context, kind) + 1 > (quota[kind] ?? 0))
    return `${usedOf(context, kind)} of ${quota[kind] ?? 0} ${kind}s`;
  if (usedOf(context, 'volumeMib') + more > (quota['volumeMib'] ?? 0) && more > 0)
    return `${usedOf(context, 'volumeMib')} of ${quota['volumeMib'] ?? 0} MiB in volumes, and ${more} MiB are claimed`;
  return undefined;
}

export const fits = (at: At): boolean => exceeded(at) === undefined;

/** A network gets its maximum number of ports and counts them itself, because only it knows when one ends. */
export function grant({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'quota.claim');
  const { kind, claimant, mib } = event;
  const claim: Claim = mib === undefined ? { kind } : { kind, mib };
  const ports = kind === 'network' ? { ports: quotaOf(context)['portsPerNetwork'] ?? 0 } : {};
  const granted = send(claimant, quotaGranted({ kind, ...ports }));
  const held = claimed(event);
  return held === undefined || held.mib !== mib ? [putRow('claim', claimant, claim), granted] : [granted];
}

export function refuse(at: At): readonly Asked[] {
  const { context, event } = at;
  assertEvent(event, 'quota.claim');
  const message = `${context.id} has ${exceeded(at)}; delete one, or request a larger quota`;
  return refusal(at, { code: 'quota_exceeded', message, retryable: false });
}

export function refuseLate(at: At): readonly Asked[] {
  return refusal(at, { code: 'tenant_deleting', message: `${at.context.id} is being deleted`, retryable: false });
}

export function refuseAbsent(at: At): readonly Asked[] {
  const message = `there is no ${at.context.id}; create it first`;
  return refusal(at, { code: 'tenant_not_found', message, retryable: false });
}

function refusal({ event }: At, error: Failure): readonly Asked[] {
  assertEvent(event, 'quota.claim');
  return [send(event.claimant, quotaRefused({ kind: event.kind, error }))];
}

export function dropClaim({ event }: At): readonly Asked[] {
  assertEvent(event, 'quota.release');
  return claimed(event) === undefined ? [] : [removeRow('claim', event.claimant)];
}

export function counted({ context, event }: At): Partial<TenantContext> {
  assertEvent(event, ['quota.claim', 'quota.release']);
  const held = claimed(event);
  if (event.type === 'quota.claim' && held !== undefined) {
    // A volume with another size.
    const { mib = 0 } = event;
    const more = mib - (held.mib ?? 0);
    return more === 0 ? {} : { used: { ...context.used, volumeMib: usedOf(context, 'volumeMib') + more } };
  }
  if (event.type === 'quota.release' && held === undefined) return {};
  const sign = held === undefined ? 1 : -1;
  const { kind, mib = 0 } = held ?? (event.type === 'quota.claim' ? event : { kind: event.kind });
  const sizes = mib === 0 ? {} : { volumeMib: usedOf(context, 'volumeMib') + sign * mib };
  return { used: { ...context.used, [kind]: usedOf(context, kind) + sign, ...sizes } };
}

/** Claimants other than the VPC that came with the tenant. */
const holdersOf = ({ context, event }: At): readonly string[] =>
  Object.keys(rows<Claim>(event, 'claim')).filter((claimant) => claimant !== mainVpcOf(context));

export const isHeld = (seen: At): boolean => holdersOf(seen).length > 0;

export function inUse(seen: At): readonly Asked[] {
  const holders = holdersOf(seen);
  const few = holders.slice(0, 5).join(', ') + (holders.length > 5 ? ` and ${holders.length - 5} more` : '');
  return [reject({ code: 'in_use', message: `${seen.context.id} still has ${few}; delete those first` })];
}
