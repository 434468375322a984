/** Transitions that several states of a port share, by the names of the chart's guards and actions. */
import { deletedBy, ready, whileDeclaring, whileLivingWith } from '../values/declared.ts';
import * as contexts from './port-context.ts';
import { givenUp } from './port-loss.ts';

const claimedWith = <const Actions extends readonly string[], const Labels extends readonly string[]>(
  regroup: Actions,
  relabel: Labels,
) =>
  [
    { guard: 'isRevertingClaim', actions: ['forgetProposed', 'askRevision', 'tellReady'] },
    { guard: 'isSameClaim', actions: 'tellReady' },
    { guard: 'isExtendingClaim', actions: ['propose', 'askRevision'] },
    { guard: 'isRelabellingClaim', actions: ['takeClaim', ...relabel, 'tellReady'] },
    { guard: 'isRegroupingClaim', actions: ['takeClaim', ...regroup, 'tellReady'] },
    { actions: 'refuseClaim' },
  ] as const;
/**
 * Rules of a port that has an address. Its VM decides on the groups of a port that it holds. @param regroup actions
 * that carry out a change of the groups, the only field that can change @param relabel those of changed labels
 */
const changing = <const Actions extends readonly string[], const Labels extends readonly string[]>(
  regroup: Actions,
  relabel: Labels,
) => ({
  ...whileLivingWith(
    'port',
    relabel,
    { guard: 'isHeld', actions: 'rejectHeld' },
    { guard: 'isProposing', actions: 'rejectUndecided' },
    { guard: 'needsNetwork', actions: ['propose', 'defer', 'askRevision'] },
    { actions: ['takeSpec', ...regroup, 'answerUpdated'] },
  ),
  'port.claim': claimedWith(regroup, relabel),
  'address.revised': { guard: 'isAccepted', actions: ['acceptProposed', ...regroup] } as const,
  'address.unrevised': { guard: 'isProposing', actions: 'rejectProposed' } as const,
});
export const regrouping = <const Actions extends readonly string[]>(...regroup: Actions) => changing(regroup, []);

const claimedEarly = [
  { guard: 'isSameClaim', actions: 'tellReady' },
  { guard: 'isRegroupingClaim', actions: ['takeClaim', 'tellReady'] },
  { actions: 'refuseClaim' },
] as const;

/** What is beside the address goes with the next request for it. */
export const declaring = {
  ...whileDeclaring('port', { actions: ['takeSpec', 'awaitAnswer'] }),
  'port.claim': claimedEarly,
} as const;
/** The next proof, or the next bind, carries the groups to the host. */
export const living = regrouping('joinGroups');
/** The binding is asked to wire the present tap with other groups; other labels are told to the VPC. */
export const regrouped = changing(['joinGroups', 'askTap'], ['relocate']);
export const foreign = { guard: 'isForeign', actions: 'refuseForeign' } as const;
export const inUse = { guard: 'isHeld', actions: 'rejectInUse' } as const;
export const stale = { guard: 'isStale' } as const;
/** Gives up the port: the address may have been allocated, so the network must release it. */
export const withdrawn = { target: '#port.gone', actions: 'releaseAddress' } as const;
/** The declaration of an unbound port is realized, unless it names a host. */
export const atRest = {
  type: 'setCondition',
  params: (seen: contexts.At) => ({ status: contexts.wantsHost(seen) ? 'False' : 'True', reason: 'Unbound' }) as const,
} as const;

/** The failure that was just noted stands in the condition of a state that is entered again. */
export const silent = ready('False', 'ClaimingAddress');
export const late = ['noteUnready', ready('False', 'BindingDelayed'), 'tellDelayed'] as const;

export const waits = {
  guard: 'isGoneDirect',
  target: '#port.binding.waiting',
  actions: ['noteBroken', 'noteTry'],
} as const;
/** Failures of its binding; the binding itself retries transient ones. */
export const troubled = <const Reason extends string>(note: 'noteFailure' | 'noteBroken', reason: Reason) =>
  [
    waits,
    { guard: 'isCurrentFault', actions: [note, ready('False', reason), 'tellDelayed'] },
    { guard: 'isCurrent', target: '#port.failed', actions: [note, 'tellFailed'] },
  ] as const;
/** Bind on another host, or again on this one. */
export const moved = { target: '#port.unbinding', actions: 'noteNext' } as const;
/** Events that every state with a binding handles in the same way; `port.bind` is not among them. */
export const bound = {
  // Its VM has moved here, and the tap that QEMU had opened was lost: the former host is left all the same.
  'port.take-over': { guard: 'hasTakenOver', actions: ['leaveFormer', 'retireFormer', 'tellTakenOver', 'tellTapLost'] },
  ...living,
  ...deletedBy('port', inUse, { target: '#port.unbinding', actions: ['noteLeaving', 'awaitAnswer'] }),
  'port.rest': [foreign, { target: '#port.unbinding' }],
  'port.unbind': [inUse, { target: '#port.unbinding', actions: 'awaitUpdated' }],
  'port.release': [foreign, { target: '#port.unbinding', actions: 'noteLeaving' }],
  ...givenUp,
} as const;
/** A new run needs a new tap for QEMU. */
export const rebound = [
  foreign,
  stale,
  { guard: 'isHere', target: '#port.binding.tap', actions: 'takeBind' },
  moved,
] as const;

const takesOver = { guard: 'mayTakeOver', target: '#port.binding.tap', actions: 'activate' } as const;
/** An active port can be prepared on another host, and moved there. */
export const moving = {
  'port.standby': [
    inUse,
    { guard: 'isElsewhere', actions: 'rejectElsewhere' },
    { guard: 'isStanding', actions: 'tellStanding' },
    { actions: 'prepareStandby' },
  ],
  'port.activate': [
    inUse,
    { guard: 'isActivated', actions: 'answerUnchanged' },
    { guard: 'mayActivate', target: '#port.binding.tap', actions: ['activate', 'awaitUpdated'] },
    { actions: 'rejectActivation' },
  ],
  'port.stand-by': [{ guard: 'isUnfit', actions: 'refuseStandBy' }, { actions: 'standBy' }],
  'port.take-over': [{ guard: 'hasTakenOver', actions: 'tellTakenOver' }, takesOver],
} as const;
/** Its host has failed, and its VM goes on elsewhere. */
export const leavingFailed = { 'port.take-over': [bound['port.take-over'], takesOver] } as const;
const heeded = { guard: 'isOfStandby', actions: 'heedStandby' } as const;
/** In every state: what concerns the binding that stands by, and the states that have none. */
export const ofStandby = {
  'port.standby': [inUse, { actions: 'rejectNotActive' }],
  'port.activate': [inUse, { actions: 'rejectNotActive' }],
  'port.drop-standby': [inUse, { guard: 'hasStandby', actions: 'dropStandby' }, { actions: 'answerUnchanged' }],
  'port.stand-by': { actions: 'refuseStandBy' },
  'port.take-over': { guard: 'cannotTakeOver', actions: 'refuseTakeOver' },
  'port.stand-down': [
    // The other is not proven yet; it is asked again.
    { guard: 'isRetiring' },
    { guard: 'hasStandby', actions: 'dropStandby' },
    { actions: 'tellStoodDown' },
  ],
  'host.resolved': heeded,
  'host.missing': heeded,
  'binding.tapped': heeded,
  'segment.provided': heeded,
  'segment.delayed': heeded,
  'segment.refused': heeded,
  'binding.ready': heeded,
  'binding.failed': heeded,
  'binding.removed': [{ guard: 'isOfAbandoned', actions: 'liftFence' }, heeded],
  'element.realized': { actions: 'noteFenced' },
  'element.delayed': {},
  'element.removed': {},
} as const;

export const granted = ['takeGrant', 'joinGroups', 'tellReady', 'tellFollowers', 'answerAll'] as const;

/** Rejects declarations of a port that is being deleted. */
export const busy = { guard: 'isLeaving', actions: 'rejectBusy' } as const;

/** Of a port that does not exist: what is held for it is given back. */
export const ofNobody = {
  'port.stand-down': { target: 'gone', actions: 'tellStoodDown' },
  'address.confirm': { target: 'gone', actions: 'disownAddress' },
  'binding.confirm': { target: 'gone', actions: 'disownBinding' },
  'reference.confirm': { target: 'gone', actions: 'disownReference' },
} as const;
