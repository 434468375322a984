/**
 * A router of a VPC: static routes, and the way out through an external network. It examines a declaration against the
 * VPC's subnets, its next hops and the external network before anything of it comes into force; then it publishes a
 * route per destination and the way out to the VPC, and follows next hops and gateway hosts. Upholds: a declaration
 * that is refused changes nothing; packets to a next hop that is missing leave no other way.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, newDeclared, ready, whenBorn } from '../values/declared.ts';
import { whileDeclaring, whileDeleting, whileLiving } from '../values/declared.ts';
import { backoffMs } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import { isNew, isSurveyed, type RouterContext } from './router-context.ts';
import * as messages from './router-messages.ts';
import { routerKind, type RouterEvent, type RouterSpec } from './router-protocol.ts';
import { problemsOf } from './router-spec.ts';

const kit = declaredKit<RouterSpec, RouterContext, RouterEvent>(routerKind, {
  problems: problemsOf,
  result: ({ external }) => ({ snatAddress: external?.address ?? null }),
});

/** Questions without an answer before a declaration is rejected. */
const askTries = 6;

const confirming = { 'external.confirm': [{ guard: 'usesAsker' }, { actions: 'disownExternal' }] } as const;

/** What happens to the declaration in force, also while another one is examined. */
const serving = {
  ...confirming,
  'quota.granted': {},
  'ranges.told': { actions: ['noteRanges', 'publish', 'noteHealth'] },
  'port.address': { actions: ['noteHop', 'publish', 'noteHealth'] },
  'port.lost': { actions: ['noteHop', 'publish', 'noteHealth'] },
  'external.changed': { actions: ['noteWay', 'publish', 'noteHealth'] },
  'external.granted': { actions: ['noteRegranted', 'publish', 'noteHealth'] },
  'external.refused': {},
  'element.realized': { actions: ['noteElement', 'noteHealth'] },
  'element.delayed': { actions: ['noteElement', 'noteHealth'] },
  'element.lagging': { actions: ['noteLagging', 'noteHealth'] },
  'element.removed': { actions: ['noteRemoved', 'noteHealth'] },
} as const;

const living = {
  ...whileLiving('router', { target: 'surveying', actions: ['propose', 'awaitUpdated'] }),
  ...deletedBy('router', { target: 'withdrawing', actions: 'awaitAnswer' }),
  ...serving,
} as const;

/** While a declaration is examined no other one is taken. */
const repeated = [{ guard: 'isRepeated', actions: 'awaitAnswer' }, { actions: 'rejectUndecided' }] as const;
const examining = {
  'router.create': [{ guard: 'isSame', actions: 'awaitAnswer' }, { actions: 'rejectDifferent' }],
  'router.update': repeated,
  'router.apply': repeated,
  'router.delete': [
    { guard: 'isProtected', actions: 'rejectProtected' },
    {
      guard: 'isNew',
      target: 'gone',
      actions: ['rejectDeleted', 'awaitAnswer', 'leaveAll', 'releaseExternal', 'releaseQuota'],
    },
    { actions: 'rejectUndecided' },
  ],
  ...serving,
} as const;

/** Ways out of an examination that was lost. */
const lost = [
  { guard: 'isNew', target: 'gone', actions: ['leaveAll', 'releaseQuota'] },
  { target: 'ready', actions: 'withdrawProposed' },
] as const;
const lostClaim = [
  { guard: 'isNew', target: 'gone', actions: ['withdrawClaim', 'leaveAll', 'releaseQuota'] },
  { target: 'ready', actions: ['withdrawClaim', 'withdrawProposed'] },
] as const;

export const routerMachine = setup({
  types: { context: {} as RouterContext, events: {} as RouterEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...kit.actions,
    propose: assign(messages.propose),
    survey: tell(messages.survey),
    noteTry: assign(({ context }) => ({ tries: context.tries + 1 })),
    noteRanges: assign(messages.noteRanges),
    noteHop: assign(messages.noteHop),
    rejectUnfit: act(messages.rejectUnfit),
    rejectSilent: act(messages.rejectSilent),
    rejectRefused: act(messages.rejectRefused),
    claimExternal: tell(messages.claimExternal),
    withdrawClaim: tell(messages.withdrawClaim),
    takeGrant: act(messages.takeGrant),
    noteRegranted: assign(messages.noteRegranted),
    noteWay: assign(messages.noteWay),
    disownExternal: tell(messages.disownExternal),
    accept: act(messages.accept),
    withdrawProposed: act(messages.withdrawProposed),
    publish: act(messages.publish),
    publishFailed: tell(messages.publishFailed),
    noteElement: assign(messages.noteElement),
    noteLagging: assign(messages.noteLagging),
    noteRemoved: assign(messages.noteRemoved),
    noteHealth: assign(messages.noteHealth),
    removeAll: act(messages.removeAll),
    leaveAll: tell(messages.leaveAll),
    releaseExternal: tell(messages.releaseExternal),
  },
  guards: {
    ...kit.guards,
    isNew: ({ context }) => isNew(context),
    isRepeated: messages.isRepeated,
    isSurveyed: ({ context }) => isSurveyed(context),
    isLost: ({ context }) => context.tries >= askTries,
    isUnfit: messages.isUnfit,
    isUnfitGrant: messages.isUnfitGrant,
    wantsExternal: messages.wantsExternal,
    isAnswer: messages.isAnswer,
    mayPassLater: messages.mayPass,
    usesAsker: messages.usesAsker,
    isTroubled: messages.isTroubled,
    isWell: (seen) => !messages.isTroubled(seen),
    hasLeft: ({ context }) => context.leaving.length === 0,
  },
  delays: {
    quotaDeadline: 5_000,
    surveyDeadline: 5_000,
    claimDeadline: 5_000,
    withdrawDeadline: 30_000,
    review: 30_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'router',
  context: ({ input }) => ({
    ...newDeclared(input.id),
    proposed: null,
    ranges: null,
    isStranded: false,
    external: null,
    hops: {},
    published: {},
    leaving: [],
    revision: 0,
  }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('router', 'claiming'),
        'external.confirm': { target: 'gone', actions: 'disownExternal' },
      },
    },
    claiming: {
      description: 'The quota for one more router is requested from the tenant.',
      entry: [ready('False', 'Claiming'), 'claimQuota'],
      on: {
        ...whileDeclaring('router', { actions: ['takeSpec', 'awaitAnswer'] }),
        ...confirming,
        'router.delete': { target: 'gone', actions: ['rejectDeleted', 'awaitAnswer', 'releaseQuota'] },
        'quota.granted': { target: 'surveying' },
        'quota.refused': { target: 'gone', actions: ['rejectAll', 'noteFailure'] },
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    surveying: {
      description: 'The VPC tells its subnets, and the ports that are next hops tell where they are.',
      entry: [ready('False', 'Surveying'), 'survey'],
      always: { guard: 'isSurveyed', target: 'judging' },
      on: {
        ...examining,
        'ranges.told': { actions: 'noteRanges' },
        'port.address': { actions: 'noteHop' },
        'port.lost': { actions: 'noteHop' },
      },
      after: {
        surveyDeadline: [
          { guard: 'isLost', target: 'dismissing', actions: 'rejectSilent' },
          { target: 'surveying', reenter: true, actions: 'noteTry' },
        ],
      },
    },
    judging: {
      description: 'Transient: decides whether the declaration fits the VPC and its next hops.',
      entry: ready('False', 'Judging'),
      always: [
        { guard: 'isUnfit', target: 'dismissing', actions: 'rejectUnfit' },
        { guard: 'wantsExternal', target: 'joining' },
        { target: 'ready', actions: ['accept', 'answerAll'] },
      ],
    },
    dismissing: {
      description: 'Transient: the declaration is refused; the one before, if there is one, stays in force.',
      entry: ready('False', 'Dismissing'),
      always: lost,
    },
    joining: {
      description: 'The external network is asked for its use, and for an address of the router.',
      initial: 'asking',
      entry: ready('False', 'JoiningExternal'),
      on: {
        ...examining,
        'external.granted': [
          { guard: 'isUnfitGrant', target: 'leaving', actions: 'rejectUnfit' },
          { guard: 'isAnswer', target: 'ready', actions: ['takeGrant', 'accept', 'answerAll'] },
          serving['external.granted'],
        ],
        'external.refused': [
          { guard: 'mayPassLater', target: '.waiting', actions: 'noteFailure' },
          { guard: 'isAnswer', target: 'leaving', actions: ['rejectRefused', 'noteFailure'] },
        ],
      },
      states: {
        asking: {
          description: 'The external network has not answered yet.',
          entry: 'claimExternal',
          after: {
            claimDeadline: [
              { guard: 'isLost', target: '#router.leaving', actions: 'rejectSilent' },
              { target: 'asking', reenter: true, actions: 'noteTry' },
            ],
          },
        },
        waiting: {
          description: 'The external network cannot give an address now; the failure says why. Asked again shortly.',
          after: { backoff: { target: 'asking' } },
        },
      },
    },
    leaving: {
      description: 'Transient: the claim of a declaration that is refused is withdrawn.',
      entry: ready('False', 'Leaving'),
      always: lostClaim,
    },
    ready: {
      description: 'Routes and the way out are published; the condition Realized tells whether all hosts have them.',
      tags: 'steady',
      entry: ['publish', 'noteHealth', ready('True', 'Published')],
      always: { guard: 'isTroubled', target: 'degraded' },
      on: living,
    },
    degraded: {
      description:
        'Something of it leads nowhere: a next hop is missing, no gateway host can be used, or a host refuses it. ' +
        'The failure says what. It is looked at again.',
      tags: 'steady',
      entry: ['publish', 'noteHealth', ready('False', 'Degraded')],
      always: { guard: 'isWell', target: 'ready' },
      on: living,
      after: { review: { target: 'degraded', reenter: true, actions: ['survey', 'publishFailed'] } },
    },
    withdrawing: {
      description: 'The VPC takes routes and the way out off every host that has them.',
      entry: [ready('False', 'Deleting'), 'removeAll'],
      always: { guard: 'hasLeft', target: 'gone', actions: ['leaveAll', 'releaseExternal', 'releaseQuota'] },
      on: {
        ...whileDeleting('router'),
        ...confirming,
        'ranges.told': {},
        'port.address': {},
        'port.lost': {},
        'external.granted': {},
        'external.changed': {},
        'element.realized': {},
        'element.delayed': {},
        'element.lagging': {},
        'element.removed': { actions: 'noteRemoved' },
      },
      after: { withdrawDeadline: { target: 'withdrawing', reenter: true } },
    },
    gone: {
      description: 'No host has anything of the router, or it was never created; its name is free.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
