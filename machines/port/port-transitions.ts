/** Transitions that several states of a port share, by the names of the chart's guards and actions. */
import { deletedBy, ready, whileDeclaring, whileLiving } from '../values/declared.ts';
import * as contexts from './port-context.ts';

const claimedWith = <const Actions extends readonly string[]>(...regroup: Actions) =>
  [
    { guard: 'isSameClaim', actions: 'tellReady' },
    { guard: 'isRegroupingClaim', actions: ['takeClaim', ...regroup, 'tellReady'] },
    { actions: 'refuseClaim' },
  ] as const;
/**
 * Rules of a port that has an address. Its VM decides on the groups of a port that it holds. @param regroup actions
 * that carry out a change of the groups, the only field that can change
 */
export const regrouping = <const Actions extends readonly string[]>(...regroup: Actions) => ({
  ...whileLiving(
    'port',
    { guard: 'isHeld', actions: 'rejectHeld' },
    { actions: ['takeSpec', ...regroup, 'answerUpdated'] },
  ),
  'port.claim': claimedWith(...regroup),
});

export const declaring = {
  ...whileDeclaring('port', { actions: ['takeSpec', 'awaitAnswer'] }),
  'port.claim': claimedWith(),
} as const;
/** The next proof, or the next bind, carries the groups to the host. */
export const living = regrouping('joinGroups');
/** The binding is asked to wire the present tap with other groups. */
export const regrouped = regrouping('joinGroups', 'askTap');
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
  ...living,
  ...deletedBy('port', inUse, { target: '#port.unbinding', actions: ['noteLeaving', 'awaitAnswer'] }),
  'port.rest': [foreign, { target: '#port.unbinding' }],
  'port.unbind': [inUse, { target: '#port.unbinding', actions: 'awaitUpdated' }],
  'port.release': [foreign, { target: '#port.unbinding', actions: 'noteLeaving' }],
} as const;
/** A new run needs a new tap for QEMU. */
export const rebound = [
  foreign,
  stale,
  { guard: 'isHere', target: '#port.binding.tap', actions: 'takeBind' },
  moved,
] as const;

export const granted = ['takeGrant', 'joinGroups', 'tellReady', 'answerAll'] as const;

/** Rejects declarations of a port that is being deleted. */
export const busy = { guard: 'isLeaving', actions: 'rejectBusy' } as const;
