/** Context and messages of an incarnation: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { bindingWire } from '../binding/binding-protocol.ts';
import { failureOf, type Failure } from '../values/failures.ts';
import { idOf, partsOfId } from '../values/identifiers.ts';
import { send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import type { TrackedFlow } from '../values/tracked-flows.ts';
import type { IncarnationProof, IncarnationSpec, IncomingDoor, OutgoingSpec } from '../values/wiring.ts';
import type { Plug } from './incarnation-plugs.ts';
import * as says from './incarnation-protocol.ts';
import type { EndReason, IncarnationEvent, ResizeParams, ResumeParams, RunParams } from './incarnation-protocol.ts';

export interface IncarnationContext {
  readonly id: string;
  readonly vm: string;
  readonly spec: IncarnationSpec | null;
  /** Set when QEMU has started; pid and start time name one process. */
  readonly proof: IncarnationProof | null;
  /** Bindings that are not wired yet. */
  readonly unwired: readonly string[];
  /** The VM wants the guest to stand still. */
  readonly paused: boolean;
  readonly graceMs: number;
  readonly startedAt: number | null;
  readonly reason: EndReason | null;
  /** Why it does not go on: a disk takes no request, or the stop fails; null otherwise. */
  readonly stall: Failure | null;
  readonly failure: Failure | null;
  /** Actor id of the migration by which the run leaves or has come; null when it is told of nothing. */
  readonly migration: string | null;
  /** Set while the run is sent to another host, and afterwards. */
  readonly outgoing: OutgoingSpec | null;
  /** Where QEMU listens for the run that moves here; null otherwise. */
  readonly door: IncomingDoor | null;
  /** All of the run was sent. */
  readonly sent: Omit<Extract<IncarnationEvent, { readonly type: 'qemu.send.done' }>, 'type' | 'meta'> | null;
  /** Connections of the guest that this host is told of before the guest goes on here. */
  readonly flows: readonly TrackedFlow[];
  /** What it is to have, as the VM has said last; null once that was plugged or found wanting. */
  readonly plug: Plug | null;
  /** Shared volumes that have grown and whose size the guest does not see yet. */
  readonly resizes: readonly Resize[];
}

/** What a volume has asked for. */
export interface Resize {
  readonly volume: string;
  readonly volumeUid: string;
  readonly runEpoch: number;
  readonly sizeMib: number;
}

export const newIncarnation = (id: string): IncarnationContext => ({
  id,
  vm: '',
  spec: null,
  proof: null,
  unwired: [],
  paused: false,
  graceMs: 0,
  startedAt: null,
  reason: null,
  stall: null,
  failure: null,
  migration: null,
  outgoing: null,
  door: null,
  sent: null,
  flows: [],
  plug: null,
  resizes: [],
});

export type At = Seen<IncarnationContext, IncarnationEvent>;

/** @throws TypeError before the run was requested */
export function specIn({ id, spec }: IncarnationContext): IncarnationSpec {
  if (spec === null) throw new TypeError(`${id} has no spec`);
  return spec;
}

export const runOf = ({ context }: At): RunParams => ({ spec: specIn(context) });
/** @returns connections only where there are some */
export const resumeOf = ({ context }: At): ResumeParams => {
  const { flows } = context;
  return { ...runOf({ context } as At), ...(flows.length === 0 ? {} : { flows }) };
};
export const stopOf = ({ context }: At) => ({ spec: specIn(context), graceMs: context.graceMs });

export const hostOf = ({ id }: IncarnationContext): string => partsOfId(id).host ?? '';

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

export const tellRunning = ({ context }: At): readonly Asked[] => [
  send(context.vm, says.incarnationRunning(process(context))),
];

export const tellPaused = ({ context }: At): readonly Asked[] => [
  send(context.vm, says.incarnationPaused(process(context))),
];

export const tellStalled = ({ context }: At): readonly Asked[] => [
  send(context.vm, says.incarnationStalled({ ...process(context), error: context.stall as Failure })),
];

export const tellEnded = ({ context }: At): readonly Asked[] => {
  const { vm, reason, failure, migration } = context;
  const ended = says.incarnationEnded({ ...standing(context), reason: reason ?? 'gone', error: failure });
  return [vm, ...(migration === null ? [] : [migration])].map((to) => send(to, ended));
};

/** Answers a stop of a run that does not exist: its earlier report may be lost, and the VM would wait for ever. */
export const answerAbsent = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'incarnation.stop');
  const { incarnationUid, meta } = event;
  const ended = { host: hostOf(context), runEpoch: null, incarnationUid, reason: 'stopped', error: null } as const;
  return [send(meta.from ?? '', says.incarnationEnded(ended))];
};

/** The run that is to go on has ended before; its VM, which has chosen it since, did not know it as its own then. */
export const answerEnded = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'incarnation.go-on');
  const { incarnationUid, meta } = event;
  const ended = { host: hostOf(context), runEpoch: null, incarnationUid, reason: 'gone', error: null } as const;
  const { tenant, name } = partsOfId(context.id);
  return [idOf('vm', tenant, name), meta.from ?? ''].map((to) => send(to, says.incarnationEnded(ended)));
};

export const wire = ({ id }: IncarnationContext, bindings: readonly string[]): readonly Asked[] =>
  bindings.map((binding) => send(binding, bindingWire({ requester: id })));

export const askWiring = ({ context }: At): readonly Asked[] => wire(context, context.unwired);

// A shared volume that has grown

/** Of another run of the VM, which finds the new size when it starts. */
export const isOfOtherRun = ({ context, event }: At): boolean =>
  event.type === 'incarnation.resize' && event.runEpoch !== context.spec?.owner.runEpoch;

export function noteResize({ context, event }: At): Partial<IncarnationContext> {
  assertEvent(event, 'incarnation.resize');
  const { volume, volumeUid, runEpoch, sizeMib } = event;
  return {
    resizes: [...context.resizes.filter((one) => one.volume !== volume), { volume, volumeUid, runEpoch, sizeMib }],
  };
}

/** @throws TypeError when no volume has grown */
export function resizeOf({ context }: At): ResizeParams {
  const [first] = context.resizes;
  if (first === undefined) throw new TypeError(`${context.id} has no volume that has grown`);
  return { spec: specIn(context), volumeUid: first.volumeUid, sizeMib: first.sizeMib };
}

const resized = ({ volume, runEpoch, sizeMib }: Omit<Resize, 'volumeUid'>, error: Failure | null): Asked =>
  send(volume, says.incarnationResized({ volume, runEpoch, sizeMib, error }));

/** The volume whose turn it was is told. */
export function endResize({ context, event }: At): Acted<IncarnationContext> {
  const [first, ...resizes] = context.resizes;
  if (first === undefined) return { changes: {}, asks: [] };
  return { changes: { resizes }, asks: [resized(first, 'error' in event ? failureOf(event.error) : null)] };
}

export function answerResize({ event }: At): readonly Asked[] {
  assertEvent(event, 'incarnation.resize');
  return [resized(event, null)];
}

/** The run is over, and with it the guest that saw the former size. */
export const tellResizesOver = ({ context }: At): readonly Asked[] =>
  context.resizes.map((resize) => resized(resize, null));

// A run that moves

/** @throws TypeError unless it is sent */
export function sendOf({ context }: At) {
  const { id, outgoing } = context;
  if (outgoing === null) throw new TypeError(`${id} is not sent`);
  return { spec: specIn(context), outgoing };
}

const uidOf = (context: IncarnationContext): string => specIn(context).owner.uid;

const toMigration = ({ migration }: IncarnationContext, event: Parameters<typeof send>[1]): readonly Asked[] =>
  migration === null ? [] : [send(migration, event)];

export const tellReceiving = ({ context }: At): readonly Asked[] => {
  const { proof, door } = context;
  if (proof === null || door === null) return [];
  return toMigration(context, says.incarnationReceiving({ incarnationUid: uidOf(context), proof, door }));
};

export const tellReceived = ({ context }: At): readonly Asked[] =>
  toMigration(context, says.incarnationReceived({ incarnationUid: uidOf(context) }));

export const tellResumed = ({ context, event }: At): readonly Asked[] => {
  const { resumedAt, flows } = event.type === 'qemu.resume.done' ? event : { resumedAt: null, flows: 0 };
  return toMigration(context, says.incarnationResumed({ incarnationUid: uidOf(context), resumedAt, flows }));
};

export const tellProgress = ({ context, event }: At): readonly Asked[] => {
  assertEvent(event, 'qemu.measure.done');
  const { progress } = event;
  if (progress === null) return [];
  return toMigration(context, says.incarnationProgress({ incarnationUid: uidOf(context), progress }));
};

export const tellSent = ({ context }: At): readonly Asked[] =>
  context.sent === null
    ? []
    : toMigration(context, says.incarnationSent({ incarnationUid: uidOf(context), ...context.sent }));

export const tellUnsent = ({ context }: At): readonly Asked[] =>
  toMigration(context, says.incarnationUnsent({ incarnationUid: uidOf(context), error: context.failure }));

/** Answers a migration about a run that is not being sent here. */
export const answerUnsent = ({ event }: At): readonly Asked[] => {
  assertEvent(event, 'incarnation.unsend');
  const { incarnationUid, meta } = event;
  return [send(meta.from ?? '', says.incarnationUnsent({ incarnationUid, error: null }))];
};

export function takeIncoming({ event }: At): Partial<IncarnationContext> {
  assertEvent(event, 'incarnation.receive');
  const { vm, spec, meta } = event;
  return { vm, spec, migration: meta.from ?? null, unwired: spec.nics.map((nic) => nic.binding) };
}

/** From now on it is a run like any other. */
export function forgetIncoming({ context, event }: At): Partial<IncarnationContext> {
  assertEvent(event, 'incarnation.go-on');
  const { incoming: _, ...spec } = specIn(context);
  return { spec, door: null, flows: event.flows };
}

export function takeOutgoing({ event }: At): Partial<IncarnationContext> {
  assertEvent(event, 'incarnation.send');
  return { outgoing: event.outgoing, migration: event.meta.from ?? null, sent: null, failure: null };
}

export function noteSent({ event }: At): Partial<IncarnationContext> {
  assertEvent(event, 'qemu.send.done');
  const { method, pausedAt, sentBytes, flows } = event;
  return { sent: { method, pausedAt, sentBytes, flows } };
}

export const forgetOutgoing = (): Partial<IncarnationContext> => ({
  outgoing: null,
  migration: null,
  sent: null,
  failure: null,
});
