/**
 * Spec, commands and messages of a peering: two VPCs of a tenant whose networks reach each other. What a peering
 * follows of a VPC, and the members of groups that it passes on, are messages of vpc-peer-protocol.ts.
 */
import { z } from 'zod';
import { sameJson } from '../values/failures.ts';
import { nameSchema } from '../values/identifiers.ts';
import { declare, defineKind, type EventOf, type ItemRule, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { peerMembers, peerService, reachFollow, reachTold, reachUnfollow } from '../vpc/vpc-peer-protocol.ts';
import { elementDelayed, elementPut, elementRealized, elementRemove, elementRemoved } from '../vpc/vpc-protocol.ts';

/** The same two VPCs in the other order are the same peering. */
const unordered: ItemRule<readonly string[]> = Object.assign(
  (before: readonly string[], after: readonly string[], path: string) =>
    sameJson(before.toSorted(), after.toSorted()) ? [] : [{ path, before, after, change: 'replace' as const }],
  { says: 'replace; the order does not matter', fields: {} },
);

export const peeringSpec = z
  .strictObject({
    vpcs: z
      .array(nameSchema)
      .length(2, 'must name two VPCs: a peering joins exactly two')
      .describe('Names of the two VPCs, in any order; their networks may not overlap.'),
  })
  .meta({ id: 'PeeringSpec' });

export const peeringKind = defineKind({
  kind: 'peering',
  says: 'Two VPCs of a tenant whose networks reach each other, within what security groups allow.',
  placement: 'sharded',
  declared: declare(peeringSpec, {
    changes: { vpcs: unordered },
    parents: ['tenant', 'vpc'],
    references: ({ vpcs }) => vpcs.map((name, at) => ({ path: `vpcs.${at}`, kind: 'vpc', name })),
    quota: 10,
    columns: { vpcs: ({ vpcs }) => vpcs.toSorted().join(' - ') },
    says: {
      create:
        'Joins two VPCs. Answered once both have agreed; rejected cidr_overlap when a network of one overlaps a ' +
        'network of the other, or a CIDR that it reaches over another peering or through its router.',
      update: 'Changes labels and protection; other VPCs are another peering.',
      delete: 'Parts the VPCs on every host; running flows between them end.',
    },
  }),
  commands: {},
  takes: [
    quotaGranted,
    quotaRefused,
    reachTold,
    peerMembers,
    peerService,
    elementRealized,
    elementDelayed,
    elementRemoved,
  ],
  startedBy: [],
  fromNode: [],
  sends: [quotaClaim, quotaRelease, reachFollow, reachUnfollow, peerMembers, elementPut, elementRemove],
  effects: [],
});

export type PeeringEvent = EventOf<typeof peeringKind>;
export type PeeringSpec = SpecOf<typeof peeringKind>;

/** @returns a problem when the two names are the same */
export const problemsOf = ({ vpcs: [one, other] }: PeeringSpec) =>
  one === other
    ? [{ code: 'peering_of_itself', path: 'spec.vpcs.1', message: `${other} is named twice; name another VPC` }]
    : [];
