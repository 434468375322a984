/**
 * What a dataplane noun registers to be a section of a segment, and where it works. segment-sections.ts lists them;
 * section-making.ts and its neighbours call them. An element is keyed; its shape is the section's own.
 * Promise expected of each: `ensure` works by difference, `change` costs one element in the kernel for each it is
 * given, and `read` tells what the kernel has, never what was asked for.
 */
import type { Elements, SegmentRef } from '@photoncloud/machines/values/wiring';
import type { SegmentBroken } from '../contract/network-contract.ts';
import type { DataplaneSite } from '../dataplane-site.ts';
import type { NamespaceLink } from '../namespace-link.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { segmentMissing } from './segment-errors.ts';

export interface SectionPlace {
  readonly site: DataplaneSite;
  readonly namespace: string;
}

export interface SegmentPlace extends SectionPlace {
  readonly segment: SegmentRef;
}

export interface ElementChange {
  readonly put: Elements;
  /** As they were. */
  readonly removed: Elements;
}

export interface SectionReading {
  /** Go into the segment's proof beside those of other sections: names must not collide. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** What differs, a few words each; empty when it fits. */
  readonly drift: readonly string[];
}

/** What a watch sees without starting a program: the namespace through a dnsmasq that lives in it. */
export interface SegmentSight {
  /** Null without a dnsmasq, and when it has just ended. */
  readonly interfaces: ReadonlySet<string> | null;
}

/** A section as it is made and read; the simulation has a table of the same form over a place of its own. */
export interface Section<Place> {
  readonly name: string;
  /** Sections that are made before it; with all others it is made side by side. */
  readonly after: readonly string[];
  /** @throws defeat `spec_invalid` with the field: nothing of the section is made then */
  readonly check: (elements: Elements) => void;
  /** The whole section, and nothing else of its kind. */
  readonly ensure: (place: Place, elements: Elements) => Promise<void>;
  /** Single elements; the others stay as they are. */
  readonly change: (place: Place, change: ElementChange) => Promise<void>;
  /** Compares what the kernel has with elements that are wanted and elements that are not. */
  readonly read: (place: Place, wanted: Elements, unwanted: Elements) => Promise<SectionReading>;
}

export interface SegmentSection extends Section<SegmentPlace> {
  /**
   * Instead of `ensure` and the first `read`, for no elements in a namespace that is new: notes that there are none,
   * and removes what an earlier namespace of that name has left elsewhere. A section that always has elements has none.
   */
  readonly startsEmpty?: (place: SegmentPlace, link: NamespaceLink) => Promise<void> | void;
  /** What has vanished. Left out by a section whose loss does not show without a program. */
  readonly missing?: (place: SegmentPlace, sight: SegmentSight) => Promise<Omit<SegmentBroken, 'section'> | null>;
  /** Before the namespace goes, which takes along what is only in it. */
  readonly remove: (place: SectionPlace) => Promise<void>;
}

/** What this process has already put into a namespace and need not look at again; gone with the link. */
interface Settled {
  sysctls: boolean;
  /** When the filter of the underlay was last seen, on the monotonic clock. */
  filterSeenAtMs: number;
  /** The same of the permit of its gateway, and of the interface of that on the uplink. */
  permitSeenAtMs: number;
  outsideSeenAtMs: number;
}
const settledLinks = new WeakMap<NamespaceLink, Settled>();

export function settledOf(link: NamespaceLink): Settled {
  const settled = settledLinks.get(link) ?? {
    sysctls: false,
    filterSeenAtMs: 0,
    permitSeenAtMs: 0,
    outsideSeenAtMs: 0,
  };
  settledLinks.set(link, settled);
  return settled;
}

/** @throws fault `segment_missing`: section `overlay` makes the namespace, the others need it */
export async function linkInto({ site, namespace, segment }: SegmentPlace): Promise<NamespaceLink> {
  if ((await readNamespace(namespace)) !== 'present') throw segmentMissing(segment.vpc);
  return site.links.of(namespace);
}
