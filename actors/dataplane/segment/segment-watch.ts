/**
 * Waits until something of a segment has vanished: the namespace, or what a section misses.
 * A look costs a few small reads of /proc each 500 ms; the interfaces are seen through dnsmasq's own /proc entry, so no
 * program runs. Called by network-operations.ts. Promise: it says what is missing only after it has seen it missing
 * while nothing of the segment was being changed.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { SegmentBroken } from '../contract/network-contract.ts';
import { readDhcpServer } from '../dhcp/dhcp-server.ts';
import { readNamespace } from '../overlay/overlay-namespace.ts';
import { interfacesOf, isSame } from '../process-sight.ts';
import type { ProcessSight } from '../process-sight.ts';
import type { SegmentPlace, SegmentSection } from './segment-section.ts';
import { segmentSections } from './segment-sections.ts';

const lookEveryMs = 500;

/**
 * @param sections names of those to look at
 * @param undisturbed runs a look while no change of the segment is under way
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
    await pause(lookEveryMs, undefined, { signal });
  }
}

class Watched {
  readonly #place: SegmentPlace;
  readonly #sections: readonly SegmentSection[];
  #server: ProcessSight | null = null;

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
    if (this.#server === null || !(await isSame(this.#server)))
      this.#server = await readDhcpServer(site.folders.dhcp, namespace);
    const interfaces = this.#server === null ? null : await interfacesOf(this.#server.pid);
    // an empty answer means the process ended between two looks: the next one says so
    const sight = { server: this.#server, interfaces: interfaces?.size === 0 ? null : interfaces };
    for (const section of this.#sections) {
      const missing = (await section.missing?.(this.#place, sight)) ?? null;
      if (missing !== null) return { section: section.name, ...missing };
    }
    return null;
  }
}
