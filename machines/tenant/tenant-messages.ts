/** What a tenant remembers and what it tells whom: pure functions, computed before the context changes. */
import { assertEvent } from 'xstate';
import { canonicalJson, differences, type Failure } from '../values/failures.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import { defer, putRow, reject, removeRow, reply, row, rows, send, type Asked, type Seen } from '../values/telling.ts';
import { defaultQuota, type Counts, type Quota, type QuotaKind, type TenantEvent } from './tenant-events.ts';

export interface TenantContext {
  readonly id: string;
  readonly uid: string;
  readonly quota: Quota;
  /** Claims granted per kind; the claims themselves are rows `claim/<actor id>`. */
  readonly used: Counts;
  /** Commands that wait for the main VPC, or for the end. */
  readonly waiters: readonly string[];
}

/** Row `claim/<actor id>`. */
export interface Claim {
  readonly kind: QuotaKind;
}

export type At = Seen<TenantContext, TenantEvent>;

export const none: Counts = { vpc: 0, network: 0, vm: 0, volume: 0, image: 0 };

export const mainVpcOf = (context: TenantContext): string => idOf('vpc', partsOfId(context.id).name, 'main');

export function quotaOf(event: TenantEvent): Quota {
  assertEvent(event, 'tenant.create');
  return { ...defaultQuota, ...event.quota };
}

export const isSame = ({ context, event }: At): boolean =>
  canonicalJson(quotaOf(event)) === canonicalJson(context.quota);

export function differs({ context, event }: At): readonly Asked[] {
  const issues = differences(context.quota, quotaOf(event)).map((issue) => ({
    ...issue,
    path: `spec.quota.${issue.path}`,
  }));
  const message = `${context.id} exists with another quota; delete it first, or apply the quota it has`;
  return [reject({ code: 'exists_differently', message, issues })];
}

export const busy = ({ context }: At): readonly Asked[] => [
  reject({ code: 'name_busy', message: `${context.id} is being deleted; try again once it is gone` }),
];

export const deferAnswer = ({ event }: At): readonly Asked[] => (event.meta.commandId === undefined ? [] : [defer]);

export const openVpc = ({ context }: At): readonly Asked[] => [send(mainVpcOf(context), { type: 'vpc.create' })];
export const closeVpc = ({ context }: At): readonly Asked[] => [send(mainVpcOf(context), { type: 'vpc.delete' })];

/** Answered like the first time. An action stands here because a transition without one counts as not handled. */
export const answerSame = ({ context, event }: At): readonly Asked[] =>
  event.meta.commandId === undefined ? [] : [reply(event.meta.commandId, { uid: context.uid })];

export const answerAll = ({ context }: At): readonly Asked[] =>
  context.waiters.map((commandId) => reply(commandId, { uid: context.uid }));

const claimed = (event: TenantEvent & { claimant: string }): Claim | undefined => row(event, 'claim', event.claimant);

export function fits({ context, event }: At): boolean {
  assertEvent(event, 'quota.claim');
  return claimed(event) !== undefined || context.used[event.kind] < context.quota[event.kind];
}

/** A network is told how many ports it may have: it counts them itself, since only it knows when one has gone. */
export function grant({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'quota.claim');
  const claim: Claim = { kind: event.kind };
  const ports = event.kind === 'network' ? { ports: context.quota.portsPerNetwork } : {};
  const granted = send(event.claimant, { type: 'quota.granted', kind: event.kind, ...ports });
  return claimed(event) === undefined ? [putRow('claim', event.claimant, claim), granted] : [granted];
}

export function refuse(at: At): readonly Asked[] {
  const { context, event } = at;
  assertEvent(event, 'quota.claim');
  const { used, quota } = context;
  const have = `${used[event.kind]} of ${quota[event.kind]} ${event.kind}s`;
  const message = `${context.id} has ${have}; delete one, or ask for a larger quota`;
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
  return [send(event.claimant, { type: 'quota.refused', kind: event.kind, error })];
}

export function dropClaim({ event }: At): readonly Asked[] {
  assertEvent(event, 'quota.release');
  return claimed(event) === undefined ? [] : [removeRow('claim', event.claimant)];
}

export function counted({ context, event }: At): Partial<TenantContext> {
  assertEvent(event, ['quota.claim', 'quota.release']);
  const held = claimed(event);
  if ((event.type === 'quota.claim') === (held !== undefined)) return {};
  const kind = held?.kind ?? event.kind;
  return { used: { ...context.used, [kind]: context.used[kind] + (held === undefined ? 1 : -1) } };
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
