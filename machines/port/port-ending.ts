/**
 * States of a port that leaves a host: that has removed its binding, or is silent and given up (port-loss.ts). The
 * chart is in port-machine.ts.
 */
import { deletedBy, ready } from '../values/declared.ts';
import { givenUpThere } from './port-loss.ts';
import { busy, foreign, inUse, living, stale } from './port-transitions.ts';

/** Declarations of a port that may be about to end. */
const declared = {
  ...living,
  'port.create': [busy, ...living['port.create']],
  'port.update': [busy, ...living['port.update']],
  'port.apply': [busy, ...living['port.apply']],
  'port.claim': [{ guard: 'isLeaving', actions: 'refuseBusy' }, ...living['port.claim']],
} as const;

export const endingStates = {
  unbinding: {
    description: 'Routes to it are withdrawn, then its host removes the tap.',
    entry: [ready('False', 'Unbinding'), 'dropStandby', 'takeOff'],
    on: {
      ...declared,
      'port.delete': [
        { guard: 'isLeaving', actions: 'awaitAnswer' },
        ...deletedBy('port', inUse, { actions: ['noteLeaving', 'awaitAnswer'] })['port.delete'],
      ],
      'port.bind': [foreign, stale, { guard: 'isLeaving', actions: 'refuseLate' }, { actions: 'noteNext' }],
      'port.rest': [foreign, { actions: 'forgetNext' }],
      'port.abandon': [foreign, givenUpThere, { actions: 'abandon' }],
      'port.unbind': [inUse, { actions: ['forgetNext', 'awaitUpdated'] }],
      'port.release': [foreign, { actions: 'noteLeaving' }],
      'binding.removed': [
        { guard: 'isOfAbandoned', actions: 'liftFence' },
        { guard: 'isOffFirst', actions: 'awaitStandby' },
        { guard: 'isOffUnfenced', target: 'abandoning', actions: 'noteOff' },
        { guard: 'isOffParting', target: 'parting', actions: 'noteOff' },
        { guard: 'isOffLeaving', target: 'gone', actions: ['noteOff', 'releaseAddress'] },
        { guard: 'isOffNext', target: 'binding', actions: ['noteOff', 'takeNext'] },
        { guard: 'isCurrent', target: 'unbound', actions: ['noteOff', 'tellUnbound', 'answerAll'] },
      ],
    },
    after: { unbindDeadline: { target: 'unbinding', reenter: true } },
  },
  abandoning: {
    description: 'Its host is silent and given up: all others are to drop what comes from there with its addresses.',
    entry: [ready('False', 'Abandoning'), 'askFences'],
    always: [
      { guard: 'areFencedLeaving', target: 'parting' },
      { guard: 'areFenced', target: 'unbound', actions: ['tellUnbound', 'answerAll'] },
    ],
    on: {
      ...declared,
      ...deletedBy('port', { actions: 'rejectInUse' }),
      'element.delayed': { actions: ['noteUnfenced', ready('False', 'Abandoning'), 'tellDelayed'] },
      'port.abandon': [foreign, { target: 'abandoning', reenter: true, actions: 'noteAbsent' }],
      'port.release': [foreign, { actions: 'noteLeaving' }],
    },
    after: { fenceDeadline: { target: 'abandoning', reenter: true } },
  },
  parting: {
    description:
      'It is deleted once the hosts on which it was given up have removed what is left there, or are fenced: its ' +
      'address is not free before.',
    tags: 'steady',
    entry: [ready('False', 'Parting'), 'askFences'],
    always: { guard: 'hasNoneAbandoned', target: 'gone', actions: 'releaseAddress' },
    on: {
      'port.create': { actions: 'rejectBusy' },
      'port.update': { actions: 'rejectBusy' },
      'port.apply': { actions: 'rejectBusy' },
      'port.delete': { actions: 'awaitAnswer' },
      'port.claim': { actions: 'refuseBusy' },
      'port.bind': [foreign, { actions: 'refuseLate' }],
      'port.abandon': { actions: 'tellGivenUp' },
      'port.release': [foreign, {}],
    },
  },
} as const;
