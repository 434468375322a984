/**
 * What a segment remembers, and the plain arithmetic on it. The elements of each section are rows
 * `section.<name>/<key>`; the context holds no list of them.
 */
import { sameJson, type Failure } from '../values/failures.ts';
import { rows, type Heard } from '../values/telling.ts';
import type { Elements, SectionChange, SegmentProof } from '../values/wiring.ts';
import type { Increment, SectionUpdate, SegmentEvent, Whole } from './segment-protocol.ts';

export interface SectionState {
  /** Generation that the rows are. */
  readonly wanted: number;
  /** Generation the kernel was last asked for. */
  readonly asked: number;
  /** Generation last read back from the kernel; 0 before the first. */
  readonly proven: number;
  readonly failure: Failure | null;
}

/** A key that has changed since the kernel was last asked; null where there is no element. */
export interface Queued {
  readonly was: unknown;
  readonly now: unknown;
}
/** Section -> key -> change. */
export type Queue = Readonly<Record<string, Readonly<Record<string, Queued>>>>;

export interface SegmentContext {
  readonly id: string;
  readonly uid: string;
  readonly host: string;
  /** Actor id of the VPC that publishes. */
  readonly vpc: string;
  readonly sections: Readonly<Record<string, SectionState>>;
  /** A whole section has come since the kernel was last asked for all of them. */
  readonly outdated: boolean;
  /** Elements that have changed since the kernel was last asked: applied together, next. */
  readonly queued: Queue;
  /** What the kernel is being asked for now. */
  readonly applying: readonly SectionChange[];
  /** Read back from the kernel; null until the first success. */
  readonly proof: SegmentProof | null;
  /** Failures in a row, for the backoff. */
  readonly tries: number;
  /** Why the segment as a whole cannot be worked on; a section's own failure stands in `sections`. */
  readonly failure: Failure | null;
}

export const noSection: SectionState = { wanted: 0, asked: 0, proven: 0, failure: null };

export const collectionOf = (section: string): string => `section.${section}`;

/** More than this and the segment is realized anew from its rows: one batch instead of an ever longer list. */
export const queueLimit = 512;

export const queueLength = ({ queued }: SegmentContext): number =>
  Object.values(queued).reduce((sum, keys) => sum + Object.keys(keys).length, 0);

export const isWhole = (update: SectionUpdate): update is Whole => 'elements' in update;
const isIncrement = (update: SectionUpdate): update is Increment => !isWhole(update);

export const generationOf = (update: SectionUpdate): number => (isWhole(update) ? update.generation : update.to);

/** True for an increment on what the rows are. */
export const follows = ({ sections }: SegmentContext, { section, from }: Increment): boolean =>
  (sections[section]?.wanted ?? 0) === from && from > 0;

const isLasting = (failure: Failure | null | undefined): boolean => failure?.retryable === false;

/** What may pass is retried by itself; what will not is retried when something is published about it. */
export const hasGivenUp = ({ sections, failure }: SegmentContext, section: string): boolean =>
  isLasting(failure) || isLasting(sections[section]?.failure);

/** True when every update can be applied element by element, without a look at the other rows. */
export const isApplicable = (context: SegmentContext, updates: readonly SectionUpdate[]): boolean =>
  updates.filter(isIncrement).length === updates.length &&
  updates.every((update) => !hasGivenUp(context, update.section));

const elementsIn = (event: Heard, section: string): Elements => rows(event, collectionOf(section));

/** A whole section that says what the rows say already. */
export const isRepeated = (context: SegmentContext, event: Heard, update: Whole): boolean =>
  context.sections[update.section]?.wanted === update.generation &&
  sameJson(elementsIn(event, update.section), update.elements);

/** True when the step has to lead to the kernel being asked for all sections. */
export function wantsRealizing(context: SegmentContext, event: SegmentEvent): boolean {
  if (event.type !== 'segment.publish') return false;
  return event.updates.some((update) => {
    const { section } = update;
    if (!isWhole(update)) return follows(context, update) && hasGivenUp(context, section);
    const failed = (context.sections[section]?.failure ?? null) !== null;
    return failed || hasGivenUp(context, section) || !isRepeated(context, event, update);
  });
}

/** The rows as they are after this step. */
export function elementsNow({ sections }: SegmentContext, event: SegmentEvent, section: string): Elements {
  const stored = elementsIn(event, section);
  if (event.type !== 'segment.publish') return stored;
  const update = event.updates.find((one) => one.section === section);
  // What was not taken does not count.
  if (update === undefined || sections[section]?.wanted !== generationOf(update)) return stored;
  if (isWhole(update)) return update.elements;
  const kept = Object.entries(stored).filter(([key]) => !update.removed.includes(key));
  return { ...Object.fromEntries(kept), ...update.put };
}

/** The queue with a change of one key: what the kernel had before the first of them stays known. */
export function queuedWith(queue: Queue, section: string, key: string, change: Queued): Queue {
  const keys = queue[section] ?? {};
  const was = keys[key] === undefined ? change.was : keys[key].was;
  return { ...queue, [section]: { ...keys, [key]: { was, now: change.now } } };
}

/** Sections whose queue can be applied: those that failed are waiting to be realized from their rows. */
const applicable = ({ queued, sections }: SegmentContext): readonly string[] =>
  Object.keys(queued).filter((section) => sections[section]?.failure === null);

export const isQueued = (context: SegmentContext): boolean => applicable(context).length > 0;

export function changesOf(context: SegmentContext): readonly SectionChange[] {
  return applicable(context).map((section) => {
    const keys = Object.entries(context.queued[section] ?? {});
    const put = keys.flatMap(([key, { now }]) => (now === null ? [] : [[key, now] as const]));
    const removed = keys.flatMap(([key, { was, now }]) => (now !== null || was === null ? [] : [[key, was] as const]));
    return {
      section,
      to: context.sections[section]?.wanted ?? 0,
      put: Object.fromEntries(put),
      removed: Object.fromEntries(removed),
    };
  });
}

export const failuresOf = ({ sections }: SegmentContext): readonly Failure[] =>
  Object.values(sections).flatMap(({ failure }) => (failure === null ? [] : [failure]));
