/**
 * A VPC on one host, as its VPC speaks with it: named sections, each a set of elements with a generation. A section is
 * published whole, or as an increment on the generation that was published before; the host reports what it has proved
 * by section. Which sections there are machines/vpc/vpc-sections.ts says, and how each is brought about
 * actors/dataplane/segment/segment-sections.ts; nothing here knows one of them.
 */
import { z } from 'zod';
import { hostGone } from '../values/host-gone.ts';
import { failureSchema } from '../values/failures.ts';
import { defineKind, effect, message, type EventOf, type ValueOf } from '../values/kind.ts';
import { elementsSchema, segmentProofSchema } from '../values/wiring.ts';
import type { SectionChange, SectionElements, SegmentRef } from '../values/wiring.ts';

/** Section -> generation. */
const generationsSchema = z.record(z.string(), z.int());
export type Generations = ValueOf<typeof generationsSchema>;

const wholeSchema = z.object({ section: z.string(), generation: z.int(), elements: elementsSchema });
/** What makes generation `to` out of generation `from`. */
const incrementSchema = z.object({
  section: z.string(),
  from: z.int(),
  to: z.int(),
  put: elementsSchema,
  /** Keys. */
  removed: z.array(z.string()),
});
export type Whole = ValueOf<typeof wholeSchema>;
export type Increment = ValueOf<typeof incrementSchema>;
export type SectionUpdate = Whole | Increment;

export const segmentPublish = message('segment.publish', 'The VPC says what the host is to have, section by section.', {
  vpc: z.string(),
  /** At most one for each section. */
  updates: z.array(z.union([wholeSchema, incrementSchema])),
});
export const segmentWithdraw = message('segment.withdraw', 'The VPC wants to be taken off the host.', {});
export const segmentProven = message('segment.proven', 'Read back from the kernel: the generation of each section.', {
  host: z.string(),
  sections: generationsSchema,
});
export const segmentMissed = message(
  'segment.missed',
  'An increment does not follow on what the host has: it needs the whole section.',
  {
    host: z.string(),
    section: z.string(),
    /** What the host has; 0: nothing. */
    generation: z.int(),
  },
);
export const segmentFailed = message('segment.failed', 'A section, or the segment as a whole, could not be realized.', {
  host: z.string(),
  /** Null when it is not one section: the host is gone, the kernel cannot be asked. */
  section: z.string().nullable(),
  /** The newest generation of each section that the segment had heard of when it said so. */
  heard: generationsSchema,
  error: failureSchema,
});
export const segmentRemoved = message('segment.removed', 'Nothing of the VPC is left on the host.', {
  host: z.string(),
});

export interface SegmentAsk {
  readonly segment: SegmentRef;
}
export interface RealizeAsk extends SegmentAsk {
  readonly sections: Readonly<Record<string, SectionElements>>;
}
export interface ChangeAsk extends SegmentAsk {
  readonly changes: readonly SectionChange[];
}

export interface WatchAsk extends SegmentAsk {
  /** Only these are looked at: of a section that has failed already there is nothing to report. */
  readonly sections: readonly string[];
}

/** A section is in one of the two. */
const outcome = {
  proven: generationsSchema,
  failed: z.record(z.string(), failureSchema),
};

export const segmentKind = defineKind({
  kind: 'segment',
  says: 'A VPC on one host: namespace, overlay, and what its sections say.',
  placement: 'pinned',
  commands: {},
  takes: [segmentPublish, segmentWithdraw, hostGone],
  startedBy: [segmentPublish, segmentWithdraw],
  fromNode: [hostGone],
  sends: [segmentProven, segmentMissed, segmentFailed, segmentRemoved],
  effects: [
    effect<RealizeAsk>()('segment.realize', 'Brings every section about and reads it back.', {
      ...outcome,
      proof: segmentProofSchema,
    }),
    effect<ChangeAsk>()('segment.change', 'Applies increments, element by element, and reads those back.', outcome),
    effect<WatchAsk>()('segment.watch', 'Ends when something of the segment is not there any more.', {
      section: z.string(),
      reason: z.string(),
      detail: z.string(),
    }),
    effect<SegmentAsk>()('segment.remove', 'Takes the VPC off the host.', {}),
  ],
});

export type SegmentEvent = EventOf<typeof segmentKind>;
