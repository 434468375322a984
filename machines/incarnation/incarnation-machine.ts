/**
 * An incarnation: one run of a VM on a host. QEMU is started paused, its taps are wired, then the guest is resumed and
 * the process is watched to its end. QEMU outlives the worker process; after a restart the watch finds it again by pid,
 * start time and QMP. While a disk cannot take a request, QEMU holds the guest (`stalled`) and repeats the request when
 * the guest is resumed: the guest sees no error. A paused guest stays paused until its VM resumes it, also when its
 * process has to be looked up again. The VM actor decides what follows an end.
 */
import { assertEvent, assign, setup } from 'xstate';
import { failureOf, isHostGone } from '../values/failures.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { act, tell } from '../values/telling.ts';
import * as messages from './incarnation-messages.ts';
import { newIncarnation, runOf, stopOf, type IncarnationContext } from './incarnation-messages.ts';
import { isOutgoing, isThisRun, leaving, movingIn } from './incarnation-moving.ts';
import { plugActions, plugGuards, pluggingStates, toPlug } from './incarnation-plugs.ts';
import { incarnationKind, type IncarnationEvent } from './incarnation-protocol.ts';

const failedEvents = [
  'qemu.start.failed',
  'qemu.receive.failed',
  'qemu.await-incoming.failed',
  'qemu.resume.failed',
  'binding.unwired',
] as const;

const gone = { guard: 'isHostGone', target: '#incarnation.ended', actions: 'noteGone' } as const;

const toPause = { guard: 'isThis', target: 'pausing', actions: 'wantPaused' } as const;

/** A shared volume has grown. This, as other disks, may have been noted while something else was done. */
const grown = [
  { guard: 'isOfOtherRun', actions: 'answerResize' },
  { target: '#incarnation.alive.resizing', actions: 'noteResize', reenter: true },
] as const;
const grew = { guard: 'hasGrown', target: 'resizing' } as const;
const changed = { guard: 'hasPlug', target: 'plugging' } as const;
const resized = [
  { guard: 'hasGrownMore', target: 'resizing', actions: 'endResize', reenter: true },
  { ...changed, actions: 'endResize' },
  { guard: 'isPaused', target: 'pausing', actions: 'endResize' },
  { target: 'running', actions: 'endResize' },
] as const;

const replaced = { guard: 'isAnother', target: '#incarnation.stopping', actions: 'noteReplaced' } as const;

export const incarnationMachine = setup({
  types: { context: {} as IncarnationContext, events: {} as IncarnationEvent, input: {} as { id: string } },
  actions: {
    ...requests,
    ...effectActions(incarnationKind),
    ...plugActions,
    take: assign(({ event }) => {
      assertEvent(event, 'incarnation.start');
      return { vm: event.vm, spec: event.spec, unwired: event.spec.nics.map((nic) => nic.binding) };
    }),
    takeProof: assign(({ event }) => {
      assertEvent(event, ['qemu.start.done', 'qemu.receive.done']);
      const { pid, startTime, qemuVersion, machineType, diskSlots, nicSlots } = event;
      const proof = {
        pid,
        startTime,
        qemuVersion,
        machineType,
        ...(diskSlots === undefined ? {} : { diskSlots }),
        ...(nicSlots === undefined ? {} : { nicSlots }),
      };
      const door = event.type === 'qemu.receive.done' ? event.door : null;
      return { proof, door, startedAt: event.meta.at };
    }),
    askWiring: tell(messages.askWiring),
    tellRunning: tell(messages.tellRunning),
    tellPaused: tell(messages.tellPaused),
    tellStalled: tell(messages.tellStalled),
    tellEnded: tell(messages.tellEnded),
    noteResize: assign(messages.noteResize),
    endResize: act(messages.endResize),
    answerResize: tell(messages.answerResize),
    tellResizesOver: tell(messages.tellResizesOver),
    answerEnded: tell(messages.answerEnded),
    answerAbsent: tell(messages.answerAbsent),
    takeIncoming: assign(messages.takeIncoming),
    forgetIncoming: assign(messages.forgetIncoming),
    takeOutgoing: assign(messages.takeOutgoing),
    forgetOutgoing: assign(messages.forgetOutgoing),
    noteSent: assign(messages.noteSent),
    tellReceiving: tell(messages.tellReceiving),
    tellReceived: tell(messages.tellReceived),
    tellResumed: tell(messages.tellResumed),
    tellProgress: tell(messages.tellProgress),
    tellSent: tell(messages.tellSent),
    tellUnsent: tell(messages.tellUnsent),
    answerUnsent: tell(messages.answerUnsent),
    noteWired: assign(({ context, event }) => {
      assertEvent(event, 'binding.wired');
      return { unwired: context.unwired.filter((binding) => binding !== event.binding) };
    }),
    noteStall: assign(({ event }) => {
      assertEvent(event, 'qemu.watch-disks.done');
      return { stall: failureOf(event.stall) };
    }),
    noteStuck: assign(({ event }) => {
      assertEvent(event, ['qemu.stop.failed', 'qemu.clean.failed']);
      return { stall: failureOf(event.error) };
    }),
    forgetStall: assign({ stall: null }),
    forgetFlows: assign({ flows: [] }),
    wantPaused: assign({ paused: true }),
    wantRunning: assign({ paused: false }),
    noteEnd: assign(({ event }) => {
      assertEvent(event, 'qemu.watch.done');
      return { reason: event.reason };
    }),
    noteStop: assign(({ event }) => {
      assertEvent(event, 'incarnation.stop');
      return { reason: 'stopped' as const, graceMs: event.graceMs };
    }),
    /** A repeated start message of an ended run created this actor; the VM is already at its next run. */
    noteReplaced: assign({ reason: 'stopped', graceMs: 0 }),
    /** The host is fenced, so the run has ended; a requested stop counts as done. */
    noteGone: assign(({ context }) => ({
      reason: context.reason === 'stopped' ? ('stopped' as const) : ('host_gone' as const),
      failure: null,
    })),
    noteSendFailure: assign(({ event }) => ('error' in event ? { failure: failureOf(event.error) } : {})),
    noteFailure: assign(({ event }) => {
      assertEvent(event, failedEvents);
      const reason = event.type === 'binding.unwired' ? 'wiring_failed' : 'start_failed';
      return { failure: failureOf(event.error), reason, graceMs: 0 } as const;
    }),
  },
  guards: {
    ...plugGuards,
    isAnother: ({ context, event }) =>
      event.type === 'incarnation.start' && event.spec.owner.uid !== context.spec?.owner.uid,
    isHostGone: ({ event }) => isHostGone(event),
    /** False for a message of another run of the VM. */
    isThis: isThisRun,
    isOutgoing,
    isOfOtherRun: messages.isOfOtherRun,
    hasGrown: ({ context }) => context.resizes.length > 0,
    hasGrownMore: ({ context }) => context.resizes.length > 1,
    allWired: ({ context }) => context.unwired.length === 0,
    allWiredPaused: ({ context }) => context.unwired.length === 0 && context.paused,
    isPaused: ({ context }) => context.paused,
  },
  delays: {
    startDeadline: 60_000,
    wiringDeadline: 15_000,
    resumeDeadline: 15_000,
    pauseDeadline: 15_000,
    resetDeadline: 15_000,
    resizeDeadline: 30_000,
    plugDeadline: 60_000,
    connectDeadline: 8_000,
    stopDeadline: ({ context }) => context.graceMs + 30_000,
    cleanDeadline: 30_000,
    retryDelay: 1_000,
  },
}).createMachine({
  id: 'incarnation',
  context: ({ input }) => newIncarnation(input.id),
  initial: 'born',
  on: {
    'host.gone': { target: '.ended', actions: 'noteGone' },
    'incarnation.resize': [{ guard: 'isOfOtherRun', actions: 'answerResize' }, { actions: 'noteResize' }],
  },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: {
        'incarnation.start': { target: 'spawning', actions: 'take' },
        'incarnation.receive': { target: 'receiving', actions: 'takeIncoming' },
        'incarnation.stop': { target: 'gone', actions: 'answerAbsent' },
        'incarnation.unsend': { target: 'gone', actions: 'answerUnsent' },
        'incarnation.go-on': { target: 'gone', actions: 'answerEnded' },
        'incarnation.resize': { target: 'gone', actions: 'answerResize' },
      },
    },
    ...movingIn,
    spawning: {
      description: 'QEMU is started paused with taps and disks. An existing process of this run is reused.',
      entry: { type: 'qemu.start', params: runOf },
      on: {
        'qemu.start.done': [
          // Its guest may stand still, and must not be resumed.
          { guard: 'isOutgoing', target: 'alive.sending', actions: 'takeProof' },
          { target: 'alive', actions: 'takeProof' },
        ],
        'qemu.start.failed': [gone, { target: 'stopping', actions: 'noteFailure' }],
        'qemu.start.unknown': { target: 'spawning', reenter: true },
        'incarnation.stop': { target: 'stopping', actions: 'noteStop' },
      },
      after: { startDeadline: { target: 'spawning', reenter: true } },
    },
    alive: {
      description: 'The QEMU process exists and is watched.',
      entry: { type: 'qemu.watch', params: runOf },
      initial: 'wiring',
      on: {
        'qemu.watch.done': { target: 'cleaning', actions: 'noteEnd' },
        'qemu.watch.failed': [gone, { target: 'rewatching' }],
        'qemu.watch.unknown': { target: 'rewatching' },
        'incarnation.stop': { target: 'stopping', actions: 'noteStop' },
        'incarnation.start': { guard: 'isAnother', target: 'stopping', actions: 'noteReplaced' },
        'incarnation.pause': { guard: 'isThis', actions: 'wantPaused' },
        'incarnation.resume': { guard: 'isThis', actions: 'wantRunning' },
        'incarnation.unsend': { guard: 'isThis', actions: 'answerUnsent' },
        'incarnation.plug': { guard: 'isThis', actions: 'notePlug' },
      },
      states: {
        ...leaving,
        ...pluggingStates,
        wiring: {
          description: 'Its taps are moved into the VPC and wired; the guest has not executed an instruction yet.',
          entry: 'askWiring',
          always: [
            { guard: 'allWiredPaused', target: 'pausing' },
            { guard: 'allWired', target: 'resuming' },
          ],
          on: {
            'binding.wired': { actions: 'noteWired' },
            'binding.unwired': { target: '#incarnation.stopping', actions: 'noteFailure' },
          },
          after: { wiringDeadline: { target: 'wiring', reenter: true } },
        },
        resuming: {
          description: 'All taps are wired; the guest is resumed.',
          entry: { type: 'qemu.resume', params: messages.resumeOf },
          on: {
            'qemu.resume.done': [
              { guard: 'isPaused', target: 'pausing', actions: ['tellResumed', 'forgetFlows'] },
              { ...grew, actions: ['tellResumed', 'forgetFlows'] },
              { ...changed, actions: ['tellResumed', 'forgetFlows'] },
              { target: 'running', actions: ['tellResumed', 'forgetFlows'] },
            ],
            'qemu.resume.failed': [gone, { target: '#incarnation.stopping', actions: 'noteFailure' }],
            'qemu.resume.unknown': { target: 'resuming', reenter: true },
          },
          after: { resumeDeadline: { target: 'resuming', reenter: true } },
        },
        running: {
          description: 'The guest runs.',
          tags: 'steady',
          entry: ['tellRunning', { type: 'qemu.watch-disks', params: runOf }],
          on: {
            'qemu.watch-disks.done': { target: 'stalled', actions: 'noteStall' },
            'qemu.watch-disks.failed': [gone, { target: '#incarnation.rewatching' }],
            'qemu.watch-disks.unknown': { target: '#incarnation.rewatching' },
            'incarnation.start': [replaced, { actions: 'tellRunning' }],
            'incarnation.pause': toPause,
            'incarnation.resume': { guard: 'isThis', actions: 'tellRunning' },
            'incarnation.reset': { guard: 'isThis', target: 'resetting' },
            'incarnation.resize': grown,
            'incarnation.plug': toPlug,
            'incarnation.send': { guard: 'isThis', target: 'sending', actions: 'takeOutgoing' },
            // A repeated request.
            'incarnation.go-on': { guard: 'isThis', actions: 'tellResumed' },
          },
        },
        stalled: {
          description:
            'QEMU has stopped the guest because a disk did not take a request, as on a full host. The guest goes on ' +
            'by itself once the disk takes it; until then no disk comes or goes, which it could not answer.',
          tags: 'steady',
          entry: ['tellStalled', { type: 'qemu.await-disks', params: runOf }],
          exit: 'forgetStall',
          on: {
            'qemu.await-disks.done': [changed, { target: 'running' }],
            'qemu.await-disks.failed': [gone, { target: '#incarnation.rewatching' }],
            'qemu.await-disks.unknown': { target: '#incarnation.rewatching' },
            'incarnation.start': [replaced, { actions: 'tellStalled' }],
            'incarnation.pause': toPause,
            'incarnation.resume': { guard: 'isThis', actions: 'tellStalled' },
            'incarnation.reset': { guard: 'isThis', target: 'resetting' },
            'incarnation.resize': grown,
          },
        },
        pausing: {
          description: 'QEMU is told to stop the guest where it is.',
          entry: { type: 'qemu.pause', params: runOf },
          on: {
            'qemu.pause.done': [grew, changed, { guard: 'isPaused', target: 'paused' }, { target: 'resuming' }],
            'qemu.pause.failed': [gone, { target: '#incarnation.rewatching' }],
            'qemu.pause.unknown': { target: 'pausing', reenter: true },
          },
          after: { pauseDeadline: { target: 'pausing', reenter: true } },
        },
        paused: {
          description: 'The guest stands still until its VM resumes it.',
          tags: 'steady',
          entry: 'tellPaused',
          on: {
            'incarnation.start': [replaced, { actions: 'tellPaused' }],
            'incarnation.pause': { guard: 'isThis', actions: 'tellPaused' },
            'incarnation.resume': { guard: 'isThis', target: 'resuming', actions: 'wantRunning' },
            'incarnation.reset': { guard: 'isThis', target: 'resetting' },
            'incarnation.resize': grown,
            'incarnation.plug': toPlug,
          },
        },
        resizing: {
          description: 'The guest is told the size of a shared volume that has grown.',
          entry: { type: 'qemu.resize', params: messages.resizeOf },
          on: {
            'qemu.resize.done': resized,
            'qemu.resize.failed': [gone, ...resized],
            'qemu.resize.unknown': { target: 'resizing', reenter: true },
            'incarnation.resize': grown,
            'incarnation.reset': { guard: 'isThis', target: 'resetting' },
          },
          after: { resizeDeadline: { target: 'resizing', reenter: true } },
        },
        resetting: {
          description: 'The guest is reset, and boots anew; a paused one stays paused.',
          entry: { type: 'qemu.reset', params: runOf },
          on: {
            'qemu.reset.done': [{ guard: 'isPaused', target: 'pausing' }, { target: 'resuming' }],
            'qemu.reset.failed': [gone, { target: '#incarnation.rewatching' }],
            'qemu.reset.unknown': { target: 'resetting', reenter: true },
          },
          after: { resetDeadline: { target: 'resetting', reenter: true } },
        },
      },
    },
    rewatching: {
      description: 'The watch failed; the process is looked up again, which never starts a second one.',
      on: { 'incarnation.stop': { target: 'stopping', actions: 'noteStop' } },
      after: { retryDelay: { target: 'spawning' } },
    },
    stopping: {
      description: 'The guest gets the power button; then QEMU is told to quit; then it is killed.',
      entry: { type: 'qemu.stop', params: stopOf },
      on: {
        'qemu.stop.done': { target: 'cleaning' },
        'qemu.stop.failed': [gone, { target: 'stopBackoff', actions: 'noteStuck' }],
        'qemu.stop.unknown': { target: 'stopping', reenter: true },
      },
      after: { stopDeadline: { target: 'stopping', reenter: true } },
    },
    stopBackoff: {
      description: 'Stopping failed; it is retried without limit. The end is reported only once the process has ended.',
      after: { retryDelay: { target: 'stopping' } },
    },
    cleaning: {
      description: 'The process has ended; its sockets and its pid file are removed.',
      entry: { type: 'qemu.clean', params: runOf },
      on: {
        'qemu.clean.done': { target: 'ended', actions: 'forgetStall' },
        'qemu.clean.failed': [gone, { target: 'stopBackoff', actions: 'noteStuck' }],
        'qemu.clean.unknown': { target: 'cleaning', reenter: true },
      },
      after: { cleanDeadline: { target: 'cleaning', reenter: true } },
    },
    ended: {
      description: 'The run has ended and nothing of it is left; the VM knows the reason.',
      type: 'final',
      entry: ['tellEnded', 'tellResizesOver'],
    },
    gone: { description: 'There is no such run, and who asked for something of it was told so.', type: 'final' },
  },
});
