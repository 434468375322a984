/**
 * A VM: what a tenant declared, where it runs, and what is done when a run ends.
 *
 * The VM outlives its runs. Each run is an incarnation on a host with a uid of its own. Addresses, MACs and disks
 * belong to the VM and stay the same over all runs. Ports, volumes and images of a run are prepared before QEMU is
 * started, and all of them are released before the VM is `stopped` or gone. A start on another host than the last one
 * raises the run epoch. Upholds "one run" and "identity is kept" of docs/promises.md#promises-of-the-cloud.
 */
import * as messages from './vm-context.ts';
import * as replies from './vm-replies.ts';
import { vmSetup } from './vm-setup.ts';

/** Commands while a run is being made ready: they take effect by letting everything go. */
const beforeRun = {
  'vm.stop': { target: '#vm.releasing', actions: 'wantStopped' },
  'vm.delete': { target: '#vm.releasing', actions: ['wantDeleted', 'defer'] },
} as const;
/** Commands while QEMU may exist: it is stopped first. */
const duringRun = {
  'vm.stop': { target: '#vm.stopping', actions: 'wantStopped' },
  'vm.delete': { target: '#vm.stopping', actions: ['wantDeleted', 'defer'] },
} as const;
const busy = { actions: { type: 'reject', params: replies.nameBusy } } as const;
/** Once deletion is accepted no later command takes it back: whoever asked for it waits until the VM is gone. */
const dying = { guard: 'isDying', actions: { type: 'reject', params: replies.deleting } } as const;
const whileLetGo = {
  'vm.create': { guard: 'isDying', ...busy },
  'vm.stop': [dying, { actions: 'wantStopped' }],
  'vm.delete': [dying, { actions: ['wantDeleted', 'defer'] }],
} as const;

/** The host is gone: it is let go, and another one is asked for. */
const elsewhere = { guard: 'isHostGone', target: 'releasing', actions: 'forgetFailure' } as const;
const placed = { guard: 'isPlaced', target: 'preparing' } as const;

export const vmMachine = vmSetup.createMachine({
  id: 'vm',
  context: ({ input }) => ({
    id: input.id,
    uid: '',
    spec: null,
    wanted: 'stopped',
    restarting: false,
    graceMs: 0,
    awaited: [],
    ports: {},
    volumeHosts: [],
    host: null,
    runEpoch: 0,
    lastHost: null,
    era: 0,
    lastRun: null,
    nics: {},
    disks: {},
    images: {},
    machineType: null,
    incarnationUid: null,
    proof: null,
    runningSince: null,
    tries: 0,
    runs: 0,
    failure: null,
    refusal: null,
    createCommand: null,
    deleteCommand: null,
  }),
  initial: 'born',
  on: {
    'vm.create': [
      { guard: 'sameSpec', actions: { type: 'reply', params: replies.same } },
      { actions: { type: 'reject', params: replies.differs } },
    ],
  },
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      on: { 'vm.create': { target: 'claiming', actions: ['take', 'defer'] } },
    },
    claiming: {
      description: 'The tenant is asked whether its quota allows one more VM.',
      entry: { type: 'send', params: messages.claimQuota },
      on: {
        'quota.granted': { target: 'addressing' },
        'quota.refused': { target: 'refused', actions: { type: 'reject', params: replies.refused } },
        'vm.create': busy,
        'vm.delete': busy,
      },
      after: { quotaDeadline: { target: 'claiming', reenter: true } },
    },
    addressing: {
      description:
        "A port is made for every NIC; each gets its address and MAC from its network, for the VM's whole life.",
      entry: ['awaitPorts', 'askPorts'],
      always: [
        { guard: 'allRefused', target: 'withdrawing' },
        {
          guard: 'nothingAwaited',
          target: 'deciding',
          actions: [{ type: 'reply', params: replies.created }, 'answered'],
        },
      ],
      on: {
        'port.ready': { actions: 'notePort' },
        'port.refused': { actions: 'noteRefusal' },
        'vm.create': busy,
        'vm.delete': busy,
      },
      after: { addressDeadline: { target: 'addressing', reenter: true } },
    },
    withdrawing: {
      description: 'A port was refused, so the VM is: what was claimed is given back before the command is answered.',
      entry: ['awaitHeldPorts', 'releasePorts'],
      always: {
        guard: 'nothingAwaited',
        target: 'gone',
        actions: { type: 'reject', params: replies.refused },
      },
      on: { 'port.gone': { actions: 'noteGone' }, 'vm.create': busy, 'vm.delete': busy },
      after: { releaseDeadline: { target: 'withdrawing', reenter: true } },
    },
    deciding: {
      description: 'Run or rest, as declared.',
      always: [{ guard: 'wantsRun', target: 'locating' }, { target: 'stopped' }],
    },
    locating: {
      description: 'The volumes are asked where their bytes are.',
      entry: ['awaitVolumes', 'askVolumes'],
      always: { guard: 'nothingAwaited', target: 'placing' },
      on: {
        'volume.located': { actions: 'noteLocated' },
        'volume.refused': { target: 'unplaced', actions: 'noteFailure' },
        ...beforeRun,
      },
      after: { locateDeadline: { target: 'locating', reenter: true } },
    },
    placing: {
      description: 'The cluster is asked for a host that has room, allows us, and holds our volumes.',
      entry: { type: 'send', params: messages.askPlace },
      on: {
        placed: { target: 'preparing', actions: 'notePlaced' },
        'place.refused': { target: 'unplaced', actions: 'noteFailure' },
        ...beforeRun,
      },
      after: { placeDeadline: { target: 'placing', reenter: true } },
    },
    unplaced: {
      description: 'No host would take it; the failure names the reason of each. It is asked again every few seconds.',
      on: beforeRun,
      after: { placeRetry: { target: 'locating' } },
    },
    preparing: {
      description: 'Taps, volumes and images are made ready on the host, all at once.',
      entry: 'awaitPreparations',
      initial: 'asking',
      always: { guard: 'nothingAwaited', target: 'starting', actions: 'newIncarnation' },
      on: {
        'port.tapped': { actions: 'noteTapped' },
        'volume.attached': { actions: 'noteAttached' },
        'image.provided': { actions: 'noteImage' },
        'port.failed': [
          elsewhere,
          { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
          { target: 'releasing', actions: 'noteFailure' },
        ],
        'volume.refused': [
          elsewhere,
          { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
          { target: 'releasing', actions: 'noteFailure' },
        ],
        'image.refused': [
          elsewhere,
          { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
          { target: 'releasing', actions: 'noteFailure' },
        ],
        ...beforeRun,
      },
      states: {
        asking: {
          description: 'Whoever has not answered yet is asked; after the deadline, again.',
          entry: 'askPreparations',
          after: { prepareDeadline: { target: 'asking', reenter: true } },
        },
      },
    },
    starting: {
      description: 'The host starts QEMU paused, wires the taps and lets it go.',
      entry: { type: 'send', params: messages.askRun },
      on: {
        'incarnation.running': { guard: 'isThisIncarnation', target: 'running', actions: 'noteRunning' },
        'incarnation.ended': { guard: 'isThisIncarnation', target: 'ended', actions: 'noteEnd' },
        ...duringRun,
      },
      after: { startDeadline: { target: 'starting', reenter: true } },
    },
    running: {
      description: 'The guest runs on its host.',
      tags: 'steady',
      on: {
        'incarnation.ended': { guard: 'isThisIncarnation', target: 'ended', actions: 'noteEnd' },
        'port.failed': { actions: 'noteFailure' },
        'vm.start': { actions: { type: 'reply', params: replies.same } },
        'vm.restart': { target: 'stopping', actions: 'wantRestart' },
        ...duringRun,
      },
    },
    stopping: {
      description: 'The guest is asked to power off; after its grace time it is made to.',
      entry: { type: 'send', params: messages.askStop },
      on: {
        'incarnation.ended': { guard: 'isThisIncarnation', target: 'ended', actions: 'noteEnd' },
        ...whileLetGo,
        'vm.start': [dying, { actions: ['wantRunning', 'wantRestart'] }],
      },
      after: { stopDeadline: { target: 'stopping', reenter: true } },
    },
    ended: {
      description: 'A run is over: was it asked for, is it restarted, or does the policy leave it?',
      always: [
        { guard: 'leaves', target: 'releasing' },
        { guard: 'movesOn', target: 'releasing', actions: 'forgetFailure' },
        { guard: 'restartsPlaced', target: 'preparing' },
        { guard: 'restarts', target: 'locating' },
        { guard: 'policyRestarts', target: 'backoff' },
        { target: 'releasing', actions: 'settle' },
      ],
    },
    backoff: {
      description: 'Started again after 1, 2, 4 ... 30 s, where it was or, in a new era, where the cluster says.',
      on: {
        'vm.start': [
          { guard: 'isPlaced', target: 'preparing', actions: 'wantRunning' },
          { target: 'locating', actions: 'wantRunning' },
        ],
        'vm.restart': [placed, { target: 'locating' }],
        ...beforeRun,
      },
      after: { backoff: [placed, { target: 'locating' }] },
    },
    releasing: {
      description: 'Taps, volumes, images and the place on the host are let go; addresses stay.',
      entry: ['awaitHeldPorts', 'askReleases'],
      always: [
        { guard: 'releasedForDeletion', target: 'dismantling', actions: 'letGo' },
        { guard: 'releasedWithFailure', target: 'failed', actions: 'letGo' },
        { guard: 'releasedForRun', target: 'locating', actions: 'letGo' },
        { guard: 'nothingAwaited', target: 'stopped', actions: 'letGo' },
      ],
      on: {
        'port.unbound': { actions: 'noteUnbound' },
        ...whileLetGo,
        'vm.start': [dying, { actions: 'wantRunning' }],
      },
      after: { releaseDeadline: { target: 'releasing', reenter: true } },
    },
    stopped: {
      description: 'Declared or asked to rest. It keeps its addresses and its volumes.',
      tags: 'steady',
      on: {
        'vm.start': { target: 'locating', actions: 'wantRunning' },
        'vm.stop': { actions: { type: 'reply', params: replies.same } },
        'vm.delete': { target: 'dismantling', actions: ['wantDeleted', 'defer'] },
      },
    },
    failed: {
      description:
        'It cannot run for a reason that will not pass by itself; the failure says what to do. Start tries again.',
      tags: 'steady',
      on: {
        'vm.start': { target: 'locating', actions: 'wantRunning' },
        'vm.stop': { target: 'stopped', actions: 'wantStopped' },
        'vm.delete': { target: 'dismantling', actions: ['wantDeleted', 'defer'] },
      },
    },
    dismantling: {
      description: 'Its ports and their addresses are given back.',
      entry: ['awaitHeldPorts', 'releasePorts'],
      always: { guard: 'nothingAwaited', target: 'gone', actions: { type: 'reply', params: replies.deleted } },
      on: {
        'port.gone': { actions: 'noteGone' },
        'vm.create': busy,
        'vm.delete': { actions: { type: 'reject', params: replies.deleting } },
      },
      after: { releaseDeadline: { target: 'dismantling', reenter: true } },
    },
    refused: {
      description: 'Never came to be: the quota does not allow it.',
      type: 'final',
    },
    gone: {
      description: 'Deleted, or refused before anything was left; its quota is given back. Its volumes stay.',
      type: 'final',
      entry: { type: 'send', params: messages.releaseQuota },
    },
  },
});
