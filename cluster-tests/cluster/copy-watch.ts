/**
 * An observer of workers' kernels: counts QEMU processes again and again, from outside and without the product. Used by
 * tests in which a fault must never lead to a second copy of a VM (K1).
 */
import { setTimeout as pause } from 'node:timers/promises';
import { sightOfAll } from './crash-sight.ts';
import type { Topology } from './cluster-topology.ts';

export interface QemuWatch {
  readonly topology: Topology;
  /** Workers that are looked at together. */
  readonly nodes: readonly string[];
  readonly everyMs: number;
  /** Whether it is right that so many run. */
  readonly isRight: (count: number) => boolean;
  /** What is going on, for a wrong sight. */
  readonly meanwhile: () => string;
}

/** @returns stops it and gives every wrong sight */
export function watchQemus({ topology, nodes, everyMs, isRight, meanwhile }: QemuWatch): () => Promise<string[]> {
  const wrong: string[] = [];
  let watching = true;
  const looked = (async () => {
    while (watching) {
      const { qemus } = await sightOfAll(topology, nodes);
      const lines = qemus.map(({ pid, words }) => `${pid} ${words}`);
      if (!isRight(lines.length)) wrong.push(`${lines.length} QEMU after ${meanwhile()}:\n  ${lines.join('\n  ')}`);
      await pause(everyMs);
    }
  })();
  return async () => {
    watching = false;
    await looked;
    return wrong;
  };
}
