/**
 * Transitions that several states of a port have in common, by the names of its chart's guards and actions. Data only;
 * port-machine.ts puts them into its states.
 */

const different = { actions: 'refuseDifferent' } as const;
export const created = [{ guard: 'isSame', actions: ['answerSame', 'tellReady'] }, different] as const;
/** Of one that has no address yet: the answer comes with that. */
export const awaited = [{ guard: 'isSame', actions: ['noteWaiter', 'deferAnswer'] }, different] as const;
export const foreign = { guard: 'isForeign', actions: 'refuseForeign' } as const;
export const inUse = { guard: 'isHeldCommand', actions: 'rejectInUse' } as const;
export const stale = { guard: 'isStale' } as const;
export const waits = {
  guard: 'isGoneDirect',
  target: '#port.binding.waiting',
  actions: ['noteBroken', 'noteTry'],
} as const;
/** Its binding has trouble: what may pass is tried again by the binding itself. */
export const troubled = (note: 'noteFailure' | 'noteBroken') =>
  [
    waits,
    { guard: 'isCurrentFault', actions: note },
    { guard: 'isCurrent', target: '#port.failed', actions: [note, 'tellFailed'] },
  ] as const;
/** To another host, or anew on this one. */
export const moved = { target: '#port.unbinding', actions: 'noteNext' } as const;

/** What every state with a binding answers alike, but for `port.bind`. */
export const bound = {
  'port.create': created,
  'port.unbind': [foreign, inUse, { target: '#port.unbinding', actions: ['noteWaiter', 'deferAnswer'] }],
  'port.release': [foreign, { target: '#port.unbinding', actions: 'noteLeaving' }],
  'port.delete': [inUse, { target: '#port.unbinding', actions: ['noteLeaving', 'noteWaiter', 'deferAnswer'] }],
} as const;
/** A new run needs a tap that QEMU can take. */
export const rebound = [
  foreign,
  stale,
  { guard: 'isHere', target: '#port.binding.tap', actions: 'takeBind' },
  moved,
] as const;
