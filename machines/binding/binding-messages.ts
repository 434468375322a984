/** Context of a binding, its changes and its messages: pure functions of context and event. */
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
  /** Owned by this actor and uid. Null only before the first request. */
  readonly spec: TapSpec | null;
  /** Actor id of the requesting port. */
  readonly port: string;
  /** True for a port without a VM: the tap is wired as soon as it is made. */
  readonly direct: boolean;
  /** Incarnation that waits for the wiring, or null. */
  readonly requester: string | null;
  readonly tap: string | null;
  /** Read back from the kernel; null while the wiring is not proven. */
  readonly proof: TapProof | null;
  readonly tries: number;
  readonly failure: Failure | null;
}

export type At = Seen<BindingContext, BindingEvent>;

/** Params of every effect. @throws TypeError before the first request */
export function tapAsk({ context }: At): { spec: TapSpec } {
  if (context.spec === null) throw new TypeError(`${context.id} has no spec`);
  return { spec: context.spec };
}

const ownSpec = (context: BindingContext, spec: TapSpec, uid: string): TapSpec => ({
  ...spec,
  owner: { actor: context.id, uid, runEpoch: spec.owner.runEpoch },
});

/** A bind request makes a new tap; the next incarnation has not requested its wiring yet. */
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

/** A repeated request for a port without a VM: the existing tap is kept. */
export const isAnswered = ({ context, event }: At): boolean =>
  event.type === 'binding.ensure' && event.direct && isRepeated({ context, event });

export function isRepeated({ context, event }: At): boolean {
  if (event.type !== 'binding.ensure' || context.spec === null) return false;
  return sameJson(ownSpec(context, event.spec, context.uid), context.spec) && event.direct === context.direct;
}

/** What the present tap can get: security groups, address pairs, port security, host name, and whether it stands by. */
const changeable = ({ groups, pairs, portSecurity, hostname, activeHost }: TapSpec): Partial<TapSpec> => ({
  groups,
  hostname,
  activeHost,
  pairs: pairs ?? [],
  portSecurity: portSecurity ?? true,
});

/** A request that differs from the last one only in what the present tap can get. */
export function isRegrouped({ context, event }: At): boolean {
  if (event.type !== 'binding.ensure' || context.spec === null || event.direct !== context.direct) return false;
  const wanted = ownSpec(context, event.spec, context.uid);
  const [after, before] = [changeable(wanted), changeable(context.spec)];
  return !sameJson(after, before) && sameJson({ ...wanted, ...after }, { ...context.spec, ...after });
}

/** As `isRegrouped`, and there is a tap to wire. */
export const isRegroupedTap = (seen: At): boolean =>
  isRegrouped(seen) && seen.context.tap !== null && !hasLostTap(seen);

/** The present tap gets other groups, pairs, port security or host name, or becomes active, or stands by. */
export function takeGroups({ context, event }: At): Partial<BindingContext> {
  assertEvent(event, 'binding.ensure');
  return { spec: ownSpec(context, event.spec, context.uid), tries: 0, failure: null };
}

/** Identifies this binding and the port's request that the message answers. */
const standing = ({ host, spec }: BindingContext) => ({ host, runEpoch: spec?.owner.runEpoch ?? 0 });

/** @throws TypeError without a tap: only `tap.create.done` leads here */
export const tellTapped = ({ context }: At): readonly Asked[] => {
  const { uid, tap, port } = context;
  if (tap === null) throw new TypeError(`${context.id} has no tap to report`);
  return [send(port, says.bindingTapped({ ...standing(context), uid, tap }))];
};

/** @throws TypeError without a proof */
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

/** The tap that QEMU had opened is gone: only another incarnation with a new tap can be wired. */
export const hasLostTap = ({ context }: At): boolean => !context.direct && context.failure?.code === 'tap_missing';

/** There is no tap to wire: none was requested of this actor, making it failed permanently, or it was lost. */
export function refuseWire({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'binding.wire');
  const message = `${context.id} has no tap to wire; bind the port first`;
  const error = context.failure ?? { code: 'binding_missing', message, retryable: false };
  return [unwiredFor(context, event.requester, error)];
}

function troubleOf(context: BindingContext, event: BindingEvent): Failure | undefined {
  if (event.type === 'host.gone') return hostGoneFailure();
  if (event.type === 'tap.watch.done') return { code: event.reason, message: event.detail, retryable: true };
  return 'error' in event ? failureOf(event.error) : undefined;
}

/** A transient failure is reported to the port only; an incarnation that waits for the wiring keeps waiting. */
export const tellTrouble = ({ context, event }: At): readonly Asked[] => {
  const error = troubleOf(context, event);
  if (error === undefined) return [];
  const asks = [send(context.port, says.bindingFailed({ ...standing(context), error }))];
  if (error.retryable || context.requester === null) return asks;
  return [...asks, unwiredFor(context, context.requester, error)];
};

export const tellRemoved = ({ context, event }: At): readonly Asked[] => {
  const to = context.port === '' ? (event.meta.from ?? '') : context.port;
  // After a wire request for a missing binding nobody waits for its end.
  return event.type === 'binding.wire' ? [] : [send(to, says.bindingRemoved({ host: context.host }))];
};
