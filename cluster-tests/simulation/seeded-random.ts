/**
 * Random numbers from a seed. A seed is split by name into independent streams, so that a new fault draws from a stream
 * of its own and does not shift the draws of the workload. Also the Random port of runtime/contract for simulated
 * processes.
 */
import type { Random } from '@photoncloud/runtime/contract/random';

const ulidLetters = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** FNV-1a over a text, in two lanes; also hashes traces (run-trace.ts). */
export function mixText(hash: readonly [number, number], text: string): [number, number] {
  let [one, other] = hash;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    one = Math.imul(one ^ unit, 0x01000193);
    other = Math.imul(other ^ unit, 0x85ebca6b) + 0x9e3779b9;
  }
  return [one >>> 0, (other ^ (other >>> 15)) >>> 0];
}

export class Chance implements Random {
  private readonly seed: string;
  private readonly state: [number, number, number, number];
  private ulids = 0;

  constructor(seed: string) {
    this.seed = seed;
    const [a, b] = mixText([0x811c9dc5, 0x1234567], seed);
    const [c, d] = mixText([b, a], `${seed} again`);
    this.state = [a, b, c, d | 1];
    for (let round = 0; round < 12; round += 1) this.next();
  }

  /** An independent stream that depends on the seed and this name alone. */
  split(name: string): Chance {
    return new Chance(`${this.seed}/${name}`);
  }

  /** sfc32. */
  private next(): number {
    const { state } = this;
    const sum = (state[0] + state[1] + state[3]) | 0;
    state[3] = (state[3] + 1) | 0;
    state[0] = state[1] ^ (state[1] >>> 9);
    state[1] = (state[2] + (state[2] << 3)) | 0;
    state[2] = ((state[2] << 21) | (state[2] >>> 11)) + sum;
    return sum >>> 0;
  }

  fraction(): number {
    return this.next() / 0x1_0000_0000;
  }

  ulid(wallMs: number): string {
    let time = '';
    for (let rest = Math.floor(wallMs), at = 0; at < 10; at += 1) {
      time = (ulidLetters[rest % 32] ?? '') + time;
      rest = Math.floor(rest / 32);
    }
    this.ulids += 1;
    let tail = '';
    for (let at = 0; at < 10; at += 1) tail += ulidLetters[this.next() % 32] ?? '';
    return time + tail + this.ulids.toString(36).toUpperCase().padStart(6, '0').slice(-6);
  }

  happens(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  between(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }

  /** Exponentially distributed with this mean, at most ten times the mean. */
  around(mean: number): number {
    return Math.min(10, -Math.log(1 - this.fraction())) * mean;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.fraction() * items.length)] as Item;
  }
}
