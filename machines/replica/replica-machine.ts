/**
 * A volume on a host: the file that holds its bytes.
 * The volume actor asks for it and is told when it is there; nothing here decides who may write (the volume's run epoch
 * does).
 */
import { assertEvent, assign, setup } from 'xstate';
import { backoffMs, failureOf, hostGoneFailure, isHostGone, type Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { request, requests } from '../values/requests.ts';
import type { ReplicaSpec } from '../values/wiring.ts';
import type { ReplicaEvent } from './replica-events.ts';

export interface ReplicaContext {
  readonly id: string;
  /** Set by replica.ensure, never cleared. */
  readonly spec: ReplicaSpec | null;
  /** The volume actor, told of everything. */
  readonly volume: string;
  readonly tries: number;
  readonly failure: Failure | null;
}

interface Seen {
  readonly context: ReplicaContext;
}

const hostOf = (context: ReplicaContext): string => partsOfId(context.id).host ?? '';
const specOf = ({ context }: Seen): { spec: ReplicaSpec } => ({ spec: context.spec as ReplicaSpec });
const tellReady = ({ context }: Seen) => ({
  to: context.volume,
  event: { type: 'replica.ready', host: hostOf(context) },
});
const tellRemoved = ({ context }: Seen) => ({
  to: context.volume,
  event: { type: 'replica.removed', host: hostOf(context) },
});
const tellFailed = ({ context }: Seen) => ({
  to: context.volume,
  event: { type: 'replica.failed', host: hostOf(context), error: context.failure },
});

const tellUnreachable = ({ context }: Seen) => ({
  to: context.volume,
  event: { type: 'replica.failed', host: hostOf(context), error: hostGoneFailure(hostOf(context)) },
});

export const replicaMachine = setup({
  types: { context: {} as ReplicaContext, events: {} as ReplicaEvent, input: {} as { id: string } },
  actions: {
    ...requests,
    'replica.make': request<{ spec: ReplicaSpec }>(),
    'replica.remove': request<{ spec: ReplicaSpec }>(),
    takeSpec: assign(({ event }) => {
      assertEvent(event, 'replica.ensure');
      return { spec: event.spec, volume: event.volume };
    }),
    /** A replica that never was knows no volume: whoever wants it gone is told. */
    takeAsker: assign(({ event }) => ({ volume: event.meta.from ?? '' })),
    noteFailure: assign(({ context, event }) => {
      assertEvent(event, ['replica.make.failed', 'replica.remove.failed']);
      return { failure: failureOf(event.error), tries: context.tries + 1 };
    }),
    clearFailure: assign({ failure: null, tries: 0 }),
  },
  guards: {
    isHostGone: ({ event }) => isHostGone(event),
    passes: ({ event }) => event.type === 'replica.make.failed' && event.error.retryable,
  },
  delays: {
    makeDeadline: 600_000,
    removeDeadline: 60_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'replica',
  context: ({ input }) => ({ id: input.id, spec: null, volume: '', tries: 0, failure: null }),
  initial: 'born',
  states: {
    born: {
      description: 'Exists only within the step that creates it.',
      on: {
        'replica.ensure': { target: 'making', actions: 'takeSpec' },
        'replica.remove': { target: 'gone', actions: 'takeAsker' },
      },
    },
    making: {
      description: 'The host makes the file: sparse and empty, or filled from an image copy.',
      entry: { type: 'replica.make', params: specOf },
      on: {
        'replica.make.done': { target: 'ready', actions: 'clearFailure' },
        'replica.make.failed': [
          { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
          { target: 'failed', actions: 'noteFailure' },
        ],
        'replica.make.unknown': { target: 'making', reenter: true },
        'replica.remove': { target: 'removing' },
      },
      after: { makeDeadline: { target: 'making', reenter: true } },
    },
    backoff: {
      description: 'Making the file failed in a way that may pass; it is tried again shortly.',
      on: { 'replica.remove': { target: 'removing' } },
      after: { backoff: { target: 'making' } },
    },
    ready: {
      description: 'The file is there; the volume has been told. If the host is gone, it waits there for its return.',
      tags: 'steady',
      entry: { type: 'send', params: tellReady },
      on: {
        'replica.ensure': { target: 'making', actions: 'takeSpec' },
        'replica.remove': { target: 'removing' },
        'host.gone': { actions: { type: 'send', params: tellUnreachable } },
      },
    },
    failed: {
      description: 'Making the file failed for good; the failure says why. A new request tries again.',
      tags: 'steady',
      entry: { type: 'send', params: tellFailed },
      on: {
        'replica.ensure': { target: 'making', actions: ['takeSpec', 'clearFailure'] },
        'replica.remove': { target: 'removing' },
      },
    },
    removing: {
      description: 'The host removes the file.',
      entry: { type: 'replica.remove', params: specOf },
      on: {
        'replica.remove.done': { target: 'gone' },
        'replica.remove.failed': [
          { guard: 'isHostGone', target: 'gone' },
          { target: 'removeBackoff', actions: 'noteFailure' },
        ],
        'replica.remove.unknown': { target: 'removing', reenter: true },
      },
      after: { removeDeadline: { target: 'removing', reenter: true } },
    },
    removeBackoff: {
      description: 'Removing the file failed; it is tried again shortly, for as long as it takes.',
      after: { backoff: { target: 'removing' } },
    },
    gone: {
      description: 'Nothing of the replica is left on the host, or the host is gone.',
      type: 'final',
      entry: { type: 'send', params: tellRemoved },
    },
  },
});
