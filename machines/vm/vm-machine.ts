/**
 * A VM: its declaration, its placement, and the reaction to the end of a run.
 *
 * The VM is the logical machine; each run of it is an incarnation on a host, identified by its `incarnationUid`.
 * Addresses, MACs and disks belong to the VM and outlive every run. All resources of a run (taps, volumes, images) are
 * prepared before QEMU is started, and released before the VM is stopped or gone. A start on another host raises the
 * run epoch (docs/promises.md#one-run, #one-run-epoch).
 *
 * A run uses the spec with which it began; a later spec applies to the next run. A change that adds NICs is accepted
 * once their ports have addresses. Commands and accepted specs only record the desired state: each state has a
 * transition for the case that it differs.
 */
import { assign, setup } from 'xstate';
import { declaredKit, deletedBy, ready, whenBorn } from '../values/declared.ts';
import { backoffMs } from '../values/failures.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as changes from './vm-changes.ts';
import { newVm, type VmContext } from './vm-context.ts';
import { declaringStates } from './vm-declaring.ts';
import * as guards from './vm-guards.ts';
import * as messages from './vm-messages.ts';
import { pausingStates } from './vm-pausing.ts';
import { evacuated, evacuatedLive, leavingActions, leavingGuards } from './vm-leaving.ts';
import * as loss from './vm-loss.ts';
import { migrating, migrationActions, migrationGuards } from './vm-migration.ts';
import { plugActions, plugGuards } from './vm-plugs.ts';
import { storageActions, storageHeard } from './vm-storage.ts';
import { vmKind, type VmEvent, type VmSpec } from './vm-protocol.ts';
import {
  atRest,
  dying,
  givenBack,
  inRun,
  live,
  living,
  proposing,
  repeated,
  runs,
  stalls,
  staying,
  takenBack,
  toDelete,
  unprepared,
} from './vm-transitions.ts';

/** Nothing runs. */
const restless = [{ guard: 'leaves', target: 'releasing' }, loss.lostIdle] as const;

const kit = declaredKit<VmSpec, VmContext, VmEvent>(vmKind, { result: ({ ports }) => ({ ports }) });

export const vmMachine = setup({
  types: { context: {} as VmContext, events: {} as VmEvent, input: {} as { id: string }, tags: {} as 'steady' },
  actions: {
    ...requests,
    ...kit.actions,
    ...migrationActions,
    ...leavingActions,
    ...plugActions,
    ...storageActions,
    wantDeclared: assign(changes.wantDeclared),
    acceptSpec: assign(changes.acceptSpec),
    propose: assign(changes.propose),
    acceptProposed: assign(changes.acceptProposed),
    rejectProposed: act(messages.rejectProposed),
    rejectSuperseded: act(messages.rejectSuperseded),
    forgetProposed: assign({ proposed: null }),
    noteProgress: assign(changes.noteProgress),
    awaitPorts: assign(changes.awaitPorts),
    awaitClaimedPorts: assign(changes.awaitClaimedPorts),
    awaitBoundPorts: assign(changes.awaitBoundPorts),
    notePort: assign(changes.notePort),
    noteRefusal: assign(changes.noteRefusal),
    noteDelay: assign(changes.noteDelay),
    noteWired: assign(changes.noteWired),
    noteAnswered: assign(changes.noteAnswered),
    noteGone: assign(changes.noteGone),
    beginRun: act(messages.beginRun),
    awaitVolumes: assign(changes.awaitVolumes),
    awaitPreparations: assign(changes.awaitPreparations),
    noteTapped: assign(changes.noteTapped),
    noteAttached: assign(changes.noteAttached),
    noteImage: assign(changes.noteImage),
    noteWrongImage: assign(changes.noteWrongImage),
    noteLocated: assign(changes.noteLocated),
    notePlaced: assign(changes.notePlaced),
    newIncarnation: assign(changes.newIncarnation),
    noteRunning: assign(changes.noteRunning),
    noteEnd: assign(changes.noteEnd),
    noteHealthy: assign(changes.noteHealthy),
    letGo: assign((seen) => ({ ...changes.letGo(), ...loss.forgetHosts(seen) })),
    ...loss.lossActions,
    sayLoss: assign(loss.sayLoss),
    noteIdle: assign(loss.noteIdle),
    noteFenced: assign(loss.noteFenced),
    noteInRun: assign(loss.noteInRun),
    noteGranted: assign(loss.noteGranted),
    noteLossRefused: assign(loss.noteLossRefused),
    noteHostLost: assign(loss.noteHostLost),
    noteHostFound: assign(loss.noteHostFound),
    wantRunning: assign(changes.wantRunning),
    wantStopped: assign(changes.wantStopped),
    wantRestart: assign(changes.wantRestart),
    wantPaused: assign({ paused: true }),
    wantResumed: assign({ paused: false }),
    wantDeleted: assign(changes.wantDeleted),
    settle: assign(changes.settle),
    claimPorts: tell(messages.claimPorts),
    regroupPorts: tell(messages.regroupPorts),
    regroupProposed: tell(messages.regroupProposed),
    relabelPorts: tell(messages.relabelPorts),
    claimProposed: tell(messages.claimProposed),
    releasePorts: tell(messages.releasePorts),
    releaseStrays: tell(messages.releaseStrays),
    rejectRefused: act(messages.rejectRefused),
    askVolumes: tell(messages.askVolumes),
    askPlace: tell(messages.askPlace),
    askPreparations: tell(messages.askPreparations),
    askReleases: tell(messages.askReleases),
    askRun: tell(messages.askRun),
    askStop: tell(messages.askStop),
    askPause: tell(messages.askPause),
    askResume: tell(messages.askResume),
    askReset: tell(messages.askReset),
  },
  guards: {
    ...kit.guards,
    ...guards,
    ...loss.lossGuards,
    ...migrationGuards,
    ...leavingGuards,
    ...plugGuards,
    /** The last accepted spec is declared again, instead of the change that waits for ports. */
    takesBack: (seen) => guards.isProposing(seen) && kit.guards.isSameSpec(seen),
    /** A valid changed spec that needs new ports. */
    proposes: (seen) =>
      !guards.isDying(seen) &&
      !guards.isProposed(seen) &&
      !kit.guards.isSameSpec(seen) &&
      !kit.guards.isImmutable(seen) &&
      !guards.isUndecided(seen) &&
      guards.addsNics(seen),
  },
  delays: {
    ...loss.lossDelays,
    quotaDeadline: 10_000,
    addressDeadline: 15_000,
    proposalDeadline: 15_000,
    locateDeadline: 15_000,
    placeDeadline: 10_000,
    /** Only in case that a rollback of the store has taken the cluster's record of the waiting VM. */
    placeReview: 3_600_000,
    prepareDeadline: 60_000,
    startDeadline: 120_000,
    pauseDeadline: 30_000,
    stopDeadline: ({ context }) => context.graceMs + 60_000,
    releaseDeadline: 30_000,
    migrationReview: 30_000,
    backoff: ({ context }) => backoffMs(context.tries, 60_000),
    healthy: changes.healthyMs,
  },
}).createMachine({
  id: 'vm',
  context: ({ input }) => newVm(input.id),
  initial: 'born',
  on: {
    'vm.create': [dying, ...living['vm.create']],
    'vm.update': [dying, repeated, takenBack, ...living['vm.update']],
    'vm.apply': [dying, repeated, takenBack, ...living['vm.apply']],
    'vm.delete': [{ guard: 'isDying', actions: 'awaitAnswer' }, ...deletedBy('vm', { actions: toDelete })['vm.delete']],
    'vm.start': [dying, { guard: 'runsAsWanted', actions: 'answerUnchanged' }, { actions: 'wantRunning' }],
    'vm.pause': [
      dying,
      { guard: 'isPaused', actions: 'answerUnchanged' },
      { guard: 'wantsRun', actions: 'wantPaused' },
    ],
    'vm.resume': [
      dying,
      { guard: 'isPaused', actions: 'wantResumed' },
      { guard: 'wantsRun', actions: 'answerUnchanged' },
    ],
    'vm.stop': [dying, { actions: 'wantStopped' }],
    'vm.migrate': { actions: 'rejectMigrate' },
    ...evacuated,
    'vm.host-lost': { guard: 'isItsHost', actions: 'noteHostLost' },
    'vm.host-found': { guard: 'isItsHost', actions: 'noteHostFound' },
    ...storageHeard,
    // Of a migration that the VM knows no more.
    'migration.commit': { actions: 'refuseCommit' },
    'port.ready': [
      {
        guard: 'completesProposal',
        actions: ['notePort', 'regroupProposed', 'acceptProposed', 'releaseStrays', 'answerAll'],
      },
      { actions: 'notePort' },
    ],
    'port.active': [{ guard: 'isNotOfRun' }, { actions: 'noteWired' }],
    'port.refused': { guard: 'refusesProposal', actions: ['rejectProposed', 'releaseStrays'] },
    'port.gone': [{ guard: 'isAwaitedPort' }, { actions: ['noteGone', 'noteProgress'] }],
  },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: whenBorn('vm', 'claiming'),
    },
    ...declaringStates,
    deciding: {
      description: 'Decides between starting and staying stopped, as declared.',
      entry: ready('False', 'Deciding'),
      always: [{ guard: 'wantsRun', target: 'locating' }, { target: 'stopped' }],
    },
    locating: {
      description: 'Begins a run of the newest spec: the hosts of its volumes are requested.',
      entry: [ready('False', 'Locating'), 'beginRun', 'claimProposed', 'awaitVolumes', 'askVolumes'],
      always: [...restless, { guard: 'nothingAwaited', target: 'placing' }],
      on: {
        'volume.located': { actions: 'noteLocated' },
        'volume.refused': [
          { guard: 'isNotOfRun' },
          // Of an earlier request; the request is repeated.
          { guard: 'mayPass' },
          { target: 'releasing', actions: 'noteFailure' },
        ],
      },
      after: { locateDeadline: { target: 'locating', reenter: true } },
    },
    placing: {
      description: 'The cluster chooses a host that has capacity, satisfies the spec and has the volumes.',
      entry: [ready('False', 'Placing'), 'askPlace'],
      always: restless,
      on: {
        placed: { target: 'preparing', actions: 'notePlaced' },
        'place.refused': { target: 'unplaced', actions: 'noteFailure' },
      },
      after: { placeDeadline: { target: 'placing', reenter: true } },
    },
    unplaced: {
      description:
        'No host can take the VM; the failure names the reason of each. The cluster tells the VM when that changes; ' +
        'a declaration of another size, host or disks, and `vm.start`, ask again.',
      tags: 'steady',
      entry: ready('False', 'Unplaced'),
      always: [...restless, { guard: 'isPlacedOtherwise', target: 'locating' }],
      on: {
        'place.changed': { target: 'locating' },
        'vm.start': { guard: 'runsAsWanted', target: 'locating', actions: 'answerUnchanged' },
      },
      after: { placeReview: { target: 'locating' } },
    },
    preparing: {
      description: 'Taps, volumes and images are prepared on the host in parallel.',
      entry: [ready('False', 'Preparing'), 'awaitPreparations'],
      initial: 'asking',
      always: [...restless, { guard: 'nothingAwaited', target: 'starting', actions: 'newIncarnation' }],
      on: {
        'port.tapped': { actions: ['noteTapped', ready('False', 'Preparing')] },
        'port.delayed': [{ guard: 'isNotOfRun' }, { actions: ['noteDelay', ready('False', 'Preparing')] }],
        'volume.attached': { actions: 'noteAttached' },
        'image.provided': [
          { guard: 'isWrongImage', target: 'releasing', actions: 'noteWrongImage' },
          { actions: 'noteImage' },
        ],
        'port.failed': unprepared,
        'volume.refused': unprepared,
        'image.refused': unprepared,
      },
      states: {
        asking: {
          description: 'The outstanding requests are sent, and repeated after a deadline.',
          entry: 'askPreparations',
          after: { prepareDeadline: { target: 'asking', reenter: true } },
        },
      },
    },
    starting: {
      description: 'The host starts QEMU paused, wires the taps and resumes the guest.',
      entry: [ready('False', 'Starting'), 'askRun'],
      always: [{ guard: 'leaves', target: 'stopping' }, loss.lostInRun],
      on: {
        'port.delayed': [{ guard: 'isNotOfRun' }, { actions: ['noteDelay', ready('False', 'Starting')] }],
        'incarnation.running': runs,
        'incarnation.paused': inRun['incarnation.paused'],
        'incarnation.stalled': stalls,
        'incarnation.ended': { guard: 'isThisIncarnation', target: 'ended', actions: 'noteEnd' },
      },
      after: { startDeadline: { target: 'starting', reenter: true } },
    },
    running: {
      description: 'The guest runs on its host.',
      tags: 'steady',
      entry: [ready('True', 'Running'), 'noteProgress', 'claimProposed', 'askPlugs'],
      always: live('running'),
      on: {
        ...proposing('running').on,
        ...inRun,
        // The wiring of a port is broken, and its host repairs it.
        'port.delayed': [...inRun['port.delayed'], { actions: 'noteDelay' }],
        'incarnation.stalled': stalls,
        'vm.migrate': [
          { guard: 'mayMigrate', target: 'migrating', actions: 'takeMigrate' },
          { actions: 'rejectMigrate' },
        ],
        ...evacuatedLive,
      },
      after: { ...proposing('running').after, healthy: { actions: 'noteHealthy' } },
    },
    migrating,
    lost: loss.lost,
    ...pausingStates,
    stopping: {
      description: 'The guest gets the power button; after the grace time QEMU is ended.',
      entry: [ready('False', 'Stopping'), 'claimProposed', 'askStop'],
      always: loss.lostInRun,
      on: { 'incarnation.ended': { guard: 'isThisIncarnation', target: 'ended', actions: 'noteEnd' } },
      after: { stopDeadline: { target: 'stopping', reenter: true } },
    },
    ended: {
      description: 'A run has ended: decides between stopping, restarting and the restart policy.',
      entry: ready('False', 'Ended'),
      always: [
        { guard: 'leaves', target: 'releasing' },
        { guard: 'movesOn', target: 'releasing', actions: 'forgetFailure' },
        { guard: 'restartsPlaced', target: 'preparing', actions: 'beginRun' },
        { guard: 'restarts', target: 'locating' },
        { guard: 'policyRestarts', target: 'backoff' },
        { target: 'releasing', actions: 'settle' },
      ],
    },
    backoff: {
      description: 'Waits 1, 2, 4 ... 60 s before the restart, on the same host unless size or era have changed.',
      entry: [ready('False', 'BackingOff'), 'claimProposed'],
      always: restless,
      on: {
        'vm.start': [
          { guard: 'staysPlaced', target: 'preparing', actions: ['wantRunning', 'beginRun'] },
          { target: 'locating', actions: 'wantRunning' },
        ],
        'vm.restart': [staying, { target: 'locating' }],
      },
      after: { backoff: [staying, { target: 'locating' }] },
    },
    releasing: {
      description: 'Taps, volumes, images and the reservation on the host are released; addresses are kept.',
      entry: [ready('False', 'Releasing'), 'claimProposed', 'awaitBoundPorts', 'askReleases'],
      always: [
        { guard: 'releasedForDeletion', target: 'dismantling', actions: 'letGo' },
        { guard: 'releasedWithFailure', target: 'failed', actions: 'letGo' },
        { guard: 'releasedForRun', target: 'locating', actions: 'letGo' },
        { guard: 'nothingAwaited', target: 'stopped', actions: 'letGo' },
        loss.lostReleasing,
      ],
      on: {
        ...givenBack,
        'port.unbound': { actions: 'noteAnswered' },
        'vm.start': [dying, { actions: 'wantRunning' }],
      },
      after: { releaseDeadline: { target: 'releasing', reenter: true } },
    },
    stopped: {
      description: 'Stopped by declaration or command. It keeps its addresses and its volumes.',
      tags: 'steady',
      entry: [atRest, 'releaseStrays', 'noteProgress', 'claimProposed'],
      always: [
        { guard: 'isDying', target: 'dismantling' },
        { guard: 'wantsRun', target: 'locating' },
      ],
      on: { ...proposing('stopped').on, 'vm.stop': { actions: 'answerUnchanged' } },
      after: proposing('stopped').after,
    },
    failed: {
      description: 'It cannot run because of a permanent failure, which says what to do. `vm.start` tries again.',
      tags: 'steady',
      entry: [ready('False', 'Failed'), 'releaseStrays', 'noteProgress', 'claimProposed'],
      always: [
        { guard: 'isDying', target: 'dismantling' },
        { guard: 'leaves', target: 'stopped' },
        { guard: 'isRetried', target: 'locating' },
      ],
      on: { ...proposing('failed').on, 'vm.start': { actions: 'wantRunning' } },
      after: proposing('failed').after,
    },
    dismantling: {
      description: 'Its ports and their addresses are released.',
      entry: [ready('False', 'Deleting'), 'awaitClaimedPorts', 'releasePorts'],
      always: { guard: 'nothingAwaited', target: 'gone' },
      on: givenBack,
      after: { releaseDeadline: { target: 'dismantling', reenter: true } },
    },
    refused: {
      description: 'Refused: the quota of the tenant is exhausted.',
      type: 'final',
      entry: ready('False', 'Refused'),
    },
    gone: {
      description: 'Deleted, or its creation was refused; its quota is released. Its volumes are kept.',
      type: 'final',
      entry: ['answerAll', 'releaseQuota'],
    },
  },
});
