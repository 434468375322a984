/**
 * Segments and taps of the simulated dataplane, by the contract of actors/dataplane/contract/network-contract.ts. Specs
 * are checked by the production code (wiring-checks.ts), and errors that depend on the state are the production ones.
 * Called by simulated-dataplane.ts; the state is in simulated-kernel.ts.
 */
import type {
  NetworkDataplane,
  SegmentBroken,
  SegmentOutcome,
  Sections,
  TapReading,
} from '@photoncloud/actors/dataplane/contract/network-contract';
import { refuseOlder } from '@photoncloud/actors/dataplane/owner-alias';
import {
  changeSections,
  readSections,
  realizeSections,
  type Workplace,
} from '@photoncloud/actors/dataplane/segment/section-making';
import { segmentInUse } from '@photoncloud/actors/dataplane/segment/segment-errors';
import { checkTap, checkTapRef } from '@photoncloud/actors/dataplane/wiring-checks';
import type { SegmentRef } from '@photoncloud/machines/values/wiring';
import { drawFault } from './dataplane-faults.ts';
import type { SimulatedKernel } from './simulated-kernel.ts';
import { names, simulatedSections, type SimulatedPlace, type SimulatedSection } from './simulated-sections.ts';
import type { SimulatedSite } from './simulated-site.ts';
import { brokenTap, dropTap, joinTap, makeTap, readTap } from './simulated-taps.ts';

export function simulatedSegments(site: SimulatedSite): NetworkDataplane {
  const { kernel } = site;
  const at = (
    segment: SegmentRef,
    table: readonly SimulatedSection[] = simulatedSections,
  ): Workplace<SimulatedPlace> => ({
    table,
    place: { kernel, segment },
    host: kernel.host,
    segment,
  });
  const noted = <Outcome extends SegmentOutcome>({ owner, vpc }: SegmentRef, outcome: Outcome): Outcome => {
    for (const [section, generation] of Object.entries(outcome.proven))
      kernel.record({ fact: 'section.proven', vpc, owner: owner.uid, section, generation });
    return outcome;
  };
  return {
    realizeSegment: ({ segment, sections }, call) =>
      site.change(
        'realizeSegment',
        'segment',
        `segment ${segment.vpc}`,
        segment.owner,
        call,
        async () => noted(segment, await realizeSections(at(segment, withFaults(site)), sections, call.signal)),
        () => realizeSections(at(segment), firstOf(sections), call.signal),
      ),
    changeSegment: ({ segment, changes }, call) =>
      site.change('changeSegment', 'segment', `segment ${segment.vpc}`, segment.owner, call, async () =>
        noted(segment, await changeSections(at(segment, withFaults(site)), changes)),
      ),
    readSegment: ({ segment, sections }) => readSections(at(segment), sections),
    watchSegment: ({ segment, sections }, call) =>
      site.watch(call.signal, () => brokenSegment(kernel, segment.vpc, sections)),
    removeSegment: (segment, call) =>
      site.change('removeSegment', 'segment', `segment ${segment.vpc}`, segment.owner, call, () => {
        const found = kernel.segments.get(segment.vpc);
        if (found === undefined) return { removed: false };
        refuseOlder(`namespace ${found.namespace}`, segment.owner, found.owner);
        const port = [...kernel.taps.values()].find((tap) => tap.vpc === segment.vpc);
        if (port !== undefined) throw segmentInUse(segment.vpc, port.name);
        kernel.deleteSegment(segment.vpc);
        return { removed: true };
      }),
    createTap: (spec, call) =>
      site.change('createTap', 'tap', `tap ${names.tapOf(spec.owner)}`, spec.owner, call, () => {
        checkTap(spec);
        return makeTap(kernel, spec, names.tapOf(spec.owner));
      }),
    wireTap: (spec, call) =>
      site.change(
        'wireTap',
        'tap',
        `tap ${names.tapOf(spec.owner)}`,
        spec.owner,
        call,
        () => {
          checkTap(spec);
          return joinTap(kernel, spec, names.tapOf(spec.owner));
        },
        () => {
          // The tap is moved into the VPC and not wired.
          const tap = kernel.findTap(names.tapOf(spec.owner));
          if (tap !== undefined && kernel.segments.has(spec.vpc)) tap.vpc = spec.vpc;
        },
      ),
    readTap: (spec): Promise<TapReading> => Promise.resolve(readTap(kernel, spec, names.tapOf(spec.owner))),
    watchTap: (spec, call) => site.watch(call.signal, () => brokenTap(kernel, spec, names.tapOf(spec.owner))),
    removeTap: (ref, call) =>
      site.change(
        'removeTap',
        'tap',
        `tap ${names.tapOf(ref.owner)}`,
        ref.owner,
        call,
        () => {
          checkTapRef(ref);
          return dropTap(kernel, ref, names.tapOf(ref.owner));
        },
        // The tap itself is removed; its DHCP host stays.
        () => kernel.deleteTap(names.tapOf(ref.owner)),
      ),
  };
}

/** What a half-made segment consists of: namespace and VXLAN, as the real order has it. */
const firstOf = ({ overlay }: Sections): Sections => (overlay === undefined ? {} : { overlay });

/** Each section meets a fault of its own, rarer than the operation's. */
function withFaults({ options: { rates, random, count } }: SimulatedSite): readonly SimulatedSection[] {
  return simulatedSections.map((section) => {
    const method = `section ${section.name}`;
    const now = rates();
    const { error } = drawFault(method, { ...now, fault: now.half, defeat: now.defeat / 2, half: 0 }, random);
    if (error === null || error.record.group === 'unknown') return section;
    const failing = async (): Promise<never> => {
      count(`${method} ${error.record.code}`);
      throw error;
    };
    return { ...section, ensure: failing, change: failing };
  });
}

function brokenSegment(kernel: SimulatedKernel, vpc: string, sections: readonly string[]): SegmentBroken | null {
  const watched = simulatedSections.filter(({ name }) => sections.includes(name));
  const segment = kernel.segments.get(vpc);
  for (const { name, missing } of watched) {
    const lost = segment === undefined ? ({ reason: 'namespace_gone' } as const) : (missing?.(segment) ?? null);
    if (lost !== null) return { section: name, ...lost, detail: `${vpc} on ${kernel.host}: ${lost.reason}.` };
  }
  return null;
}
