/**
 * Makes sections, whole or element by element, and reads each back: what does not read back as it should is a fault of
 * that section. Over any table: the real one (segment-sections.ts) and the simulation's.
 * Called by network-operations.ts. Promise: a section that fails is named and stops no other; one that is proven was
 * read from the kernel after it was made.
 */
import { failureOf, type Failure } from '@photoncloud/machines/values/failures';
import type { SectionChange, SegmentProof, SegmentRef } from '@photoncloud/machines/values/wiring';
import { PhotonError } from '@photoncloud/runtime/contract/errors';
import type { Sections, SegmentOutcome, SegmentReading, SegmentRealized } from '../contract/network-contract.ts';
import { checkActor, checkOwner } from '../wiring-checks.ts';
import { sectionUnknown, segmentDrifted } from './segment-errors.ts';
import type { Section, SectionReading } from './segment-section.ts';

/** The table, and where its sections work. */
export interface Workplace<Place> {
  readonly table: readonly Section<Place>[];
  readonly place: Place;
  readonly host: string;
  readonly segment: SegmentRef;
}

/** @throws defeat `spec_invalid` */
export function checkSegment(segment: SegmentRef): void {
  checkOwner(segment.owner);
  checkActor('vpc', segment.vpc);
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
  refuseUnknown<Place>({ table, host }: Workplace<Place>, names: readonly string[]): void {
    for (const name of names.filter((one) => !table.some((section) => section.name === one)))
      this.failed[name] = failureOf(sectionUnknown(host, name).record);
  }
}

const named = <Place>({ table }: Workplace<Place>, sections: Sections) =>
  table.flatMap((section) => {
    const wanted = sections[section.name];
    return wanted === undefined ? [] : [[section, wanted] as const];
  });

const proofOf = (readings: readonly (SectionReading | undefined)[]): SegmentProof =>
  Object.assign({}, ...readings.map((reading) => reading?.facts)) as SegmentProof;

/** Waits for all, then throws the first error: nothing of an effect goes on once it has ended. */
async function allOf(works: readonly Promise<void>[]): Promise<void> {
  const lost = (await Promise.allSettled(works)).find(({ status }) => status === 'rejected');
  if (lost?.status === 'rejected') throw lost.reason;
}

export async function realizeSections<Place>(
  at: Workplace<Place>,
  sections: Sections,
  signal: AbortSignal,
): Promise<SegmentRealized> {
  checkSegment(at.segment);
  const { place, segment } = at;
  const outcome = new Outcome();
  outcome.refuseUnknown(at, Object.keys(sections));
  const wanted = named(at, sections);
  const made = new Map<string, Promise<void>>();
  for (const [section, { elements }] of wanted) {
    const before = Promise.all(section.after.flatMap((name) => made.get(name) ?? []));
    const make = async (): Promise<void> => {
      await before;
      signal.throwIfAborted();
      await outcome.attempt(section.name, async () => {
        section.check(elements);
        await section.ensure(place, elements);
      });
    };
    made.set(section.name, make());
  }
  await allOf([...made.values()]);
  const readings = await Promise.all(
    wanted.map(([section, { elements }]) => outcome.attempt(section.name, () => section.read(place, elements, {}))),
  );
  for (const [index, [section, { generation }]] of wanted.entries())
    outcome.settle(segment.vpc, section.name, generation, readings[index]);
  return { proven: outcome.proven, failed: outcome.failed, proof: proofOf(readings) };
}

export async function changeSections<Place>(
  at: Workplace<Place>,
  changes: readonly SectionChange[],
): Promise<SegmentOutcome> {
  checkSegment(at.segment);
  const { table, place, segment } = at;
  const outcome = new Outcome();
  const names = changes.map(({ section }) => section);
  outcome.refuseUnknown(at, names);
  for (const section of table) {
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

/** Changes nothing. @throws what the sections' reads throw */
export async function readSections<Place>(at: Workplace<Place>, sections: Sections): Promise<SegmentReading> {
  checkSegment(at.segment);
  const wanted = named(at, sections);
  const readings = await Promise.all(wanted.map(([section, { elements }]) => section.read(at.place, elements, {})));
  const drift = wanted.flatMap(([{ name }], index) => {
    const found = readings[index]?.drift ?? [];
    return found.length === 0 ? [] : [[name, found] as const];
  });
  return { proof: proofOf(readings), drift: Object.fromEntries(drift) };
}
