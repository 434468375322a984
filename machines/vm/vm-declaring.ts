/**
 * States of the VM chart from the first declaration until it is answered: quota, and a port with an address for every
 * NIC. The chart is in vm-machine.ts.
 */
import { deletedBy, ready, whileDeclaring } from '../values/declared.ts';
import { givenBack, toDelete, toldToWait, undecided } from './vm-transitions.ts';

export const declaringStates = {
  claiming: {
    description: 'The quota for one more VM is requested from the tenant.',
    entry: [ready('False', 'ClaimingQuota'), 'claimQuota'],
    on: {
      ...whileDeclaring('vm', { actions: ['takeSpec', 'awaitAnswer'] }),
      ...toldToWait,
      ...deletedBy('vm', { target: 'gone', actions: ['rejectDeleted', 'awaitAnswer'] }),
      'quota.granted': { target: 'addressing' },
      'quota.refused': { target: 'refused', actions: ['rejectAll', 'noteFailure'] },
    },
    after: { quotaDeadline: { target: 'claiming', reenter: true } },
  },
  addressing: {
    description: 'A port is created for every NIC; each gets an address and a MAC that last until the VM is deleted.',
    entry: [ready('False', 'Addressing'), 'awaitPorts', 'claimPorts'],
    always: [
      { guard: 'allRefused', target: 'withdrawing' },
      { guard: 'nothingAwaited', target: 'deciding', actions: ['wantDeclared', 'answerAll'] },
    ],
    on: {
      ...whileDeclaring(
        'vm',
        {
          target: 'addressing',
          reenter: true,
          actions: ['regroupPorts', 'takeSpec', 'awaitAnswer', 'releaseStrays'],
        },
        'relabelPorts',
      ),
      ...toldToWait,
      ...deletedBy('vm', { target: 'dismantling', actions: toDelete }),
      'port.ready': { actions: ['notePort', 'noteAnswered', ready('False', 'Addressing')] },
      'port.refused': { actions: 'noteRefusal' },
      'port.delayed': { actions: ['noteDelay', ready('False', 'Addressing')] },
    },
    after: { addressDeadline: { target: 'addressing', reenter: true } },
  },
  withdrawing: {
    description: 'A port was refused, so the creation fails: all claims are released before the command is answered.',
    entry: [ready('False', 'Withdrawing'), 'awaitClaimedPorts', 'releasePorts'],
    always: { guard: 'nothingAwaited', target: 'gone', actions: 'rejectRefused' },
    on: {
      ...toldToWait,
      ...deletedBy('vm', { actions: 'awaitAnswer' }),
      'vm.create': undecided,
      'vm.update': undecided,
      'vm.apply': undecided,
      ...givenBack,
    },
    after: { releaseDeadline: { target: 'withdrawing', reenter: true } },
  },
} as const;
