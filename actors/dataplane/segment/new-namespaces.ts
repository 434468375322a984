/**
 * A VPC has many sections, and most have no elements. In a namespace that this process has just made there is nothing
 * of such a section, and nobody but the section makes anything of it: so it is neither cleared nor read that once.
 * Whatever comes later, also the whole section without elements again, is made and read as ever.
 * Used by segment-sections.ts; overlay-section.ts says which namespaces are new.
 */
import type { Elements } from '@photoncloud/machines/values/wiring';
import type { NamespaceLink } from '../namespace-link.ts';
import { linkInto, type SegmentSection } from './segment-section.ts';

interface Progress {
  /** Sections that were made, or left out. */
  readonly begun: Set<string>;
  /** Sections that were left out and not read yet. */
  readonly leftOut: Set<string>;
}
const newNamespaces = new WeakMap<NamespaceLink, Progress>();

/** Its namespace was made just now. */
export function isNewNamespace(link: NamespaceLink): void {
  newNamespaces.set(link, { begun: new Set(), leftOut: new Set() });
}

const isEmpty = (elements: Elements): boolean => Object.keys(elements).length === 0;

/** Leaves the section out where it has `startsEmpty`, has no elements, and the namespace is new. */
export function leftOutWhenEmpty(section: SegmentSection): SegmentSection {
  const { name, startsEmpty } = section;
  if (startsEmpty === undefined) return section;
  return {
    ...section,

    ensure: async (place, elements) => {
      const link = await linkInto(place);
      const progress = newNamespaces.get(link);
      const leavesOut = progress?.begun.has(name) === false && isEmpty(elements);
      progress?.begun.add(name);
      if (!leavesOut) return section.ensure(place, elements);
      await startsEmpty(place, link);
      progress.leftOut.add(name);
    },

    change: async (place, change) => {
      const progress = newNamespaces.get(await linkInto(place));
      progress?.begun.add(name);
      progress?.leftOut.delete(name);
      await section.change(place, change);
    },

    read: async (place, wanted, unwanted) => {
      const progress = newNamespaces.get(await linkInto(place));
      const isLeftOut = progress?.leftOut.delete(name) === true && isEmpty(wanted) && isEmpty(unwanted);
      return isLeftOut ? { facts: {}, drift: [] } : section.read(place, wanted, unwanted);
    },
  };
}
