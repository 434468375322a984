/** What a VPC does at each event: the change of its context and what it tells whom, as pure functions. */
import { assertEvent } from 'xstate';
import { cidrOf, overlap } from '../values/addresses.ts';
import { failureOf, isHostGone, sameJson, type Failure } from '../values/failures.ts';
import { clusterId, partsOfId, tenantId } from '../values/identifiers.ts';
import { defer, putRow, reject, rejectFor, removeRow, reply, row, rows, send } from '../values/telling.ts';
import type { Acted, Asked, Seen } from '../values/telling.ts';
import * as contexts from './vpc-context.ts';
import type { Location, VpcContext, Waiting } from './vpc-context.ts';
import type { VpcEvent } from './vpc-events.ts';

export type At = Seen<VpcContext, VpcEvent>;
type Done = Acted<VpcContext>;

const locationsOf = (event: VpcEvent): Readonly<Record<string, Location>> => rows<Location>(event, 'location');

// Life and quota

const tenant = (context: VpcContext): string => tenantId(contexts.tenantOf(context));

export const claimQuota = ({ context }: At): readonly Asked[] => [
  send(tenant(context), { type: 'quota.claim', kind: 'vpc', claimant: context.id }),
];
export const releaseQuota = ({ context }: At): readonly Asked[] => [
  send(tenant(context), { type: 'quota.release', kind: 'vpc', claimant: context.id }),
];
export const askVni = ({ context }: At): readonly Asked[] => [
  send(clusterId, { type: 'vni.allocate', vpc: context.id }),
];
export const releaseVni = ({ context }: At): readonly Asked[] => [
  send(clusterId, { type: 'vni.release', vpc: context.id }),
];
export const tellTenant = ({ context }: At): readonly Asked[] => [
  send(tenant(context), { type: 'vpc.opened', vpc: context.id }),
];

export const deferAnswer = ({ event }: At): readonly Asked[] => (event.meta.commandId === undefined ? [] : [defer]);
export const answerSame = ({ context, event }: At): readonly Asked[] =>
  event.meta.commandId === undefined ? [] : [reply(event.meta.commandId, { uid: context.uid, vni: context.vni })];

export const answerAll = ({ context }: At): readonly Asked[] =>
  context.waiters.map((commandId) => reply(commandId, { uid: context.uid, vni: context.vni }));

export function rejectAll({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'quota.refused');
  return context.waiters.map((commandId) => rejectFor(commandId, event.error, 'name'));
}

/** Only a command is rejected; a message that comes too early or too late is repeated by its sender. */
const rejecting = (event: VpcEvent, code: string, message: string): readonly Asked[] =>
  event.meta.commandId === undefined ? [] : [reject({ code, message })];

export const busy = ({ context, event }: At): readonly Asked[] =>
  rejecting(event, 'name_busy', `${context.id} is being deleted; try again once it is gone`);
export const inUse = ({ context, event }: At): readonly Asked[] =>
  rejecting(event, 'in_use', `${context.id} still has ${Object.keys(context.networks).join(', ')}; delete those first`);

// CIDRs

const early = (context: VpcContext, why: string): Failure => ({
  code: 'vpc_not_ready',
  message: `${context.id} is ${why}`,
  retryable: true,
});

const reasonNow = (why: string) => (context: VpcContext) => ({
  ...early(context, why),
  retryable: why !== 'being deleted',
});

/** Answers what cannot be served in a transitional state, so that nobody waits for a deadline. */
export function refuseNeeds(why: string): (seen: At) => readonly Asked[] {
  return ({ context, event }) => {
    assertEvent(event, ['cidr.claim', 'segment.need']);
    const error = reasonNow(why)(context);
    if (event.type === 'cidr.claim') return [send(event.network, { type: 'cidr.refused', error, path: 'spec.vpc' })];
    return [send(event.port, { type: 'segment.failed', host: event.host.name, error })];
  };
}

function clash({ context, event }: At): { index: number; cidr: string; network: string; other: string } | undefined {
  assertEvent(event, 'cidr.claim');
  for (const [index, { cidr }] of event.subnets.entries()) {
    for (const [network, cidrs] of Object.entries(context.networks)) {
      if (network === event.network) continue;
      const other = cidrs.find((held) => overlap(cidrOf(held), cidrOf(cidr)));
      if (other !== undefined) return { index, cidr, network, other };
    }
  }
  return undefined;
}

export function claimCidrs(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'cidr.claim');
  const found = clash(seen);
  if (found !== undefined) {
    const message = `${found.cidr} overlaps ${found.other} of ${found.network} in the same VPC; choose another range`;
    const error: Failure = { code: 'cidr_overlap', message, retryable: false };
    return {
      changes: {},
      asks: [send(event.network, { type: 'cidr.refused', error, path: `spec.subnets.${found.index}.cidr` })],
    };
  }
  const networks = { ...context.networks, [event.network]: event.subnets.map(({ cidr }) => cidr) };
  return { changes: { networks }, asks: [send(event.network, { type: 'cidr.claimed', vpc: context.id })] };
}

/** Networks that are gone everywhere are told so, and their CIDRs are free. */
function settling(context: VpcContext, asks: readonly Asked[]): Done {
  const free = contexts.settled(context.withdrawing);
  const changes = {
    segments: context.segments,
    waiting: context.waiting,
    withdrawing: contexts.omit(context.withdrawing, free),
    networks: contexts.omit(context.networks, free),
  };
  return {
    changes,
    asks: [...asks, ...free.map((network) => send(network, { type: 'network.withdrawn', vpc: context.id }))],
  };
}

export function releaseCidrs({ context, event }: At): Done {
  assertEvent(event, 'cidr.release');
  const { network } = event;
  if (context.networks[network] === undefined) {
    return { changes: {}, asks: [send(network, { type: 'network.withdrawn', vpc: context.id })] };
  }
  const owing = context.withdrawing[network];
  if (owing !== undefined) {
    // Asked again for what is under way: a segment that gave up tries once more.
    const gaveUp = Object.keys(owing).filter((host) => context.segments[host]?.failure?.retryable === false);
    return { changes: {}, asks: ensures(context, gaveUp, event) };
  }
  const { segments, changed, emptied } = contexts.withdrawn(context.segments, network);
  const owed = Object.entries(context.segments).flatMap(([host, view]): [string, number][] =>
    view.networks[network] === undefined ? [] : [[host, segments[host]?.generation ?? 0]],
  );
  const waiting = context.waiting.filter((each) => each.network.network !== network);
  const withdrawing = { ...context.withdrawing, [network]: Object.fromEntries(owed) };
  const after = { ...context, segments, waiting, withdrawing };
  const goodbyes = emptied.map((host) => send(contexts.segmentId(context, host), { type: 'segment.remove' }));
  return settling(after, [...ensures(after, changed, event), ...goodbyes]);
}

// Segments

function ensures(context: VpcContext, hosts: readonly string[], event: VpcEvent): readonly Asked[] {
  return hosts.flatMap((host) => {
    const view = context.segments[host];
    if (view === undefined) return [];
    const spec = contexts.specFor(context, view, locationsOf(event));
    return [send(contexts.segmentId(context, host), { type: 'segment.ensure', spec })];
  });
}

const provided = (
  context: VpcContext,
  waiting: { port: string; host: { name: string }; network: { network: string } },
): Asked =>
  send(waiting.port, {
    type: 'segment.provided',
    host: waiting.host.name,
    network: waiting.network.network,
    vpc: context.id,
  });

export function provideSegment({ context, event }: At): Done {
  assertEvent(event, 'segment.need');
  const { port, host, network } = event;
  if (context.networks[network.network] === undefined || context.withdrawing[network.network] !== undefined) {
    const message = `${network.network} has no claim in ${context.id}; it is being deleted`;
    const error: Failure = { code: 'network_not_found', message, retryable: false };
    return { changes: {}, asks: [send(port, { type: 'segment.failed', host: host.name, error })] };
  }
  const large = contexts.tooLarge(context.segments, host, network);
  if (large !== undefined) {
    const error: Failure = { code: 'mtu_too_large', message: large, retryable: false };
    return { changes: {}, asks: [send(port, { type: 'segment.failed', host: host.name, error })] };
  }
  if (contexts.provides(context.segments[host.name], host, network))
    return { changes: {}, asks: [provided(context, event)] };
  const { segments, changed } = contexts.wanting(context.segments, host, network);
  const generation = segments[host.name]?.generation ?? 0;
  const others = context.waiting.filter((each) => each.port !== port);
  const waiting: readonly Waiting[] = [...others, { port, host, network, generation }];
  const after = { ...context, segments, waiting };
  // Asked again for what is under way: said again, so that a segment that gave up tries once more.
  const again = changed.length === 0 && segments[host.name]?.removing === false ? [host.name] : changed;
  return { changes: { segments, waiting }, asks: ensures(after, again, event) };
}

export function noteReady({ context, event }: At): Done {
  assertEvent(event, 'segment.ready');
  const view = context.segments[event.host];
  if (view === undefined || view.removing) return { changes: {}, asks: [] };
  const acknowledged = Math.max(view.acknowledged, event.generation);
  const segments = { ...context.segments, [event.host]: { ...view, acknowledged, failure: null } };
  const isServed = (each: Waiting): boolean => each.host.name === event.host && each.generation <= acknowledged;
  const served = context.waiting.filter(isServed);
  const waiting = context.waiting.filter((each) => !isServed(each));
  const withdrawing = contexts.proved(context.withdrawing, event.host, acknowledged);
  const after = { ...context, segments, waiting, withdrawing };
  return settling(
    after,
    served.map((each) => provided(context, each)),
  );
}

export function noteFailed({ context, event }: At): Done {
  assertEvent(event, 'segment.failed');
  const view = context.segments[event.host];
  if (view === undefined) return { changes: {}, asks: [] };
  const error = failureOf(event.error);
  // Said before it heard of the latest: if the host is still gone, that is answered alike; if it is back, it is served.
  if (isHostGone(event) && (event.generation ?? Infinity) < view.generation) return { changes: {}, asks: [] };
  if (isHostGone(event)) return forget(event.host, error, { context, event });
  const segments = { ...context.segments, [event.host]: { ...view, failure: error } };
  // What may pass is tried again by the segment itself; its ports go on waiting.
  if (error.retryable) return { changes: { segments }, asks: [] };
  const waiting = context.waiting.filter((each) => each.host.name !== event.host);
  return { changes: { segments, waiting }, asks: failures(context, event.host, error) };
}

const failures = ({ waiting }: VpcContext, host: string, error: Failure): readonly Asked[] =>
  waiting
    .filter((each) => each.host.name === host)
    .map(({ port }) => send(port, { type: 'segment.failed', host, error }));

/** Its host is gone, and with it whatever networks it still owed. */
function forget(host: string, error: Failure, { context, event }: At): Done {
  const elsewhere = context.waiting.filter((each) => each.host.name !== host);
  const { segments, waiting, changed } = contexts.without({ ...context, waiting: elsewhere }, host);
  const withdrawing = contexts.proved(context.withdrawing, host, Number.MAX_SAFE_INTEGER);
  const after = { ...context, segments, waiting, withdrawing };
  return settling(after, [...failures(context, host, error), ...ensures(after, changed, event)]);
}

export function noteRemoved({ context, event }: At): Done {
  assertEvent(event, 'segment.removed');
  if (context.segments[event.host]?.removing !== true) return { changes: {}, asks: [] };
  const { segments, waiting, changed } = contexts.without(context, event.host);
  const withdrawing = contexts.proved(context.withdrawing, event.host, Number.MAX_SAFE_INTEGER);
  const after = { ...context, segments, waiting, withdrawing };
  return settling(after, ensures(after, changed, event));
}

export function removeSegments({ context }: At): Done {
  const entries = Object.entries(context.segments).map(([host, view]) => [host, { ...view, removing: true }] as const);
  const asks = entries.map(([host]) => send(contexts.segmentId(context, host), { type: 'segment.remove' }));
  return { changes: { segments: Object.fromEntries(entries), waiting: [] }, asks };
}

export function dropSegment({ context, event }: At): Partial<VpcContext> {
  assertEvent(event, 'segment.removed');
  return { segments: contexts.omit(context.segments, [event.host]) };
}

// Routes

const place = (event: VpcEvent & { address: string }): Location | undefined => row(event, 'location', event.address);

/** The other hosts' segments learn the new place; the holder's own route is made by the port's binding. */
export function locate({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'port.located');
  const { port, address, host } = event;
  const before = place(event);
  if (sameJson(before, { port, host })) return [];
  const routes = Object.values(context.segments)
    .filter((view) => !view.removing)
    .map((view) => {
      const added = view.facts.index === host ? [] : [{ address, host }];
      const gone = before !== undefined && before.host !== host && before.host !== view.facts.index;
      const removed = gone ? [{ address, host: before.host }] : [];
      return { name: view.facts.name, added, removed };
    })
    .filter(({ added, removed }) => added.length + removed.length > 0)
    .map(({ name, added, removed }) =>
      send(contexts.segmentId(context, name), { type: 'segment.route', added, removed }),
    );
  return [putRow('location', address, { port, host } satisfies Location), ...routes];
}

/** An address that has moved on, to another host or port, is left alone. */
export function unlocate({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'port.left');
  const { port, address, host } = event;
  const before = place(event);
  if (before === undefined || before.port !== port || before.host !== host) return [];
  const routes = Object.values(context.segments)
    .filter((view) => !view.removing && view.facts.index !== host)
    .map((view) =>
      send(contexts.segmentId(context, view.facts.name), {
        type: 'segment.route',
        added: [],
        removed: [{ address, host }],
      }),
    );
  return [removeRow('location', address), ...routes];
}

/** A port that gives up no longer waits. */
export function stopWaiting({ context, event }: At): Partial<VpcContext> {
  assertEvent(event, 'port.left');
  if (!context.waiting.some((each) => each.port === event.port)) return {};
  return { waiting: context.waiting.filter((each) => each.port !== event.port) };
}

/** Locations that outlived their segments: none should, and none may be left to a later VPC of the same name. */
export const forgetLocations = ({ event }: At): readonly Asked[] =>
  Object.keys(locationsOf(event)).map((address) => removeRow('location', address));

export const hostsOf = (context: VpcContext): readonly string[] => Object.keys(context.segments);
export const isMain = (context: VpcContext): boolean => partsOfId(context.id).name === 'main';
