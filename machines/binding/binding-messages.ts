/** What a binding remembers, changes and tells: pure functions of its context and the event. */
import { assertEvent } from 'xstate';
import { failureOf, hostGoneFailure, sameJson, type Failure } from '../values/failures.ts';
import { send, type Asked, type Seen } from '../values/telling.ts';
import type { TapProof, TapSpec } from '../values/wiring.ts';
import * as says from './binding-protocol.ts';
import type { BindingEvent } from './binding-protocol.ts';

export interface BindingContext {
  readonly id: string;
  readonly uid: string;
  readonly host: string;
  /** Its owner is this actor in this life. Null only before the first request. */
  readonly spec: TapSpec | null;
  /** Actor id of the port that asks. */
  readonly port: string;
  /** Wired as soon as it is made: no VM takes the tap. */
  readonly direct: boolean;
  /** Incarnation that waits for the wiring, or null. */
  readonly requester: string | null;
  readonly tap: string | null;
  /** Read back from the kernel; null while it is not known to be wired. */
  readonly proof: TapProof | null;
  readonly tries: number;
  readonly failure: Failure | null;
}

export type At = Seen<BindingContext, BindingEvent>;

/** Params of every effect. @throws TypeError before the first request: no state asks so early */
export function tapAsk({ context }: At): { spec: TapSpec } {
  if (context.spec === null) throw new TypeError(`${context.id} has no spec`);
  return { spec: context.spec };
}

const ownSpec = (context: BindingContext, spec: TapSpec, uid: string): TapSpec => ({
  ...spec,
  owner: { actor: context.id, uid, runEpoch: spec.owner.runEpoch },
});

/** A request makes the tap anew, for a run that has not asked for its wiring yet. */
export function takeSpec({ context, event }: At): Partial<BindingContext> {
  assertEvent(event, 'binding.ensure');
  const uid = context.uid === '' ? event.meta.ulid : context.uid;
  return {
    uid,
    spec: ownSpec(context, event.spec, uid),
    port: event.port,
    direct: event.direct,
    requester: null,
    tap: null,
    proof: null,
    tries: 0,
    failure: null,
  };
}

export function noteRequester({ event }: At): Partial<BindingContext> {
  assertEvent(event, 'binding.wire');
  return { requester: event.requester };
}

export const isStale = ({ context, event }: At): boolean => {
  if (event.type === 'binding.remove') return event.runEpoch < (context.spec?.owner.runEpoch ?? 0);
  return event.type === 'binding.ensure' && event.spec.owner.runEpoch < (context.spec?.owner.runEpoch ?? 0);
};

/** The same request once more, for what needs no VM: there is nothing to be made anew. */
export const isAnswered = ({ context, event }: At): boolean =>
  event.type === 'binding.ensure' && event.direct && isRepeated({ context, event });

export function isRepeated({ context, event }: At): boolean {
  if (event.type !== 'binding.ensure' || context.spec === null) return false;
  return sameJson(ownSpec(context, event.spec, context.uid), context.spec) && event.direct === context.direct;
}

/** Which binding speaks, and which request of the port it answers. */
const standing = ({ host, spec }: BindingContext) => ({ host, runEpoch: spec?.owner.runEpoch ?? 0 });

/** @throws TypeError without a tap: only `tap.create.done` leads here */
export const tellTapped = ({ context }: At): readonly Asked[] => {
  const { uid, tap, port } = context;
  if (tap === null) throw new TypeError(`${context.id} has no tap to tell of`);
  return [send(port, says.bindingTapped({ ...standing(context), uid, tap }))];
};

/** @throws TypeError without a proof: nothing is called wired that was not read back */
function proofOf({ id, proof }: BindingContext): TapProof {
  if (proof === null) throw new TypeError(`${id} has no proof of its wiring`);
  return proof;
}

const wiredFor = (context: BindingContext, requester: string): Asked =>
  send(requester, says.bindingWired({ binding: context.id, host: context.host, proof: proofOf(context) }));

const unwiredFor = ({ id, host }: BindingContext, requester: string, error: Failure): Asked =>
  send(requester, says.bindingUnwired({ binding: id, host, error }));

export const tellReady = ({ context }: At): readonly Asked[] => {
  const { requester, port } = context;
  return [
    send(port, says.bindingReady({ ...standing(context), proof: proofOf(context) })),
    ...(requester === null ? [] : [wiredFor(context, requester)]),
  ];
};

export function tellRequester({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'binding.wire');
  return [wiredFor(context, event.requester)];
}

/** The tap that the run's QEMU took is not there any more: only another run, with a tap made anew, can be wired. */
export const hasLostTap = ({ context }: At): boolean => !context.direct && context.failure?.code === 'tap_missing';

/** There is nothing to wire: no tap has been asked for in this life, its making has failed for good, or it was lost. */
export function refuseWire({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'binding.wire');
  const message = `${context.id} has no tap to wire; bind the port first`;
  const error = context.failure ?? { code: 'binding_missing', message, retryable: false };
  return [unwiredFor(context, event.requester, error)];
}

function troubleOf(context: BindingContext, event: BindingEvent): Failure | undefined {
  if (event.type === 'host.gone') return hostGoneFailure(context.host);
  if (event.type === 'tap.watch.done') return { code: event.reason, message: event.detail, retryable: true };
  return 'error' in event ? failureOf(event.error) : undefined;
}

/** What may pass is told to the port only: whoever waits for the wiring goes on waiting. */
export const tellTrouble = ({ context, event }: At): readonly Asked[] => {
  const error = troubleOf(context, event);
  if (error === undefined) return [];
  const asks = [send(context.port, says.bindingFailed({ ...standing(context), error }))];
  if (error.retryable || context.requester === null) return asks;
  return [...asks, unwiredFor(context, context.requester, error)];
};

export const tellRemoved = ({ context, event }: At): readonly Asked[] => {
  const to = context.port === '' ? (event.meta.from ?? '') : context.port;
  // A wire request is the only thing that ends here without somebody who waits for the end.
  return event.type === 'binding.wire' ? [] : [send(to, says.bindingRemoved({ host: context.host }))];
};
