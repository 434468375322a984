/** Context changes and messages of a router: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { externalClaim, externalRelease } from '../external-network/external-network-protocol.ts';
import { portFollow, portUnfollow } from '../port/port-protocol.ts';
import { withCondition } from '../values/conditions.ts';
import { failureOf, sameJson, type Failure } from '../values/failures.ts';
import { reject, rejectFor, send, type Acted, type Asked } from '../values/telling.ts';
import { elementPut, elementRemove, rangesUnwatch, rangesWatch } from '../vpc/vpc-protocol.ts';
import * as contexts from './router-context.ts';
import type { At, Published, RouterContext } from './router-context.ts';
import type { RouteProblem } from './router-spec.ts';

type Change = Partial<RouterContext>;
type Done = Acted<RouterContext>;

// A declaration is examined

export function propose({ context, event }: At): Change {
  assertEvent(event, ['router.update', 'router.apply']);
  const { spec, labels = context.labels, protect = context.protect } = event;
  return { proposed: { spec, labels, protect }, tries: 0 };
}

/** The declaration that is being examined, once more. */
export function isRepeated({ context, event }: At): boolean {
  assertEvent(event, ['router.update', 'router.apply']);
  return sameJson(contexts.candidateOf(context), event.spec);
}

/** What the VPC and the next hops of the declaration are asked. */
export const survey = ({ context }: At): readonly Asked[] => [
  send(contexts.vpcOf(context), rangesWatch({})),
  ...contexts.portsIn(context, contexts.candidateOf(context)).map((port) => send(port, portFollow({}))),
];

export function noteRanges({ event }: At): Change {
  assertEvent(event, 'ranges.told');
  const { ranges } = event;
  return ranges === null ? { isStranded: true } : { ranges, isStranded: false };
}

export function noteHop({ context, event }: At): Change {
  assertEvent(event, ['port.address', 'port.lost']);
  const hop = event.type === 'port.lost' ? null : { address: event.address, vpc: event.vpc };
  return { hops: { ...context.hops, [event.port]: hop } };
}

/** With the external network of a grant that has just come. */
function problemsIn({ context, event }: At): readonly RouteProblem[] {
  const vpc = contexts.vpcOf(context);
  if (context.isStranded)
    return [{ code: 'vpc_not_found', path: 'spec.vpc', message: `there is no ${vpc}; create it first` }];
  const granted = event.type === 'external.granted' ? { ...context, external: claimedBy(event) } : context;
  return contexts.problemsWith(granted, contexts.candidateOf(context));
}

const claimedBy = ({ network, address, way }: contexts.Claimed): contexts.Claimed => ({ network, address, way });

export const isUnfit = (seen: At): boolean => problemsIn(seen).length > 0;
export const isUnfitGrant = (seen: At): boolean => isOfCandidate(seen) && isUnfit(seen);

/** Rejects the commands that wait for the declaration, with all that is wrong. */
export function rejectUnfit(seen: At): Done {
  const { context } = seen;
  const found = problemsIn(seen);
  const [first] = found;
  const issues = found.map(({ path, message }) => ({ path, message }));
  const asks = context.waiters.map(({ commandId }) =>
    reject({ commandId, code: first?.code ?? 'route_invalid', message: first?.message ?? 'is not valid', issues }),
  );
  return { changes: { waiters: [] }, asks };
}

/** The VPC or a next hop does not answer. */
export function rejectSilent({ context }: At): Done {
  const silent = context.ranges === null ? contexts.vpcOf(context) : 'a next hop';
  const error: Failure = {
    code: 'router_unanswered',
    message: `${silent} does not answer; try again`,
    retryable: true,
  };
  const path = context.ranges === null ? 'spec.vpc' : 'spec.routes';
  return {
    changes: { waiters: [] },
    asks: context.waiters.map(({ commandId }) => rejectFor(commandId, error, path)),
  };
}

// The external network

export const wantsExternal = ({ context }: At): boolean => {
  const { external } = contexts.candidateOf(context);
  if (external === null) return false;
  const isSame = context.proposed !== null && sameJson(context.spec?.external, external);
  return !isSame || context.external === null;
};

export function claimExternal({ context }: At): readonly Asked[] {
  const { external } = contexts.candidateOf(context);
  if (external === null) return [];
  const { network, snat, address } = external;
  const claim = externalClaim({ by: context.id, use: 'router', wantsAddress: snat, address });
  return [send(contexts.networkIdOf(network), claim)];
}

const isOfCandidate = ({ context, event }: At): boolean => {
  const { external } = contexts.candidateOf(context);
  return 'network' in event && external !== null && event.network === contexts.networkIdOf(external.network);
};

/** An answer about the external network of the declaration. */
export const isAnswer = isOfCandidate;
export const mayPass = (seen: At): boolean =>
  isOfCandidate(seen) && seen.event.type === 'external.refused' && seen.event.error.retryable;

/** The router uses the external network that asks, or is about to. */
export const usesAsker = ({ context, event }: At): boolean => {
  assertEvent(event, 'external.confirm');
  const { from = '' } = event.meta;
  const named = [context.spec, context.proposed?.spec ?? null].flatMap((spec) => spec?.external?.network ?? []);
  return context.external?.network === from || named.map(contexts.networkIdOf).includes(from);
};

export function disownExternal({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'external.confirm');
  return [send(event.meta.from ?? '', externalRelease({ by: context.id, address: null, ends: true }))];
}

/** Another external network was held before: it is given back, with its address, which then rests. */
export function takeGrant({ context, event }: At): Done {
  assertEvent(event, 'external.granted');
  const before = context.external;
  const left = before === null || before.network === event.network ? [] : released(context);
  return { changes: { external: claimedBy(event) }, asks: left };
}

const released = ({ id, external }: RouterContext): readonly Asked[] =>
  external === null ? [] : [send(external.network, externalRelease({ by: id, address: external.address, ends: true }))];

export function rejectRefused({ context, event }: At): Done {
  assertEvent(event, 'external.refused');
  const path = `spec.external.${event.field}`;
  return {
    changes: { waiters: [] },
    asks: context.waiters.map(({ commandId }) => rejectFor(commandId, event.error, path)),
  };
}

/** A declaration that is not accepted leaves nothing at the external network that only it names. */
export function withdrawClaim({ context }: At): readonly Asked[] {
  const { external } = contexts.candidateOf(context);
  if (external === null) return [];
  const network = contexts.networkIdOf(external.network);
  if (context.external?.network === network) return context.proposed === null ? released(context) : reclaim(context);
  return [send(network, externalRelease({ by: context.id, address: null, ends: true }))];
}

/** The claim of the declaration in force, in case that the external network has granted the other one meanwhile. */
const reclaim = (context: RouterContext): readonly Asked[] =>
  claimExternal({ context: { ...context, proposed: null }, event: undefined as never });

export function noteWay({ context, event }: At): Change {
  assertEvent(event, 'external.changed');
  const { external } = context;
  return external === null || external.network !== event.network ? {} : { external: { ...external, way: event.way } };
}

/** A late answer to a claim that was repeated. */
export function noteRegranted({ context, event }: At): Change {
  assertEvent(event, 'external.granted');
  return context.external?.network === event.network ? { external: claimedBy(event) } : {};
}

// A declaration comes into force

/** Next hops and an external network that only the declaration before had are left. */
export function accept({ context }: At): Done {
  const { proposed, spec } = context;
  const after = proposed?.spec ?? spec;
  const ports = contexts.portsIn(context, after);
  const left = Object.keys(context.hops).filter((port) => !ports.includes(port));
  const hops = Object.fromEntries(Object.entries(context.hops).filter(([port]) => !left.includes(port)));
  const unfollowed = left.map((port) => send(port, portUnfollow({})));
  const goesOut = after?.external !== null;
  return {
    changes: {
      ...proposed,
      spec: after,
      proposed: null,
      generation: context.generation + (proposed === null ? 0 : 1),
      hops,
      tries: 0,
      failure: null,
      ...(goesOut ? {} : { external: null }),
    },
    asks: goesOut ? unfollowed : [...unfollowed, ...released(context)],
  };
}

export const withdrawProposed = ({ context }: At): Done => {
  const kept = contexts.portsIn(context, context.spec);
  const left = contexts.portsIn(context, context.proposed?.spec ?? null).filter((port) => !kept.includes(port));
  const hops = Object.fromEntries(Object.entries(context.hops).filter(([port]) => !left.includes(port)));
  return {
    changes: { proposed: null, tries: 0, hops },
    asks: left.map((port) => send(port, portUnfollow({}))),
  };
};

// Elements

const put = (context: RouterContext, { section, key, element, hosts, revision }: Published): Asked =>
  send(contexts.vpcOf(context), elementPut({ section, key, generation: revision, element, hosts, tellsLagging: true }));

/** Publishes what differs from what was published last. */
export function publish({ context }: At): Done {
  const wanted = contexts.wantedElements(context);
  const slots = wanted.map(contexts.slotOf);
  let { revision } = context;
  const changed = wanted
    .filter((one) => !contexts.isPublished(context, one))
    .map((one): Published => ({ ...one, revision: (revision += 1), isRealized: false, failure: null }));
  const gone = Object.values(context.published).filter((one) => !slots.includes(contexts.slotOf(one)));
  const kept = Object.entries(context.published).filter(([slot]) => slots.includes(slot));
  const published = Object.fromEntries([...kept, ...changed.map((one) => [contexts.slotOf(one), one] as const)]);
  const leaving = [...context.leaving.filter((slot) => !slots.includes(slot)), ...gone.map(contexts.slotOf)];
  const asks = [
    ...gone.map(({ section, key }) => send(contexts.vpcOf(context), elementRemove({ section, key }))),
    ...changed.map((one) => put(context, one)),
  ];
  const isWhole = contexts.allRealized({ ...context, published, leaving });
  const observedGeneration = isWhole ? context.generation : context.observedGeneration;
  return { changes: { published, leaving, revision, observedGeneration }, asks };
}

/** Publishes again what a host, or another owner of the key, has refused. */
export const publishFailed = ({ context }: At): readonly Asked[] =>
  Object.values(context.published)
    .filter(({ failure }) => failure !== null)
    .map((one) => put(context, one));

const elementOf = ({ context, event }: At): Published | undefined => {
  assertEvent(event, ['element.realized', 'element.delayed', 'element.lagging']);
  const known = context.published[contexts.slotOf(event)];
  return known?.revision === event.generation ? known : undefined;
};

export function noteElement(seen: At): Change {
  const { context, event } = seen;
  assertEvent(event, ['element.realized', 'element.delayed']);
  const known = elementOf(seen);
  if (known === undefined) return {};
  const failure = event.type === 'element.delayed' ? failureOf(event.error) : null;
  const one = { ...known, isRealized: failure === null, failure };
  return settled({ ...context, published: { ...context.published, [contexts.slotOf(known)]: one } });
}

export function noteLagging(seen: At): Change {
  const { context, event } = seen;
  assertEvent(event, 'element.lagging');
  const known = elementOf(seen);
  if (known === undefined || known.isRealized) return {};
  return { published: { ...context.published, [contexts.slotOf(known)]: { ...known, lagging: event.hosts } } };
}

export function noteRemoved({ context, event }: At): Change {
  assertEvent(event, 'element.removed');
  return settled({ ...context, leaving: context.leaving.filter((slot) => slot !== contexts.slotOf(event)) });
}

function settled(context: RouterContext): Change {
  const { published, leaving, generation, observedGeneration } = context;
  return {
    published,
    leaving,
    observedGeneration: contexts.allRealized(context) ? generation : observedGeneration,
  };
}

/** The conditions Routed and Realized, and the failure that lists show. */
export function noteHealth({ context, event }: At): Change {
  const troubles = contexts.troublesOf(context);
  const failed = Object.values(context.published).find(({ failure }) => failure !== null);
  const routed =
    troubles.length === 0
      ? ({ status: 'True', reason: 'Reachable', message: '' } as const)
      : ({ status: 'False', reason: 'Unreachable', message: troubles.join('; ') } as const);
  const lag = contexts.lagOf(context);
  const realized = contexts.allRealized(context)
    ? ({ status: 'True', reason: 'Proven', message: '' } as const)
    : failed !== undefined
      ? ({ status: 'False', reason: 'HostDelayed', message: failed.failure?.message ?? '' } as const)
      : lag !== null
        ? ({ status: 'False', reason: 'HostsLag', message: lag } as const)
        : ({ status: 'False', reason: 'Publishing', message: 'not every host has proven it yet' } as const);
  const { at } = event.meta;
  const conditions = withCondition(
    withCondition(context.conditions, { type: 'Routed', ...routed }, at),
    { type: 'Realized', ...realized },
    at,
  );
  const message = troubles.join('; ');
  const trouble: Failure | null = message === '' ? null : { code: 'unreachable', message, retryable: true };
  return { conditions, failure: trouble ?? failed?.failure ?? null };
}

export const isTroubled = ({ context }: At): boolean =>
  contexts.troublesOf(context).length > 0 || Object.values(context.published).some(({ failure }) => failure !== null);

// The end

export const removeAll = ({ context }: At): Done => {
  const slots = [...new Set([...context.leaving, ...Object.keys(context.published)])];
  const asks = slots.map((slot) => {
    const [section = '', key = ''] = slot.split(' ');
    return send(contexts.vpcOf(context), elementRemove({ section, key }));
  });
  return { changes: { published: {}, leaving: slots, proposed: null }, asks };
};

/** Nobody needs to tell it anything any more. */
export const leaveAll = ({ context }: At): readonly Asked[] => [
  send(contexts.vpcOf(context), rangesUnwatch({})),
  ...[...new Set([...Object.keys(context.hops), ...contexts.portsIn(context, context.spec)])].map((port) =>
    send(port, portUnfollow({})),
  ),
];

/** Gives back what the external network has granted, or may be about to grant. */
export const releaseExternal = (seen: At): readonly Asked[] =>
  seen.context.external === null ? withdrawClaim(seen) : released(seen.context);
