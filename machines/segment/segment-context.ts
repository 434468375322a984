/** Context of a segment and pure functions on it. The elements of each section are rows
 * `section.<name>/<key>`; the context holds no list of them.
 */
import { sameJson, type Failure } from '../values/failures.ts';
import { rows, type Heard } from '../values/telling.ts';
import type { Elements, SectionChange, SegmentProof } from '../values/wiring.ts';
import type { Increment, SectionUpdate, SegmentEvent, Whole } from './segment-protocol.ts';

export interface SectionState {
  /** Generation of the rows: the desired state. */
  readonly wanted: number;
  /** Generation of the last request to the kernel. */
  readonly asked: number;
  /** Generation last read back from the kernel; 0 before the first. */
  readonly proven: number;
  readonly failure: Failure | null;
}

/** Change of a key since the last request to the kernel; null: no element. */
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
  /** A whole section was published since all sections were last realized. */
  readonly outdated: boolean;
  /** Elements changed since the last request to the kernel; the next request applies them together. */
  readonly queued: Queue;
  /** Changes of the request in progress. */
  readonly applying: readonly SectionChange[];
  /** Read back from the kernel; null until the first success. */
  readonly proof: SegmentProof | null;
  /** Failures in a row, for the backoff. */
  readonly tries: number;
  /** Failure of the segment as a whole; failures of single sections are in `sections`. */
  readonly failure: Failure | null;
}

export const noSection: SectionState = { wanted: 0, asked: 0, proven: 0, failure: null };

export const collectionOf = (section: string): string => `section.${section}`;

/** With more queued changes than this, all sections are realized from their rows instead. */
export const queueLimit = 512;

export const queueLength = ({ queued }: SegmentContext): number =>
  Object.values(queued).reduce((sum, keys) => sum + Object.keys(keys).length, 0);

export const isWhole = (update: SectionUpdate): update is Whole => 'elements' in update;
const isIncrement = (update: SectionUpdate): update is Increment => !isWhole(update);

export const generationOf = (update: SectionUpdate): number => (isWhole(update) ? update.generation : update.to);

/** True for an increment on the generation of the rows. */
export const follows = ({ sections }: SegmentContext, { section, from }: Increment): boolean =>
  (sections[section]?.wanted ?? 0) === from && from > 0;

const isLasting = (failure: Failure | null | undefined): boolean => failure?.retryable === false;

/** Transient failures are retried on a timer; permanent ones when the section is published again. */
export const hasGivenUp = ({ sections, failure }: SegmentContext, section: string): boolean =>
  isLasting(failure) || isLasting(sections[section]?.failure);

/** True when every update can be applied element by element, without the other rows. */
export const isApplicable = (context: SegmentContext, updates: readonly SectionUpdate[]): boolean =>
  updates.filter(isIncrement).length === updates.length &&
  updates.every((update) => !hasGivenUp(context, update.section));

const elementsIn = (event: Heard, section: string): Elements => rows(event, collectionOf(section));

/** A whole section that equals the rows. */
export const isRepeated = (context: SegmentContext, event: Heard, update: Whole): boolean =>
  context.sections[update.section]?.wanted === update.generation &&
  sameJson(elementsIn(event, update.section), update.elements);

/** True when this step must realize all sections. */
export function wantsRealizing(context: SegmentContext, event: SegmentEvent): boolean {
  if (event.type !== 'segment.publish') return false;
  return event.updates.some((update) => {
    const { section } = update;
    if (!isWhole(update)) return follows(context, update) && hasGivenUp(context, section);
    const failed = (context.sections[section]?.failure ?? null) !== null;
    return failed || hasGivenUp(context, section) || !isRepeated(context, event, update);
  });
}

/** The rows after this step. */
export function elementsNow({ sections }: SegmentContext, event: SegmentEvent, section: string): Elements {
  const stored = elementsIn(event, section);
  if (event.type !== 'segment.publish') return stored;
  const update = event.updates.find((one) => one.section === section);
  // Updates that were not accepted are left out.
  if (update === undefined || sections[section]?.wanted !== generationOf(update)) return stored;
  if (isWhole(update)) return update.elements;
  const kept = Object.entries(stored).filter(([key]) => !update.removed.includes(key));
  return { ...Object.fromEntries(kept), ...update.put };
}

/** The queue with one more change of a key; it keeps the element that the kernel has. */
export function queuedWith(queue: Queue, section: string, key: string, change: Queued): Queue {
  const keys = queue[section] ?? {};
  const was = keys[key] === undefined ? change.was : keys[key].was;
  return { ...queue, [section]: { ...keys, [key]: { was, now: change.now } } };
}

/** Sections whose queue can be applied; failed sections are realized from their rows instead. */
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
