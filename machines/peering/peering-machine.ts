/**
 * A peering: asks both VPCs what they have, refuses to join them when their CIDRs overlap, tells each what it has to
 * know of the other, follows the changes of both, and passes on which ports have which security groups and where
 * service IPs lead. The VPCs report what their hosts have proven. Upholds: nothing is published of VPCs whose CIDRs
 * overlap; the name is free only after no host has the link.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as messages from './peering-messages.ts';
import type { PeeringContext } from './peering-messages.ts';
import { peeringKind, problemsOf, type PeeringEvent, type PeeringSpec } from './peering-protocol.ts';

const kit = declaredKit<PeeringSpec, PeeringContext, PeeringEvent>(peeringKind, { problems: problemsOf });

const declaring = whileDeclaring('peering', { actions: ['takeSpec', 'awaitAnswer'] });

const realized = <const Status extends 'True' | 'False', const Reason extends string>(status: Status, reason: Reason) =>
  ({ type: 'setCondition', params: { type: 'Realized', status, reason } }) as const;

/** Of a peering that both VPCs know; its VPCs are fixed, so no spec changes. */
const standing = {
  ...whileLiving('peering'),
  ...deletedBy('peering', { target: 'withdrawing', actions: 'awaitAnswer' }),
  'quota.granted': {},
  'element.removed': {},
} as const;

const troubles = [
  { guard: 'isMissing', target: 'failed', actions: ['noteTrouble', 'takeReach'] },
  { guard: 'isOverlapping', target: 'rejected', actions: ['noteTrouble', 'takeReach'] },
] as const;

const delayed = {
  guard: 'isNewest',
  actions: ['noteFailure', realized('False', 'HostDelayed')],
} as const;

export const peeringMachine = setup({
  types: {
    context: {} as PeeringContext,
    events: {} as PeeringEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...kit.actions,
    followBoth: tell(messages.followBoth),
    unfollowBoth: tell(messages.unfollowBoth),
    takeReach: assign(messages.takeReach),
    noteTrouble: assign(messages.noteTrouble),
    rejectTrouble: act(messages.rejectTrouble),
    publish: act(messages.publish),
    publishAgain: tell(messages.publishAgain),
    passOn: tell(messages.passOn),
    passOnService: tell(messages.passOnService),
    noteProven: assign(messages.noteProven),
    noteJoined: assign(messages.noteJoined),
    partBoth: tell(messages.partBoth),
    noteParted: assign(messages.noteParted),
  },
  guards: {
    ...kit.guards,
    isMissing: messages.isMissing,
    isOverlapping: messages.isOverlapping,
    isKnown: messages.isKnown,
    isNews: messages.isNews,
    isNewest: messages.isNewest,
    isProven: messages.isProven,
    isLastParted: (seen) => messages.isOfLink(seen) && messages.isParted(seen),
    isOfLink: messages.isOfLink,
    isLastAbsent: (seen) => messages.isAbsent(seen) && messages.isParted(seen),
    isAbsent: messages.isAbsent,
  },
  delays: {
    quotaDeadline: 5_000,
    meetingDeadline: 5_000,
    joiningDeadline: 120_000,
    withdrawDeadline: 30_000,
    review: 600_000,
  },
}).createMachine({
  id: 'peering',
  context: ({ input }) => ({ ...newDeclared(input.id), reaches: {}, edition: 0, proven: {}, parted: [] }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: whenBorn('peering', 'claiming'),
    },
    claiming: {
      description: 'The quota for one more peering is requested from the tenant.',
      entry: [ready('False', 'Claiming'), 'claimQuota'],
      on: {
        ...declaring,
        'peering.delete': { target: 'gone', actions: ['rejectDeleted', 'awaitAnswer', 'releaseQuota'] },
        'quota.granted': { target: 'meeting' },
        'quota.refused': { target: 'gone', actions: ['rejectAll', 'noteFailure'] },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    meeting: {
      description: 'Both VPCs are asked for their hosts and CIDRs, which may not overlap.',
      entry: [ready('False', 'Meeting'), 'followBoth'],
      on: {
        ...declaring,
        'peering.delete': {
          target: 'gone',
          actions: ['rejectDeleted', 'awaitAnswer', 'unfollowBoth', 'releaseQuota'],
        },
        'quota.granted': {},
        'reach.told': [
          { guard: 'isMissing', target: 'gone', actions: ['rejectTrouble', 'unfollowBoth', 'releaseQuota'] },
          { guard: 'isOverlapping', target: 'gone', actions: ['rejectTrouble', 'unfollowBoth', 'releaseQuota'] },
          { guard: 'isKnown', target: 'joining', actions: ['takeReach', 'publish', 'answerAll'] },
          { actions: 'takeReach' },
        ],
      },
      after: { meetingDeadline: { target: 'meeting', reenter: true } },
    },
    joining: {
      description: 'Both VPCs publish the link to their hosts; the condition Realized tells whether one is delayed.',
      entry: ready('False', 'Joining'),
      on: {
        ...standing,
        'reach.told': [...troubles, { guard: 'isNews', actions: ['takeReach', 'publish'] }],
        'peer.members': { actions: 'passOn' },
        'peer.service': { actions: 'passOnService' },
        'element.realized': [
          { guard: 'isProven', target: 'ready', actions: ['noteJoined', 'forgetFailure'] },
          { guard: 'isNewest', actions: 'noteProven' },
        ],
        'element.delayed': delayed,
      },
      after: { joiningDeadline: { target: 'joining', reenter: true, actions: ['followBoth', 'publishAgain'] } },
    },
    ready: {
      description:
        'Every host of either VPC joins them. The condition Realized tells whether a later change is on all hosts.',
      tags: 'steady',
      entry: ready('True', 'Joined'),
      on: {
        ...standing,
        'reach.told': [
          ...troubles,
          { guard: 'isNews', actions: ['takeReach', 'publish', realized('False', 'Publishing')] },
        ],
        'peer.members': { actions: 'passOn' },
        'peer.service': { actions: 'passOnService' },
        'element.realized': [
          { guard: 'isProven', actions: ['noteJoined', 'forgetFailure'] },
          { guard: 'isNewest', actions: 'noteProven' },
        ],
        'element.delayed': delayed,
      },
    },
    rejected: {
      description:
        'Both VPCs were given networks at the same moment that overlap; the failure says which. What was published ' +
        'before stands, and nothing more is, until one of the two networks is deleted.',
      tags: 'steady',
      entry: ready('False', 'Overlap'),
      on: {
        ...standing,
        'reach.told': [
          ...troubles,
          { guard: 'isKnown', target: 'joining', actions: ['takeReach', 'forgetFailure', 'publish'] },
        ],
        'peer.members': { actions: 'passOn' },
        'peer.service': { actions: 'passOnService' },
        'element.realized': {},
        'element.delayed': {},
      },
    },
    failed: {
      description: 'A VPC of the peering does not exist; the failure says which. It is looked for again.',
      tags: 'steady',
      entry: ready('False', 'VpcMissing'),
      on: {
        ...standing,
        'reach.told': [
          ...troubles,
          { guard: 'isKnown', target: 'joining', actions: ['takeReach', 'forgetFailure', 'publish'] },
        ],
        'peer.members': {},
        'peer.service': {},
        'element.realized': {},
        'element.delayed': {},
      },
      after: { review: { target: 'failed', reenter: true, actions: 'followBoth' } },
    },
    withdrawing: {
      description: 'Both VPCs remove the link from every host that has it.',
      entry: [ready('False', 'Deleting'), 'partBoth'],
      on: {
        ...whileDeleting('peering'),
        'reach.told': [
          { guard: 'isLastAbsent', target: 'gone', actions: 'releaseQuota' },
          { guard: 'isAbsent', actions: 'noteParted' },
        ],
        'peer.members': {},
        'peer.service': {},
        'element.realized': {},
        'element.delayed': {},
        'element.removed': [
          { guard: 'isLastParted', target: 'gone', actions: 'releaseQuota' },
          { guard: 'isOfLink', actions: 'noteParted' },
        ],
      },
      after: { withdrawDeadline: { target: 'withdrawing', reenter: true } },
    },
    gone: {
      description: 'No host joins the VPCs, or they were never joined; the name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
