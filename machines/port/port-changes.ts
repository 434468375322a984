/** How a port's context changes, and the questions its guards ask: pure functions. */
import { assertEvent } from 'xstate';
import { failureOf, isHostGone } from '../values/failures.ts';
import type { PortContext } from './port-context.ts';
import { specOf, type At } from './port-messages.ts';

type Changed = Partial<PortContext>;

export const take = ({ event }: At): Changed => ({ uid: event.meta.ulid, spec: specOf(event) });

export const noteWaiter = ({ context, event }: At): Changed =>
  event.meta.commandId === undefined ? {} : { waiters: [...context.waiters, event.meta.commandId] };

export function takeHost({ event }: At): Changed {
  assertEvent(event, 'host.found');
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

export const noteFailure = ({ context, event }: At): Changed =>
  'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {};

export const noteBroken = ({ event }: At): Changed =>
  'error' in event ? { failure: failureOf(event.error), proof: null } : {};

export const noteTry = ({ context }: At): Changed => ({ tries: context.tries + 1 });

export const noteOff = (): Changed => ({ host: null, proof: null, bindingUid: null, tries: 0, failure: null });

// Questions

/** So many requests without an answer, or refusals that might pass, and a creation is given up. */
const claimTries = 12;

export const isLost = ({ context }: At): boolean => context.tries >= claimTries;
export const mayPass = ({ context, event }: At): boolean =>
  'error' in event && event.error.retryable && !(event.type === 'address.refused' && isLost({ context, event }));

export const wantsHost = ({ event }: At): boolean => specOf(event).host !== null;
export const hasHost = ({ context }: At): boolean => context.host !== null;
export const isLeaving = ({ context }: At): boolean => context.leaving;
export const isHeld = ({ context }: At): boolean => (context.spec?.holder ?? null) !== null;
export const isHeldCommand = (seen: At): boolean => seen.event.meta.commandId !== undefined && isHeld(seen);

/** Asked by somebody who does not hold it. A client's unbind names no holder. */
export const isForeign = ({ context, event }: At): boolean =>
  'holder' in event && event.holder !== undefined && event.holder !== (context.spec?.holder ?? null);

/** A bind for this very host. */
export const isHere = ({ context, event }: At): boolean =>
  event.type === 'port.bind' && event.host.name === context.host?.name;

/** A bind of an earlier run. */
export const isStale = ({ context, event }: At): boolean =>
  event.type === 'port.bind' && event.runEpoch < context.runEpoch;
export const isAsked = (seen: At): boolean =>
  isHere(seen) && seen.event.type === 'port.bind' && seen.event.runEpoch === seen.context.runEpoch;

/** The host is gone that a port without a VM was declared for: it waits for its return. */
export const isGoneDirect = (seen: At): boolean =>
  isCurrent(seen) && !isHeld(seen) && seen.context.spec?.host !== null && isHostGone(seen.event);

/** An answer of the present binding to its present asking. */
export const isCurrent = ({ context, event }: At): boolean => {
  if (!('host' in event) || typeof event.host !== 'string' || event.host !== context.host?.name) return false;
  return !('runEpoch' in event) || event.runEpoch === context.runEpoch;
};
export const isCurrentFault = (seen: At): boolean => isCurrent(seen) && mayPass(seen);
export const isCurrentHeld = (seen: At): boolean => isCurrent(seen) && isHeld(seen);
export const isOffLeaving = (seen: At): boolean => isCurrent(seen) && seen.context.leaving;
export const isOffNext = (seen: At): boolean => isCurrent(seen) && seen.context.next !== null;
