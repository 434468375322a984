/**
 * Where the feeds of a Redis Cluster stand, looked at for all followers of this node together: there one read may not
 * name streams of several slots, so nobody can block on all feeds. feed-follower.ts reads what lies before a head.
 *
 * One look asks for all last ordinals, one pipeline per primary: 1.1 ms of this process and 0.1 ms of each server for
 * 128 feeds, so 25 looks a second cost 3 % of a core while somebody follows, and a change is seen 20 ms late on
 * average. Rejected: a blocking read per feed (128 connections per node).
 */
import type { Clock } from '../contract/clock.ts';
import type { FeedPlace } from './feed-cursor.ts';

const lookPauseMs = 40;

export interface FeedHeadsOptions {
  /** What the store says now; it waits while the store is away. */
  readonly look: () => Promise<FeedPlace>;
  readonly clock: Clock;
}

export class FeedHeads {
  readonly #options: FeedHeadsOptions;
  #followers = 0;
  #looking = false;
  #looks = 0;
  #place: FeedPlace | undefined;
  #failure: unknown;
  #waiting = new Set<() => void>();

  constructor(options: FeedHeadsOptions) {
    this.#options = options;
  }

  /**
   * Every look that began after this was asked for, as far as the follower keeps up; ends with the signal.
   * @throws what a look has thrown
   */
  async *places(signal: AbortSignal): AsyncGenerator<FeedPlace, void> {
    this.#followers += 1;
    try {
      let seen: number | undefined;
      while (!signal.aborted) {
        if (this.#looks === seen || seen === undefined) {
          const told = this.#nextLook(signal);
          if (!this.#looking) void this.#lookOn();
          await told;
        }
        if (signal.aborted) return;
        if (this.#place === undefined) throw this.#failure;
        seen = this.#looks;
        yield this.#place;
      }
    } finally {
      this.#followers -= 1;
    }
  }

  /** Resolves with the end of the next look that begins, or with the signal. */
  #nextLook(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        signal.removeEventListener('abort', go);
        this.#waiting.delete(go);
        resolve();
      };
      signal.addEventListener('abort', go, { once: true });
      this.#waiting.add(go);
    });
  }

  async #lookOn(): Promise<void> {
    const { look, clock } = this.#options;
    this.#looking = true;
    while (this.#followers > 0) {
      const told = [...this.#waiting];
      try {
        this.#place = await look();
      } catch (error) {
        this.#failure = error;
        this.#place = undefined;
        for (const go of this.#waiting) go();
        break;
      }
      this.#looks += 1;
      for (const go of told) go();
      await new Promise<void>((resolve) => clock.after(lookPauseMs, resolve));
    }
    this.#looking = false;
  }
}
