/** Context of an external address, its changes and its messages: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { externalClaim, externalRelease } from '../external-network/external-network-protocol.ts';
import { portFollow, portUnfollow } from '../port/port-protocol.ts';
import type { ConditionParams } from '../values/conditions.ts';
import { withCondition } from '../values/conditions.ts';
import type { DeclaredContext } from '../values/declared.ts';
import { failureOf } from '../values/failures.ts';
import { idOf, systemTenant } from '../values/identifiers.ts';
import { gatewayKey } from '../values/router-elements.ts';
import { rejectFor, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import { elementPut, elementRemove } from '../vpc/vpc-protocol.ts';
import { targetId, type ExternalAddressEvent, type ExternalAddressSpec } from './external-address-protocol.ts';

/** Where the target is. */
interface Place {
  readonly vpc: string;
  /** Its address in the VPC. */
  readonly inside: string;
}

export interface ExternalAddressContext extends DeclaredContext<ExternalAddressSpec> {
  /** Null until the external network has given one. */
  readonly address: string | null;
  /** Actor id of what is followed; null while nothing is. */
  readonly followed: string | null;
  /** Where the target is, as far as it is known. */
  readonly found: Place | null;
  /** Where the address leads now; some host of the VPC may have it. */
  readonly attached: Place | null;
  /** Number of the publication, by which the VPC's answers are told apart. */
  readonly revision: number;
  readonly isRealized: boolean;
}

export type At = Seen<ExternalAddressContext, ExternalAddressEvent>;
type Change = Partial<ExternalAddressContext>;
type Done = Acted<ExternalAddressContext>;

const section = 'external-addresses';

export const networkOf = ({ spec }: ExternalAddressContext): string =>
  idOf('external-network', systemTenant, spec?.network ?? '');

const wantedTarget = ({ id, spec }: ExternalAddressContext): string | null => targetId(id, spec?.target ?? null);

// The address

export const claimAddress = ({ context }: At): readonly Asked[] => {
  const { id, spec } = context;
  const claim = externalClaim({ by: id, use: 'address', wantsAddress: true, address: spec?.address ?? null });
  return [send(networkOf(context), claim)];
};

export const releaseAddress = ({ context }: At): readonly Asked[] => [
  send(networkOf(context), externalRelease({ by: context.id, address: context.address, ends: true })),
];

export function takeAddress({ event }: At): Change {
  assertEvent(event, 'external.granted');
  return { address: event.address, failure: null, tries: 0 };
}

export const usesAsker = ({ context, event }: At): boolean => {
  assertEvent(event, 'external.confirm');
  return context.spec !== null && event.meta.from === networkOf(context);
};

export function disownAddress({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'external.confirm');
  return [send(event.meta.from ?? '', externalRelease({ by: context.id, address: null, ends: true }))];
}

export function rejectRefused({ context, event }: At): Done {
  assertEvent(event, 'external.refused');
  return {
    changes: { waiters: [], failure: failureOf(event.error) },
    asks: context.waiters.map(({ commandId }) => rejectFor(commandId, event.error, `spec.${event.field}`)),
  };
}

export function rejectLost({ context }: At): Done {
  const message = `${networkOf(context)} does not answer; try again`;
  const error = { code: 'external_network_silent', message, retryable: true };
  return {
    changes: { waiters: [], failure: error },
    asks: context.waiters.map(({ commandId }) => rejectFor(commandId, error, 'spec.network')),
  };
}

// The target

/** Follows the target of the declaration; what was followed before is left. */
export function follow({ context }: At): Done {
  const wanted = wantedTarget(context);
  const { followed } = context;
  const left = followed === null || followed === wanted ? [] : [send(followed, portUnfollow({}))];
  const asks = wanted === null ? left : [...left, send(wanted, portFollow({}))];
  return { changes: { followed: wanted, ...(followed === wanted ? {} : { found: null }) }, asks };
}

export const unfollow = ({ context }: At): Done => ({
  changes: { followed: null, found: null },
  asks: context.followed === null ? [] : [send(context.followed, portUnfollow({}))],
});

/** About what is followed now. */
export const isOfTarget = ({ context, event }: At): boolean => 'port' in event && event.port === context.followed;

export function noteFound({ event }: At): Change {
  assertEvent(event, 'port.address');
  return { found: { vpc: event.vpc, inside: event.address }, failure: null, tries: 0 };
}

export const noteMissing = ({ context }: At): Change => {
  const message = `there is no ${context.followed}, so the address leads nowhere; declare it, or name another target`;
  return { found: null, failure: { code: 'target_missing', message, retryable: true }, tries: context.tries + 1 };
};

export const hasTarget = ({ context }: At): boolean => wantedTarget(context) !== null;
export const isFound = ({ context }: At): boolean =>
  context.found !== null && context.followed === wantedTarget(context);
export const isAttached = ({ context }: At): boolean => context.attached !== null;

/** The target is in another VPC than the one in which the address is now, which has to give it up first. */
export const isElsewhere = ({ context }: At): boolean =>
  context.attached !== null && context.found !== null && context.attached.vpc !== context.found.vpc;

// Hosts

/** Publishes where the address leads, to the VPC of the target. It needs the router's way out there. */
export function attach({ context }: At): Done {
  const { found, address } = context;
  if (found === null || address === null) return { changes: {}, asks: [] };
  const isSame = context.attached?.vpc === found.vpc && context.attached.inside === found.inside;
  const revision = context.revision + 1;
  const requires = { section: 'gateway', key: gatewayKey, fields: { network: networkOf(context) } };
  const element = { inside: found.inside };
  const put = elementPut({ section, key: address, element, generation: revision, requires });
  return {
    changes: { attached: found, revision, isRealized: isSame && context.isRealized },
    asks: [send(found.vpc, put)],
  };
}

export const detach = ({ context }: At): readonly Asked[] =>
  context.attached === null || context.address === null
    ? []
    : [send(context.attached.vpc, elementRemove({ section, key: context.address }))];

export const isNewest = ({ context, event }: At): boolean =>
  'generation' in event && event.generation === context.revision;

export const noteDetached = (): Change => ({ attached: null, isRealized: false });

/** Of the VPC in which the address is; an earlier one may answer late. */
export const isOfVpc = ({ context, event }: At): boolean =>
  context.attached === null || event.meta.from === context.attached.vpc;

const realized = (params: Omit<ConditionParams, 'type'>) => ({ type: 'Realized', ...params });

export const noteRealized = ({ context, event }: At): Change => ({
  isRealized: true,
  observedGeneration: context.generation,
  failure: null,
  conditions: withCondition(context.conditions, realized({ status: 'True', reason: 'Proven' }), event.meta.at),
});

/** Without a router in the VPC, or while a host does not follow. */
export function noteDelayed({ context, event }: At): Change {
  assertEvent(event, 'element.delayed');
  const vpc = context.attached?.vpc ?? 'the VPC';
  const lacksRouter = event.error.code === 'element_missing';
  const message = lacksRouter
    ? `${vpc} has no router with external network ${context.spec?.network}; declare one`
    : event.error.message;
  const failure = { ...failureOf(event.error), message };
  const condition = { status: 'False', reason: lacksRouter ? 'NoRouter' : 'HostDelayed', message } as const;
  return {
    isRealized: false,
    failure,
    conditions: withCondition(context.conditions, realized(condition), event.meta.at),
  };
}

export const notePublishing = ({ context, event }: At): Change =>
  context.isRealized
    ? {}
    : {
        conditions: withCondition(
          context.conditions,
          realized({ status: 'False', reason: 'Publishing', message: 'not every host has proven it yet' }),
          event.meta.at,
        ),
      };

/** Nothing is to be on hosts. */
export const noteIdle = ({ context, event }: At): Change => ({
  observedGeneration: context.generation,
  failure: null,
  conditions: withCondition(context.conditions, realized({ status: 'True', reason: 'Detached' }), event.meta.at),
});
