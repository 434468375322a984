/**
 * Waits until something of a segment has vanished: the namespace, or what a section misses.
 * A look costs a few small reads of /proc for each network each 500 ms; the interfaces are seen through the /proc entry
 * of a dnsmasq, so no program runs. Called by network-operations.ts. Promise: it says what is missing only after it has
 * seen it missing while nothing of the segment was being changed.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { SegmentBroken } from '../contract/network-contract.ts';
import { readInterfaces } from '../dhcp/dhcp-server.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import type { SegmentPlace, SegmentSection } from './segment-section.ts';
import { segmentSections } from './segment-sections.ts';

const pollEveryMs = 500;

/**
 * @param sections names of those to look at @param undisturbed runs a look while no change of the segment is under way
 */
export async function watchForLoss(
  place: SegmentPlace,
  sections: readonly string[],
  signal: AbortSignal,
  undisturbed: <Result>(look: () => Promise<Result>) => Promise<Result>,
): Promise<SegmentBroken> {
  const watched = new Watched(
    place,
    segmentSections.filter(({ name }) => sections.includes(name)),
  );
  for (;;) {
    signal.throwIfAborted();
    // A change restarts dnsmasq or takes a bridge away: what is missing then is looked at again once it is done.
    if ((await watched.look()) !== null) {
      const broken = await undisturbed(() => watched.look());
      if (broken !== null) return broken;
    }
    await pause(pollEveryMs, undefined, { signal });
  }
}

class Watched {
  readonly #place: SegmentPlace;
  readonly #sections: readonly SegmentSection[];

  constructor(place: SegmentPlace, sections: readonly SegmentSection[]) {
    this.#place = place;
    this.#sections = sections;
  }

  async look(): Promise<SegmentBroken | null> {
    const { site, namespace, segment } = this.#place;
    const [first] = this.#sections;
    if (first === undefined) return null;
    if ((await readNamespace(namespace)) !== 'present') {
      const detail = `Namespace ${namespace} of ${segment.vpc} is gone.`;
      return { section: first.name, reason: 'namespace_gone', detail };
    }
    const sight = { interfaces: await readInterfaces(site.folders.dhcp, namespace) };
    for (const section of this.#sections) {
      const missing = (await section.missing?.(this.#place, sight)) ?? null;
      if (missing !== null) return { section: section.name, ...missing };
    }
    return null;
  }
}
