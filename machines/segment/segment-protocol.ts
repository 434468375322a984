/**
 * A VPC on one host, as its VPC speaks with it: named sections, each a set of elements with a generation. A section is
 * published whole, or as an increment on a generation the host has proved; the host reports what it has proved by
 * section. Which sections there are, and how each is brought about, actors/dataplane/segment says.
 */
import { z } from 'zod';
import { hostGone } from '../values/host-gone.ts';
import { failureSchema, type Failure } from '../values/failures.ts';
import { defineKind, effect, message, type EventOf, type ValueOf } from '../values/kind.ts';
import { ownerTokenSchema, segmentProofSchema } from '../values/wiring.ts';

/** Element key -> element; the section's noun in the dataplane says what an element is. */
export const elementsSchema = z.record(z.string(), z.unknown());

/** The whole section, or what makes generation `to` out of generation `from`. */
export const sectionUpdateSchema = z.union([
  z.object({ section: z.string(), generation: z.int(), elements: elementsSchema }),
  z.object({
    section: z.string(),
    from: z.int(),
    to: z.int(),
    put: elementsSchema,
    removed: z.array(z.string()),
  }),
]);
export type SectionUpdate = ValueOf<typeof sectionUpdateSchema>;

export const segmentPublish = message('segment.publish', 'The VPC says what the host is to have, section by section.', {
  /** The counterpart puts its own uid in. */
  owner: ownerTokenSchema,
  vpc: z.string(),
  updates: z.array(sectionUpdateSchema),
});
export const segmentWithdraw = message('segment.withdraw', 'The VPC wants to be taken off the host.', {});
export const segmentProven = message('segment.proven', 'Read back from the kernel: the generation of each section.', {
  host: z.string(),
  sections: z.record(z.string(), z.int()),
});
export const segmentMissed = message(
  'segment.missed',
  'An increment does not follow on what the host has: it needs the whole.',
  {
    host: z.string(),
    section: z.string(),
  },
);
export const segmentFailed = message('segment.failed', 'A section, or the segment as a whole, could not be realized.', {
  host: z.string(),
  /** Null when it is not one section: the host is gone, the namespace cannot be made. */
  section: z.string().nullable(),
  generation: z.int(),
  error: failureSchema,
});
export const segmentRemoved = message('segment.removed', 'Nothing of the VPC is left on the host.', {
  host: z.string(),
});

/** Whose segment it is, for every effect. */
export interface SegmentRef {
  readonly owner: ValueOf<typeof ownerTokenSchema>;
  readonly vpc: string;
}
export interface SectionElements {
  readonly generation: number;
  readonly elements: Readonly<Record<string, unknown>>;
}
export interface RealizeParams {
  readonly segment: SegmentRef;
  readonly sections: Readonly<Record<string, SectionElements>>;
}
export interface SectionChange {
  readonly section: string;
  readonly to: number;
  readonly put: Readonly<Record<string, unknown>>;
  readonly removed: readonly string[];
}
export interface ChangeParams {
  readonly segment: SegmentRef;
  readonly changes: readonly SectionChange[];
}

const proven = z.record(z.string(), z.int());

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
    effect<RealizeParams>()('segment.realize', 'Brings every section about and reads it back.', {
      proven,
      failed: z.record(z.string(), failureSchema),
      proof: segmentProofSchema,
    }),
    effect<ChangeParams>()('segment.change', 'Applies increments, one element each.', { proven }),
    effect<RealizeParams>()('segment.watch', 'Ends when something of the segment is not there any more.', {
      reason: z.string(),
      detail: z.string(),
    }),
    effect<{ readonly segment: SegmentRef }>()('segment.remove', 'Takes the VPC off the host.', {}),
  ],
});

export type SegmentEvent = EventOf<typeof segmentKind>;
export type SectionFailures = Readonly<Record<string, Failure>>;
