/**
 * A VPC: one routing domain of a tenant. It grants CIDRs to networks, decides which hosts have a segment with which
 * networks, and publishes the desired state of every segment, section by section. Segments realize and prove it.
 * Upholds: networks of a VPC do not overlap; the CIDRs of a network are free only after no host has it; a network is
 * reported realized, and a port provided, only by proofs of the hosts.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { acceptedAtOnce, whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import type { VpcContext } from './vpc-context.ts';
import * as locations from './vpc-locations.ts';
import * as messages from './vpc-messages.ts';
import * as services from './vpc-peer-services.ts';
import * as peers from './vpc-peers.ts';
import { vpcKind, type VpcEvent, type VpcSpec } from './vpc-protocol.ts';
import * as ranges from './vpc-ranges.ts';
import * as reach from './vpc-reach.ts';
import { holdersOf } from './vpc-elements.ts';

const kit = declaredKit<VpcSpec, VpcContext, VpcEvent>(vpcKind, { result: ({ vni }) => ({ vni }) });

const declaring = whileDeclaring('vpc', { actions: ['takeSpec', 'awaitAnswer'] });

/** An element can be put or removed at any time, with or without segments. */
const elements = {
  'element.put': { actions: 'changeElement' },
  'element.remove': { actions: 'changeElement' },
} as const;

const watches = {
  'members.watch': { actions: 'watchMembers' },
  'members.unwatch': { actions: 'unwatchMembers' },
  'ranges.watch': { actions: 'watchRanges' },
  'ranges.unwatch': { actions: 'unwatchRanges' },
} as const;

/** A peering waits until the VPC can be used. */
const early = {
  'reach.follow': { actions: 'noteFollower' },
  'reach.unfollow': { actions: 'forgetFollower' },
} as const;

export const vpcMachine = setup({
  types: { context: {} as VpcContext, events: {} as VpcEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...kit.actions,
    openSpec: assign(messages.openSpec),
    rejectInUse: tell(messages.inUse),
    askVni: tell(messages.askVni),
    noteVni: assign(({ event }) => (event.type === 'vni.allocated' ? { vni: event.vni } : {})),
    releaseVni: tell(messages.releaseVni),
    tellTenant: tell(messages.tellTenant),
    refuseEarly: tell(messages.refuseNeeds('still being created')),
    refuseLate: tell(messages.refuseNeeds('being deleted')),
    claimNetwork: act(ranges.tellingRanges(reach.tellingReach(messages.claimNetwork))),
    releaseNetwork: act(ranges.tellingRanges(reach.tellingReach(messages.releaseNetwork))),
    changeElement: act(reach.tellingReach(services.sharingServices(peers.sharingMembers(messages.changeElement)))),
    watchMembers: act(locations.watchMembers),
    unwatchMembers: assign(locations.unwatchMembers),
    noteFollower: assign(reach.noteFollower),
    forgetFollower: assign(reach.forgetFollower),
    tellFollower: tell(reach.tellFollower),
    tellFollowers: tell(reach.tellFollowers),
    leaveFollowers: act(reach.leaveFollowers),
    tellMissing: tell(reach.tellMissing),
    takePeerMembers: act(peers.takePeerMembers),
    provideSegment: act(reach.tellingReach(messages.provideSegment)),
    noteProven: act(ranges.tellingRanges(reach.tellingReach(messages.noteProven))),
    republish: act(messages.republish),
    noteFailed: act(ranges.tellingRanges(reach.tellingReach(messages.noteFailed))),
    noteRemoved: act(ranges.tellingRanges(reach.tellingReach(messages.noteRemoved))),
    watchRanges: act(ranges.watchRanges),
    unwatchRanges: assign(ranges.unwatchRanges),
    answerNoRanges: tell(ranges.answerNoRanges),
    removeSegments: act(messages.removeSegments),
    dropSegment: assign(messages.dropSegment),
    locate: act(locations.locate),
    unlocate: act(locations.unlocate),
    forgetLocations: tell(locations.forgetLocations),
  },
  guards: {
    ...kit.guards,
    isHeld: ({ context }) => holdersOf(context).length > 0,
    hasNoSegments: ({ context }) => Object.keys(context.segments).length === 0,
  },
  delays: { quotaDeadline: 5_000, vniDeadline: 5_000, removeDeadline: 30_000 },
}).createMachine({
  id: 'vpc',
  context: ({ input }) => ({
    ...newDeclared(input.id),
    vni: 0,
    networks: {},
    segments: {},
    waiting: [],
    withdrawing: {},
    elements: {},
    leaving: [],
    watches: {},
    followers: [],
    rangeWatchers: [],
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('vpc', 'claiming'),
        'vpc.open': { target: 'claiming', actions: 'openSpec' },
        // The tenant closes a VPC that was not created yet: only the quota claim is released.
        'vpc.close': { target: 'gone', actions: 'releaseQuota' },
        'reach.follow': { target: 'gone', actions: 'tellMissing' },
        'reach.unfollow': { target: 'gone', actions: 'tellMissing' },
        'ranges.watch': { target: 'gone', actions: 'answerNoRanges' },
      },
    },
    claiming: {
      description: 'The quota for one more VPC is requested from the tenant.',
      entry: [ready('False', 'ClaimingQuota'), 'claimQuota'],
      on: {
        ...declaring,
        ...deletedBy('vpc', {
          target: 'gone',
          actions: ['rejectDeleted', 'awaitAnswer', 'leaveFollowers', 'releaseQuota'],
        }),
        'vpc.open': {},
        'vpc.close': { target: 'gone', actions: ['rejectDeleted', 'leaveFollowers', 'releaseQuota'] },
        'quota.granted': { target: 'numbering' },
        'quota.refused': { target: 'gone', actions: ['rejectAll', 'noteFailure', 'leaveFollowers'] },
        'network.claim': { actions: 'refuseEarly' },
        ...elements,
        ...watches,
        ...early,
        'segment.need': { actions: 'refuseEarly' },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    numbering: {
      description: 'The VXLAN network identifier (VNI) is requested from the cluster.',
      entry: [ready('False', 'WaitingForNumber'), 'askVni'],
      on: {
        ...declaring,
        ...deletedBy('vpc', { target: 'removing', actions: ['rejectDeleted', 'awaitAnswer'] }),
        'vpc.open': {},
        'vpc.close': { target: 'removing', actions: 'rejectDeleted' },
        'quota.granted': {},
        'vni.allocated': {
          target: 'ready',
          actions: ['noteVni', 'observe', 'tellTenant', 'tellFollowers', 'answerAll'],
        },
        'network.claim': { actions: 'refuseEarly' },
        ...elements,
        ...watches,
        ...early,
        'segment.need': { actions: 'refuseEarly' },
      },
      after: { vniDeadline: { target: 'numbering', reenter: true } },
    },
    ready: {
      description: 'Networks can be declared in the VPC; each host with a port of it has a segment.',
      tags: 'steady',
      entry: ready('True', 'Ready'),
      on: {
        ...whileLiving('vpc', acceptedAtOnce),
        ...deletedBy(
          'vpc',
          { guard: 'isHeld', actions: 'rejectInUse' },
          { target: 'removing', actions: 'awaitAnswer' },
        ),
        'vpc.open': { actions: 'tellTenant' },
        // The tenant repeats this until the networks are gone.
        'vpc.close': [{ guard: 'isHeld' }, { target: 'removing' }],
        'quota.granted': {},
        'vni.allocated': {},
        'network.claim': { actions: 'claimNetwork' },
        'network.release': { actions: 'releaseNetwork' },
        ...elements,
        ...watches,
        'reach.follow': { actions: ['noteFollower', 'tellFollower'] },
        'reach.unfollow': { actions: 'forgetFollower' },
        'peer.members': { actions: 'takePeerMembers' },
        'segment.need': { actions: 'provideSegment' },
        'segment.proven': { actions: 'noteProven' },
        'segment.missed': { actions: 'republish' },
        'segment.failed': { actions: 'noteFailed' },
        'segment.removed': { actions: 'noteRemoved' },
        'port.located': { actions: 'locate' },
        'port.left': { actions: 'unlocate' },
      },
    },
    removing: {
      description: 'Every segment is being removed from its host; then the VNI is released.',
      entry: [ready('False', 'Deleting'), 'leaveFollowers', 'removeSegments'],
      always: { guard: 'hasNoSegments', target: 'gone', actions: ['forgetLocations', 'releaseVni', 'releaseQuota'] },
      on: {
        ...whileDeleting('vpc'),
        'vpc.open': {},
        'vpc.close': {},
        'vni.allocated': {},
        'network.claim': { actions: 'refuseLate' },
        'segment.need': { actions: 'refuseLate' },
        'segment.proven': {},
        'segment.missed': {},
        'segment.failed': { actions: 'noteFailed' },
        'segment.removed': { actions: 'dropSegment' },
        'port.left': {},
        'members.unwatch': { actions: 'unwatchMembers' },
        'reach.follow': { actions: 'tellMissing' },
        'reach.unfollow': { actions: 'tellMissing' },
        'peer.members': {},
        'ranges.watch': { actions: 'answerNoRanges' },
        'ranges.unwatch': { actions: 'unwatchRanges' },
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
