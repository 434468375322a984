/**
 * A rollout: every host receives and verifies its system before any is activated; then one is activated alone, the
 * canary, and the others a few at a time. The first host that fails stops it. A host keeps its system only when a
 * controller has reached it over a new connection after the switch. It does nothing itself: its counterparts
 * (machines/host-rollout) ask the agents of the hosts. Upholds: at most `maxParallel` hosts are under way; none is told
 * to activate after one has failed, or before the canary is confirmed; one rollout at a time.
 */
import { assign, setup } from 'xstate';
import { rolloutClaim, rolloutRelease } from '../cluster/cluster-protocol.ts';
import {
  declaredKit,
  deletedBy,
  newDeclared,
  ready,
  whenBorn,
  whileDeclaring,
  whileLiving,
} from '../values/declared.ts';
import { clusterId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { act, send, tell } from '../values/telling.ts';
import * as hosts from './rollout-hosts.ts';
import type { RolloutContext } from './rollout-hosts.ts';
import { rolloutKind, type RolloutEvent, type RolloutSpec } from './rollout-protocol.ts';

const kit = declaredKit<RolloutSpec, RolloutContext, RolloutEvent>(rolloutKind, { problems: hosts.problemsOf });

/** The claim was answered before, or was of a rollout that goes on. */
const claimed = { 'rollout.granted': {}, 'rollout.refused': {} } as const;

/** What is asked of a rollout that is under way. */
const running = {
  ...whileLiving('rollout'),
  ...claimed,
  'rollout.ask': {},
  'rollout.delete': { actions: 'rejectRunning' },
  'rollout.confirm': { actions: 'rejectConfirm' },
  'rollout.abort': { target: '#rollout.aborting', actions: 'answerAccepted' },
  'host.stands': { actions: 'noteHost' },
} as const;

/** Of one that has ended. */
const over = {
  ...whileLiving('rollout'),
  ...deletedBy('rollout', { target: 'gone', actions: 'awaitAnswer' }),
  ...claimed,
  'rollout.ask': { actions: 'release' },
  'rollout.confirm': { actions: 'rejectConfirm' },
  'rollout.abort': { actions: 'answerAccepted' },
  'host.stands': {},
  'host-rollout.stands': { actions: 'noteLate' },
} as const;

/** Hosts are activated, and reached over new connections once they wait for that. */
const activating = <const Next extends string>(next: Next) =>
  ({
    initial: 'following',
    states: {
      following: {
        description: 'Hosts work; the next report goes on. One that does not report in time counts as failed.',
        always: { guard: 'hasUntried', target: 'reaching' },
        on: { 'host-rollout.stands': { actions: ['noteStands', next] } },
        after: {
          reachPause: { guard: 'hasToReach', target: 'reaching' },
          review: { target: 'following', reenter: true, actions: ['noteOverdue', next] },
        },
      },
      reaching: {
        description: 'A controller opens a new connection to each host that waits for a confirmation.',
        entry: { type: 'rollout.reach', params: hosts.toReach },
        on: {
          'host-rollout.stands': { actions: ['noteStands', next] },
          'rollout.reach.done': { target: 'following', actions: 'noteReached' },
          'rollout.reach.failed': { target: 'following', actions: 'noteUnreached' },
          'rollout.reach.unknown': { target: 'following', actions: 'noteUnreached' },
        },
        after: { reachDeadline: { target: 'following', actions: 'noteUnreached' } },
      },
    },
  }) as const;

export const rolloutMachine = setup({
  types: {
    context: {} as RolloutContext,
    events: {} as RolloutEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...kit.actions,
    ...effectActions(rolloutKind),
    claim: tell(() => [send(clusterId, rolloutClaim({}))]),
    release: tell(() => [send(clusterId, rolloutRelease({}))]),
    begin: assign(hosts.begin),
    followHosts: tell(hosts.followHosts),
    unfollowHosts: tell(hosts.unfollowHosts),
    refuseAbsent: act(hosts.refuseAbsent),
    noteHost: assign(hosts.noteHost),
    noteStands: assign(hosts.noteStands),
    noteLate: assign(hosts.noteLate),
    noteOverdue: assign(hosts.noteOverdue),
    noteReached: act(hosts.noteReached),
    noteUnreached: assign(hosts.noteUnreached),
    noteStop: assign(hosts.noteStop),
    noteEnd: assign(hosts.noteEnd),
    giveUpSilent: assign(hosts.giveUpSilent),
    askReceive: act(hosts.askReceive),
    activateCanary: act(hosts.activateCanary),
    activateNext: act(hosts.activateNext),
    leaveOthers: act(hosts.leaveOthers),
    leaveAll: act(hosts.leaveAll),
    answerAccepted: tell(hosts.answerAccepted),
    rejectRunning: tell(hosts.rejectRunning),
    rejectConfirm: tell(hosts.rejectConfirm),
  },
  guards: {
    ...kit.guards,
    allPresent: hosts.allPresent,
    hasFailed: hosts.hasFailed,
    allVerified: hosts.allVerified,
    isHeld: (seen) => hosts.isCanaryConfirmed(seen) && hosts.specOf(seen.context).holdAfterCanary,
    isCanaryConfirmed: hosts.isCanaryConfirmed,
    allConfirmed: hosts.allConfirmed,
    allEnded: hosts.allEnded,
    hasUntried: hosts.hasUntried,
    hasToReach: hosts.hasToReach,
  },
  delays: {
    claimDeadline: 5_000,
    surveyDeadline: 10_000,
    review: 10_000,
    reachPause: 2_000,
    reachDeadline: 30_000,
  },
}).createMachine({
  id: 'rollout',
  context: ({ input }) => ({ ...newDeclared(input.id), hosts: [], startedAt: 0, endedAt: 0 }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      tags: 'steady',
      on: {
        ...whenBorn('rollout', 'claiming'),
        'rollout.ask': { target: 'gone', actions: 'release' },
      },
    },
    claiming: {
      description: 'The cluster says whether another rollout is under way.',
      entry: [ready('False', 'Claiming'), 'claim'],
      on: {
        ...whileDeclaring('rollout', { actions: ['takeSpec', 'awaitAnswer'] }),
        'rollout.delete': { target: 'gone', actions: ['rejectDeleted', 'awaitAnswer', 'release'] },
        'rollout.confirm': { actions: 'rejectConfirm' },
        'rollout.abort': { target: 'gone', actions: ['answerAccepted', 'rejectDeleted', 'release'] },
        'rollout.granted': { target: 'surveying' },
        // A claim that was repeated may be granted after the refusal: nobody else would give that back.
        'rollout.refused': { target: 'gone', actions: ['rejectAll', 'release'] },
        'rollout.ask': {},
      },
      after: { claimDeadline: { target: 'claiming', reenter: true } },
    },
    surveying: {
      description: 'Every host is to be present before anything is asked of one; a worker that restarts is waited for.',
      entry: [ready('False', 'Surveying'), 'begin', 'followHosts'],
      always: { guard: 'allPresent', target: 'receiving', actions: 'answerAll' },
      on: {
        ...whileDeclaring('rollout', { actions: ['takeSpec', 'awaitAnswer'] }),
        ...claimed,
        'rollout.ask': {},
        'rollout.delete': { actions: 'rejectRunning' },
        'rollout.confirm': { actions: 'rejectConfirm' },
        'rollout.abort': { target: 'aborting', actions: ['answerAccepted', 'answerAll'] },
        'host.stands': { actions: 'noteHost' },
      },
      after: { surveyDeadline: { target: 'gone', actions: ['refuseAbsent', 'unfollowHosts', 'release'] } },
    },
    receiving: {
      description: 'Every host receives its system and verifies it; nothing of a host is changed before all have.',
      entry: [ready('False', 'Receiving'), 'askReceive'],
      always: [
        { guard: 'hasFailed', target: 'stopping' },
        { guard: 'allVerified', target: 'canary' },
      ],
      on: { ...running, 'host-rollout.stands': { actions: ['noteStands', 'askReceive'] } },
      after: { review: { target: 'receiving', reenter: true, actions: 'noteOverdue' } },
    },
    canary: {
      description: 'One host is activated, alone.',
      entry: [ready('False', 'Canary'), 'activateCanary'],
      always: [
        { guard: 'hasFailed', target: 'stopping' },
        { guard: 'allConfirmed', target: 'completed' },
        { guard: 'isHeld', target: 'holding' },
        { guard: 'isCanaryConfirmed', target: 'rolling' },
      ],
      on: running,
      ...activating('activateCanary'),
    },
    holding: {
      description: 'The canary runs its system. The others follow with the command confirm.',
      tags: 'steady',
      entry: ready('False', 'Holding'),
      always: { guard: 'hasFailed', target: 'stopping' },
      on: {
        ...running,
        'rollout.confirm': { target: 'rolling', actions: 'answerAccepted' },
        'host-rollout.stands': { actions: 'noteStands' },
      },
    },
    rolling: {
      description: 'The other hosts are activated, at most so many at a time as was declared.',
      entry: [ready('False', 'Rolling'), 'activateNext'],
      always: [
        { guard: 'hasFailed', target: 'stopping' },
        { guard: 'allConfirmed', target: 'completed' },
      ],
      on: running,
      ...activating('activateNext'),
    },
    stopping: {
      description: 'A host has failed: no further one is activated. Those that are under way go on to their ends.',
      entry: ['leaveOthers', 'noteStop', ready('False', 'Stopping')],
      always: { guard: 'allEnded', target: 'failed' },
      on: running,
      ...activating('giveUpSilent'),
    },
    aborting: {
      description: 'An operator has ended it: hosts that are not confirmed go back.',
      entry: ['leaveAll', ready('False', 'Aborting')],
      always: { guard: 'allEnded', target: 'aborted' },
      on: {
        ...running,
        'rollout.abort': { actions: 'answerAccepted' },
        'host-rollout.stands': { actions: 'noteStands' },
      },
      after: { review: { target: 'aborting', reenter: true, actions: ['noteOverdue', 'giveUpSilent'] } },
    },
    completed: {
      description: 'Every host runs its new system, and keeps it.',
      tags: 'steady',
      entry: ['noteEnd', 'observe', 'unfollowHosts', 'release', ready('True', 'Completed')],
      on: over,
    },
    failed: {
      description: 'A host has failed. The failure says which, why, and what the others are.',
      tags: 'steady',
      entry: ['noteEnd', 'noteStop', 'unfollowHosts', 'release', ready('False', 'HostFailed')],
      on: over,
    },
    aborted: {
      description: 'An operator has ended it. Each host says what has become of it.',
      tags: 'steady',
      entry: ['noteEnd', 'unfollowHosts', 'release', ready('False', 'Aborted')],
      on: over,
    },
    gone: {
      description: 'The rollout does not exist any more, or has not begun.',
      type: 'final',
      entry: 'answerAll',
    },
  },
});
