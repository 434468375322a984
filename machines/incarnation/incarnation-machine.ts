/**
 * One run of a VM on a host: QEMU is started paused, its taps are wired, then it is let go and watched to its end.
 * QEMU outlives the worker process; after a restart the watch finds it again by pid, start time and QMP.
 * What to do about an end is the VM actor's decision, not ours.
 */
import { assertEvent, assign, setup } from 'xstate';
import { bindingWire } from '../binding/binding-protocol.ts';
import { failureOf, isHostGone, type Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import type { IncarnationProof, IncarnationSpec } from '../values/wiring.ts';
import { incarnationEnded, incarnationKind, incarnationRunning } from './incarnation-protocol.ts';
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
  readonly failure: Failure | null;
}

type At = Seen<IncarnationContext, IncarnationEvent>;

/** @throws TypeError before the run has been asked for: no state asks so early */
function specIn({ id, spec }: IncarnationContext): IncarnationSpec {
  if (spec === null) throw new TypeError(`${id} has no spec`);
  return spec;
}

const runOf = ({ context }: At) => ({ spec: specIn(context) });
const stopOf = ({ context }: At) => ({ spec: specIn(context), graceMs: context.graceMs });

const hostOf = ({ id }: IncarnationContext): string => partsOfId(id).host ?? '';

/** Which run of which host it is. */
function standing(context: IncarnationContext) {
  const { uid, runEpoch } = specIn(context).owner;
  return { host: hostOf(context), runEpoch, incarnationUid: uid };
}

/** @throws TypeError without a proof: only a QEMU that has started runs */
const tellRunning = ({ context }: At): readonly Asked[] => {
  const { vm, proof } = context;
  if (proof === null) throw new TypeError(`${context.id} has no proof of its process`);
  return [send(vm, incarnationRunning({ ...standing(context), proof }))];
};

const tellEnded = ({ context }: At): readonly Asked[] => {
  const { vm, reason, failure } = context;
  return [send(vm, incarnationEnded({ ...standing(context), reason: reason ?? 'gone', error: failure }))];
};

/** Its end was told before and the message is lost: without an answer its VM would wait for ever, undeletable. */
const answerAbsent = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'incarnation.stop');
  const { incarnationUid, meta } = event;
  const ended = { host: hostOf(context), runEpoch: null, incarnationUid, reason: 'stopped', error: null } as const;
  return [send(meta.from ?? '', incarnationEnded(ended))];
};

const askWiring = ({ context }: At): readonly Asked[] =>
  context.unwired.map((binding) => send(binding, bindingWire({ requester: context.id })));

const failedEvents = [
  'qemu.start.failed',
  'qemu.resume.failed',
  'qemu.stop.failed',
  'qemu.clean.failed',
  'binding.unwired',
] as const;

const gone = { guard: 'isHostGone', target: '#incarnation.ended', actions: 'noteGone' } as const;

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
    tellEnded: tell(tellEnded),
    answerAbsent: tell(answerAbsent),
    noteWired: assign(({ context, event }) => {
      assertEvent(event, 'binding.wired');
      return { unwired: context.unwired.filter((binding) => binding !== event.binding) };
    }),
    noteEnd: assign(({ event }) => {
      assertEvent(event, 'qemu.watch.done');
      return { reason: event.reason };
    }),
    noteStop: assign(({ event }) => {
      assertEvent(event, 'incarnation.stop');
      return { reason: 'stopped' as const, graceMs: event.graceMs };
    }),
    /** A repeated start of an earlier run brought us to life after its end; the VM is at its next run already. */
    noteReplaced: assign({ reason: 'stopped', graceMs: 0 }),
    /** The run ended with its host, whatever was being done about it; one that was to end has ended as asked. */
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
    failure: null,
  }),
  initial: 'born',
  on: { 'host.gone': { target: '.ended', actions: 'noteGone' } },
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      on: {
        'incarnation.start': { target: 'spawning', actions: 'take' },
        'incarnation.stop': { target: 'gone', actions: 'answerAbsent' },
      },
    },
    spawning: {
      description:
        'QEMU is started paused and takes taps and disks. One that already runs for this run is taken up again.',
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
      description: 'A QEMU process exists and is watched.',
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
          description: 'Its taps are moved into the VPC and wired; the guest has not run an instruction yet.',
          entry: 'askWiring',
          always: { guard: 'allWired', target: 'resuming' },
          on: {
            'binding.wired': { actions: 'noteWired' },
            'binding.unwired': { target: '#incarnation.stopping', actions: 'noteFailure' },
          },
          after: { wiringDeadline: { target: 'wiring', reenter: true } },
        },
        resuming: {
          description: 'Everything is in place; QEMU is told to go.',
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
          entry: 'tellRunning',
          on: {
            'incarnation.start': [
              { guard: 'isAnother', target: '#incarnation.stopping', actions: 'noteReplaced' },
              { actions: 'tellRunning' },
            ],
          },
        },
      },
    },
    rewatching: {
      description: 'The watch itself failed; the process is looked for again, which starts nothing that already runs.',
      on: { 'incarnation.stop': { target: 'stopping', actions: 'noteStop' } },
      after: { retryDelay: { target: 'spawning' } },
    },
    stopping: {
      description: 'The guest is asked to power off, then QEMU is told to quit, then it is killed.',
      entry: { type: 'qemu.stop', params: stopOf },
      on: {
        'qemu.stop.done': { target: 'cleaning' },
        'qemu.stop.failed': [gone, { target: 'stopBackoff' }],
        'qemu.stop.unknown': { target: 'stopping', reenter: true },
      },
      after: { stopDeadline: { target: 'stopping', reenter: true } },
    },
    stopBackoff: {
      description:
        'Stopping failed; it is tried again shortly, for as long as it takes: an end is reported only when it is one.',
      after: { retryDelay: { target: 'stopping' } },
    },
    cleaning: {
      description: 'The process is gone; its sockets and its pid file are removed.',
      entry: { type: 'qemu.clean', params: runOf },
      on: {
        'qemu.clean.done': { target: 'ended' },
        'qemu.clean.failed': [gone, { target: 'stopBackoff' }],
        'qemu.clean.unknown': { target: 'cleaning', reenter: true },
      },
      after: { cleanDeadline: { target: 'cleaning', reenter: true } },
    },
    ended: {
      description: 'The run is over and nothing of it is left; the VM has been told why.',
      type: 'final',
      entry: 'tellEnded',
    },
    gone: { description: 'There is no such run; the VM that wanted it stopped has been told so.', type: 'final' },
  },
});
