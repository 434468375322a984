/**
 * A port whose VM gives up its run on a host that is silent. The host may still run it: so no other host sends anything
 * there any more, and each drops what comes from there with an address of the port, before the port can be bound
 * elsewhere. The order to remove the binding waits for the host; its answer ends the fence. Pure functions, called by
 * the chart. Upholds: of two bindings of a port at most one can be reached over the overlay.
 */
import { assertEvent } from 'xstate';
import { bindingRemove } from '../binding/binding-protocol.ts';
import { failureOf } from '../values/failures.ts';
import { fencesSection, type FenceElement } from '../values/fence-elements.ts';
import { counterpartOf } from '../values/identifiers.ts';
import { act, send, tell, type Acted, type Asked } from '../values/telling.ts';
import type { HostFacts } from '../values/wiring.ts';
import { elementPut, elementRemove, portLeft } from '../vpc/vpc-protocol.ts';
import * as contexts from './port-context.ts';
import type { At, PortContext } from './port-context.ts';
import { portUnbound } from './port-protocol.ts';
import { dropStandby } from './port-standby.ts';

export interface Abandoned {
  readonly host: HostFacts;
  readonly runEpoch: number;
  /** Of the port, when it was given up there. */
  readonly addresses: readonly string[];
  /** Names of silent hosts, which are not waited for. */
  readonly absent: readonly string[];
  /** All other hosts drop what comes from there. */
  readonly fenced: boolean;
}

type Done = Acted<PortContext>;

const nothing: Done = { changes: {}, asks: [] };

const keyOf = ({ id }: PortContext, { host }: Abandoned): string => `${id}/${host.name}`;

const fence = (context: PortContext, one: Abandoned): Asked => {
  const element: FenceElement = { host: one.host.index, addresses: [...one.addresses] };
  const put = { section: fencesSection, key: keyOf(context, one), element, generation: one.runEpoch };
  return send(contexts.grantOf(context).vpc, elementPut({ ...put, absent: [...one.absent] }));
};

/** The active binding is on the host that is given up. */
export const isActiveThere = ({ context, event }: At): boolean =>
  event.type === 'port.abandon' && context.host?.name === event.host;

/** What is known of the binding there, be it the active one or the one that stands by; undefined: there is none. */
function bindingThere({ context, event }: At): Pick<Abandoned, 'host' | 'runEpoch'> | undefined {
  assertEvent(event, 'port.abandon');
  const { host, runEpoch, standby } = context;
  if (host?.name === event.host) return { host, runEpoch };
  if (standby?.host !== event.host || standby.facts === null) return undefined;
  return { host: standby.facts, runEpoch: standby.runEpoch };
}

/** Gives up the binding on the host, and a second one with it; without one there, only the second. */
export function abandon(seen: At): Done {
  const { context, event } = seen;
  assertEvent(event, 'port.abandon');
  const dropped = context.standby?.host === event.host ? nothing : dropStandby(seen);
  const there = bindingThere(seen);
  if (there === undefined) return { changes: { ...dropped.changes, standby: null, next: null }, asks: dropped.asks };
  const { vpc, address } = contexts.grantOf(context);
  const pairs = contexts.pairsOf(context).map((pair) => pair.address);
  const before = context.abandoned.find(({ host }) => host.name === there.host.name);
  const addresses = [...new Set([address, ...pairs, ...context.located, ...(before?.addresses ?? [])])];
  const others = context.abandoned.filter(({ host }) => host.name !== there.host.name);
  const one: Abandoned = { ...there, addresses, absent: event.absent, fenced: false };
  const left = addresses.map((each) => portLeft({ port: context.id, address: each, host: there.host.index }));
  return {
    changes: { standby: null, next: null, abandoned: [...others, one] },
    asks: [
      ...dropped.asks,
      ...left.map((message) => send(vpc, message)),
      send(counterpartOf(context.id, 'binding', there.host.name), bindingRemove({ runEpoch: there.runEpoch })),
    ],
  };
}

const unfenced = ({ abandoned }: Pick<PortContext, 'abandoned'>): readonly Abandoned[] =>
  abandoned.filter(({ fenced }) => !fenced);

/** Tells the VPC what its hosts are to drop; asked again, it says when that is so. */
export const askFences = ({ context }: At): readonly Asked[] => unfenced(context).map((one) => fence(context, one));

/** More hosts are silent by now, or fewer. */
export function noteAbsent({ context, event }: At): Partial<PortContext> {
  assertEvent(event, 'port.abandon');
  return { abandoned: context.abandoned.map((one) => (one.fenced ? one : { ...one, absent: event.absent })) };
}

const isOf = (context: PortContext, one: Abandoned, event: At['event']): boolean =>
  'key' in event && event.section === fencesSection && event.key === keyOf(context, one);

export function noteFenced({ context, event }: At): Partial<PortContext> {
  assertEvent(event, 'element.realized');
  const isThis = (one: Abandoned): boolean => isOf(context, one, event) && one.runEpoch === event.generation;
  return { abandoned: context.abandoned.map((one) => (isThis(one) ? { ...one, fenced: true } : one)) };
}

export const noteUnfenced = ({ event }: At): Partial<PortContext> => {
  assertEvent(event, 'element.delayed');
  return { failure: failureOf(event.error) };
};

const removedThere = ({ context, event }: At): Abandoned | undefined =>
  event.type === 'binding.removed' ? context.abandoned.find(({ host }) => host.name === event.host) : undefined;

export const isOfAbandoned = (seen: At): boolean => removedThere(seen) !== undefined;

/** The host has removed what was left there: nothing comes from there any more. */
export function liftFence(seen: At): Done {
  const { context } = seen;
  const one = removedThere(seen);
  if (one === undefined) return nothing;
  return {
    changes: { abandoned: context.abandoned.filter((each) => each !== one) },
    asks: [send(contexts.grantOf(context).vpc, elementRemove({ section: fencesSection, key: keyOf(context, one) }))],
  };
}

/** Nothing is bound any more, and a fence is still to be proven. */
export const isOffUnfenced = (seen: At): boolean => contexts.isCurrent(seen) && unfenced(seen.context).length > 0;
export const areFenced = ({ context }: At): boolean => unfenced(context).length === 0;
export const areFencedLeaving = (seen: At): boolean => areFenced(seen) && seen.context.leaving;
export const hasAbandoned = ({ context }: At): boolean => context.abandoned.length > 0;
export const isOffParting = (seen: At): boolean => contexts.isOffLeaving(seen) && hasAbandoned(seen);
export const hasNoneAbandoned = (seen: At): boolean => !hasAbandoned(seen);

/** To the VM that gives up its run there. */
export const tellGivenUp = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'port.abandon');
  return [send(event.holder, portUnbound({ port: context.id }))];
};

/** By the names of the chart. */
export const lossActions = {
  abandon: act(abandon),
  askFences: tell(askFences),
  liftFence: act(liftFence),
  tellGivenUp: tell(tellGivenUp),
};
export const lossGuards = {
  isActiveThere,
  isOfAbandoned,
  isOffUnfenced,
  areFenced,
  areFencedLeaving,
  hasAbandoned,
  isOffParting,
  hasNoneAbandoned,
};

/** For the status. */
export const shownAbandoned = (abandoned: readonly Abandoned[]) =>
  abandoned.map(({ host, runEpoch, fenced }) => ({ host: host.name, runEpoch, fenced }));

const foreign = { guard: 'isForeign', actions: 'refuseForeign' } as const;
export const givenUpThere = {
  guard: 'isActiveThere',
  target: '#port.abandoning',
  actions: ['abandon', 'noteOff'],
} as const;
/** Of a port with a binding. */
export const givenUp = {
  'port.abandon': [foreign, givenUpThere, { target: '#port.unbinding', actions: 'abandon' }],
} as const;
