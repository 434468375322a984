/** Context of a peering, its changes and its messages: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { cidrOf, overlap } from '../values/addresses.ts';
import { withCondition } from '../values/conditions.ts';
import type { DeclaredContext } from '../values/declared.ts';
import { sameJson, type Failure } from '../values/failures.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import type { ValueOf } from '../values/kind.ts';
import { peeringsSection, type PeeringElement, type Range } from '../values/peering-elements.ts';
import { serviceIpsSection } from '../values/service-elements.ts';
import { rejectFor, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import { carriedMtu } from '../vpc/vpc-context.ts';
import { peerMembers, reachFollow, reachUnfollow, type reachTold } from '../vpc/vpc-peer-protocol.ts';
import { elementPut, elementRemove } from '../vpc/vpc-protocol.ts';
import type { PeeringEvent, PeeringSpec } from './peering-protocol.ts';

/** What a VPC has told of itself. */
export type Reach = ValueOf<(typeof reachTold)['schema']>;

export interface PeeringContext extends DeclaredContext<PeeringSpec> {
  /** VPC id -> what it has told last. */
  readonly reaches: Readonly<Record<string, Reach>>;
  /** Number of the newest publication to both VPCs. */
  readonly edition: number;
  /** VPC id -> edition that all its hosts have proven. */
  readonly proven: Readonly<Record<string, number>>;
  /** Ids of the VPCs that have nothing of the peering any more. */
  readonly parted: readonly string[];
}

export type At = Seen<PeeringContext, PeeringEvent>;
type Change = Partial<PeeringContext>;

/** Ids of both VPCs, in the order of their names. */
export function vpcsOf({ id, spec }: PeeringContext): readonly string[] {
  const { tenant } = partsOfId(id);
  return (spec?.vpcs ?? []).map((name) => idOf('vpc', tenant, name)).toSorted();
}

const otherOf = (context: PeeringContext, vpc: string): string => vpcsOf(context).find((one) => one !== vpc) ?? '';

// What the VPCs tell

export const followBoth = ({ context }: At): readonly Asked[] =>
  vpcsOf(context).map((vpc) => send(vpc, reachFollow({})));

export const unfollowBoth = ({ context }: At): readonly Asked[] =>
  vpcsOf(context).map((vpc) => send(vpc, reachUnfollow({})));

/** The reaches with the one of the event. */
export function reachesAfter({ context, event }: At): PeeringContext['reaches'] {
  assertEvent(event, 'reach.told');
  const { meta: _, type: __, ...reach } = event;
  return vpcsOf(context).includes(reach.vpc) ? { ...context.reaches, [reach.vpc]: reach } : context.reaches;
}

export const takeReach = (seen: At): Change => ({ reaches: reachesAfter(seen) });

/** Of this VPC itself, without what it reaches over other peerings or through its router. */
const isOwn = ({ by }: Range): boolean => partsOfId(by).kind === 'network';

interface Clash {
  readonly of: readonly [Range, Range];
  readonly vpcs: readonly [string, string];
}

/**
 * A CIDR of one VPC that overlaps one of the other. Two that neither VPC has itself do not meet: a peering leads
 * neither on to the next nor out.
 */
function clashIn(reaches: PeeringContext['reaches'], [a = '', b = '']: readonly string[]): Clash | undefined {
  for (const one of reaches[a]?.ranges ?? [])
    for (const other of reaches[b]?.ranges ?? [])
      if ((isOwn(one) || isOwn(other)) && overlap(cidrOf(one.cidr), cidrOf(other.cidr)))
        return { of: [one, other], vpcs: [a, b] };
  return undefined;
}

const textOf = ({ of: [one, other], vpcs: [a, b] }: Clash): string =>
  `${one.cidr} of ${one.by} in ${a} overlaps ${other.cidr} of ${other.by} in ${b}`;

/** Why the two VPCs cannot be joined now; undefined while that is not known, or nothing is wrong. */
function troubleOf({ context, event }: At): Failure | undefined {
  const reaches = event.type === 'reach.told' ? reachesAfter({ context, event }) : context.reaches;
  const vpcs = vpcsOf(context);
  const missing = vpcs.find((vpc) => reaches[vpc]?.exists === false);
  if (missing !== undefined)
    return { code: 'vpc_not_found', message: `${missing} does not exist; create it, then try again`, retryable: false };
  const clash = clashIn(reaches, vpcs);
  if (clash === undefined) return undefined;
  const message = `${textOf(clash)}; VPCs that are peered have different ranges: delete or renumber one of the two`;
  return { code: 'cidr_overlap', message, retryable: false };
}

export const isMissing = (seen: At): boolean => troubleOf(seen)?.code === 'vpc_not_found';
export const isOverlapping = (seen: At): boolean => troubleOf(seen)?.code === 'cidr_overlap';
/** Both VPCs have told of themselves. */
export const isKnown = (seen: At): boolean => {
  const reaches = reachesAfter(seen);
  return vpcsOf(seen.context).every((vpc) => reaches[vpc] !== undefined);
};
export const isNews = (seen: At): boolean => !sameJson(reachesAfter(seen), seen.context.reaches);

export const noteTrouble = (seen: At): Change => {
  const failure = troubleOf(seen);
  return failure === undefined ? {} : { failure, tries: seen.context.tries + 1 };
};

/** Rejects the declarations that wait. */
export function rejectTrouble(seen: At): Acted<PeeringContext> {
  const failure = troubleOf(seen);
  const { waiters } = seen.context;
  if (failure === undefined) return { changes: {}, asks: [] };
  return { changes: { waiters: [] }, asks: waiters.map(({ commandId }) => rejectFor(commandId, failure, 'spec.vpcs')) };
}

// What the VPCs are told

/** Publishes to both VPCs what each has to know of the other. */
export function publish({ context }: At): Acted<PeeringContext> {
  const edition = context.edition + 1;
  const asks = publications({ ...context, edition });
  return { changes: { edition, proven: {} }, asks };
}

export const publishAgain = ({ context }: At): readonly Asked[] => publications(context);

function publications(context: PeeringContext): readonly Asked[] {
  const { id, edition, reaches } = context;
  const vpcs = vpcsOf(context);
  const all = vpcs.flatMap((vpc) => reaches[vpc]?.hosts ?? []);
  const hosts = [...new Set(all.map(({ name }) => name))].toSorted();
  const mtu = Math.min(65_535, carriedMtu(all));
  return vpcs.map((vpc) => {
    const peer = otherOf(context, vpc);
    const ranges = reaches[peer]?.ranges ?? [];
    const element: PeeringElement = {
      peer,
      cidrs: ranges.filter(isOwn).map(({ cidr }) => cidr),
      taken: ranges.filter((range) => !isOwn(range)),
      mtu,
      hosts,
    };
    const put = { section: peeringsSection, key: id, generation: edition, element, hosts: reaches[peer]?.hosts ?? [] };
    return send(vpc, elementPut(put));
  });
}

/** Passes on to the other VPC which ports of this one have which groups. */
export function passOn({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'peer.members');
  const { whole, put, removed, meta } = event;
  const from = meta.from ?? '';
  if (!vpcsOf(context).includes(from)) return [];
  return [send(otherOf(context, from), peerMembers({ whole, put, removed }))];
}

/**
 * Publishes in the other VPC where a service IP of this one leads. Nobody waits until hosts have it: generation 0 is
 * never reported.
 */
export function passOnService({ context, event }: At): readonly Asked[] {
  assertEvent(event, 'peer.service');
  const { serviceIp: key, element, meta } = event;
  const from = meta.from ?? '';
  if (!vpcsOf(context).includes(from)) return [];
  const about = { section: serviceIpsSection, key };
  return [
    send(
      otherOf(context, from),
      element === null ? elementRemove(about) : elementPut({ ...about, element, generation: 0 }),
    ),
  ];
}

export const isNewest = ({ context, event }: At): boolean =>
  'generation' in event && event.generation === context.edition;

const provenAfter = ({ context, event }: At): PeeringContext['proven'] => {
  assertEvent(event, 'element.realized');
  return { ...context.proven, [event.meta.from ?? '']: event.generation };
};

/** The hosts of both VPCs have proven the newest edition. */
export const isProven = (seen: At): boolean => {
  const proven = provenAfter(seen);
  return isNewest(seen) && vpcsOf(seen.context).every((vpc) => proven[vpc] === seen.context.edition);
};

export const noteProven = (seen: At): Change => ({ proven: provenAfter(seen) });

/** All of the newest edition is proven. */
export const noteJoined = (seen: At): Change => ({
  proven: provenAfter(seen),
  observedGeneration: seen.context.generation,
  conditions: withCondition(
    seen.context.conditions,
    { type: 'Realized', status: 'True', reason: 'Proven' },
    seen.event.meta.at,
  ),
});

// The end

/** Asks those that still have something of it. A VPC that does not exist answers the first message. */
export const partBoth = ({ context }: At): readonly Asked[] =>
  vpcsOf(context)
    .filter((vpc) => !context.parted.includes(vpc))
    .flatMap((vpc) => [
      send(vpc, reachUnfollow({})),
      ...(context.reaches[vpc]?.exists === true
        ? [send(vpc, elementRemove({ section: peeringsSection, key: context.id }))]
        : []),
    ]);

/** Not of a service IP. */
export const isOfLink = ({ event }: At): boolean => 'section' in event && event.section === peeringsSection;

/** The VPC that tells that it has nothing of the peering any more. */
function partedAfter({ context, event }: At): readonly string[] {
  const vpc = event.type === 'reach.told' && !event.exists ? event.vpc : (event.meta.from ?? '');
  return [...new Set([...context.parted, vpc])];
}

export const noteParted = (seen: At): Change => ({ parted: partedAfter(seen) });
export const isParted = (seen: At): boolean => {
  const parted = partedAfter(seen);
  return vpcsOf(seen.context).every((vpc) => parted.includes(vpc));
};
export const isAbsent = ({ event }: At): boolean => event.type === 'reach.told' && !event.exists;
