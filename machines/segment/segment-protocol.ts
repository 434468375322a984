/**
 * Messages and effects of a segment, a VPC on one host: named sections, each a set of elements with a generation. The
 * VPC publishes a section whole, or as an increment on the generation published before; the host reports per section
 * what it has proven. The sections are listed in machines/vpc/vpc-sections.ts and realized by
 * actors/dataplane/segment/segment-sections.ts; nothing here depends on a particular one.
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
/** The difference from generation `from` to generation `to`. */
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

export const segmentPublish = message(
  'segment.publish',
  'The VPC publishes the desired state of the host, section by section.',
  {
    vpc: z.string(),
    /** At most one for each section. */
    updates: z.array(z.union([wholeSchema, incrementSchema])),
  },
);
export const segmentWithdraw = message('segment.withdraw', 'The VPC requests its removal from the host.', {});
export const segmentProven = message(
  'segment.proven',
  'The proven generation of each section, read back from the kernel.',
  {
    host: z.string(),
    sections: generationsSchema,
  },
);
export const segmentMissed = message(
  'segment.missed',
  'An increment does not start at the generation of the host, which needs the whole section.',
  {
    host: z.string(),
    section: z.string(),
    /** Generation of the host; 0: none. */
    generation: z.int(),
  },
);
export const segmentFailed = message('segment.failed', 'A section, or the segment as a whole, could not be realized.', {
  host: z.string(),
  /** Null for a failure of the whole segment: the host is fenced, or the kernel cannot be reached. */
  section: z.string().nullable(),
  /** The newest generation of each section that the segment had received when it sent this. */
  heard: generationsSchema,
  error: failureSchema,
  /** Of the section: an element that it had, and that has vanished from the host. */
  lost: z.string().optional(),
});
export const segmentRemoved = message('segment.removed', 'Nothing of the VPC is left on the host.', {
  host: z.string(),
  /** As in `segment.failed`. */
  heard: generationsSchema,
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
  /** Only these are watched; a failed section is already reported. */
  readonly sections: readonly string[];
}

/** Each section is in one of the two. */
const outcome = {
  proven: generationsSchema,
  failed: z.record(z.string(), failureSchema),
};

export const segmentKind = defineKind({
  kind: 'segment',
  says: 'A VPC on one host: its namespace, its overlay, and the elements of its sections.',
  placement: 'pinned',
  commands: {},
  takes: [segmentPublish, segmentWithdraw, hostGone],
  startedBy: [segmentPublish, segmentWithdraw],
  fromNode: [hostGone],
  sends: [segmentProven, segmentMissed, segmentFailed, segmentRemoved],
  effects: [
    effect<RealizeAsk>()('segment.realize', 'Realizes every section and reads it back.', {
      ...outcome,
      proof: segmentProofSchema,
    }),
    effect<ChangeAsk>()('segment.change', 'Applies increments, element by element, and reads those back.', outcome),
    effect<WatchAsk>()('segment.watch', 'Ends when an object of the segment is missing.', {
      section: z.string(),
      reason: z.string(),
      detail: z.string(),
      key: z.string().optional(),
    }),
    effect<SegmentAsk>()('segment.remove', 'Removes the VPC from the host.', {}),
  ],
});

export type SegmentEvent = EventOf<typeof segmentKind>;
