/**
 * A replica: the file with the bytes of a volume on one host. The volume actor requests it and decides who may write,
 * by the run epoch.
 */
import { assertEvent, assign, setup } from 'xstate';
import { backoffMs, failureOf, hostGoneFailure, isHostGone, type Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import type { ReplicaSpec } from '../values/wiring.ts';
import { replicaFailed, replicaKind, replicaReady, replicaRemoved, type ReplicaEvent } from './replica-protocol.ts';

export interface ReplicaContext {
  readonly id: string;
  /** Set by replica.ensure, never cleared. */
  readonly spec: ReplicaSpec | null;
  /** The volume actor, which receives every report. */
  readonly volume: string;
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<ReplicaContext, ReplicaEvent>;

const hostOf = ({ id }: ReplicaContext): string => partsOfId(id).host ?? '';
const specOf = ({ context }: { readonly context: ReplicaContext }) => ({ spec: context.spec as ReplicaSpec });

/** Uid of the restoration that a request is of, or null. */
const restoreIn = (spec: ReplicaSpec | null): string | null => spec?.snapshot?.restore ?? null;

const tellReady = ({ context }: At): readonly Asked[] => [
  send(context.volume, replicaReady({ host: hostOf(context), restore: restoreIn(context.spec) })),
];
const tellRemoved = ({ context }: At): readonly Asked[] => [
  send(context.volume, replicaRemoved({ host: hostOf(context) })),
];
const failed = (context: ReplicaContext, error: Failure): readonly Asked[] => [
  send(context.volume, replicaFailed({ host: hostOf(context), error, restore: restoreIn(context.spec) })),
];

/** Failures in a row, for the backoff; more are not hidden from the volume, whose VM shows why it waits. */
const makeTries = 2;

/** A request for another restoration, or for none any more, while the file is made: what is made is given up. */
const other = {
  guard: 'isOtherRestore',
  target: 'making',
  reenter: true,
  actions: ['takeSpec', 'clearFailure'],
} as const;

export const replicaMachine = setup({
  types: {
    context: {} as ReplicaContext,
    events: {} as ReplicaEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...effectActions(replicaKind),
    tellReady: tell(tellReady),
    tellRemoved: tell(tellRemoved),
    tellFailed: tell(({ context }: At) => failed(context, context.failure as Failure)),
    tellUnreachable: tell(({ context }: At) => failed(context, hostGoneFailure())),
    takeSpec: assign(({ event }) => {
      assertEvent(event, 'replica.ensure');
      return { spec: event.spec, volume: event.volume };
    }),
    /** A replica that never existed does not know its volume: it answers the sender of the removal. */
    takeAsker: assign(({ event }) => ({ volume: event.meta.from ?? '' })),
    noteFailure: assign(({ context, event }) => {
      assertEvent(event, ['replica.make.failed', 'replica.remove.failed']);
      return { failure: failureOf(event.error), tries: context.tries + 1 };
    }),
    clearFailure: assign({ failure: null, tries: 0 }),
  },
  guards: {
    isHostGone: ({ event }) => isHostGone(event),
    /** What is made now does not answer the request. */
    isOtherRestore: ({ context, event }) =>
      event.type === 'replica.ensure' && restoreIn(event.spec) !== restoreIn(context.spec),
    /** The next try may succeed; after a few the volume is told, and asks again itself. */
    passes: ({ context, event }) =>
      event.type === 'replica.make.failed' && event.error.retryable && context.tries < makeTries,
  },
  delays: {
    makeDeadline: 3_600_000,
    removeDeadline: 60_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'replica',
  context: ({ input }) => ({ id: input.id, spec: null, volume: '', tries: 0, failure: null }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: {
        'replica.ensure': { target: 'making', actions: 'takeSpec' },
        'replica.drop': { target: 'gone', actions: 'takeAsker' },
      },
    },
    making: {
      description:
        'The host creates the file: sparse and empty, or filled from an image copy or a snapshot; or it replaces it.',
      entry: { type: 'replica.make', params: specOf },
      on: {
        'replica.make.done': { target: 'ready', actions: 'clearFailure' },
        'replica.make.failed': [
          { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
          { target: 'failed', actions: 'noteFailure' },
        ],
        'replica.make.unknown': { target: 'making', reenter: true },
        'replica.ensure': other,
        'replica.drop': { target: 'removing' },
      },
      after: { makeDeadline: { target: 'making', reenter: true } },
    },
    backoff: {
      description: 'Creating the file failed with a transient failure; it is retried shortly.',
      on: { 'replica.ensure': other, 'replica.drop': { target: 'removing' } },
      after: { backoff: { target: 'making' } },
    },
    ready: {
      description: 'The file exists. While the host is fenced, it waits for the host to return.',
      tags: 'steady',
      entry: 'tellReady',
      on: {
        'replica.ensure': { target: 'making', actions: 'takeSpec' },
        'replica.drop': { target: 'removing' },
        'host.gone': { actions: 'tellUnreachable' },
      },
    },
    failed: {
      description:
        'Creating the file failed permanently or several times; the failure says why. A new request tries again.',
      tags: 'steady',
      entry: 'tellFailed',
      on: {
        'replica.ensure': { target: 'making', actions: ['takeSpec', 'clearFailure'] },
        'replica.drop': { target: 'removing' },
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
      description: 'Removing the file failed; it is retried without limit.',
      after: { backoff: { target: 'removing' } },
    },
    gone: {
      description: 'Nothing of the replica is left on the host, or the host is fenced.',
      type: 'final',
      entry: 'tellRemoved',
    },
  },
});
