/**
 * A VPC: one routing domain of a tenant. It claims CIDRs, decides which hosts have a segment with which networks, and
 * tells every segment where the addresses are. It makes nothing itself: segments do, and prove it.
 * Upholds: no two networks of a VPC overlap; a network's CIDRs are free only after no host has it any more.
 */
import { assign, setup } from 'xstate';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import type { VpcContext } from './vpc-context.ts';
import type { VpcEvent } from './vpc-events.ts';
import * as messages from './vpc-messages.ts';

export const vpcMachine = setup({
  types: { context: {} as VpcContext, events: {} as VpcEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    noteUid: assign(({ event }) => ({ uid: event.meta.ulid })),
    noteWaiter: assign(({ context, event }) =>
      event.meta.commandId === undefined ? {} : { waiters: [...context.waiters, event.meta.commandId] },
    ),
    forgetWaiters: assign({ waiters: [] }),
    deferAnswer: tell(messages.deferAnswer),
    answerSame: tell(messages.answerSame),
    answerAll: tell(messages.answerAll),
    rejectAll: tell(messages.rejectAll),
    rejectBusy: tell(messages.busy),
    rejectInUse: tell(messages.inUse),
    claimQuota: tell(messages.claimQuota),
    releaseQuota: tell(messages.releaseQuota),
    askVni: tell(messages.askVni),
    noteVni: assign(({ event }) => (event.type === 'vni.allocated' ? { vni: event.vni } : {})),
    releaseVni: tell(messages.releaseVni),
    tellTenant: tell(messages.tellTenant),
    refuseEarly: tell(messages.refuseNeeds('still being made')),
    refuseLate: tell(messages.refuseNeeds('being deleted')),
    claimCidrs: act(messages.claimCidrs),
    releaseCidrs: act(messages.releaseCidrs),
    provideSegment: act(messages.provideSegment),
    noteReady: act(messages.noteReady),
    noteFailed: act(messages.noteFailed),
    noteRemoved: act(messages.noteRemoved),
    removeSegments: act(messages.removeSegments),
    dropSegment: assign(messages.dropSegment),
    locate: tell(messages.locate),
    unlocate: tell(messages.unlocate),
    stopWaiting: assign(messages.stopWaiting),
    forgetLocations: tell(messages.forgetLocations),
  },
  guards: {
    hasNetworks: ({ context }) => Object.keys(context.networks).length > 0,
    hasNoSegments: ({ context }) => messages.hostsOf(context).length === 0,
  },
  delays: { quotaDeadline: 5_000, vniDeadline: 5_000, removeDeadline: 30_000 },
}).createMachine({
  id: 'vpc',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    vni: 0,
    networks: {},
    segments: {},
    waiting: [],
    withdrawing: {},
    waiters: [],
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      tags: 'steady',
      on: {
        'vpc.create': { target: 'claiming', actions: ['noteUid', 'noteWaiter', 'deferAnswer'] },
        // The tenant believes in a VPC that is not there: the claim goes, and that is all there was.
        'vpc.delete': { target: 'gone', actions: 'releaseQuota' },
      },
    },
    claiming: {
      description: 'The tenant is asked whether its quota has room for one more VPC.',
      entry: 'claimQuota',
      on: {
        'vpc.create': { actions: ['noteWaiter', 'deferAnswer'] },
        'vpc.delete': { target: 'gone', actions: ['noteWaiter', 'deferAnswer', 'releaseQuota'] },
        'quota.granted': { target: 'numbering' },
        'quota.refused': { target: 'gone', actions: ['rejectAll', 'forgetWaiters'] },
        'cidr.claim': { actions: 'refuseEarly' },
        'segment.need': { actions: 'refuseEarly' },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    numbering: {
      description: 'The cluster gives the VPC its VNI, the number it has on the wire.',
      entry: 'askVni',
      on: {
        'vpc.create': { actions: ['noteWaiter', 'deferAnswer'] },
        'vpc.delete': { target: 'removing', actions: ['noteWaiter', 'deferAnswer'] },
        'quota.granted': {},
        'vni.allocated': { target: 'ready', actions: ['noteVni', 'tellTenant', 'answerAll', 'forgetWaiters'] },
        'cidr.claim': { actions: 'refuseEarly' },
        'segment.need': { actions: 'refuseEarly' },
      },
      after: { vniDeadline: { target: 'numbering', reenter: true } },
    },
    ready: {
      description: 'Networks can be declared in it; each host with a port of the VPC has a segment.',
      tags: 'steady',
      on: {
        'vpc.create': { actions: ['answerSame', 'tellTenant'] },
        'vpc.delete': [
          { guard: 'hasNetworks', actions: 'rejectInUse' },
          { target: 'removing', actions: ['noteWaiter', 'deferAnswer'] },
        ],
        'quota.granted': {},
        'vni.allocated': {},
        'cidr.claim': { actions: 'claimCidrs' },
        'cidr.release': { actions: 'releaseCidrs' },
        'segment.need': { actions: 'provideSegment' },
        'segment.ready': { actions: 'noteReady' },
        'segment.failed': { actions: 'noteFailed' },
        'segment.removed': { actions: 'noteRemoved' },
        'port.located': { actions: 'locate' },
        'port.left': { actions: ['unlocate', 'stopWaiting'] },
      },
    },
    removing: {
      description: 'Every segment of it is being taken off its host; then the VNI is given back.',
      entry: 'removeSegments',
      always: { guard: 'hasNoSegments', target: 'gone', actions: ['forgetLocations', 'releaseVni', 'releaseQuota'] },
      on: {
        'vpc.create': { actions: 'rejectBusy' },
        'vpc.delete': { actions: ['noteWaiter', 'deferAnswer'] },
        'vni.allocated': {},
        'cidr.claim': { actions: 'refuseLate' },
        'segment.need': { actions: 'refuseLate' },
        'segment.ready': {},
        'segment.failed': { actions: 'noteFailed' },
        'segment.removed': { actions: 'dropSegment' },
        'port.left': {},
      },
      after: { removeDeadline: { target: 'removing', reenter: true } },
    },
    gone: {
      description: 'The VPC has ended; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
