/**
 * A tenant: its quota, and the VPC `main` and the group `default` that come with it. The control API checks who may
 * act for it. Upholds: claims granted never exceed the quota, and a repeated claim counts once.
 */
import { assign, setup } from 'xstate';
import { acceptedAtOnce, declaredKit, deletedBy, newDeclared, ready } from '../values/declared.ts';
import { whenBorn, whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { requests } from '../values/requests.ts';
import { tell } from '../values/telling.ts';
import * as messages from './tenant-messages.ts';
import type { TenantContext } from './tenant-messages.ts';
import { tenantKind, type TenantEvent, type TenantSpec } from './tenant-protocol.ts';

const kit = declaredKit<TenantSpec, TenantContext, TenantEvent>(tenantKind);

const counting = {
  'quota.claim': [{ guard: 'fits', actions: ['grant', 'count'] }, { actions: 'refuse' }],
  'quota.release': { actions: ['dropClaim', 'count'] },
} as const;

export const tenantMachine = setup({
  types: { context: {} as TenantContext, events: {} as TenantEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...kit.actions,
    rejectInUse: tell(messages.inUse),
    openVpc: tell(messages.openVpc),
    closeVpc: tell(messages.closeVpc),
    openGroup: tell(messages.openGroup),
    closeGroup: tell(messages.closeGroup),
    grant: tell(messages.grant),
    refuse: tell(messages.refuse),
    refuseAbsent: tell(messages.refuseAbsent),
    refuseLate: tell(messages.refuseLate),
    dropClaim: tell(messages.dropClaim),
    count: assign(messages.counted),
  },
  guards: {
    ...kit.guards,
    fits: messages.fits,
    isHeld: messages.isHeld,
    isEmpty: ({ context }) => (context.used['vpc'] ?? 0) === 0,
  },
  delays: { partDeadline: 10_000 },
}).createMachine({
  id: 'tenant',
  context: ({ input }) => ({ ...newDeclared(input.id), used: {} }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: { ...whenBorn('tenant', 'opening'), 'quota.claim': { target: 'gone', actions: 'refuseAbsent' } },
    },
    opening: {
      description: 'The VPC main is being created; the tenant can be used once it is ready.',
      entry: [ready('False', 'OpeningVpc'), 'openVpc'],
      on: {
        ...whileDeclaring('tenant', { actions: ['takeSpec', 'awaitAnswer'] }),
        ...counting,
        'tenant.delete': { target: 'deleting', actions: 'awaitAnswer' },
        'vpc.opened': { target: 'grouping' },
      },
      after: { partDeadline: { target: 'opening', reenter: true } },
    },
    grouping: {
      description: 'The security group default is being created, for ports that declare none.',
      entry: [ready('False', 'OpeningGroup'), 'openGroup'],
      on: {
        ...whileDeclaring('tenant', { actions: ['takeSpec', 'awaitAnswer'] }),
        ...counting,
        'tenant.delete': { target: 'deleting', actions: 'awaitAnswer' },
        'vpc.opened': {},
        'group.opened': { target: 'active', actions: ['observe', 'answerAll'] },
      },
      after: { partDeadline: { target: 'grouping', reenter: true } },
    },
    active: {
      description: 'The tenant can be used within its quota.',
      tags: 'steady',
      entry: ready('True', 'Active'),
      on: {
        ...whileLiving('tenant', acceptedAtOnce),
        ...counting,
        ...deletedBy(
          'tenant',
          { guard: 'isHeld', actions: 'rejectInUse' },
          { target: 'deleting', actions: 'awaitAnswer' },
        ),
        'vpc.opened': {},
        'group.opened': {},
      },
    },
    deleting: {
      description: 'The group default and the VPC main are being deleted; the tenant ends with the VPC.',
      entry: [ready('False', 'Deleting'), 'closeGroup', 'closeVpc'],
      always: { guard: 'isEmpty', target: 'gone' },
      on: {
        ...whileDeleting('tenant'),
        'quota.claim': { actions: 'refuseLate' },
        'quota.release': { actions: ['dropClaim', 'count'] },
        'vpc.opened': {},
        'group.opened': {},
      },
      after: { partDeadline: { target: 'deleting', reenter: true } },
    },
    gone: {
      description: 'The tenant has ended, or was never created; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
