/**
 * Transitions that several states of the VM chart have in common, each by the name of the situation. The states are in
 * vm-machine.ts.
 */
import { whileLivingWith } from '../values/declared.ts';
import { lostInRun } from './vm-loss.ts';
import { comingDelayed, plugging } from './vm-plugs.ts';
import { specIn, type At } from './vm-context.ts';
import { restCondition } from './vm-progress.ts';

export const living = whileLivingWith(
  'vm',
  ['relabelPorts'],
  { guard: 'isUndecided', actions: 'rejectUndecided' },
  {
    guard: 'addsNics',
    actions: ['rejectSuperseded', 'propose', 'releaseStrays', 'awaitUpdated', 'claimProposed'],
  },
  { actions: ['rejectSuperseded', 'regroupPorts', 'acceptSpec', 'releaseStrays', 'answerUpdated'] },
);
/** A change that waits for the ports of its NICs is repeated, or withdrawn. */
export const repeated = { guard: 'isProposed', actions: ['awaitUpdated', 'claimProposed'] } as const;
export const takenBack = {
  guard: 'takesBack',
  actions: ['rejectSuperseded', 'forgetProposed', 'relabelPorts', 'takeMetadata', 'releaseStrays', 'answerUpdated'],
} as const;
/** Rules during deletion, which cannot be undone. */
export const dying = { guard: 'isDying', actions: 'rejectBusy' } as const;
export const toDelete = ['rejectDeleted', 'wantDeleted', 'awaitAnswer'] as const;
/** Rules while the creation is not decided. */
export const undecided = { actions: 'rejectUndecided' } as const;
export const toldToWait = { 'vm.start': undecided, 'vm.stop': undecided } as const;
/** Rules of states that wait for ports to end. */
export const givenBack = { 'port.gone': { actions: ['noteGone', 'noteAnswered'] } } as const;
/**
 * Rules of states without a deadline: repeats the claims for ports of added NICs until they answer, and what was asked
 * of volumes and ports that come or go.
 */
export const proposing = <const Here extends string>(here: Here) => {
  const actions = ['rejectSuperseded', 'propose', 'releaseStrays', 'awaitUpdated'] as const;
  const rule = { guard: 'proposes', target: here, reenter: true, actions } as const;
  return {
    on: { 'vm.update': rule, 'vm.apply': rule },
    after: {
      proposalDeadline: [
        { guard: 'isProposing', target: here, reenter: true },
        { guard: 'isPlugging', target: here, reenter: true },
      ],
    },
  } as const;
};
export const atRest = {
  type: 'setCondition',
  params: ({ context }: At) => restCondition(specIn(context)),
} as const;

/** The host is fenced: its resources are released, and the VM is placed again. */
const elsewhere = { guard: 'isHostGone', target: 'releasing', actions: 'forgetFailure' } as const;
/** A resource of the run cannot be prepared. */
export const unprepared = [
  { guard: 'isNotOfRun' },
  elsewhere,
  { guard: 'mayPass', target: 'backoff', actions: 'noteFailure' },
  { target: 'releasing', actions: 'noteFailure' },
] as const;
/** The guest stands still, which the VM does not want any more. */
const standsStill = { guard: 'isThisIncarnation', target: 'resuming', actions: 'noteRunning' } as const;
/** The guest runs, or stands still until a disk takes its request. */
export const inRun = {
  ...plugging,
  'incarnation.paused': standsStill,
  'incarnation.ended': { guard: 'isThisIncarnation', target: 'ended', actions: 'noteEnd' },
  'port.failed': [{ guard: 'isNotOfRun' }, comingDelayed, { actions: 'noteFailure' }],
  'port.delayed': [{ guard: 'isNotOfRun' }, comingDelayed],
  'vm.restart': { target: 'stopping', actions: 'wantRestart' },
  'vm.reset': { actions: 'askReset' },
} as const;
export const runs = { guard: 'isThisIncarnation', target: 'running', actions: 'noteRunning' } as const;
export const stalls = { guard: 'isThisIncarnation', target: 'stalled', actions: 'noteRunning' } as const;
/** Disks or NICs were declared, or declared no more. */
export const plugs = <const Here extends string>(here: Here) =>
  ({ guard: 'mustPlug', target: here, reenter: true, actions: 'beginPlugs' }) as const;
/** The states in which its guest executes instructions, if its disks let it. */
export const live = <const Here extends string>(here: Here) =>
  [{ guard: 'leaves', target: 'stopping' }, lostInRun, { guard: 'isPaused', target: 'pausing' }, plugs(here)] as const;
export const staying = { guard: 'staysPlaced', target: 'preparing', actions: 'beginRun' } as const;
