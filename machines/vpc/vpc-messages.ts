/** Context changes and messages of a VPC: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { vniAllocate, vniRelease } from '../cluster/cluster-protocol.ts';
import { segmentWithdraw } from '../segment/segment-protocol.ts';
import { failureOf, isHostGone, sameJson, type Failure } from '../values/failures.ts';
import { clusterId, tenantId } from '../values/identifiers.ts';
import { reject, send } from '../values/telling.ts';
import type { Acted, Asked, Seen } from '../values/telling.ts';
import type { HostFacts, NetworkSpec } from '../values/wiring.ts';
import * as contexts from './vpc-context.ts';
import { networksSection } from './vpc-context.ts';
import type { SectionView, VpcContext, Waiting } from './vpc-context.ts';
import {
  elementDelayed,
  networkClaimed,
  networkDelayed,
  networkRealized,
  networkRefused,
  networkWithdrawn,
  segmentProvided,
  segmentDelayed,
  segmentRefused,
  vpcOpened,
  type VpcEvent,
} from './vpc-protocol.ts';
import { wayProblem } from './vpc-outside.ts';
import { clash, insideRanges } from './vpc-reach.ts';
import * as published from './vpc-sections.ts';
import {
  delayedElements,
  holdersOf,
  noting,
  requiring,
  settlingElements,
  withElement,
  withoutElement,
} from './vpc-elements.ts';

export type At = Seen<VpcContext, VpcEvent>;
type Done = Acted<VpcContext>;

const nothing: Done = { changes: {}, asks: [] };

// Life

export const askVni = ({ context }: At): readonly Asked[] => [send(clusterId, vniAllocate({ vpc: context.id }))];
export const releaseVni = ({ context }: At): readonly Asked[] => [send(clusterId, vniRelease({ vpc: context.id }))];
export const tellTenant = ({ context }: At): readonly Asked[] => [
  send(tenantId(contexts.tenantOf(context)), vpcOpened({ vpc: context.id })),
];

/** The VPC main of a tenant has no declaration and gets that of an empty spec. */
export const openSpec = ({ event }: At): Partial<VpcContext> => ({ uid: event.meta.ulid, spec: {}, generation: 1 });

export function inUse({ context, event }: At): readonly Asked[] {
  if (event.meta.commandId === undefined) return [];
  const holders = holdersOf(context).join(', ');
  return [reject({ code: 'in_use', message: `${context.id} still has ${holders}; delete those first` })];
}

// Networks

/** Refuses requests in a transitional state, so that the requester does not wait for a deadline. */
export function refuseNeeds(why: 'still being created' | 'being deleted'): (seen: At) => readonly Asked[] {
  return ({ context, event }) => {
    assertEvent(event, ['network.claim', 'segment.need']);
    const message = `${context.id} is ${why}`;
    const error: Failure = { code: 'vpc_not_ready', message, retryable: why === 'still being created' };
    if (event.type === 'network.claim') return [refused(event.network, event.generation, error, 'spec.vpc')];
    return [send(event.port, segmentRefused({ host: event.host.name, error }))];
  };
}

const refused = ({ network }: NetworkSpec, generation: number, error: Failure, path: string): Asked =>
  send(network, networkRefused({ generation, error, path }));

export function claimNetwork({ context, event }: At): Done {
  assertEvent(event, 'network.claim');
  const { network: spec, generation } = event;
  const { network } = spec;
  if (context.withdrawing[network] !== undefined) {
    const message = `${network} is being taken off its hosts; claim again once it is withdrawn`;
    const error: Failure = { code: 'network_withdrawing', message, retryable: true };
    return { changes: {}, asks: [refused(spec, generation, error, 'name')] };
  }
  const found = clash(context, spec);
  if (found !== undefined) {
    const error: Failure = { code: 'cidr_overlap', message: found.message, retryable: false };
    return { changes: {}, asks: [refused(spec, generation, error, `spec.subnets.${found.index}.cidr`)] };
  }
  // A repeated claim of a realized generation is answered again.
  const networks = { ...context.networks, [network]: { spec, generation, realized: 0 } };
  return announcing({ ...context, networks }, context, event, [
    send(network, networkClaimed({ vpc: context.id, generation })),
  ]);
}

/** Publishes the differences, then answers the requests that are settled. */
function announcing(after: VpcContext, before: VpcContext, event: VpcEvent, asks: readonly Asked[]): Done {
  const { segments, asks: told } = published.publishing(before, after, event);
  return settling({ ...after, segments }, [...asks, ...told]);
}

/** Answers ports whose network is provided, and networks that are realized or gone from all hosts. */
function settling(context: VpcContext, asks: readonly Asked[]): Done {
  const isServed = ({ host, network }: Waiting): boolean =>
    contexts.provides(context.segments[host.name], network, published.sectionNames);
  const realized = contexts.realized(context);
  const free = contexts.settled(context.withdrawing);
  const owned = settlingElements(context);
  const told = realized.map((name) => {
    const generation = context.networks[name]?.generation ?? 0;
    return { name, generation, ask: send(name, networkRealized({ generation })) };
  });
  const networks = { ...context.networks };
  for (const { name, generation } of told) {
    const network = networks[name];
    if (network !== undefined) networks[name] = { ...network, realized: generation };
  }
  return {
    changes: {
      segments: context.segments,
      waiting: context.waiting.filter((each) => !isServed(each)),
      withdrawing: contexts.omit(context.withdrawing, free),
      networks: contexts.omit(networks, free),
      elements: owned.elements,
      leaving: owned.leaving,
    },
    asks: [
      ...asks,
      ...owned.asks,
      ...context.waiting.filter(isServed).map((each) => provided(context, each)),
      ...told.map(({ ask }) => ask),
      ...free.map((network) => send(network, networkWithdrawn({ vpc: context.id }))),
    ],
  };
}

/** Whether the step may publish whole sections, for which all rows must be loaded. */
export function publishesWhole({ context, event }: At): boolean {
  if (published.lacksSections(context)) return true;
  const held = contexts.hostsOf(context.elements);
  const hosts = event.type === 'element.put' ? (event.hosts ?? []) : [];
  const isNew = ({ name }: HostFacts): boolean => context.segments[name] === undefined;
  return [...held.values()].some(isNew) || hosts.some((facts) => !sameJson(context.segments[facts.name]?.facts, facts));
}

/** Why an element cannot be taken. */
function refusalOf({ context, event }: At): Failure | undefined {
  assertEvent(event, 'element.put');
  const { section, key, hosts = [], meta } = event;
  const refusal = (code: string, message: string): Failure => ({ code, message, retryable: false });
  if (!published.sectionNames.includes(section))
    return refusal('section_unknown', `the section ${section} is unknown; run all nodes with the same release`);
  const holder = context.elements[section]?.[key]?.owner;
  if (holder !== undefined && holder !== (meta.from ?? key))
    return refusal('element_taken', `${key} of ${section} in ${context.id} is of ${holder}; remove it there first`);
  const wrong = wayProblem(context, { ...event, owner: meta.from ?? key }, insideRanges(context));
  if (wrong !== undefined) return refusal(wrong.code, wrong.message);
  const [large] = hosts
    .filter(({ name }) => context.segments[name] === undefined)
    .flatMap((host) => contexts.tooLarge(context, host) ?? []);
  return large === undefined ? undefined : refusal('mtu_too_large', large);
}

/** Adds, changes or removes an element of another object on every host, and on the hosts that it needs. */
export function changeElement(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, ['element.put', 'element.remove']);
  const { section, key, meta } = event;
  if (event.type === 'element.put') {
    const error = refusalOf(seen);
    const { generation } = event;
    if (error !== undefined)
      return {
        changes: {},
        asks: [send(meta.from ?? key, elementDelayed({ section, key, generation, host: '', error }))],
      };
  }
  const changed = event.type === 'element.put' ? withElement(seen) : withoutElement(seen);
  const needed = requiring(context, changed, event.type === 'element.put' ? { section, key } : null);
  const hosts = event.type === 'element.put' ? (event.hosts ?? []) : [];
  const held = contexts.holding(context, needed.context, hosts);
  const wanted = { ...needed.context, segments: held.segments };
  const { segments, asks } = published.publishing(context, wanted, event);
  const goodbyes = held.emptied.map((host) => withdraw(context, host));
  return settling(noting({ ...wanted, segments }, section, key), [...asks, ...needed.asks, ...goodbyes]);
}

export function releaseNetwork({ context, event }: At): Done {
  assertEvent(event, 'network.release');
  const { network } = event;
  if (context.networks[network] === undefined)
    return { changes: {}, asks: [send(network, networkWithdrawn({ vpc: context.id }))] };
  const owing = context.withdrawing[network];
  if (owing !== undefined) {
    // A repeated request in progress: a section with a permanent failure is published again.
    const asks = Object.keys(owing)
      .filter((host) => hasGivenUp(context, host))
      .flatMap((host) => published.repeating(context, host, event));
    return { changes: {}, asks };
  }
  const { segments, emptied } = contexts.withdrawn(context, network);
  const waiting = context.waiting.filter((each) => each.network !== network);
  const going = { ...context.withdrawing, [network]: {} };
  const told = published.publishing(context, { ...context, segments, withdrawing: going }, event);
  const owed = Object.keys(context.segments).flatMap((host): [string, number][] => {
    if (context.segments[host]?.networks[network] === undefined) return [];
    const view = told.segments[host];
    // A segment that is being removed proves the absence by its end.
    return [
      [host, view?.removing === false ? (view.sections[networksSection]?.published ?? 0) : Number.MAX_SAFE_INTEGER],
    ];
  });
  const withdrawing = { ...context.withdrawing, [network]: Object.fromEntries(owed) };
  const goodbyes = emptied.map((host) => withdraw(context, host));
  return settling({ ...context, segments: told.segments, waiting, withdrawing }, [...told.asks, ...goodbyes]);
}

const withdraw = (context: VpcContext, host: string): Asked =>
  send(contexts.segmentId(context, host), segmentWithdraw({}));

// Segments

const provided = ({ id }: VpcContext, { port, host, network }: Omit<Waiting, 'host'> & { host: { name: string } }) =>
  send(port, segmentProvided({ host: host.name, network, vpc: id }));

const isLasting = (failure: Failure | null | undefined): boolean => failure?.retryable === false;

function hasGivenUp({ segments }: VpcContext, host: string): boolean {
  const view = segments[host];
  return (
    view !== undefined &&
    (isLasting(view.failure) || Object.values(view.sections).some(({ failure }) => isLasting(failure)))
  );
}

/** The outcome of a request for a network on a host; the definition's `needs` uses it to select rows. */
export function answerTo(context: VpcContext, event: VpcEvent): 'provided' | 'publish' | 'repeat' | 'wait' {
  assertEvent(event, 'segment.need');
  const { host, network, port } = event;
  const view = context.segments[host.name];
  const isKnown = view !== undefined && sameJson(view.facts, host);
  if (isKnown && contexts.provides(view, network, published.sectionNames)) return 'provided';
  if (view?.removing === true) return 'wait';
  const lacks = published.sectionNames.some((name) => view?.sections[name] === undefined);
  if (!isKnown || lacks || view.networks[network] === undefined) return 'publish';
  const again = context.waiting.some((each) => each.port === port && each.host.name === host.name);
  // A repeated request in progress is published again, so that a segment with a permanent failure retries.
  return again || hasGivenUp(context, host.name) ? 'repeat' : 'wait';
}

export function provideSegment({ context, event }: At): Done {
  assertEvent(event, 'segment.need');
  const { port, host, network } = event;
  const refuse = (code: string, message: string): Done => ({
    changes: {},
    asks: [send(port, segmentRefused({ host: host.name, error: { code, message, retryable: false } }))],
  });
  const spec = context.networks[network]?.spec;
  if (spec === undefined || context.withdrawing[network] !== undefined)
    return refuse('network_not_found', `${network} has no claim in ${context.id}; it is being deleted`);
  const large = contexts.tooLarge(context, host, spec);
  if (large !== undefined) return refuse('mtu_too_large', large);
  const answer = answerTo(context, event);
  if (answer === 'provided') return { changes: {}, asks: [provided(context, event)] };
  const others = context.waiting.filter((each) => each.port !== port);
  const waiting: readonly Waiting[] = [...others, { port, host, network }];
  const why = contexts.troubleOf(context.segments[host.name]);
  const delay = why === null ? [] : [send(port, segmentDelayed({ host: host.name, error: why }))];
  if (answer === 'wait') return { changes: { waiting }, asks: delay };
  if (answer === 'repeat')
    return { changes: { waiting }, asks: [...published.repeating(context, host.name, event), ...delay] };
  const segments = contexts.wanting(context.segments, host, network);
  return announcing({ ...context, segments, waiting }, context, event, []);
}

/** Generations that the host reports above those published: a rollback has lost this VPC's state about the host. */
export function unknownTo({ segments }: VpcContext, event: VpcEvent): Readonly<Record<string, number>> {
  if (event.type !== 'segment.proven') return {};
  const view = segments[event.host];
  if (view === undefined) return {};
  const beyond = Object.entries(event.sections).filter(
    ([name, generation]) => generation > (view.sections[name]?.published ?? 0),
  );
  return Object.fromEntries(beyond);
}

export function noteProven({ context, event }: At): Done {
  assertEvent(event, 'segment.proven');
  const { host } = event;
  const view = context.segments[host];
  if (view === undefined || view.removing) return nothing;
  const unknown = unknownTo(context, event);
  const sections = Object.entries(view.sections).map(([name, section]): [string, SectionView] => {
    const proven = event.sections[name];
    return [
      name,
      proven === undefined || unknown[name] !== undefined ? section : { ...section, proven, failure: null },
    ];
  });
  const noted = { ...view, sections: Object.fromEntries(sections), failure: null };
  const after = { ...context, segments: { ...context.segments, [host]: noted } };
  const again = published.publishingAnew(after, host, unknown, event);
  const proven = again.segments[host]?.sections[networksSection]?.proven ?? 0;
  const withdrawing = contexts.proved(context.withdrawing, host, proven);
  return settling({ ...after, segments: again.segments, withdrawing }, again.asks);
}

/** The host misses increments of a section, or has a new segment: the section is published whole. */
export function republish({ context, event }: At): Done {
  assertEvent(event, 'segment.missed');
  const { host, section, generation } = event;
  const beyond = generation === 0 ? everything : { [section]: generation };
  const { segments, asks } = published.publishingAnew(context, host, beyond, event);
  return { changes: { segments }, asks };
}

const everything = Object.fromEntries(published.sectionNames.map((name) => [name, 0]));

export function noteFailed({ context, event }: At): Done {
  assertEvent(event, 'segment.failed');
  const { host, section, heard } = event;
  const view = context.segments[host];
  if (view === undefined) return nothing;
  const error = failureOf(event.error);
  if (isHostGone(event))
    return contexts.isLate(view, heard) && !view.removing ? nothing : forget(host, error, { context, event });
  const known = section === null ? undefined : view.sections[section];
  const noted =
    section === null || known === undefined
      ? { ...view, failure: error }
      : { ...view, sections: { ...view.sections, [section]: { ...known, failure: error } } };
  const segments = { ...context.segments, [host]: noted };
  const networks = contexts.withoutProof(context.networks, section === networksSection ? event.lost : undefined);
  const concerns = section === null || section === networksSection;
  const delayed = concerns ? contexts.delayed({ ...context, networks, segments }, host) : [];
  const asks = delayed.map((name) => {
    const about = { generation: context.networks[name]?.generation ?? 0, host, error };
    return send(name, networkDelayed(name === event.lost ? { ...about, lost: true } : about));
  });
  asks.push(...delayedElements({ ...context, segments }, section, host, error));
  // The segment itself retries transient failures; its ports keep waiting, and are told why.
  if (error.retryable) return { changes: { segments, networks }, asks: [...asks, ...delays(context, host, error)] };
  const waiting = context.waiting.filter((each) => each.host.name !== host);
  return { changes: { segments, networks, waiting }, asks: [...asks, ...refusals(context, host, error)] };
}

const delays = ({ waiting }: VpcContext, host: string, error: Failure): readonly Asked[] =>
  waiting.filter((each) => each.host.name === host).map(({ port }) => send(port, segmentDelayed({ host, error })));

const refusals = ({ waiting }: VpcContext, host: string, error: Failure): readonly Asked[] =>
  waiting.filter((each) => each.host.name === host).map(({ port }) => send(port, segmentRefused({ host, error })));

/** The host is fenced: its outstanding proofs count as given. */
function forget(host: string, error: Failure, { context, event }: At): Done {
  const waiting = context.waiting.filter((each) => each.host.name !== host);
  const after = { ...context, waiting, segments: contexts.omit(context.segments, [host]) };
  return leaving(host, after, { context, event }, refusals(context, host, error));
}

export function noteRemoved({ context, event }: At): Done {
  assertEvent(event, 'segment.removed');
  const view = context.segments[event.host];
  if (view === undefined) return nothing;
  // The latest publication has started another segment, which answers it.
  if (!view.removing && contexts.isLate(view, event.heard)) return nothing;
  if (!view.removing) {
    // The segment ended with its host and was requested again since: the next one starts empty.
    const { segments, asks } = published.publishingAnew(context, event.host, everything, event);
    return { changes: { segments }, asks };
  }
  return leaving(event.host, { ...context, segments: contexts.without(context, event.host) }, { context, event }, []);
}

/** Publishes what remains without the host, and counts its outstanding proofs as given. */
function leaving(host: string, after: VpcContext, { context, event }: At, asks: readonly Asked[]): Done {
  const withdrawing = contexts.proved(context.withdrawing, host, Number.MAX_SAFE_INTEGER);
  return announcing({ ...after, withdrawing }, context, event, asks);
}

export function removeSegments({ context }: At): Done {
  const entries = Object.entries(context.segments).map(([host, view]) => [host, { ...view, removing: true }] as const);
  const asks = entries.map(([host]) => withdraw(context, host));
  return { changes: { segments: Object.fromEntries(entries), waiting: [] }, asks };
}

export function dropSegment({ context, event }: At): Partial<VpcContext> {
  assertEvent(event, 'segment.removed');
  return { segments: contexts.omit(context.segments, [event.host]) };
}
