/**
 * The copy of a volume's bytes that a snapshot keeps, on the host of the volume. The snapshot actor requests it.
 * Upholds: `capture.taken` always tells of the same moment; a copy that was broken off is not one.
 */
import { assertEvent, assign, setup } from 'xstate';
import { backoffMs, failureOf, hostGoneFailure, isHostGone, type Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import type { SnapshotProof, SnapshotSpec } from '../values/snapshot-wiring.ts';
import {
  captureDropped,
  captureFailed,
  captureTaken,
  snapshotCopyKind,
  type SnapshotCopyEvent,
} from './snapshot-copy-protocol.ts';

export interface SnapshotCopyContext {
  readonly id: string;
  /** Set by capture.ensure, never cleared. */
  readonly spec: SnapshotSpec | null;
  /** The snapshot actor, which receives every report. */
  readonly snapshot: string;
  readonly proof: SnapshotProof | null;
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<SnapshotCopyContext, SnapshotCopyEvent>;

const hostOf = ({ id }: SnapshotCopyContext): string => partsOfId(id).host ?? '';
const specOf = ({ context }: { readonly context: SnapshotCopyContext }) => ({ spec: context.spec as SnapshotSpec });

const tellTaken = ({ context }: At): readonly Asked[] => [
  send(context.snapshot, captureTaken({ host: hostOf(context), proof: context.proof as SnapshotProof })),
];
const failed = (context: SnapshotCopyContext, error: Failure): readonly Asked[] => [
  send(context.snapshot, captureFailed({ host: hostOf(context), error })),
];
const tellDropped = ({ context }: At): readonly Asked[] => [
  send(context.snapshot, captureDropped({ host: hostOf(context) })),
];

/** Failures in a row of which the snapshot is not told. */
const takeTries = 2;

export const snapshotCopyMachine = setup({
  types: {
    context: {} as SnapshotCopyContext,
    events: {} as SnapshotCopyEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...effectActions(snapshotCopyKind),
    tellTaken: tell(tellTaken),
    tellFailed: tell(({ context }: At) => failed(context, context.failure as Failure)),
    tellUnreachable: tell(({ context }: At) => failed(context, hostGoneFailure())),
    tellDropped: tell(tellDropped),
    takeSpec: assign(({ event }) => {
      assertEvent(event, 'capture.ensure');
      return { spec: event.spec, snapshot: event.snapshot };
    }),
    /** A copy that never existed does not know its snapshot: it answers the sender of the removal. */
    takeAsker: assign(({ event }) => ({ snapshot: event.meta.from ?? '' })),
    takeProof: assign(({ event }) => {
      assertEvent(event, 'capture.take.done');
      return { proof: event.proof, failure: null, tries: 0 };
    }),
    noteFailure: assign(({ context, event }) =>
      'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {},
    ),
    clearFailure: assign({ failure: null, tries: 0 }),
  },
  guards: {
    isHostGone: ({ event }) => isHostGone(event),
    /** After a few the snapshot is told, and asks again itself. */
    passes: ({ context, event }) =>
      event.type === 'capture.take.failed' && event.error.retryable && context.tries < takeTries,
  },
  delays: {
    takeDeadline: 4 * 3_600_000,
    removeDeadline: 120_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'snapshot-copy',
  context: ({ input }) => ({ id: input.id, spec: null, snapshot: '', proof: null, tries: 0, failure: null }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: {
        'capture.ensure': { target: 'taking', actions: 'takeSpec' },
        'capture.drop': { target: 'gone', actions: 'takeAsker' },
      },
    },
    taking: {
      description: 'The host copies the bytes of one moment.',
      entry: { type: 'capture.take', params: specOf },
      on: {
        'capture.take.done': { target: 'ready', actions: 'takeProof' },
        'capture.take.failed': [
          { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
          { target: 'failed', actions: 'noteFailure' },
        ],
        'capture.take.unknown': { target: 'taking', reenter: true },
        'capture.drop': { target: 'removing' },
      },
      after: { takeDeadline: { target: 'taking', reenter: true } },
    },
    backoff: {
      description: 'Copying failed with a transient failure; it is tried again shortly, at a later moment.',
      on: { 'capture.drop': { target: 'removing' } },
      after: { backoff: { target: 'taking' } },
    },
    ready: {
      description: 'The copy is complete. While the host is fenced, it waits for the host to return.',
      tags: 'steady',
      entry: 'tellTaken',
      on: {
        'capture.ensure': { target: 'ready', reenter: true },
        'capture.drop': { target: 'removing' },
        'host.gone': { actions: 'tellUnreachable' },
      },
    },
    failed: {
      description: 'Copying failed permanently or several times; the failure says why. A new request tries again.',
      tags: 'steady',
      entry: 'tellFailed',
      on: {
        'capture.ensure': { target: 'taking', actions: ['takeSpec', 'clearFailure'] },
        'capture.drop': { target: 'removing' },
      },
    },
    removing: {
      description: 'The host ends a copy that is being made, and removes it.',
      entry: { type: 'capture.remove', params: specOf },
      on: {
        'capture.remove.done': { target: 'gone' },
        'capture.remove.failed': [
          { guard: 'isHostGone', target: 'gone' },
          { target: 'removeBackoff', actions: 'noteFailure' },
        ],
        'capture.remove.unknown': { target: 'removing', reenter: true },
      },
      after: { removeDeadline: { target: 'removing', reenter: true } },
    },
    removeBackoff: {
      description: 'Removing the copy failed; it is tried again without limit.',
      after: { backoff: { target: 'removing' } },
    },
    gone: {
      description: 'Nothing of the copy is left on the host, or the host is fenced.',
      type: 'final',
      entry: 'tellDropped',
    },
  },
});
