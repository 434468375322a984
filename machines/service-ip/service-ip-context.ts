/**
 * Context of a service IP, and what it says: its backends, which of them serve, and whether it is as declared. Pure
 * functions. Hosts are not named in texts: tenants read them.
 */
import { addressOf } from '../values/addresses.ts';
import type { DeclaredContext } from '../values/declared.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import type { Held } from '../values/references.ts';
import { maxBackends, type CheckSpec } from '../values/service-elements.ts';
import type { Seen } from '../values/telling.ts';
import type { Member as MemberSeen, NearbyPort } from '../vpc/vpc-protocol.ts';
import type { ServiceIpEvent, ServiceIpSpec } from './service-ip-protocol.ts';

export interface Grant {
  readonly address: string;
  /** Actor id. */
  readonly vpc: string;
  readonly prefixLength: number;
  readonly gateway: string;
}

/** A wired port that is a backend. */
export interface Member {
  readonly address: string;
  /** Name of its host. */
  readonly host: string;
  /** The first request for checks that knows it: a verdict of an earlier one is about an earlier run. */
  readonly round: number;
}

export interface Verdict {
  readonly healthy: boolean;
  readonly detail: string;
}

/** What a host was asked to check. */
export interface HostCheck {
  /** Address -> round of the member; null: its end is awaited. */
  readonly asked: Readonly<Record<string, number>> | null;
  /** It has ended by itself, with its host. */
  readonly ended: boolean;
  readonly standing: 'present' | 'silent' | 'fenced';
  /** Wall time in ms since which the host is silent. */
  readonly silentSince: number | null;
  /** It is silent for so long that its backends serve no longer, if others do. */
  readonly lost: boolean;
  /** Why the host cannot check now. */
  readonly trouble: string | null;
}

export interface ServiceIpContext extends DeclaredContext<ServiceIpSpec>, Held {
  readonly grant: Grant | null;
  /** Port id -> member; at most 64. */
  readonly members: Readonly<Record<string, Member>>;
  /** Matching ports beyond those. */
  readonly surplus: number;
  /** Ports of the VPC that do not match, for the message of a selector that matches nothing. */
  readonly nearby: readonly NearbyPort[];
  /** Address -> what its host found out. */
  readonly verdicts: Readonly<Record<string, Verdict>>;
  /** Host -> what it was asked. */
  readonly checks: Readonly<Record<string, HostCheck>>;
  /** Grows with each change of the members. */
  readonly round: number;
  /** Number of the newest publication to the VPC, and of the newest that all hosts have proven. */
  readonly published: number;
  readonly proven: number;
  /** Addresses of the newest publication, in ascending order. */
  readonly serving: readonly string[];
  /** The VPC still has the element. */
  readonly placed: boolean;
  /** Actor ids of external addresses that lead to it. */
  readonly followers: readonly string[];
}

export type At = Seen<ServiceIpContext, ServiceIpEvent>;
export type Change = Partial<ServiceIpContext>;

export const specOf = ({ id, spec }: ServiceIpContext): ServiceIpSpec => {
  if (spec === null) throw new TypeError(`${id} was not declared`);
  return spec;
};
/** @throws TypeError before the address is allocated */
export const grantOf = ({ id, grant }: ServiceIpContext): Grant => {
  if (grant === null) throw new TypeError(`${id} has no address`);
  return grant;
};
export const networkId = (context: ServiceIpContext): string =>
  idOf('network', partsOfId(context.id).tenant, specOf(context).network);

export const inOrder = (addresses: readonly string[]): readonly string[] =>
  [...addresses].sort((one, other) => addressOf(one) - addressOf(other));

// Members

export type Members = ServiceIpContext['members'];

/**
 * Keeps the members that are still there, then takes others, in the order of their addresses, as long as there is room.
 *
 * @param found all ports that match
 */
export function withFound(context: ServiceIpContext, found: readonly MemberSeen[]): Change {
  const isKnown = ({ port, address, host }: MemberSeen): boolean => {
    const known = context.members[port];
    return known?.address === address && known.host === host;
  };
  const kept = found.filter(isKnown);
  const fresh = found.filter((one) => !isKnown(one));
  fresh.sort((one, other) => addressOf(one.address) - addressOf(other.address));
  const taken = fresh.slice(0, Math.max(0, maxBackends - kept.length));
  const round = context.round + (taken.length > 0 ? 1 : 0);
  const members: Members = Object.fromEntries([
    ...kept.map(({ port }) => [port, context.members[port] as Member] as const),
    ...taken.map(({ port, address, host }) => [port, { address, host, round }] as const),
  ]);
  return { members, round, surplus: found.length - kept.length - taken.length, verdicts: judgedOf(context, members) };
}

/** The verdicts of members that were members before. */
function judgedOf({ members: before, verdicts }: ServiceIpContext, members: Members): ServiceIpContext['verdicts'] {
  const same = Object.entries(members).filter(([port, { round }]) => before[port]?.round === round);
  return Object.fromEntries(
    same.flatMap(([, { address }]) => {
      const verdict = verdicts[address];
      return verdict === undefined ? [] : [[address, verdict] as const];
    }),
  );
}

/**
 * Ports come and go. Those beyond the bound are only counted. One that leaves a host for another in one change runs on
 * meanwhile, as in a live migration: what is known of it holds until its new host says otherwise.
 */
export function withChanged(
  context: ServiceIpContext,
  added: readonly MemberSeen[],
  removed: readonly MemberSeen[],
): Change {
  const isGone = (port: string): boolean => removed.some((one) => one.port === port);
  const stay = Object.entries(context.members).filter(([port]) => !isGone(port));
  const beyond = removed.filter(({ port }) => context.members[port] === undefined).length;
  const still = stay.map(([port, { address, host }]) => ({ port, address, host }));
  const others = added.filter(({ port }) => !still.some((one) => one.port === port));
  const before = { ...context, members: Object.fromEntries(stay) };
  const { surplus = 0, members = {}, ...changes } = withFound(before, [...still, ...others]);
  const moved = added.filter(({ port, address }) => isGone(port) && context.members[port]?.address === address);
  const held = moved.flatMap(({ port, address }) => {
    const verdict = context.verdicts[address];
    return verdict === undefined || members[port] === undefined ? [] : [[address, verdict] as const];
  });
  const verdicts = { ...changes.verdicts, ...Object.fromEntries(held) };
  return { ...changes, members, verdicts, surplus: Math.max(0, context.surplus - beyond) + surplus };
}

export const hasRoom = ({ members, surplus }: ServiceIpContext): boolean =>
  surplus > 0 && Object.keys(members).length < maxBackends;

// Health

/** The health check with everything resolved; null without one. */
export function checkOf(context: ServiceIpContext): CheckSpec | null {
  const { healthCheck, ports } = specOf(context);
  if (healthCheck === null) return null;
  const first = ports.find(({ protocol }) => protocol === 'tcp')?.targetPort;
  const port = healthCheck.port ?? first;
  // The declaration was checked.
  if (port === undefined) throw new TypeError(`${context.id} has no port to check`);
  const check = { ...healthCheck, port, path: healthCheck.path ?? '/' };
  return { serviceIp: context.id, vpc: grantOf(context).vpc, check };
}

/** Addresses of the members that serve, in ascending order. */
export function servingOf(context: ServiceIpContext): readonly string[] {
  const all = Object.values(context.members);
  if (specOf(context).healthCheck === null) return inOrder(all.map(({ address }) => address));
  const healthy = all.filter(({ address }) => context.verdicts[address]?.healthy === true);
  const known = healthy.filter(({ host }) => context.checks[host]?.lost !== true);
  // Nobody knows of those of lost hosts; they are better than none.
  return inOrder((known.length > 0 ? known : healthy).map(({ address }) => address));
}

// What it says

export type Reason = 'Programming' | 'Active' | 'NoBackends' | 'Degraded';
export interface Realization {
  readonly reason: Reason;
  readonly message: string;
}

const few = 5;
const listed = (items: readonly string[]): string =>
  items.slice(0, few).join(', ') + (items.length > few ? ` and ${items.length - few} more` : '');

const labelText = (labels: Readonly<Record<string, string>>): string =>
  listed(Object.entries(labels).map(([label, value]) => `${label}=${value}`));

function nearbyText({ nearby }: ServiceIpContext): string {
  if (nearby.length === 0) return 'no port of the VPC is wired';
  const shown = nearby.map(({ port, labels }) => `${port} (${labelText(labels) || 'no labels'})`);
  return `wired are ${listed(shown)}`;
}

function noMembers(context: ServiceIpContext): string {
  const { backends } = specOf(context);
  if ('selector' in backends) {
    const looked = `no wired port of ${grantOf(context).vpc} has the labels ${labelText(backends.selector)}`;
    return `${looked}; ${nearbyText(context)}. Give a VM or a port these labels, or change the selector`;
  }
  if (backends.ports.length === 0) return 'it lists no ports; add some, or say a selector';
  return `none of its ports is wired on a host: ${listed(backends.ports)}; start their VMs or bind them`;
}

/** Members that do not serve, each with what is known. */
function idle(context: ServiceIpContext): readonly string[] {
  const { verdicts, serving, checks } = context;
  return inOrder(Object.values(context.members).map(({ address }) => address))
    .filter((address) => !serving.includes(address))
    .map((address) => {
      const verdict = verdicts[address];
      const member = Object.values(context.members).find((one) => one.address === address);
      if (verdict === undefined) return `${address} (not checked yet)`;
      if (verdict.healthy && checks[member?.host ?? '']?.lost === true) return `${address} (its host is silent)`;
      return `${address} (${verdict.detail})`;
    });
}

/** What keeps it from being all that was declared. */
function lacks(context: ServiceIpContext): readonly string[] {
  const { backends } = specOf(context);
  const { checks, surplus } = context;
  const out = idle(context);
  const all = Object.keys(context.members).length;
  const silent = Object.values(context.members).filter(({ host }) => checks[host]?.standing === 'silent');
  const troubles = Object.values(checks).flatMap(({ trouble }) => trouble ?? []);
  const unwired = 'ports' in backends ? backends.ports.filter((name) => !isMember(context, name)) : [];
  return [
    ...(out.length === 0 ? [] : [`${out.length} of ${all} backends do not serve: ${listed(out)}`]),
    ...(silent.length === 0
      ? []
      : [`the hosts of ${listed(silent.map(({ address }) => address))} are silent: what is known of them is old`]),
    ...(troubles.length === 0 ? [] : [`backends cannot be checked now: ${listed(troubles)}`]),
    ...(unwired.length === 0 ? [] : [`not wired on a host: ${listed(unwired)}`]),
    ...(surplus === 0 ? [] : [`${surplus} more ports match, and at most ${maxBackends} serve; narrow the selector`]),
  ];
}

const isMember = ({ id, members }: ServiceIpContext, name: string): boolean =>
  members[idOf('port', partsOfId(id).tenant, name)] !== undefined;

/** Whether hosts lead flows as declared, and if not, why. */
export function realizationOf(context: ServiceIpContext): Realization {
  const { failure, serving } = context;
  if (context.published !== context.proven) {
    if (failure === null) return { reason: 'Programming', message: 'not all hosts have proven the newest backends' };
    return { reason: 'Degraded', message: `a host cannot apply the newest backends: ${failure.message}` };
  }
  if (serving.length === 0) {
    const out = idle(context);
    const why = out.length === 0 ? noMembers(context) : `none of its backends passes the health check: ${listed(out)}`;
    return { reason: 'NoBackends', message: why };
  }
  const wrong = lacks(context);
  return wrong.length === 0 ? { reason: 'Active', message: '' } : { reason: 'Degraded', message: wrong.join('; ') };
}

/** Something is not decided yet, and looked at again shortly: a host is silent, or its checks have ended. */
export const isUndecided = ({ checks }: ServiceIpContext): boolean =>
  Object.values(checks).some(
    ({ asked, ended, standing, lost }) =>
      asked !== null && ((standing === 'silent' && !lost) || (ended && standing === 'present')),
  );
