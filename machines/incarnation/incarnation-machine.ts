/**
 * An incarnation: one run of a VM on a host. QEMU is started paused, its taps are wired, then the guest is resumed and
 * the process is watched to its end. QEMU outlives the worker process; after a restart the watch finds it again by pid,
 * start time and QMP. While a disk cannot take a request, QEMU holds the guest (`stalled`) and repeats the request when
 * the guest is resumed: the guest sees no error. The VM actor decides what follows an end.
 */
import { assertEvent, assign, setup } from 'xstate';
import { bindingWire } from '../binding/binding-protocol.ts';
import { failureOf, isHostGone, type Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import type { IncarnationProof, IncarnationSpec } from '../values/wiring.ts';
import { incarnationEnded, incarnationKind, incarnationRunning, incarnationStalled } from './incarnation-protocol.ts';
import type { EndReason, IncarnationEvent } from './incarnation-protocol.ts';

export interface IncarnationContext {
  readonly id: string;
  readonly vm: string;
  readonly spec: IncarnationSpec | null;
  /** Set when QEMU has started; pid and start time name one process. */
  readonly proof: IncarnationProof | null;
  /** Bindings that are not wired yet. */
  readonly unwired: readonly string[];
  readonly graceMs: number;
  readonly startedAt: number | null;
  readonly reason: EndReason | null;
  /** Why it does not go on: a disk takes no request, or the stop fails; null otherwise. */
  readonly stall: Failure | null;
  readonly failure: Failure | null;
}

type At = Seen<IncarnationContext, IncarnationEvent>;

/** @throws TypeError before the run was requested */
function specIn({ id, spec }: IncarnationContext): IncarnationSpec {
  if (spec === null) throw new TypeError(`${id} has no spec`);
  return spec;
}

const runOf = ({ context }: At) => ({ spec: specIn(context) });
const stopOf = ({ context }: At) => ({ spec: specIn(context), graceMs: context.graceMs });

const hostOf = ({ id }: IncarnationContext): string => partsOfId(id).host ?? '';

/** Identifies the run and its host. */
function standing(context: IncarnationContext) {
  const { uid, runEpoch } = specIn(context).owner;
  return { host: hostOf(context), runEpoch, incarnationUid: uid };
}

/** Identifies the process. @throws TypeError before QEMU has started */
function process(context: IncarnationContext) {
  const { id, proof } = context;
  if (proof === null) throw new TypeError(`${id} has no proof of its process`);
  return { ...standing(context), proof };
}

const tellRunning = ({ context }: At): readonly Asked[] => [send(context.vm, incarnationRunning(process(context)))];

const tellStalled = ({ context }: At): readonly Asked[] => [
  send(context.vm, incarnationStalled({ ...process(context), error: context.stall as Failure })),
];

const tellEnded = ({ context }: At): readonly Asked[] => {
  const { vm, reason, failure } = context;
  return [send(vm, incarnationEnded({ ...standing(context), reason: reason ?? 'gone', error: failure }))];
};

/** Answers a stop of a run that does not exist: its earlier report may be lost, and the VM would wait for ever. */
const answerAbsent = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'incarnation.stop');
  const { incarnationUid, meta } = event;
  const ended = { host: hostOf(context), runEpoch: null, incarnationUid, reason: 'stopped', error: null } as const;
  return [send(meta.from ?? '', incarnationEnded(ended))];
};

const askWiring = ({ context }: At): readonly Asked[] =>
  context.unwired.map((binding) => send(binding, bindingWire({ requester: context.id })));

const failedEvents = ['qemu.start.failed', 'qemu.resume.failed', 'binding.unwired'] as const;

const gone = { guard: 'isHostGone', target: '#incarnation.ended', actions: 'noteGone' } as const;

const replaced = { guard: 'isAnother', target: '#incarnation.stopping', actions: 'noteReplaced' } as const;

export const incarnationMachine = setup({
  types: { context: {} as IncarnationContext, events: {} as IncarnationEvent, input: {} as { id: string } },
  actions: {
    ...requests,
    ...effectActions(incarnationKind),
    take: assign(({ event }) => {
      assertEvent(event, 'incarnation.start');
      return { vm: event.vm, spec: event.spec, unwired: event.spec.nics.map((nic) => nic.binding) };
    }),
    takeProof: assign(({ event }) => {
      assertEvent(event, 'qemu.start.done');
      const { pid, startTime, qemuVersion, machineType } = event;
      return { proof: { pid, startTime, qemuVersion, machineType }, startedAt: event.meta.at };
    }),
    askWiring: tell(askWiring),
    tellRunning: tell(tellRunning),
    tellStalled: tell(tellStalled),
    tellEnded: tell(tellEnded),
    answerAbsent: tell(answerAbsent),
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
    noteFailure: assign(({ event }) => {
      assertEvent(event, failedEvents);
      const reason = event.type === 'binding.unwired' ? 'wiring_failed' : 'start_failed';
      return { failure: failureOf(event.error), reason, graceMs: 0 } as const;
    }),
  },
  guards: {
    isAnother: ({ context, event }) =>
      event.type === 'incarnation.start' && event.spec.owner.uid !== context.spec?.owner.uid,
    isHostGone: ({ event }) => isHostGone(event),
    allWired: ({ context }) => context.unwired.length === 0,
  },
  delays: {
    startDeadline: 60_000,
    wiringDeadline: 15_000,
    resumeDeadline: 15_000,
    stopDeadline: ({ context }) => context.graceMs + 30_000,
    cleanDeadline: 30_000,
    retryDelay: 1_000,
  },
}).createMachine({
  id: 'incarnation',
  context: ({ input }) => ({
    id: input.id,
    vm: '',
    spec: null,
    proof: null,
    unwired: [],
    graceMs: 0,
    startedAt: null,
    reason: null,
    stall: null,
    failure: null,
  }),
  initial: 'born',
  on: { 'host.gone': { target: '.ended', actions: 'noteGone' } },
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: {
        'incarnation.start': { target: 'spawning', actions: 'take' },
        'incarnation.stop': { target: 'gone', actions: 'answerAbsent' },
      },
    },
    spawning: {
      description: 'QEMU is started paused with taps and disks. An existing process of this run is reused.',
      entry: { type: 'qemu.start', params: runOf },
      on: {
        'qemu.start.done': { target: 'alive', actions: 'takeProof' },
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
      },
      states: {
        wiring: {
          description: 'Its taps are moved into the VPC and wired; the guest has not executed an instruction yet.',
          entry: 'askWiring',
          always: { guard: 'allWired', target: 'resuming' },
          on: {
            'binding.wired': { actions: 'noteWired' },
            'binding.unwired': { target: '#incarnation.stopping', actions: 'noteFailure' },
          },
          after: { wiringDeadline: { target: 'wiring', reenter: true } },
        },
        resuming: {
          description: 'All taps are wired; the guest is resumed.',
          entry: { type: 'qemu.resume', params: runOf },
          on: {
            'qemu.resume.done': { target: 'running' },
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
          },
        },
        stalled: {
          description:
            'QEMU has stopped the guest because a disk did not take a request, as on a full host. The guest goes on ' +
            'by itself once the disk takes it.',
          tags: 'steady',
          entry: ['tellStalled', { type: 'qemu.await-disks', params: runOf }],
          exit: 'forgetStall',
          on: {
            'qemu.await-disks.done': { target: 'running' },
            'qemu.await-disks.failed': [gone, { target: '#incarnation.rewatching' }],
            'qemu.await-disks.unknown': { target: '#incarnation.rewatching' },
            'incarnation.start': [replaced, { actions: 'tellStalled' }],
          },
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
      entry: 'tellEnded',
    },
    gone: { description: 'There is no such run; the stop request was answered.', type: 'final' },
  },
});
