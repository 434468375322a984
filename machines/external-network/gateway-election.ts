/**
 * Which of the gateway hosts of an external network leads, as pure functions of what is known of them. The external
 * network decides alone; gateways (machines/gateway) only report and obey.
 *
 * - The one that leads goes on while it can be used; a host that comes back does not take the lead again, because each
 *   change interrupts flows. Only a changed declaration moves it.
 * - A host can be used when its worker is present, its uplink is up, and the other one, if present, hears it. Two hosts
 *   that do not hear each other, but are both present, prove nothing against either: the one that leads goes on.
 * - The next one leads only when the one before is known to have stopped: it said so, or its worker has been silent for
 *   longer than a permit lasts, or it is fenced; or when its permit must have run out (`handover` of the chart).
 *
 * docs/decisions/0017-leading-gateway.md compares this with VRRP and with a vote of the hosts.
 */
import type { HostStanding } from '../host/host-protocol.ts';
import type { Failure } from '../values/failures.ts';
import { gatewayPermitMs } from '../values/router-elements.ts';
import type { HostFacts } from '../values/wiring.ts';

/** What is known of a gateway host. */
export interface GatewayView {
  /** Null until the host has told them. */
  readonly facts: HostFacts | null;
  readonly standing: HostStanding | 'unknown';
  /** Since when its worker is silent, wall time in ms; null while it is not. */
  readonly silentAt: number | null;
  /** `unknown` until its gateway has reported. */
  readonly uplink: 'unknown' | 'up' | 'down';
  /** When it said that it does not hear the other gateway host, wall time in ms; null while it hears it. */
  readonly unheardAt: number | null;
  /** When it said last that it does, wall time in ms; absent until it has. */
  readonly heardAt?: number;
  /** It may have the permit. */
  readonly leads: boolean;
  readonly error: Failure | null;
}

export interface Election {
  /** Of the declaration, in its order. */
  readonly order: readonly string[];
  /** By name; those that are not declared any more too, until they have no permit. */
  readonly views: Readonly<Record<string, GatewayView>>;
  /** The host that leads; null before the first decision. */
  readonly active: string | null;
  /** A changed declaration has put this host first. */
  readonly preferred: string | null;
}

export const unseen: GatewayView = {
  facts: null,
  standing: 'unknown',
  silentAt: null,
  uplink: 'unknown',
  unheardAt: null,
  leads: false,
  error: null,
};

export const viewOf = ({ views }: Pick<Election, 'views'>, host: string): GatewayView =>
  Object.hasOwn(views, host) ? (views[host] ?? unseen) : unseen;

const isPresent = (election: Election, host: string): boolean => {
  const { standing, uplink } = viewOf(election, host);
  return standing === 'present' && uplink === 'up';
};

/**
 * When the other gateway host, which is present, has said that it does not hear it; null when it has not. One that is
 * not declared any more is nobody's other one: what they say is of each other.
 */
function accusedAt(election: Election, host: string): number | null {
  if (!election.order.includes(host)) return null;
  const accuser = election.order.find((other) => other !== host && isPresent(election, other));
  return accuser === undefined ? null : viewOf(election, accuser).unheardAt;
}

const isAccused = (election: Election, host: string): boolean => accusedAt(election, host) !== null;

/**
 * It has been silent for so long, in the ears of the other one, that its permit must have run out. One that has said
 * since that it hears the other one may have renewed its permit: that the other one hears it again is on its way.
 */
export function isOverdue(election: Election, host: string | null, now: number, afterMs: number): boolean {
  const since = host === null ? null : accusedAt(election, host);
  if (host === null || since === null) return false;
  const { unheardAt, heardAt = -Infinity } = viewOf(election, host);
  const isHeardAgain = unheardAt === null && heardAt > since;
  return !isHeardAgain && now - since >= afterMs;
}

const isUsable = (election: Election, host: string): boolean => isPresent(election, host) && !isAccused(election, host);

/** The host that should lead; the present one when no other could, null when there never was one. */
export function chosen(election: Election): string | null {
  const { order, active, preferred } = election;
  const isDeclared = active !== null && order.includes(active);
  if (preferred !== null && isUsable(election, preferred)) return preferred;
  if (isDeclared && isUsable(election, active)) return active;
  const usable = order.find((host) => isUsable(election, host));
  if (usable !== undefined) return usable;
  if (isDeclared && isPresent(election, active)) return active;
  return order.find((host) => isPresent(election, host)) ?? active;
}

/** Nothing gets out through it. */
export const isLost = (election: Election): boolean => {
  const { active, order } = election;
  return active === null || !order.includes(active) || !isPresent(election, active);
};

/**
 * It is known to forward nothing: no host, one that has said so, one that is fenced, one whose worker has been silent
 * for as long as a permit lasts. A worker that was stopped in good order is silent from its last beat on.
 */
export function hasStopped(election: Election, host: string | null, now: number): boolean {
  if (host === null) return true;
  const { standing, leads, silentAt } = viewOf(election, host);
  return !leads || standing === 'fenced' || (silentAt !== null && now - silentAt >= gatewayPermitMs);
}

/** Whether every declared host has said what it can do, or cannot say anything. */
export const isSurveyed = (election: Election): boolean =>
  election.order.every((host) => {
    const { standing, uplink } = viewOf(election, host);
    return uplink !== 'unknown' || standing === 'silent' || standing === 'fenced';
  });

/** Why a host cannot be used; null when it can. */
export function troubleOf(election: Election, host: string): string | null {
  const { standing, uplink, error } = viewOf(election, host);
  if (standing === 'unknown') return `host ${host} has not answered`;
  if (standing !== 'present') return `host ${host} is ${standing}`;
  if (uplink === 'down') return `the uplink of host ${host} cannot be used: ${error?.message ?? 'it says no reason'}`;
  if (uplink === 'unknown') return `host ${host} has not looked at its uplink yet`;
  return isAccused(election, host) ? `host ${host} does not answer the other gateway host` : null;
}
