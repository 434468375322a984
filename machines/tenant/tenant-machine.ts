/**
 * A tenant: its quota, and the VPC `main` that comes with it. Who may act for it is the door's business, not the
 * chart's. Upholds: claims granted never exceed the quota, and each claimant counts once however often it asks.
 */
import { assign, setup } from 'xstate';
import { requests } from '../values/requests.ts';
import { tell } from '../values/telling.ts';
import { defaultQuota, type TenantEvent } from './tenant-events.ts';
import * as messages from './tenant-messages.ts';
import { none, type TenantContext } from './tenant-messages.ts';

export const tenantMachine = setup({
  types: { context: {} as TenantContext, events: {} as TenantEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    noteSpec: assign(({ event }) => ({ uid: event.meta.ulid, quota: messages.quotaOf(event) })),
    noteWaiter: assign(({ context, event }) =>
      event.meta.commandId === undefined ? {} : { waiters: [...context.waiters, event.meta.commandId] },
    ),
    forgetWaiters: assign({ waiters: [] }),
    deferAnswer: tell(messages.deferAnswer),
    answerSame: tell(messages.answerSame),
    answerAll: tell(messages.answerAll),
    rejectDifferent: tell(messages.differs),
    rejectBusy: tell(messages.busy),
    rejectInUse: tell(messages.inUse),
    openVpc: tell(messages.openVpc),
    closeVpc: tell(messages.closeVpc),
    grant: tell(messages.grant),
    refuse: tell(messages.refuse),
    refuseAbsent: tell(messages.refuseAbsent),
    refuseLate: tell(messages.refuseLate),
    dropClaim: tell(messages.dropClaim),
    count: assign(messages.counted),
  },
  guards: {
    isSame: messages.isSame,
    fits: messages.fits,
    isHeld: messages.isHeld,
    isEmpty: ({ context }) => context.used.vpc === 0,
  },
  delays: { vpcDeadline: 10_000 },
}).createMachine({
  id: 'tenant',
  context: ({ input }) => ({ id: input.id, uid: '', quota: defaultQuota, used: none, waiters: [] }),
  initial: 'born',
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
      on: {
        'tenant.create': { target: 'opening', actions: ['noteSpec', 'noteWaiter', 'deferAnswer'] },
        'quota.claim': { target: 'gone', actions: 'refuseAbsent' },
      },
    },
    opening: {
      description: 'The VPC main is being made; the tenant can be used once that is ready.',
      entry: 'openVpc',
      on: {
        'tenant.create': [{ guard: 'isSame', actions: ['noteWaiter', 'deferAnswer'] }, { actions: 'rejectDifferent' }],
        'tenant.delete': { target: 'deleting', actions: ['noteWaiter', 'deferAnswer'] },
        'vpc.opened': { target: 'active', actions: ['answerAll', 'forgetWaiters'] },
        'quota.claim': [{ guard: 'fits', actions: ['grant', 'count'] }, { actions: 'refuse' }],
        'quota.release': { actions: ['dropClaim', 'count'] },
      },
      after: { vpcDeadline: { target: 'opening', reenter: true } },
    },
    active: {
      description: 'The tenant can be used within its quota.',
      tags: 'steady',
      on: {
        'tenant.create': [{ guard: 'isSame', actions: 'answerSame' }, { actions: 'rejectDifferent' }],
        'tenant.delete': [
          { guard: 'isHeld', actions: 'rejectInUse' },
          { target: 'deleting', actions: ['noteWaiter', 'deferAnswer'] },
        ],
        'quota.claim': [{ guard: 'fits', actions: ['grant', 'count'] }, { actions: 'refuse' }],
        'quota.release': { actions: ['dropClaim', 'count'] },
        'vpc.opened': {},
      },
    },
    deleting: {
      description: 'The VPC main is being taken away; the tenant ends with it.',
      entry: 'closeVpc',
      always: { guard: 'isEmpty', target: 'gone' },
      on: {
        'tenant.create': { actions: 'rejectBusy' },
        'tenant.delete': { actions: ['noteWaiter', 'deferAnswer'] },
        'quota.claim': { actions: 'refuseLate' },
        'quota.release': { actions: ['dropClaim', 'count'] },
        'vpc.opened': {},
      },
      after: { vpcDeadline: { target: 'deleting', reenter: true } },
    },
    gone: {
      description: 'The tenant has ended, or never began; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
