/**
 * The random port bound to the system's generator, read in blocks: one system call per 1,024 numbers.
 * ULIDs of one process grow monotonically within a millisecond, so uids sort by birth.
 * Called by composition roots; the simulation binds the port to a seed instead.
 */
import { webcrypto } from 'node:crypto';
import { monotonicFactory } from 'ulid';
import type { Random } from '../contract/random.ts';

const block = new Uint32Array(1024);
let next = block.length;

function fraction(): number {
  if (next === block.length) {
    webcrypto.getRandomValues(block);
    next = 0;
  }
  return (block[next++] as number) / 0x1_0000_0000;
}

export function createSystemRandom(): Random {
  const mint = monotonicFactory(fraction);
  return { ulid: (wallMs) => mint(wallMs), fraction };
}
