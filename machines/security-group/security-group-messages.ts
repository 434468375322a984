/** Context of a security group, its changes and its messages: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { withCondition } from '../values/conditions.ts';
import { type DeclaredContext } from '../values/declared.ts';
import { idOf, partsOfId, tenantId } from '../values/identifiers.ts';
import { forgetHolders, holdersAfter, referring, type Held } from '../values/references.ts';
import { reject, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import { elementPut, elementRemove } from '../vpc/vpc-protocol.ts';
import { ruleProblem, type GroupElement, type Remote } from '../values/group-rules.ts';
import {
  defaultGroupName,
  defaultRules,
  groupOpened,
  namesIn,
  type SecurityGroupEvent,
  type SecurityGroupSpec,
} from './security-group-protocol.ts';

/** A VPC with a port of the group; its hosts have the rules. */
interface PublishedTo {
  readonly holders: number;
  /** Generation that all hosts of the VPC have proven. */
  readonly realized: number;
}

export interface SecurityGroupContext extends DeclaredContext<SecurityGroupSpec>, Held {
  readonly vpcs: Readonly<Record<string, PublishedTo>>;
}

export type At = Seen<SecurityGroupContext, SecurityGroupEvent>;
type Change = Partial<SecurityGroupContext>;

const section = 'security-groups';

/** @returns a problem for each rule that cannot be applied, and for a rule that stands in the list twice */
export const problemsOf = ({ rules }: SecurityGroupSpec) =>
  rules.flatMap(({ description: _, ...rule }, at) => {
    const found = ruleProblem(rule);
    return found === undefined ? [] : [{ ...found, path: `spec.rules.${at}.${found.path}` }];
  });

export const isDefault = ({ context }: At): boolean => partsOfId(context.id).name === defaultGroupName;
export const isNewest = ({ context, event }: At): boolean =>
  'generation' in event && event.generation === context.generation;

// Life

/** The group default has the rules of every new tenant. */
export const openSpec = ({ event }: At): Change => ({
  uid: event.meta.ulid,
  spec: { rules: defaultRules.map((rule) => ({ ...rule, description: '' })) },
  generation: 1,
  observedGeneration: 1,
});

export const tellOpened = ({ context }: At): readonly Asked[] => [
  send(tenantId(partsOfId(context.id).tenant), groupOpened({})),
];

export const rejectDefault = ({ context }: At): readonly Asked[] => {
  const message = `${context.id} is the group of ports that declare none; change its rules instead`;
  return [reject({ code: 'default_group', message })];
};

/** The VPCs after one holder of a VPC has come or gone. */
function counted(vpcs: SecurityGroupContext['vpcs'], vpc: string | null, by: 1 | -1): SecurityGroupContext['vpcs'] {
  if (vpc === null) return vpcs;
  const { holders, realized } = vpcs[vpc] ?? { holders: 0, realized: 0 };
  const { [vpc]: _, ...others } = vpcs;
  return holders + by === 0 ? others : { ...others, [vpc]: { holders: holders + by, realized } };
}

/** Publishes to VPCs that are new, and withdraws from those that have no holder any more. */
function spread(context: SecurityGroupContext, vpcs: SecurityGroupContext['vpcs']): readonly Asked[] {
  const added = Object.keys(vpcs).filter((vpc) => context.vpcs[vpc] === undefined);
  const left = Object.keys(context.vpcs).filter((vpc) => vpcs[vpc] === undefined);
  return [
    ...added.map((vpc) => publication(context, vpc)),
    ...left.map((vpc) => send(vpc, elementRemove({ section, key: context.id }))),
  ];
}

/** Once every VPC that has the group has proven its newest generation, that is observed. */
function proven(context: SecurityGroupContext, vpcs: SecurityGroupContext['vpcs'], at: number): Change {
  const { generation } = context;
  if (!Object.values(vpcs).every(({ realized }) => realized === generation)) return { vpcs };
  const condition = { type: 'Realized', status: 'True', reason: 'Proven' } as const;
  const conditions = withCondition(context.conditions, condition, at);
  return { vpcs, conditions, observedGeneration: generation, failure: null, tries: 0 };
}

/** A holder has come or gone. The VPC that goes with its last one may be the one that the others waited for. */
export function countHolder(seen: At): Acted<SecurityGroupContext> {
  const { context, event } = seen;
  const { before, after, acted } = holdersAfter(seen);
  if (acted.asks.length === 0) return acted;
  const vpcs = counted(counted(context.vpcs, before?.vpc ?? null, -1), after?.vpc ?? null, 1);
  const hasLost = Object.keys(context.vpcs).some((vpc) => vpcs[vpc] === undefined);
  const changes = hasLost ? proven(context, vpcs, event.meta.at) : { vpcs };
  return { changes: { ...acted.changes, ...changes }, asks: [...acted.asks, ...spread(context, vpcs)] };
}

/** The group ends although objects refer to it. */
export const endHolders = (seen: At): Acted<SecurityGroupContext> => ({
  changes: { holders: 0, vpcs: {} },
  asks: [...forgetHolders(seen), ...spread(seen.context, {})],
});

// Rules

function remoteOn({ id }: SecurityGroupContext, remote: Remote): Remote {
  const { tenant } = partsOfId(id);
  if (remote === null || 'cidr' in remote) return remote;
  if ('group' in remote) return { group: idOf('security-group', tenant, remote.group) };
  return 'addressSet' in remote
    ? { addressSet: idOf('address-set', tenant, remote.addressSet) }
    : { serviceIp: idOf('service-ip', tenant, remote.serviceIp) };
}

const publication = (context: SecurityGroupContext, vpc: string): Asked => {
  const { id, generation, spec } = context;
  const rules = (spec?.rules ?? []).map(({ description: _, remote, ...rule }) => ({
    ...rule,
    remote: remoteOn(context, remote),
  }));
  return send(vpc, elementPut({ section, key: id, generation, element: { rules } satisfies GroupElement }));
};

/** Publishes the newest rules to every VPC; without any they are realized at once. */
export const publish = ({ context }: At): Acted<SecurityGroupContext> => {
  const vpcs = Object.keys(context.vpcs);
  return {
    changes: vpcs.length === 0 ? { observedGeneration: context.generation } : {},
    asks: vpcs.map((vpc) => publication(context, vpc)),
  };
};

export function noteRealized({ context, event }: At): Change {
  assertEvent(event, 'element.realized');
  const vpc = event.meta.from ?? '';
  const before = context.vpcs[vpc];
  if (before === undefined) return {};
  return proven(context, { ...context.vpcs, [vpc]: { ...before, realized: event.generation } }, event.meta.at);
}

/** Ids of other objects in the rules. */
function named({ id }: SecurityGroupContext, spec: SecurityGroupSpec | null): readonly string[] {
  const { tenant } = partsOfId(id);
  const ids = (spec === null ? [] : namesIn(spec)).map(({ kind, name }) => idOf(kind, tenant, name));
  return [...new Set(ids)].filter((one) => one !== id);
}

export const referToAll = ({ context }: At): readonly Asked[] =>
  referring(context.id, null, [], named(context, context.spec));

export const dropAll = ({ context }: At): readonly Asked[] =>
  referring(context.id, null, named(context, context.spec), []);

const referenceCondition = 'References';
const withoutMissing = ({ conditions }: SecurityGroupContext): SecurityGroupContext['conditions'] =>
  conditions.filter(({ type }) => type !== referenceCondition);

/** Before a changed spec is taken: refers to all that it names, also to what was missing before. */
export function referAnew({ context, event }: At): Acted<SecurityGroupContext> {
  assertEvent(event, ['security-group.update', 'security-group.apply']);
  const after = named(context, event.spec);
  const left = named(context, context.spec).filter((to) => !after.includes(to));
  const asks = [...referring(context.id, null, [], after), ...referring(context.id, null, left, [])];
  return { changes: { conditions: withoutMissing(context) }, asks };
}

/** Asks again for all that the rules name; what is still missing says so. */
export const referAgain = (seen: At): Acted<SecurityGroupContext> => ({
  changes: { conditions: withoutMissing(seen.context) },
  asks: referToAll(seen),
});

export const namesAsker = ({ context, event }: At): boolean =>
  event.type === 'reference.confirm' && named(context, context.spec).includes(event.of);

export function noteMissing({ context, event }: At): Change {
  assertEvent(event, 'reference.missing');
  const message = `a rule names ${event.missing}, which does not exist: it admits nothing until that is declared`;
  const condition = { type: referenceCondition, status: 'False', reason: 'Missing', message } as const;
  return { conditions: withCondition(context.conditions, condition, event.meta.at) };
}
