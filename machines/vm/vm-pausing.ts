/**
 * States of the VM chart in which its guest stands still, by command or because of a disk. It keeps its host, its
 * memory and its wiring. What a command wants is in the context (`paused`), so that it is not lost with a worker. The
 * chart is in vm-machine.ts.
 */
import { ready } from '../values/declared.ts';
import { lostInRun } from './vm-loss.ts';
import { evacuatedStill } from './vm-leaving.ts';
import { inRun, live, plugs, proposing, runs, stalls } from './vm-transitions.ts';

const leaves = { guard: 'leaves', target: 'stopping' } as const;
const ends = [leaves, lostInRun] as const;

export const pausingStates = {
  stalled: {
    description:
      'The guest stands still because a disk did not take its request, as on a full host; the failure says why. ' +
      'It goes on by itself.',
    tags: 'steady',
    entry: [ready('False', 'Stalled'), 'noteProgress', 'claimProposed', 'askPlugs'],
    always: live('stalled'),
    on: { ...proposing('stalled').on, ...inRun, ...evacuatedStill, 'incarnation.running': runs },
    after: proposing('stalled').after,
  },
  pausing: {
    description: 'Its host is asked to stop the guest where it is.',
    entry: [ready('False', 'Pausing'), 'claimProposed', 'askPause'],
    always: ends,
    on: { ...inRun, 'incarnation.paused': { guard: 'isThisIncarnation', target: 'paused', actions: 'noteRunning' } },
    after: { pauseDeadline: { target: 'pausing', reenter: true } },
  },
  paused: {
    description:
      'The guest stands still until `vm.resume`. A stop ends it without asking it, because it cannot answer.',
    tags: 'steady',
    entry: [
      {
        type: 'setCondition',
        params: { status: 'False', reason: 'Paused', message: 'paused by a command; send vm.resume' },
      },
      'noteProgress',
      'claimProposed',
      'askPlugs',
    ],
    always: [...ends, { guard: 'isResumed', target: 'resuming' }, plugs('paused')],
    on: { ...proposing('paused').on, ...inRun, ...evacuatedStill, 'incarnation.paused': {} },
    after: proposing('paused').after,
  },
  resuming: {
    description: 'Its host is asked to let the guest go on.',
    entry: [ready('False', 'Resuming'), 'claimProposed', 'askResume'],
    always: [...ends, { guard: 'isPaused', target: 'pausing' }],
    on: { ...inRun, 'incarnation.running': runs, 'incarnation.stalled': stalls },
    after: { pauseDeadline: { target: 'resuming', reenter: true } },
  },
} as const;
