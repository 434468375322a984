/** Context changes, effect params and messages of a segment: pure functions of context and event. */
import { assertEvent } from 'xstate';
import { failureOf, hostGoneFailure, type Failure } from '../values/failures.ts';
import { putRow, removeRow, row, rows, send, type Acted, type Asked, type Seen } from '../values/telling.ts';
import type { SegmentRef } from '../values/wiring.ts';
import * as contexts from './segment-context.ts';
import { noSection, type SectionState, type SegmentContext } from './segment-context.ts';
import {
  segmentFailed,
  segmentMissed,
  segmentProven,
  segmentRemoved,
  type ChangeAsk,
  type Generations,
  type Increment,
  type RealizeAsk,
  type SegmentAsk,
  type SegmentEvent,
  type WatchAsk,
  type Whole,
} from './segment-protocol.ts';

export type At = Seen<SegmentContext, SegmentEvent>;
type Done = Acted<SegmentContext>;

// Params of effects

/** The run epoch is always 1: the uid distinguishes successive actors of this id. */
const refOf = ({ id, uid, vpc }: SegmentContext): SegmentRef => ({ owner: { actor: id, uid, runEpoch: 1 }, vpc });

export const segmentAsk = ({ context }: At): SegmentAsk => ({ segment: refOf(context) });

export function realizeAsk({ context, event }: At): RealizeAsk {
  const sections = Object.entries(context.sections).map(
    ([name, { wanted }]) =>
      [name, { generation: wanted, elements: contexts.elementsNow(context, event, name) }] as const,
  );
  return { segment: refOf(context), sections: Object.fromEntries(sections) };
}

export const watchAsk = ({ context }: At): WatchAsk => ({
  segment: refOf(context),
  sections: Object.entries(context.sections).flatMap(([name, { failure }]) => (failure === null ? [name] : [])),
});

export const changeAsk = ({ context }: At): ChangeAsk => ({ segment: refOf(context), changes: context.applying });

// Publications of the VPC

const merged = (context: SegmentContext, section: string, more: Partial<SectionState>): SegmentContext => ({
  ...context,
  sections: { ...context.sections, [section]: { ...noSection, ...context.sections[section], ...more } },
});

/** Updates the rows (the desired state) and the queue (changes not yet requested from the kernel). */
export function takeUpdates({ context: before, event }: At): Done {
  assertEvent(event, 'segment.publish');
  const asks: Asked[] = [];
  let context: SegmentContext = { ...before, vpc: event.vpc, uid: before.uid || event.meta.ulid };
  for (const update of event.updates) {
    const { section } = update;
    if (contexts.isWhole(update)) {
      if (!contexts.isRepeated(before, event, update)) {
        asks.push(...replacedRows(event, update));
        context = merged({ ...context, outdated: true }, section, { wanted: update.generation, proven: 0 });
      } else if (isProven(before.sections[section])) {
        asks.push(provenMessage(context, { [section]: update.generation }));
      }
      continue;
    }
    if (contexts.follows(before, update)) {
      asks.push(...changedRows(event, update));
      context = merged(queueing(context, event, update), section, { wanted: update.to });
    } else {
      const generation = before.sections[section]?.wanted ?? 0;
      asks.push(send(event.vpc, segmentMissed({ host: before.host, section, generation })));
    }
  }
  const { vpc, uid, sections, queued, outdated } = context;
  return { changes: { vpc, uid, sections, queued, outdated }, asks };
}

const isProven = (state: SectionState | undefined): boolean =>
  state !== undefined && state.failure === null && state.proven === state.wanted;

function replacedRows(event: SegmentEvent, { section, elements }: Whole): readonly Asked[] {
  const collection = contexts.collectionOf(section);
  const gone = Object.keys(rows(event, collection)).filter((key) => elements[key] === undefined);
  return [
    ...gone.map((key) => removeRow(collection, key)),
    ...Object.entries(elements).map(([key, element]) => putRow(collection, key, element)),
  ];
}

function changedRows(event: SegmentEvent, { section, put, removed }: Increment): readonly Asked[] {
  const collection = contexts.collectionOf(section);
  return [
    ...removed.filter((key) => stored(event, section, key) !== null).map((key) => removeRow(collection, key)),
    ...Object.entries(put).map(([key, element]) => putRow(collection, key, element)),
  ];
}

function stored(event: SegmentEvent, section: string, key: string): unknown {
  const collection = contexts.collectionOf(section);
  // A step that may need all rows has loaded the whole collection.
  const all = event.meta.rows?.[`${collection}/*`] as Readonly<Record<string, unknown>> | undefined;
  return (all === undefined ? row<unknown>(event, collection, key) : all[key]) ?? null;
}

function queueing(context: SegmentContext, event: SegmentEvent, { section, put, removed }: Increment): SegmentContext {
  const changes = [
    ...removed.map((key) => [key, null] as const),
    ...Object.entries(put).map(([key, element]) => [key, element] as const),
  ];
  let { queued } = context;
  for (const [key, now] of changes)
    queued = contexts.queuedWith(queued, section, key, { was: stored(event, section, key), now });
  return { ...context, queued };
}

// Requests to the kernel

/** All rows are requested, so the queue is obsolete. */
export function begin({ context }: At): Partial<SegmentContext> {
  const sections = Object.entries(context.sections).map(
    ([name, state]) => [name, { ...state, asked: state.wanted }] as const,
  );
  return { sections: Object.fromEntries(sections), queued: {}, outdated: false };
}

export function applyQueue({ context }: At): Partial<SegmentContext> {
  const applying = contexts.changesOf(context);
  const queued = Object.fromEntries(
    Object.entries(context.queued).filter(([name]) => !applying.some(({ section }) => section === name)),
  );
  let after = context;
  for (const { section, to } of applying) after = merged(after, section, { asked: to });
  return { applying, queued, sections: after.sections };
}

/** A proven section is served; a failed one keeps its failure until it is proven. */
export function noteOutcome({ context, event }: At): Partial<SegmentContext> {
  assertEvent(event, ['segment.realize.done', 'segment.change.done']);
  let after = context;
  for (const [name, generation] of Object.entries(event.proven))
    after = merged(after, name, { proven: generation, failure: null });
  for (const [name, failure] of Object.entries(event.failed)) after = merged(after, name, { failure });
  const failed = Object.keys(event.failed).length > 0;
  const lags = contexts.failuresOf(after).length > 0;
  return {
    sections: after.sections,
    applying: [],
    tries: failed ? context.tries + 1 : lags ? context.tries : 0,
    failure: null,
    ...(event.type === 'segment.realize.done' ? { proof: event.proof } : {}),
  };
}

export const hasFailed = ({ event }: At): boolean =>
  (event.type === 'segment.realize.done' || event.type === 'segment.change.done') &&
  Object.keys(event.failed).length > 0;

// Messages to the VPC

const provenMessage = ({ vpc, host }: SegmentContext, sections: Generations): Asked =>
  send(vpc, segmentProven({ host, sections }));

/** The newest generations received so far; later publications are answered separately. */
const heardOf = ({ sections }: SegmentContext): Generations =>
  Object.fromEntries(Object.entries(sections).map(([name, { wanted }]) => [name, wanted]));

function failedMessage(context: SegmentContext, section: string | null, error: Failure, lost?: string): Asked {
  const { vpc, host } = context;
  const failed = { host, section, heard: heardOf(context), error: failureOf(error) };
  return send(vpc, segmentFailed(lost === undefined ? failed : { ...failed, lost }));
}

export function tellOutcome({ context, event }: At): readonly Asked[] {
  assertEvent(event, ['segment.realize.done', 'segment.change.done']);
  const { proven, failed } = event;
  return [
    ...(Object.keys(proven).length === 0 ? [] : [provenMessage(context, proven)]),
    ...Object.entries(failed).map(([section, error]) => failedMessage(context, section, error)),
  ];
}

const brokenBy = ({ event }: At): { section: string; failure: Failure; key: string | undefined } => {
  assertEvent(event, 'segment.watch.done');
  const { section, reason, detail, key } = event;
  return { section, failure: { code: reason, message: detail, retryable: true }, key };
};

export function noteBroken(at: At): Partial<SegmentContext> {
  const { section, failure } = brokenBy(at);
  return { sections: merged(at.context, section, { failure }).sections, proof: null };
}

export function tellBroken(at: At): readonly Asked[] {
  const { section, failure, key } = brokenBy(at);
  return [failedMessage(at.context, section, failure, key)];
}

/** Reports a failure of the segment as a whole. */
export function tellFailed({ context, event }: At): readonly Asked[] {
  const error = 'error' in event ? event.error : hostGoneFailure();
  return [failedMessage(context, null, error)];
}

/** Without a publication there is no VPC in the context; then the sender is answered. */
export const tellRemoved = ({ context, event }: At): readonly Asked[] => [
  send(context.vpc || (event.meta.from ?? ''), segmentRemoved({ host: context.host, heard: heardOf(context) })),
];

export const forgetRows = ({ context, event }: At): readonly Asked[] =>
  Object.keys(context.sections).flatMap((name) => {
    const collection = contexts.collectionOf(name);
    return Object.keys(rows(event, collection)).map((key) => removeRow(collection, key));
  });
