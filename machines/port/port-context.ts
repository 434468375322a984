/** Context of a port, its changes and the guards of its chart: pure functions. */
import { assertEvent } from 'xstate';
import { type DeclaredContext } from '../values/declared.ts';
import { expandedPairs } from '../values/address-pairs.ts';
import { specChanges } from '../values/spec-changes.ts';
import { failureOf, isHostGone, sameJson } from '../values/failures.ts';
import { idOf, partsOfId, counterpartOf } from '../values/identifiers.ts';
import type { SpecChange } from '../values/kind.ts';
import type { Seen } from '../values/telling.ts';
import type { AddressPair, HostFacts, NetworkSpec, TapProof, TapSpec } from '../values/wiring.ts';
import { addressesResting } from '../network/network-protocol.ts';
import { defaultGroupName } from '../security-group/security-group-protocol.ts';
import type { Abandoned } from './port-loss.ts';
import { portKind, type PortEvent, type PortSpec } from './port-protocol.ts';
import type { Standby } from './port-standby.ts';

/** Address and MAC that the network has allocated. */
interface Grant {
  readonly address: string;
  readonly mac: string;
  readonly prefixLength: number;
  readonly gateway: string;
  readonly vpc: string;
  readonly network: NetworkSpec;
}

/** A changed spec that waits for the network: other address pairs, or another DNS name. */
export interface Proposal {
  readonly spec: PortSpec;
  readonly labels: Readonly<Record<string, string>>;
  readonly protect: boolean;
  /** The deferred command; null for a claim of the VM. */
  readonly commandId: string | null;
}

export interface PortContext extends DeclaredContext<PortSpec> {
  /** Actor id of the VM that claimed it; null for a port that a client declared. */
  readonly holder: string | null;
  /** Null until the network has allocated an address. */
  readonly grant: Grant | null;
  /** The host where it is bound, or being bound or unbound; null when it is on none. */
  readonly host: HostFacts | null;
  readonly runEpoch: number;
  /** The host to bind it on once it is unbound from the present one. */
  readonly next: { readonly host: HostFacts; readonly runEpoch: number } | null;
  /** True when it is deleted once it is unbound. */
  readonly leaving: boolean;
  readonly bindingUid: string | null;
  /** Read back from the kernel of its host; null while the wiring is not proven. */
  readonly proof: TapProof | null;
  /** The second binding, on another host; null when there is none. */
  readonly standby: Standby | null;
  /** Hosts on which its VM has given up its run, and which may still have a binding of it. */
  readonly abandoned: readonly Abandoned[];
  /** A change that the network is asked for; null when there is none. */
  readonly proposed: Proposal | null;
  /** Addresses of pairs whose place the VPC was told. */
  readonly located: readonly string[];
  /** Ids of the security groups that count the port among their holders: those it has, and had until the last proof. */
  readonly joined: readonly string[];
  /** Actor ids of objects that are told its address and its end. */
  readonly followers: readonly string[];
}

export type At = Seen<PortContext, PortEvent>;

export const networkId = ({ id, spec }: PortContext): string =>
  idOf('network', partsOfId(id).tenant, spec?.network ?? '');
export const bindingId = ({ id, host }: PortContext): string => counterpartOf(id, 'binding', host?.name ?? '');

/** Ids of the security groups of a spec, sorted. */
export const groupIds = ({ id }: Pick<PortContext, 'id'>, spec: PortSpec | null): readonly string[] => {
  const { tenant } = partsOfId(id);
  if (spec?.portSecurity === false) return [];
  return (spec?.securityGroups ?? [defaultGroupName]).map((name) => idOf('security-group', tenant, name)).sort();
};

/** @throws TypeError before it has an address */
export function grantOf({ id, grant }: PortContext): Grant {
  if (grant === null) throw new TypeError(`${id} has no address`);
  return grant;
}

/** @throws TypeError while it is on no host */
export function hostOf({ id, host }: PortContext): HostFacts {
  if (host === null) throw new TypeError(`${id} is on no host`);
  return host;
}

/** The desired state for its binding. @throws TypeError before it has an address and a host */
export function tapSpec(context: PortContext): TapSpec {
  const { vpc, network, mac, address, prefixLength, gateway } = grantOf(context);
  return {
    // The binding fills in its own uid, which this actor does not know.
    owner: { actor: bindingId(context), uid: '', runEpoch: context.runEpoch },
    vpc,
    network: network.network,
    port: context.id,
    mac,
    address,
    prefixLength,
    gateway,
    mtu: network.mtu,
    hostname: context.spec?.dnsName ?? partsOfId(context.id).name.split('.')[0] ?? '',
    groups: groupIds(context, context.spec),
    pairs: pairsOf(context),
    portSecurity: isSecured(context),
  };
}

const isSecured = ({ spec }: PortContext): boolean => spec?.portSecurity ?? true;

/** Its allowed address pairs, an address each. */
export const pairsOf = (context: PortContext): readonly AddressPair[] =>
  expandedPairs(context.spec?.addressPairs ?? [], grantOf(context)).map(({ address, mac }) => ({ address, mac }));

// Changes

type Changed = Partial<PortContext>;

export function takeHolder({ event }: At): Changed {
  assertEvent(event, 'port.claim');
  return { holder: event.holder };
}

/** The claim of its VM with other security groups or labels. */
export function takeClaim({ context, event }: At): Changed {
  assertEvent(event, 'port.claim');
  const generation = claimChanges({ context, event }).length === 0 ? context.generation : context.generation + 1;
  return { spec: event.spec, labels: event.labels ?? context.labels, generation };
}

export function takeFollower({ context, event }: At): Changed {
  assertEvent(event, 'port.follow');
  return { followers: [...new Set([...context.followers, event.meta.from ?? ''])] };
}

export function forgetFollower({ context, event }: At): Changed {
  assertEvent(event, 'port.unfollow');
  return { followers: context.followers.filter((one) => one !== event.meta.from) };
}

export function takeHost({ event }: At): Changed {
  assertEvent(event, 'host.resolved');
  return { host: event.host, runEpoch: 1, tries: 0 };
}

export function takeGrant({ event }: At): Changed {
  assertEvent(event, 'address.allocated');
  const { address, mac, prefixLength, gateway, vpc, network } = event;
  return { grant: { address, mac, prefixLength, gateway, vpc, network }, tries: 0, failure: null };
}

/** A new binding, or a new run on the same host. */
export function takeBind({ event }: At): Changed {
  assertEvent(event, 'port.bind');
  return { host: event.host, runEpoch: event.runEpoch, proof: null, bindingUid: null, tries: 0, failure: null };
}

export function noteNext({ event }: At): Changed {
  assertEvent(event, 'port.bind');
  return { next: { host: event.host, runEpoch: event.runEpoch }, leaving: false };
}

export const takeNext = ({ context }: At): Changed =>
  context.next === null ? {} : { ...context.next, next: null, proof: null, bindingUid: null, tries: 0, failure: null };

export function noteTapped({ event }: At): Changed {
  assertEvent(event, 'binding.tapped');
  return { bindingUid: event.uid, tries: 0, failure: null };
}

export function noteProof({ event }: At): Changed {
  assertEvent(event, 'binding.ready');
  return { proof: event.proof, tries: 0, failure: null };
}

export const noteBroken = ({ event }: At): Changed =>
  'error' in event ? { failure: failureOf(event.error), proof: null } : {};

/** The network has not answered a request for an address. */
export const noteSilent = ({ context }: At): Changed => ({
  failure: { code: 'network_silent', message: `${networkId(context)} does not answer yet`, retryable: true },
});

/** The host has neither made the network or the tap nor refused it; a reason that was told stays. */
export const noteUnready = ({ context }: At): Changed => {
  if (context.failure !== null) return {};
  const message = `host ${hostOf(context).name} has neither made it nor said what is wrong; it is asked again`;
  return { failure: { code: 'host_pending', message, retryable: true } };
};

export const noteTry = ({ context }: At): Changed => ({ tries: context.tries + 1 });

export const noteOff = (): Changed => ({
  located: [],
  host: null,
  proof: null,
  bindingUid: null,
  tries: 0,
  failure: null,
});

// Guards

/** The port has another address, or is of another network; without an address it may be about to get this one. */
export const hasAnother = ({ context, event }: At): boolean =>
  event.type === 'address.confirm' &&
  context.grant !== null &&
  (context.grant.address !== event.address || networkId(context) !== event.network);

/** Unanswered requests or retryable refusals before a creation is rejected. */
const claimTries = 12;

export const isLost = ({ context }: At): boolean => context.tries >= claimTries;
/** An address rests longer than a command can wait: the refusal says when to come back. */
const isAnsweredAtOnce = (seen: At): boolean =>
  seen.event.type === 'address.refused' && (seen.event.error.code === addressesResting || isLost(seen));
export const mayPass = (seen: At): boolean =>
  'error' in seen.event && seen.event.error.retryable && !isAnsweredAtOnce(seen);

export const wantsHost = ({ context }: At): boolean => (context.spec?.host ?? null) !== null;
export const hasHost = ({ context }: At): boolean => context.host !== null;
export const isLeaving = ({ context }: At): boolean => context.leaving;
export const isHeld = ({ context }: At): boolean => context.holder !== null;

/** A port without a VM is wired as soon as it has a tap. */
export const isDirect = (context: PortContext): boolean => context.holder === null;

/** Fields in which a claim differs from the port. */
export function claimChanges({ context, event }: At): readonly SpecChange[] {
  assertEvent(event, 'port.claim');
  return context.spec === null ? [] : specChanges(portKind.declared, context.spec, event.spec);
}

/** A repeated claim of the VM that holds the port. */
export const isSameClaim = ({ context, event }: At): boolean =>
  event.type === 'port.claim' &&
  event.holder === context.holder &&
  sameJson(event.labels ?? context.labels, context.labels) &&
  claimChanges({ context, event }).length === 0;

/** A claim of the VM that holds the port, which changes nothing but labels. */
export const isRelabellingClaim = (seen: At): boolean =>
  seen.event.type === 'port.claim' && seen.event.holder === seen.context.holder && claimChanges(seen).length === 0;

/** A claim of the VM that holds the port, which changes only what can change in place. */
export const isRegroupingClaim = (seen: At): boolean =>
  seen.event.type === 'port.claim' &&
  seen.event.holder === seen.context.holder &&
  claimChanges(seen).every(({ change }) => change === 'in place');

/** The groups of the newest spec are wired, as read back from the kernel; a port on no host has nothing to wire. */
export const isRegrouped = (context: PortContext): boolean => {
  const { proof, spec } = context;
  return (
    proof !== null &&
    sameJson([...proof.groups].sort(), groupIds(context, spec)) &&
    sameJson(proof.pairs ?? [], pairsOf(context)) &&
    (proof.portSecurity ?? true) === isSecured(context)
  );
};

/** A proof with other groups or address pairs than the last one, or the first of a newer spec. */
export const bringsGroups = (seen: At): boolean => {
  const { context, event } = seen;
  if (event.type !== 'binding.ready' || !isCurrent(seen)) return false;
  const [before, after] = [context.proof, event.proof];
  const isSame = sameJson([after.groups, after.pairs ?? []], [before?.groups ?? null, before?.pairs ?? []]);
  return !isSame || context.observedGeneration < context.generation;
};

// Changes that the network is asked for

const besides = ({ addressPairs = [], dnsName = null }: Partial<Pick<PortSpec, 'addressPairs' | 'dnsName'>>) => ({
  pairs: addressPairs,
  dnsName,
});

const asksNetwork = ({ spec }: PortContext, after: PortSpec): boolean => !sameJson(besides(spec ?? {}), besides(after));

/** A declaration or claim that changes address pairs or DNS name. */
export const needsNetwork = ({ context, event }: At): boolean => 'spec' in event && asksNetwork(context, event.spec);

/** The answer to a former port of the same name. */
export const isOfFormer = ({ context, event }: At): boolean =>
  'portUid' in event && event.portUid !== undefined && event.portUid !== context.uid;

/** The address was allocated with what the newest spec has beside it. */
export const isGranted = (seen: At): boolean => !isOfFormer(seen) && fitsSpec(seen);
const fitsSpec = ({ context, event }: At): boolean =>
  event.type === 'address.allocated' &&
  (event.pairs === undefined ||
    sameJson(besides(context.spec ?? {}), { pairs: event.pairs, dnsName: event.dnsName ?? null }));

export const isProposing = ({ context }: At): boolean => context.proposed !== null;

/** A claim of the VM that holds the port, for which the network is asked. */
export const isExtendingClaim = (seen: At): boolean => isRegroupingClaim(seen) && needsNetwork(seen);

/** The VM takes back a change that the network was asked for. */
export const isRevertingClaim = (seen: At): boolean => isProposing(seen) && isSameClaim(seen);

/** The network's answer to the newest proposal. */
export const isAccepted = ({ context: { proposed }, event }: At): boolean =>
  event.type === 'address.revised' &&
  proposed !== null &&
  sameJson(besides(proposed.spec), { pairs: event.pairs, dnsName: event.dnsName });

export function propose({ context, event }: At): Changed {
  assertEvent(event, ['port.update', 'port.apply', 'port.claim']);
  const { spec, labels = context.labels, meta } = event;
  const protect = event.type === 'port.claim' ? context.protect : (event.protect ?? context.protect);
  return { proposed: { spec, labels, protect, commandId: meta.commandId ?? null } };
}

/** The asking group counts the port among its holders with reason. */
export const hasJoined = ({ context, event }: At): boolean =>
  event.type === 'reference.confirm' && context.joined.includes(event.of);

export const groupCondition = 'Groups';

/** Condition of a port that names a group that was deleted meanwhile. */
export function groupMissing({ event }: At) {
  assertEvent(event, 'reference.missing');
  const what = `${event.missing} does not exist, so it admits nothing`;
  const message = `${what}; declare it and bind the port again, or name another`;
  return { type: groupCondition, status: 'False', reason: 'GroupMissing', message } as const;
}

/** Names of the hosts where the port has a binding, or is about to ask for one; also of a snapshot that was read. */
export const hostNames = ({ host, standby }: Partial<Pick<PortContext, 'host' | 'standby'>>): readonly string[] =>
  [host?.name, standby?.host].filter((name) => name !== undefined);

/** The port has its binding on the asking host. */
export const hasBinding = ({ context, event }: At): boolean =>
  event.type === 'binding.confirm' && hostNames(context).includes(event.host);

/** A request of a VM that does not hold the port. */
export const isForeign = ({ context, event }: At): boolean => 'holder' in event && event.holder !== context.holder;

/** A bind for the present host. */
export const isHere = ({ context, event }: At): boolean =>
  event.type === 'port.bind' && event.host.name === context.host?.name;

/** A bind of an earlier run. */
export const isStale = ({ context, event }: At): boolean =>
  event.type === 'port.bind' && event.runEpoch < context.runEpoch;
export const isAsked = (seen: At): boolean =>
  isHere(seen) && seen.event.type === 'port.bind' && seen.event.runEpoch === seen.context.runEpoch;

/** The declared host of a port without a VM is fenced: the port waits for the host to return. */
export const isGoneDirect = (seen: At): boolean =>
  isCurrent(seen) && !isHeld(seen) && wantsHost(seen) && isHostGone(seen.event);

/** An answer of the present binding to the newest request. */
export const isCurrent = ({ context, event }: At): boolean => {
  // Said before it was to be the active one.
  if (event.type === 'binding.ready' && event.proof.standby === true) return false;
  if (!('host' in event) || typeof event.host !== 'string' || event.host !== context.host?.name) return false;
  return !('runEpoch' in event) || event.runEpoch === context.runEpoch;
};
export const isCurrentFault = (seen: At): boolean => isCurrent(seen) && mayPass(seen);
export const isCurrentHeld = (seen: At): boolean => isCurrent(seen) && isHeld(seen);
export const isOffLeaving = (seen: At): boolean => isCurrent(seen) && seen.context.leaving;
export const isOffFirst = (seen: At): boolean => isCurrent(seen) && seen.context.standby !== null;
export const isOffNext = (seen: At): boolean => isCurrent(seen) && seen.context.next !== null;
