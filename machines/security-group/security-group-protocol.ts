/**
 * Spec, commands and messages of a security group: rules for the ports that have it. Every tenant has the group
 * `default`, for ports that declare none.
 */
import { z } from 'zod';
import { nameSchema } from '../values/identifiers.ts';
import { declare, defineKind, message, type EventOf, type SpecOf, type ValueOf } from '../values/kind.ts';
import { quotaClaim, quotaGranted, quotaRefused, quotaRelease } from '../values/quota.ts';
import { referenceAdd, referenceConfirm, referenceDrop, referenceMissing } from '../values/references.ts';
import { elementDelayed, elementPut, elementRealized, elementRemove, elementRemoved } from '../vpc/vpc-protocol.ts';
import { ruleSchema, type GroupRule } from '../values/group-rules.ts';

export const groupOpen = message('group.open', 'A tenant requests its group default.', {});
export const groupOpened = message('group.opened', 'The group default can be used.', {});
export const groupClose = message('group.close', 'A tenant that is being deleted ends its group default.', {});

export const defaultGroupName = 'default';

const declaredRule = ruleSchema(nameSchema).extend({
  description: z.string().max(120).default('').describe('For people; hosts do not get it.'),
});

export const securityGroupSpec = z
  .strictObject({
    rules: z
      .array(declaredRule)
      .max(200)
      .describe('What may open a flow; everything else is denied. The whole list is replaced at once.'),
  })
  .meta({ id: 'SecurityGroupSpec' });

/** Egress to anywhere, and ingress from ports of the same group. */
export const defaultRules: readonly GroupRule[] = [
  { direction: 'egress', protocol: 'any', ports: null, icmp: null, remote: null },
  { direction: 'ingress', protocol: 'any', ports: null, icmp: null, remote: { group: defaultGroupName } },
];

/** Names of other objects in the rules, with the path of each. */
export function namesIn({
  rules,
}: ValueOf<typeof securityGroupSpec>): readonly { path: string; kind: string; name: string }[] {
  return rules.flatMap(({ remote }, at) => {
    if (remote === null || 'cidr' in remote) return [];
    const path = `rules.${at}.remote`;
    if ('group' in remote) return [{ path: `${path}.group`, kind: 'security-group', name: remote.group }];
    return 'addressSet' in remote
      ? [{ path: `${path}.addressSet`, kind: 'address-set', name: remote.addressSet }]
      : [{ path: `${path}.serviceIp`, kind: 'service-ip', name: remote.serviceIp }];
  });
}

export const securityGroupKind = defineKind({
  kind: 'security-group',
  says: 'Rules that say which flows the ports of the group may open and accept, on every host.',
  placement: 'sharded',
  declared: declare(securityGroupSpec, {
    changes: { rules: 'in place' },
    parents: ['tenant', 'address-set', 'service-ip'],
    references: namesIn,
    quota: 20,
    columns: { rules: ({ rules }) => rules.length, holders: (_, { holders }) => holders },
    says: {
      create: 'Declares a group. Answered once the quota is granted; hosts get it when a port has it.',
      update: 'Replaces the rules. Running flows that no rule admits any more end.',
      delete: 'Removes the group. Rejected in_use while a port or a rule names it; default is never deleted.',
    },
  }),
  commands: {},
  takes: [
    groupOpen,
    groupClose,
    quotaGranted,
    quotaRefused,
    referenceAdd,
    referenceDrop,
    referenceMissing,
    referenceConfirm,
    elementRealized,
    elementDelayed,
    elementRemoved,
  ],
  // A group that does not exist answers those that refer to it.
  startedBy: [groupOpen, groupClose, referenceAdd, referenceDrop, referenceConfirm],
  fromNode: [],
  sends: [
    groupOpened,
    quotaClaim,
    quotaRelease,
    referenceAdd,
    referenceDrop,
    referenceMissing,
    referenceConfirm,
    elementPut,
    elementRemove,
  ],
  effects: [],
});

export type SecurityGroupEvent = EventOf<typeof securityGroupKind>;
export type SecurityGroupSpec = SpecOf<typeof securityGroupKind>;
