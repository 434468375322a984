/**
 * Makes the sections of a VPC on this host, whole or element by element, and reads each back: what does not read back
 * as it should is a fault of that section. Called by network-operations.ts. Promise: a section that fails is named and
 * stops no other; one that is proven was read from the kernel after it was made.
 */
import { failureOf, type Failure } from '@photoncloud/machines/values/failures';
import type { SectionChange, SegmentRef } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Sections, SegmentOutcome, SegmentReading, SegmentRealized } from '../contract/network-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import { checkActor, checkOwner } from '../wiring-checks.ts';
import { sectionUnknown, segmentDrifted } from './segment-errors.ts';
import type { SectionReading, SegmentPlace, SegmentSection } from './segment-section.ts';
import { segmentSections } from './segment-sections.ts';

/** @throws defeat `spec_invalid` */
export function placeOf(site: DataplaneSite, segment: SegmentRef): SegmentPlace {
  checkOwner(segment.owner);
  checkActor('vpc', segment.vpc);
  return { site, segment, namespace: site.names.namespaceOf(segment.vpc) };
}

/** What became of each section so far; a lost fence or a bug is of the whole effect. */
class Outcome {
  readonly proven: Record<string, number> = {};
  readonly failed: Record<string, Failure> = {};

  /** Undefined when it failed now or before. */
  async attempt<Result>(section: string, work: () => Promise<Result>): Promise<Result | undefined> {
    if (this.failed[section] !== undefined) return undefined;
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof PhotonError) || ['ownership_lost', 'bug'].includes(error.record.group)) throw error;
      this.failed[section] = failureOf(error.record);
      return undefined;
    }
  }

  settle(vpc: string, section: string, generation: number, reading: SectionReading | undefined): void {
    if (reading === undefined) return;
    if (reading.drift.length > 0) this.failed[section] = failureOf(segmentDrifted(vpc, section, reading.drift).record);
    else this.proven[section] = generation;
  }

  /** Sections that this release does not have: a newer VPC speaks to an older host. */
  refuseUnknown(host: string, names: readonly string[]): void {
    for (const name of names.filter((one) => !segmentSections.some((section) => section.name === one)))
      this.failed[name] = failureOf(sectionUnknown(host, name).record);
  }
}

const named = (sections: Sections): readonly (readonly [SegmentSection, Sections[string]])[] =>
  segmentSections.flatMap((section) => {
    const wanted = sections[section.name];
    return wanted === undefined ? [] : [[section, wanted] as const];
  });

export async function realizeSegment(
  site: DataplaneSite,
  { segment, sections }: { readonly segment: SegmentRef; readonly sections: Sections },
  signal: AbortSignal,
): Promise<SegmentRealized> {
  const place = placeOf(site, segment);
  const outcome = new Outcome();
  outcome.refuseUnknown(site.options.host, Object.keys(sections));
  const wanted = named(sections);
  for (const [section, { elements }] of wanted) {
    signal.throwIfAborted();
    await outcome.attempt(section.name, async () => {
      section.check(elements);
      await section.ensure(place, elements);
    });
  }
  const readings = await Promise.all(
    wanted.map(([section, { elements }]) => outcome.attempt(section.name, () => section.read(place, elements, {}))),
  );
  for (const [index, [section, { generation }]] of wanted.entries())
    outcome.settle(segment.vpc, section.name, generation, readings[index]);
  const proof = Object.assign({}, ...readings.map((reading) => reading?.facts)) as SegmentRealized['proof'];
  return { proven: outcome.proven, failed: outcome.failed, proof };
}

export async function changeSegment(
  site: DataplaneSite,
  { segment, changes }: { readonly segment: SegmentRef; readonly changes: readonly SectionChange[] },
): Promise<SegmentOutcome> {
  const place = placeOf(site, segment);
  const outcome = new Outcome();
  outcome.refuseUnknown(
    site.options.host,
    changes.map(({ section }) => section),
  );
  for (const section of segmentSections) {
    const change = changes.find((one) => one.section === section.name);
    if (change === undefined) continue;
    const reading = await outcome.attempt(section.name, async () => {
      section.check(change.put);
      section.check(change.removed);
      await section.change(place, change);
      return section.read(place, change.put, change.removed);
    });
    outcome.settle(segment.vpc, section.name, change.to, reading);
  }
  return { proven: outcome.proven, failed: outcome.failed };
}

/** Changes nothing. */
export async function readSegment(
  site: DataplaneSite,
  { segment, sections }: { readonly segment: SegmentRef; readonly sections: Sections },
): Promise<SegmentReading> {
  const place = placeOf(site, segment);
  const readings = await Promise.all(
    named(sections).map(async ([section, { elements }]) => {
      const { facts, drift } = await section.read(place, elements, {});
      return { facts, drift: drift.length === 0 ? {} : { [section.name]: drift } };
    }),
  );
  return {
    proof: Object.assign({}, ...readings.map(({ facts }) => facts)) as SegmentReading['proof'],
    drift: Object.assign({}, ...readings.map(({ drift }) => drift)) as SegmentReading['drift'],
  };
}
