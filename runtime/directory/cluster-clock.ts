/**
 * The clock that all nodes share, for times that are stored by one node and waited for by another: when a timer is due,
 * how long a receipt is kept. It never steps, and no node's wall clock has a part in it. Upholds G6 across owners
 * (docs/promises.md). Created by composition roots; cluster-membership.ts lets it tick with each beat.
 *
 * The store keeps its reading. A tick advances it by what has passed on the server's clock since the last tick of any
 * node (tick.lua), so that it also counts the time in which no node runs. Between ticks a node adds what has passed on
 * its own monotonic clock. When the server's clock steps back, that tick counts nothing. When it steps forward, more
 * has passed since the last tick of all than since the last tick of the node that sees it, and this node takes the
 * difference back; others do not believe a reading that is too far ahead until it has come again and again. So a step
 * costs at most the pause between two beats.
 *
 * A node knows the shared clock up to the time that a tick takes, and less well the longer ago the last tick is.
 * `sharedMs` is the least that it can be: what waits by it is never early. `sharedAtMostMs` is the most: a time that is
 * stored by it is never too soon for another node.
 *
 * Rejected: TIME of the store by itself, because it steps, and differs between the servers of a failover; agreement of
 * the nodes' own clocks, because a newcomer could not tell who is right; the remaining time instead of the due time in
 * each record, because it would have to be written again and again.
 */
import type { Clock, SharedClock } from '../contract/clock.ts';
import { tickScript } from '../journal/script-library.ts';
import { runScript } from '../journal/store-connection.ts';
import type { StoreKeys } from '../journal/store-keys.ts';
import type { StoreLink } from '../journal/store-link.ts';

/** Clocks of computers run at least this well, compared with each other. */
const drift = 0.005;
const toleranceMs = 20;
/** So many readings that are too far ahead are not believed; after that this node's own clock must have stood still. */
const doubtedReadings = 4;

export interface Reading {
  readonly sharedMs: number;
  /** What the tick has advanced the clock by. */
  readonly passedMs: number;
  /** When the tick was sent and answered, on the monotonic clock. */
  readonly askedMs: number;
  readonly answeredMs: number;
}

export class ClusterClock implements SharedClock {
  readonly #base: Clock;
  /** Bounds of what must be added to the monotonic clock. Until the first tick: by this node's wall clock. */
  #least: number;
  #most: number;
  #last: Reading | undefined;
  #doubted = 0;

  constructor(base: Clock) {
    this.#base = base;
    this.#least = base.wallMs() - base.monotonicMs();
    this.#most = this.#least;
  }

  wallMs(): number {
    return this.#base.wallMs();
  }

  monotonicMs(): number {
    return this.#base.monotonicMs();
  }

  after(delayMs: number, task: () => void): () => void {
    return this.#base.after(delayMs, task);
  }

  sharedMs(): number {
    const nowMs = this.#base.monotonicMs();
    return Math.floor(nowMs + this.#least - this.#driftMs(nowMs));
  }

  sharedAtMostMs(): number {
    const nowMs = this.#base.monotonicMs();
    return Math.ceil(nowMs + this.#most + this.#driftMs(nowMs));
  }

  /** How far the monotonic clock may have drifted since the last tick, which may be long ago. */
  #driftMs(nowMs: number): number {
    return this.#last === undefined ? 0 : Math.max(0, nowMs - this.#last.answeredMs) * drift;
  }

  /** Must be called once before this node owns anything, and then with every beat. */
  async tick(link: StoreLink, keys: StoreKeys): Promise<void> {
    const reading = await this.#read(link, keys, []);
    const excessMs = this.excessMs(reading);
    this.learn(excessMs === 0 ? reading : await this.#read(link, keys, [excessMs, reading.sharedMs]));
  }

  /** @param takeBack what is to be taken back, and the reading that was too far ahead */
  async #read(link: StoreLink, keys: StoreKeys, [excessMs, aheadMs]: readonly number[]): Promise<Reading> {
    const args = [excessMs ?? 0, aheadMs ?? 0].map((ms) => String(Math.round(ms * 1000)));
    let askedMs = 0;
    const reply = await link.run((redis) => {
      askedMs = this.#base.monotonicMs();
      return runScript(redis, tickScript, [keys.clock], args);
    });
    const [sharedUs, passedUs] = reply as [string, string];
    const answeredMs = this.#base.monotonicMs();
    return { sharedMs: Number(sharedUs) / 1000, passedMs: Number(passedUs) / 1000, askedMs, answeredMs };
  }

  /** What must be taken back because the server's clock has stepped forward; 0 when the reading can be right. */
  excessMs({ passedMs, answeredMs }: Reading): number {
    // At its first tick a node cannot know for how long none has run.
    if (this.#last === undefined) return 0;
    const possibleMs = (answeredMs - this.#last.askedMs) * (1 + drift) + toleranceMs;
    // The whole of it: how much of it was time is not known, and late by less than a beat is better than early.
    return passedMs > possibleMs ? passedMs : 0;
  }

  learn(reading: Reading): void {
    const { sharedMs, askedMs, answeredMs } = reading;
    const least = sharedMs - answeredMs;
    const most = sharedMs - askedMs;
    const driftMs = this.#last === undefined ? Infinity : this.#driftMs(answeredMs);
    const isAhead = least > this.#most + driftMs + toleranceMs;
    if (isAhead && this.#doubted < doubtedReadings) {
      this.#doubted += 1;
      return;
    }
    this.#doubted = 0;
    this.#last = reading;
    const knownLeast = Math.max(least, this.#least - driftMs);
    const knownMost = Math.min(most, this.#most + driftMs);
    const agrees = knownLeast <= knownMost;
    this.#least = agrees ? knownLeast : least;
    this.#most = agrees ? knownMost : most;
  }
}
