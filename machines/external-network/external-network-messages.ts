/** Context changes and messages of an external network: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { gatewayDrop, gatewayEnsure } from '../gateway/gateway-protocol.ts';
import { hostFollow, hostUnfollow } from '../host/host-protocol.ts';
import type { SubnetUse } from '../network/network-addresses.ts';
import { withCondition } from '../values/conditions.ts';
import type { DeclaredContext } from '../values/declared.ts';
import { sameJson, type Failure } from '../values/failures.ts';
import { counterpartOf, hostId } from '../values/identifiers.ts';
import { gatewayPermitMs, gatewaySilenceMs } from '../values/router-elements.ts';
import { rows, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import type { HostFacts } from '../values/wiring.ts';
import { externalChanged } from './external-network-protocol.ts';
import type { ExternalNetworkEvent, ExternalNetworkSpec, WayOut } from './external-network-protocol.ts';
import * as election from './gateway-election.ts';
import { type GatewayView } from './gateway-election.ts';

export interface ExternalNetworkContext extends DeclaredContext<ExternalNetworkSpec> {
  /** The CIDR with its pools, and what is allocated of it. Null before the first declaration. */
  readonly space: SubnetUse | null;
  /** Number of routers and external addresses that use it. */
  readonly holders: number;
  /** What is known of gateway hosts, by name; of those that are not declared any more until they have no permit. */
  readonly gateways: Readonly<Record<string, GatewayView>>;
  /** The host that leads. */
  readonly active: string | null;
  readonly preferred: string | null;
  /** How routers were told last that it is reached. */
  readonly told: WayOut | null;
  /** Grows with each change of the tasks of gateways. */
  readonly term: number;
  /** Term since which the present leader leads: what it said of its permit before counts no more. */
  readonly leadTerm: number;
}

export type At = Seen<ExternalNetworkContext, ExternalNetworkEvent>;
type Change = Partial<ExternalNetworkContext>;
type Done = Acted<ExternalNetworkContext>;

/**
 * From the verdict that the leader is silent to the end of its permit. Its worker may have renewed the permit up to
 * 200 ms after its last answer to the other host, whose verdict came `gatewaySilenceMs` after that answer.
 */
export const handoverMs = gatewayPermitMs - gatewaySilenceMs + 200;

/** Row `router/<actor id>`: to be told how the network is reached. */
export const routerRows = 'router';

export const electionOf = ({ spec, gateways, active, preferred }: ExternalNetworkContext): election.Election => ({
  order: spec?.hosts ?? [],
  views: gateways,
  active,
  preferred,
});

const gatewayId = ({ id }: ExternalNetworkContext, host: string): string => counterpartOf(id, 'gateway', host);

/** @throws TypeError before the first declaration */
export function specOf({ id, spec }: ExternalNetworkContext): ExternalNetworkSpec {
  if (spec === null) throw new TypeError(`${id} has no spec`);
  return spec;
}

// How it is reached

/** Null while no gateway host is known. Through nobody while no gateway host can be used. */
export function wayOf(context: ExternalNetworkContext): WayOut | null {
  const { cidr, gateway, interface: uplink, mtu, hosts } = specOf(context);
  const gateways = hosts.flatMap((host): readonly HostFacts[] => {
    const { facts } = election.viewOf({ views: context.gateways }, host);
    return facts === null ? [] : [facts];
  });
  const leader = election.isLost(electionOf(context)) ? null : context.active;
  const active = gateways.find(({ name }) => name === leader)?.index ?? null;
  return gateways.length === 0 ? null : { cidr, upstream: gateway, interface: uplink, mtu, gateways, active };
}

/** One message to each router, when the way out is another than they were told. */
export function publish({ context, event }: At): Done {
  const way = wayOf(context);
  if (way === null || sameJson(way, context.told)) return { changes: {}, asks: [] };
  const asks = Object.keys(rows(event, routerRows)).map((router) =>
    send(router, externalChanged({ network: context.id, way })),
  );
  return { changes: { told: way }, asks };
}

// Tasks of gateways

/** The tasks of the declared hosts whose facts are known. @param leader may forward; null: none may */
function tasksFor(
  context: ExternalNetworkContext,
  leader: string | null,
  decidedAt: number,
  only: readonly string[] = specOf(context).hosts,
): readonly Asked[] {
  const { id, uid, term, gateways } = context;
  const { hosts, interface: uplink, mtu } = specOf(context);
  const factsOf = (host: string | undefined): HostFacts | null =>
    host === undefined ? null : election.viewOf({ views: gateways }, host).facts;
  return hosts
    .filter((host) => only.includes(host) && factsOf(host) !== null)
    .map((host) => {
      const peer = factsOf(hosts.find((other) => other !== host));
      const task = { network: id, uid, uplink: { interface: uplink, mtu }, peer, leads: host === leader, term };
      return send(gatewayId(context, host), gatewayEnsure({ ...task, decidedAt }));
    });
}

/** Follows the declared hosts; those that are not declared any more are told to end their permit. */
export function followHosts({ context }: At): readonly Asked[] {
  const { gateways } = context;
  const { hosts } = specOf(context);
  return [
    ...hosts.map((host) => send(hostId(host), hostFollow({}))),
    ...Object.keys(gateways)
      .filter((host) => !hosts.includes(host))
      .flatMap((host) => [send(hostId(host), hostUnfollow({})), send(gatewayId(context, host), gatewayDrop({}))]),
  ];
}

/** Whether the new declaration has the same gateway hosts, which do the same. */
export function keepsGateways({ context, event }: At): boolean {
  assertEvent(event, ['external-network.update', 'external-network.apply']);
  const tasks = ({ hosts, interface: uplink, mtu }: ExternalNetworkSpec) => [hosts, uplink, mtu];
  return sameJson(tasks(specOf(context)), tasks(event.spec));
}

/** A declaration with other hosts, or another order, moves the lead to the first of them. */
export function preferFirst({ context, event }: At): Change {
  assertEvent(event, ['external-network.update', 'external-network.apply']);
  const [first = null] = event.spec.hosts;
  return sameJson(context.spec?.hosts, event.spec.hosts) ? {} : { preferred: first };
}

export const mustMove = (context: ExternalNetworkContext): boolean =>
  election.chosen(electionOf(context)) !== context.active;

export const hasStopped = ({ context, event }: At): boolean =>
  election.hasStopped(electionOf(context), context.active, event.meta.at);

/** A worker that is silent may have its permit for all of its time. */
export const handoverOf = (context: ExternalNetworkContext): number => {
  const { silentAt } = election.viewOf({ views: context.gateways }, context.active ?? '');
  return silentAt === null ? handoverMs : gatewayPermitMs;
};

export const isOverdue = ({ context, event }: At): boolean =>
  election.isOverdue(electionOf(context), context.active, event.meta.at, handoverMs);

export const repeatTasks = ({ context, event }: At): readonly Asked[] =>
  tasksFor(context, context.active, event.meta.at);

/** During a change of the lead nobody leads. */
export const denyTasks = ({ context, event }: At): readonly Asked[] => tasksFor(context, null, event.meta.at);

/** The leader's task is taken from it, and nobody has it yet. */
export function withdrawLead({ context, event }: At): Done {
  const after = { ...context, term: context.term + 1 };
  return { changes: { term: after.term }, asks: tasksFor(after, null, event.meta.at) };
}

/** The chosen host leads from now on: it, the other one and all routers are told. */
export function giveLead({ context, event }: At): Done {
  const active = election.chosen(electionOf(context));
  const term = context.term + 1;
  const preferred = context.preferred === active ? null : context.preferred;
  const gateways =
    active === null
      ? context.gateways
      : { ...context.gateways, [active]: { ...election.viewOf({ views: context.gateways }, active), leads: true } };
  const changes = { active, term, leadTerm: term, preferred, gateways };
  const after = { ...context, ...changes };
  const told = publish({ context: after, event });
  return { changes: { ...changes, ...told.changes }, asks: [...tasksFor(after, active, event.meta.at), ...told.asks] };
}

// What hosts say

const withView = (context: ExternalNetworkContext, host: string, change: Partial<GatewayView>): Change => ({
  gateways: {
    ...context.gateways,
    [host]: { ...election.viewOf({ views: context.gateways }, host), ...change },
  },
});

const isKnown = ({ spec, gateways }: ExternalNetworkContext, host: string): boolean =>
  spec?.hosts.includes(host) === true || Object.hasOwn(gateways, host);

export function noteHost({ context, event }: At): Change {
  assertEvent(event, 'host.stands');
  const { host, standing, meta } = event;
  if (!isKnown(context, host.name)) return {};
  const before = election.viewOf({ views: context.gateways }, host.name);
  // A host that was fenced has no gateway any more; one that has not joined yet has no index.
  const facts = host.index === 0 ? {} : { facts: host };
  return withView(context, host.name, {
    ...facts,
    standing,
    silentAt: standing === 'silent' ? (before.silentAt ?? meta.at) : null,
    ...(standing === 'fenced' ? { uplink: 'unknown', leads: false } : {}),
  });
}

/** What a gateway said before the present leader was told to lead says nothing of the permit. */
export function noteGateway({ context, event }: At): Change {
  assertEvent(event, 'gateway.stands');
  const { host, term, leads, uplink, heard, error, meta } = event;
  if (!isKnown(context, host)) return {};
  const before = election.viewOf({ views: context.gateways }, host);
  const isLate = host === context.active && term < context.leadTerm;
  return withView(context, host, {
    uplink: uplink === null ? 'down' : 'up',
    unheardAt: heard ? null : (before.unheardAt ?? meta.at),
    ...(heard ? { heardAt: meta.at } : {}),
    error,
    ...(isLate ? {} : { leads }),
  });
}

export function noteDropped({ context, event }: At): Change {
  assertEvent(event, 'gateway.dropped');
  const { host } = event;
  if (!isKnown(context, host)) return {};
  if (context.spec?.hosts.includes(host) === true)
    return withView(context, host, { uplink: 'unknown', leads: false, error: null });
  const { [host]: _, ...gateways } = context.gateways;
  return { gateways };
}

/** Answers a gateway that doubts whether it leads. */
export function answerDoubt({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'gateway.stands');
  return tasksFor(context, context.active, event.meta.at, [event.host]);
}

/** During a change of the lead nobody leads. */
export function denyDoubt({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'gateway.stands');
  return tasksFor(context, null, event.meta.at, [event.host]);
}

/** A host that has come back, or whose facts have changed, needs its task; routers need its facts. */
export const bringsNews = ({ context, event }: At): boolean => {
  if (event.type !== 'host.stands' || event.standing !== 'present') return false;
  const { facts, standing } = election.viewOf({ views: context.gateways }, event.host.name);
  return facts?.index !== event.host.index || facts.underlay !== event.host.underlay || standing !== event.standing;
};

// Conditions

const standbyCondition = 'Standby';

/** Whether the other gateway host could take over, and what is wrong with those that cannot be used. */
export function noteHealth({ context, event }: At): Change {
  const state = electionOf(context);
  const troubles = state.order.flatMap((host) => election.troubleOf(state, host) ?? []);
  const others = state.order.filter((host) => host !== context.active);
  const broken = others.filter((host) => election.troubleOf(state, host) !== null);
  const standby =
    others.length === 0
      ? ({ status: 'False', reason: 'None', message: 'only one gateway host is declared' } as const)
      : broken.length > 0
        ? ({ status: 'False', reason: 'Unusable', message: troubles.join('; ') } as const)
        : ({ status: 'True', reason: 'Listening', message: '' } as const);
  const conditions = withCondition(context.conditions, { type: standbyCondition, ...standby }, event.meta.at);
  const message = `${troubles.join('; ') || 'no gateway host has answered'}; nothing gets out meanwhile`;
  const failure: Failure | null = election.isLost(state) ? { code: 'no_gateway', message, retryable: true } : null;
  return { conditions, failure };
}

// Its end

export function dropGateways({ context }: At): readonly Asked[] {
  return Object.keys(context.gateways).flatMap((host) => [
    send(hostId(host), hostUnfollow({})),
    send(gatewayId(context, host), gatewayDrop({})),
  ]);
}

export const forgetGateway = ({ context, event }: At): Change => {
  assertEvent(event, 'gateway.dropped');
  const { [event.host]: _, ...gateways } = context.gateways;
  return { gateways };
};
