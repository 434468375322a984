/** A tenant's named list of CIDRs. Every host of its VPC has it as a set in the kernel, for rules that name it. */
import { z } from 'zod';
import { canonicalProblem, cidrOf, overlap } from '../values/addresses.ts';
import { nameSchema } from '../values/identifiers.ts';
import { declare, defineKind, type EventOf, type SpecOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { referenceAdd, referenceConfirm, referenceDrop, referenceMissing } from '../values/references.ts';
import { elementDelayed, elementPut, elementRealized, elementRemove, elementRemoved } from '../vpc/vpc-protocol.ts';

/** The element published to hosts, keyed by the id of the address set. */
export const addressSetElement = z.object({ cidrs: z.array(z.string()) });

export const addressSetSpec = z
  .strictObject({
    vpc: nameSchema.default('main').describe('Name of the VPC whose hosts have the set; it cannot change.'),
    cidrs: z
      .array(z.string().max(18).describe('IPv4 such as 192.0.2.0/24; a single address is a /32.'))
      .max(200)
      .describe('CIDRs that do not overlap each other.'),
  })
  .meta({ id: 'AddressSetSpec' });

export const addressSetKind = defineKind({
  kind: 'address-set',
  says: 'A named list of CIDRs that every host of a VPC has as a set in its kernel.',
  placement: 'sharded',
  declared: declare(addressSetSpec, {
    changes: { vpc: 'replace', cidrs: 'in place' },
    parents: ['tenant', 'vpc'],
    references: ({ vpc }) => [{ path: 'vpc', kind: 'vpc', name: vpc }],
    quota: 50,
    columns: { vpc: ({ vpc }) => vpc, cidrs: ({ cidrs }) => cidrs.length },
    says: {
      create: 'Declares a list of CIDRs. Answered once the quota is granted; every host of the VPC then gets it.',
      update: 'Replaces the list; a host changes only the elements that differ.',
      delete: 'Removes the list from every host. Rejected in_use while a rule of a group names it.',
    },
  }),
  commands: {},
  takes: [quotaGranted, quotaRefused, referenceAdd, referenceDrop, elementRealized, elementDelayed, elementRemoved],
  // A set that does not exist answers those that refer to it.
  startedBy: [referenceAdd, referenceDrop],
  fromNode: [],
  sends: [quotaClaim, quotaRelease, referenceMissing, referenceConfirm, elementPut, elementRemove],
  effects: [],
});

export type AddressSetEvent = EventOf<typeof addressSetKind>;
export type AddressSetSpec = SpecOf<typeof addressSetKind>;

/** @returns a problem for each CIDR that is malformed, has host bits, or overlaps an earlier one. */
export const problemsOf = ({ cidrs }: AddressSetSpec) =>
  cidrs.flatMap((cidr, at) => {
    const path = `spec.cidrs.${at}`;
    const wrong = canonicalProblem(cidr);
    if (wrong !== undefined) return [{ code: 'cidr_invalid', path, message: wrong }];
    const earlier = cidrs.slice(0, at).filter((one) => canonicalProblem(one) === undefined);
    const other = earlier.find((one) => overlap(cidrOf(one), cidrOf(cidr)));
    if (other === undefined) return [];
    return [
      { code: 'cidr_overlap', path, message: `${cidr} overlaps ${other} of the same list; keep only the larger one` },
    ];
  });
