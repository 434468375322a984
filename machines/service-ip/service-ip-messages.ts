/** Messages of a service IP, and the changes of context that belong to them: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { addressAllocate, addressRelease } from '../network/network-protocol.ts';
import { hostFollow, hostUnfollow } from '../host/host-protocol.ts';
import { checkDrop, checkEnsure } from '../service-check/service-check-protocol.ts';
import { withCondition } from '../values/conditions.ts';
import { sameJson, type Failure } from '../values/failures.ts';
import { counterpartOf, hostId, idOf, partsOfId } from '../values/identifiers.ts';
import { forgetHolders, holdersAfter } from '../values/references.ts';
import { serviceIpsSection as section, type ServiceIpElement } from '../values/service-elements.ts';
import { reject, rejectFor, send, type Acted, type Asked } from '../values/telling.ts';
import { elementPut, elementRemove, membersUnwatch, membersWatch } from '../vpc/vpc-protocol.ts';
import * as contexts from './service-ip-context.ts';
import type { At, Change, HostCheck, ServiceIpContext } from './service-ip-context.ts';

type Done = Acted<ServiceIpContext>;

// Address

export const askAddress = ({ context }: At): readonly Asked[] => [
  send(
    contexts.networkId(context),
    addressAllocate({ port: context.id, address: contexts.specOf(context).address, mac: null }),
  ),
];

export const releaseAddress = ({ context }: At): readonly Asked[] => [
  send(contexts.networkId(context), addressRelease({ port: context.id, address: context.grant?.address ?? null })),
];

export function takeGrant({ event }: At): Change {
  assertEvent(event, 'address.allocated');
  const { address, vpc, prefixLength, gateway } = event;
  return { grant: { address, vpc, prefixLength, gateway }, tries: 0, failure: null };
}

/** The network asks about an address that the service IP does not have. */
export const hasAnother = ({ context, event }: At): boolean =>
  event.type === 'address.confirm' &&
  context.grant !== null &&
  (context.grant.address !== event.address || contexts.networkId(context) !== event.network);

export function disownAddress({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'address.confirm');
  return [send(event.network, addressRelease({ port: context.id, address: event.address }))];
}

/** The network has not answered for a minute. */
export const rejectLost = ({ context }: At): Done => {
  const message = `${contexts.networkId(context)} does not answer; it may have been deleted`;
  const error: Failure = { code: 'network_not_found', message, retryable: false };
  return {
    changes: { waiters: [], failure: error },
    asks: context.waiters.map(({ commandId }) => rejectFor(commandId, error, 'spec.network')),
  };
};

// Holders

export const countHolder = (seen: At): Done => holdersAfter(seen).acted;

/** The service IP ends although rules name it. */
export const endHolders = (seen: At): Done => ({ changes: { holders: 0 }, asks: forgetHolders(seen) });

export const rejectRetained = ({ context }: At): readonly Asked[] => {
  const { address } = contexts.grantOf(context);
  const message =
    `${context.id} is parked and keeps ${address}, because it was declared with retain; ` +
    'apply it with retain: false, then delete it';
  return [reject({ code: 'retained', message, issues: [{ path: 'spec.retain', message }] })];
};

// Members

export function watch({ context }: At): readonly Asked[] {
  const { backends } = contexts.specOf(context);
  const { tenant } = partsOfId(context.id);
  const select =
    'selector' in backends
      ? { labels: backends.selector }
      : { ports: backends.ports.map((name) => idOf('port', tenant, name)) };
  return [send(contexts.grantOf(context).vpc, membersWatch({ select }))];
}

export function takeMatched({ context, event }: At): Done {
  assertEvent(event, 'members.matched');
  const found = contexts.withFound(context, event.members);
  return following({ ...context, ...found, nearby: event.nearby ?? [] }, context);
}

/** The whole list is requested when there is room for ports that were not taken before, or when none is left. */
export function takeChanged(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'members.changed');
  const after = { ...context, ...contexts.withChanged(context, event.added, event.removed) };
  const isEmpty = Object.keys(after.members).length === 0;
  const { changes, asks } = following(after, context);
  return {
    changes,
    asks: [...asks, ...(isEmpty || contexts.hasRoom(after) ? watch({ ...seen, context: after }) : [])],
  };
}

// What follows for hosts and the VPC

const fresh: HostCheck = {
  asked: {},
  ended: false,
  standing: 'present',
  silentSince: null,
  lost: false,
  trouble: null,
};

const counterpart = ({ id }: ServiceIpContext, host: string): string => counterpartOf(id, 'service-check', host);

/** Host -> address -> round, of all members; empty without a health check. */
function wantedChecks(context: ServiceIpContext): Readonly<Record<string, Readonly<Record<string, number>>>> {
  const wanted: Record<string, Record<string, number>> = {};
  if (context.spec?.healthCheck === null) return wanted;
  for (const { host, address, round } of Object.values(context.members)) (wanted[host] ??= {})[address] = round;
  return wanted;
}

/** Requests checks from hosts whose backends have changed, and ends them where there are none any more. */
function checking(context: ServiceIpContext, isForced: boolean): Done {
  const spec = contexts.checkOf(context);
  const wanted = wantedChecks(context);
  const checks: Record<string, HostCheck> = { ...context.checks };
  const asks: Asked[] = [];
  for (const [host, targets] of Object.entries(wanted)) {
    const known = checks[host];
    if (spec === null || (!isForced && sameJson(known?.asked ?? null, targets))) continue;
    const backends = Object.keys(targets).map((address) => ({
      address,
      healthy: context.verdicts[address]?.healthy ?? null,
    }));
    asks.push(send(counterpart(context, host), checkEnsure({ spec, backends, round: context.round })));
    const isFollowed = known !== undefined && known.asked !== null;
    if (!isFollowed) asks.push(send(hostId(host), hostFollow({})));
    checks[host] = { ...(isFollowed ? known : fresh), asked: targets, ended: false };
  }
  for (const [host, known] of Object.entries(checks)) {
    if (known.asked === null || wanted[host] !== undefined) continue;
    asks.push(...dropping(context, host));
    if (known.ended) delete checks[host];
    else checks[host] = { ...known, asked: null, lost: false, trouble: null };
  }
  return { changes: { checks }, asks };
}

const dropping = (context: ServiceIpContext, host: string): readonly Asked[] => [
  send(counterpart(context, host), checkDrop({})),
  send(hostId(host), hostUnfollow({})),
];

const publication = (context: ServiceIpContext): Asked => {
  const { id, published, serving } = context;
  const { ports, affinity } = contexts.specOf(context);
  const { address, vpc } = contexts.grantOf(context);
  const element: ServiceIpElement = { address, ports, backends: serving, affinity };
  return send(vpc, elementPut({ section, key: id, generation: published, element }));
};

/**
 * What follows from other members, verdicts or specs: checks are requested, and the backends that serve are published
 * when they have changed. @param before what `after` differs from
 */
function following(after: ServiceIpContext, before: ServiceIpContext, isForced = false): Done {
  const { changes, asks } = checking(after, isForced);
  const checked = { ...after, ...changes };
  const serving = contexts.servingOf(checked);
  const isSame = checked.placed && !isForced && sameJson(serving, checked.serving);
  const told: ServiceIpContext = isSame
    ? checked
    : { ...checked, serving, published: checked.published + 1, placed: true, failure: null, tries: 0 };
  return { changes: differing(before, told), asks: [...asks, ...(isSame ? [] : [publication(told)])] };
}

const differing = (before: ServiceIpContext, after: ServiceIpContext): Change =>
  Object.fromEntries(
    Object.entries(after).filter(([field, value]) => before[field as keyof ServiceIpContext] !== value),
  );

/** Publishes again what a host may have missed. */
export const publishAgain = ({ context }: At): readonly Asked[] => [publication(context)];

// A changed spec

/**
 * Before a changed spec is taken. Members that served without a health check are taken as healthy until the first
 * results; other selections are requested.
 */
export function prepare({ context, event }: At): Change {
  assertEvent(event, ['service-ip.update', 'service-ip.apply']);
  if (context.spec?.healthCheck !== null || event.spec.healthCheck === null) return {};
  const assumed = { healthy: true, detail: 'not checked yet' };
  return { verdicts: Object.fromEntries(context.serving.map((address) => [address, assumed])) };
}

/** After it was taken: ports, affinity and checks take effect with the members that are known. */
export function follow(seen: At): Done {
  const { context } = seen;
  const { changes, asks } = following(context, context, true);
  return { changes, asks: [...watch(seen), ...asks] };
}

// Checks

function ofHost(context: ServiceIpContext, host: string): readonly contexts.Member[] {
  return Object.values(context.members).filter((one) => one.host === host);
}

/** Verdicts about members that the host was asked for; the others are about earlier runs. */
export function takeObserved({ context, event }: At): Done {
  assertEvent(event, 'check.observed');
  const { host, round } = event;
  const check = context.checks[host];
  if (check === undefined || check.asked === null) return { changes: {}, asks: [] };
  const known = ofHost(context, host).filter((one) => one.round <= round);
  const verdicts = { ...context.verdicts };
  for (const { address, healthy, detail } of event.verdicts)
    if (known.some((one) => one.address === address)) verdicts[address] = { healthy, detail };
  const checks = { ...context.checks, [host]: { ...check, trouble: null } };
  return following({ ...context, verdicts, checks }, context);
}

export function noteTrouble({ context, event }: At): Change {
  assertEvent(event, 'check.delayed');
  const check = context.checks[event.host];
  if (check === undefined || check.asked === null) return {};
  return { checks: { ...context.checks, [event.host]: { ...check, trouble: event.error.message } } };
}

const withoutVerdicts = (context: ServiceIpContext, host: string): ServiceIpContext['verdicts'] => {
  const gone = new Set(ofHost(context, host).map(({ address }) => address));
  return Object.fromEntries(Object.entries(context.verdicts).filter(([address]) => !gone.has(address)));
};

/** A host that was fenced knows nothing of its backends any more; one that was told to end is done. */
export function noteEnded({ context, event }: At): Done {
  assertEvent(event, 'check.ended');
  const { host, fenced } = event;
  const check = context.checks[host];
  if (check === undefined) return { changes: {}, asks: [] };
  const { [host]: _, ...others } = context.checks;
  if (check.asked === null) return { changes: { checks: others }, asks: [] };
  // The end of checks that were dropped before they were requested anew.
  if (!fenced) return { changes: {}, asks: [] };
  const checks = { ...others, [host]: { ...check, ended: true, trouble: null } };
  return following({ ...context, checks, verdicts: withoutVerdicts(context, host) }, context);
}

/** A host has fallen silent, was fenced, or is back. */
export function noteStanding({ context, event }: At): Done {
  assertEvent(event, 'host.stands');
  const { standing, meta } = event;
  const host = event.host.name;
  const check = context.checks[host];
  if (check === undefined || check.asked === null || check.standing === standing) return { changes: {}, asks: [] };
  const silentSince = standing === 'silent' ? meta.at : null;
  const isBack = standing === 'present' && check.ended;
  const asked = isBack ? {} : check.asked;
  const checks = { ...context.checks, [host]: { ...check, asked, standing, silentSince, lost: false } };
  const verdicts = standing === 'fenced' ? withoutVerdicts(context, host) : context.verdicts;
  return following({ ...context, checks, verdicts }, context);
}

/** Silence of a host, in ms, after which its backends serve no longer if others do. */
export const silenceMs = 10_000;

/** Decides what was left open: hosts that are silent for too long, and checks that ended although the host is there. */
export function decideOpen({ context, event }: At): Done {
  const { at } = event.meta;
  const decided = (check: HostCheck): HostCheck => {
    const { asked, ended, standing, silentSince } = check;
    if (asked === null) return check;
    if (ended && standing === 'present') return { ...check, asked: {} };
    return silentSince !== null && at - silentSince >= silenceMs ? { ...check, lost: true } : check;
  };
  const checks = Object.fromEntries(Object.entries(context.checks).map(([host, one]) => [host, decided(one)]));
  return following({ ...context, checks }, context);
}

// Proofs and conditions

export const isNewest = ({ context, event }: At): boolean =>
  'generation' in event && event.generation === context.published;

export const noteProven = ({ context }: At): Change => ({
  proven: context.published,
  observedGeneration: context.generation,
  failure: null,
  tries: 0,
});

/** Sets `Realized`, and `Ready` with the same meaning, from what the context says. */
export function noteRealization({ context, event }: At): Change {
  const { reason, message } = contexts.realizationOf(context);
  const status = reason === 'Active' ? 'True' : 'False';
  const { at } = event.meta;
  const realized = withCondition(context.conditions, { type: 'Realized', status, reason, message }, at);
  return { conditions: withCondition(realized, { status, reason, message }, at) };
}

// End

/** Takes it off all hosts; the VPC and the hosts report when that is done. */
export function withdraw({ context }: At): Done {
  const asks: Asked[] = [];
  const checks: Record<string, HostCheck> = { ...context.checks };
  for (const [host, check] of Object.entries(context.checks)) {
    if (check.asked !== null) asks.push(...dropping(context, host));
    // Asked again: the answer may be on its way.
    else asks.push(send(counterpart(context, host), checkDrop({})));
    if (check.ended) delete checks[host];
    else checks[host] = { ...check, asked: null };
  }
  const { vpc } = contexts.grantOf(context);
  asks.push(send(vpc, membersUnwatch({})));
  if (context.placed) asks.push(send(vpc, elementRemove({ section, key: context.id })));
  const changes = { checks, members: {}, verdicts: {}, surplus: 0, nearby: [], serving: [] };
  return { changes, asks };
}

export function noteCheckEnded({ context, event }: At): Change {
  assertEvent(event, 'check.ended');
  const { [event.host]: _, ...checks } = context.checks;
  return { checks };
}

export const isWithdrawn = ({ context }: At): boolean => !context.placed && Object.keys(context.checks).length === 0;
