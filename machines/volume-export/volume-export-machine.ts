/**
 * The exports of a shared volume on the host of its bytes. The volume actor says which runs may use them, as a whole;
 * the newest word counts. Upholds: `export.serving` is sent only when the host has made true what was asked last, so
 * it also proves that every other run is cut.
 */
import { assertEvent, assign, setup } from 'xstate';
import { backoffMs, failureOf, hostGoneFailure, isHostGone, type Failure } from '../values/failures.ts';
import { partsOfId } from '../values/identifiers.ts';
import { effectActions } from '../values/kind.ts';
import { requests } from '../values/requests.ts';
import { send, tell, type Asked, type Seen } from '../values/telling.ts';
import type { ExportSpec, ServedExport } from '../values/wiring.ts';
import {
  exportDropped,
  exportFailed,
  exportServing,
  volumeExportKind,
  type VolumeExportEvent,
} from './volume-export-protocol.ts';

export interface VolumeExportContext {
  readonly id: string;
  /** Set by export.ensure, never cleared. */
  readonly spec: ExportSpec | null;
  /** The volume actor, which receives every report. */
  readonly volume: string;
  readonly served: readonly ServedExport[];
  readonly tries: number;
  readonly failure: Failure | null;
}

type At = Seen<VolumeExportContext, VolumeExportEvent>;

const hostOf = ({ id }: VolumeExportContext): string => partsOfId(id).host ?? '';
const specOf = ({ context }: { readonly context: VolumeExportContext }) => ({ spec: context.spec as ExportSpec });
const floorOf = ({ spec }: VolumeExportContext): number => spec?.owner.runEpoch ?? 0;

const tellServing = ({ context }: At): readonly Asked[] => [
  send(context.volume, exportServing({ host: hostOf(context), floor: floorOf(context), served: [...context.served] })),
];
const failed = (context: VolumeExportContext, error: Failure): readonly Asked[] => [
  send(context.volume, exportFailed({ host: hostOf(context), floor: floorOf(context), error })),
];
const tellFailed = ({ context }: At): readonly Asked[] => failed(context, context.failure as Failure);
const tellUnreachable = ({ context }: At): readonly Asked[] => failed(context, hostGoneFailure());
const tellDropped = ({ context }: At): readonly Asked[] => [
  send(context.volume, exportDropped({ host: hostOf(context) })),
];

/** Failures in a row of which the volume is not told. */
const serveTries = 2;

/** What is asked for changes: the newest counts. */
const asked = { target: '#volume-export.serving', actions: ['takeSpec', 'clearFailure'], reenter: true } as const;
const dropped = { target: '#volume-export.cutting' } as const;

export const volumeExportMachine = setup({
  types: {
    context: {} as VolumeExportContext,
    events: {} as VolumeExportEvent,
    input: {} as { id: string },
    tags: {} as 'steady',
  },
  actions: {
    ...requests,
    ...effectActions(volumeExportKind),
    tellServing: tell(tellServing),
    tellFailed: tell(tellFailed),
    tellUnreachable: tell(tellUnreachable),
    tellDropped: tell(tellDropped),
    takeSpec: assign(({ event }) => {
      assertEvent(event, 'export.ensure');
      return { spec: event.spec, volume: event.volume, served: [], tries: 0 };
    }),
    takeAsker: assign(({ event }) => ({ volume: event.meta.from ?? '' })),
    noteServed: assign(({ event }) => {
      assertEvent(event, 'export.serve.done');
      return { served: event.served, tries: 0, failure: null };
    }),
    noteFailure: assign(({ context, event }) =>
      'error' in event ? { failure: failureOf(event.error), tries: context.tries + 1 } : {},
    ),
    clearFailure: assign({ failure: null }),
  },
  guards: {
    mayPass: ({ context }) => context.failure?.retryable === true,
    isHostGone: ({ event }) => isHostGone(event),
    /** After a few the volume is told. */
    passes: ({ context, event }) =>
      event.type === 'export.serve.failed' && event.error.retryable && context.tries < serveTries,
  },
  delays: {
    retryPause: 10_000,
    serveDeadline: 60_000,
    cutDeadline: 60_000,
    backoff: ({ context }) => backoffMs(context.tries),
  },
}).createMachine({
  id: 'volume-export',
  context: ({ input }) => ({ id: input.id, spec: null, volume: '', served: [], tries: 0, failure: null }),
  initial: 'born',
  states: {
    born: {
      description: 'Transient: the actor leaves this state in the step that creates it.',
      on: {
        'export.ensure': { target: 'serving', actions: 'takeSpec' },
        'export.drop': { target: 'gone', actions: 'takeAsker' },
      },
    },
    serving: {
      description: 'The host cuts every run that may not use the bytes, and serves those that may.',
      entry: { type: 'export.serve', params: specOf },
      on: {
        'export.serve.done': { target: 'served', actions: 'noteServed' },
        'export.serve.failed': [
          { guard: 'passes', target: 'backoff', actions: 'noteFailure' },
          { target: 'failed', actions: 'noteFailure' },
        ],
        'export.serve.unknown': { target: 'serving', reenter: true },
        'export.ensure': asked,
        'export.drop': dropped,
      },
      after: { serveDeadline: { target: 'serving', reenter: true } },
    },
    served: {
      description: 'The runs that may use the bytes can, and a process that ends is started again.',
      tags: 'steady',
      entry: ['tellServing', { type: 'export.watch', params: specOf }],
      on: {
        'export.watch.done': { target: 'serving' },
        'export.watch.failed': { target: 'serving' },
        'export.watch.unknown': { target: 'serving' },
        'export.ensure': asked,
        'export.drop': dropped,
        'host.gone': { actions: 'tellUnreachable' },
      },
    },
    backoff: {
      description: 'Serving failed with a transient failure; it is tried again shortly.',
      on: { 'export.ensure': asked, 'export.drop': dropped },
      after: { backoff: { target: 'serving' } },
    },
    failed: {
      description:
        'Serving failed permanently or several times; the failure says why. A new request tries again, and what may ' +
        'pass is tried again without limit: a run of another host may be waiting.',
      tags: 'steady',
      entry: 'tellFailed',
      on: { 'export.ensure': asked, 'export.drop': dropped },
      after: { retryPause: { guard: 'mayPass', target: 'serving' } },
    },
    cutting: {
      description: 'The host cuts every run.',
      entry: { type: 'export.cut', params: specOf },
      on: {
        'export.cut.done': { target: 'gone' },
        'export.cut.failed': [
          { guard: 'isHostGone', target: 'gone' },
          { target: 'cutBackoff', actions: 'noteFailure' },
        ],
        'export.cut.unknown': { target: 'cutting', reenter: true },
        'export.ensure': asked,
      },
      after: { cutDeadline: { target: 'cutting', reenter: true } },
    },
    cutBackoff: {
      description: 'Cutting failed; it is tried again without limit.',
      on: { 'export.ensure': asked },
      after: { backoff: { target: 'cutting' } },
    },
    gone: {
      description: 'No run can use the bytes, or the host is fenced.',
      type: 'final',
      entry: 'tellDropped',
    },
  },
});
