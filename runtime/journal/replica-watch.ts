/**
 * Which replicas a commit waits for, in one reign of a primary. Every one that follows acknowledges, at least as many
 * as were configured, and one that has left is asked whether it is a primary now. Called by commit-lines.ts once the
 * wait was answered; no timer of its own. Upholds G3.
 *
 * Why not WAIT with the configured number alone: any replica satisfies it, and Sentinels promote any replica. After
 * `SENTINEL FAILOVER` the old primary goes on taking commits for a second or two, the third box still follows it and
 * acknowledges them, and then both throw them away (seen: 202 of 1,258 answered commands lost, three boxes, WAIT 1).
 * Rejected: asking the Sentinels (they name the new primary only when all is over); waiting for all replicas the
 * store was set up with (one dead box would stop every commit).
 *
 * Not closed: a replica that was promoted and that we cannot ask, or before this process has first connected. One
 * that follows but has not acknowledged for a second is left out for a minute, so that a box that stands still stops
 * nobody; that it leaves is still seen.
 */
import type { Clock } from '../contract/clock.ts';
import { followersIn } from './server-facts.ts';

/** A replica that follows and has not acknowledged for so long holds commits no longer. */
const slowMs = 1_000;
const leftOutMs = 60_000;
/** One that has left and says that it is a replica, syncing maybe, is asked again after that, not at every commit. */
const askAgainMs = 100;

export interface ReplicaWatchOptions {
  readonly clock: Clock;
  /** How many must acknowledge whatever happens. */
  readonly least: number;
  /** The role the server at `host:port` says it has; undefined when it cannot be asked. */
  readonly roleOf: (name: string) => Promise<string | undefined>;
}

export class ReplicaWatch {
  readonly #options: ReplicaWatchOptions;
  /** Those that have followed and can still be asked, and when to ask one that left. */
  readonly #known = new Map<string, number>();
  #following = 0;
  #leftOutUntilMs = 0;

  constructor(options: ReplicaWatchOptions) {
    this.#options = options;
  }

  /** These followed when a connection was made. */
  saw(names: readonly string[]): void {
    for (const name of names) this.#known.set(name, 0);
  }

  /** How many a wait asks for. */
  wanted(): number {
    const { least, clock } = this.#options;
    return clock.monotonicMs() < this.#leftOutUntilMs ? least : Math.max(least, this.#following);
  }

  /** Somebody who follows has not acknowledged for this long: those who have may suffice from now on. */
  waited(ms: number): void {
    if (ms > slowMs) this.#leftOutUntilMs = this.#options.clock.monotonicMs() + leftOutMs;
  }

  /**
   * @param role the primary's answer to ROLE, asked after the wait
   * @param awaited how many the wait was for
   * @returns false when more follow than were waited for
   * @throws Error DEPOSED when a replica that left is a primary now: what was acknowledged will be thrown away
   */
  async agrees(role: unknown, awaited: number): Promise<boolean> {
    const { clock, roleOf } = this.#options;
    const following = new Set(followersIn(role));
    this.#following = following.size;
    for (const name of following) this.#known.set(name, 0);
    for (const [name, askAtMs] of this.#known) {
      if (following.has(name) || clock.monotonicMs() < askAtMs) continue;
      const says = await roleOf(name);
      if (says === 'master') throw new Error(`DEPOSED ${name} was a replica of this server and is a primary now`);
      if (says === undefined) this.#known.delete(name);
      else this.#known.set(name, clock.monotonicMs() + askAgainMs);
    }
    return this.wanted() <= awaited;
  }
}

/** One watch for each reign, for all lines to the same primary: what left is known on a new connection, too. */
export class ReplicaWatches {
  readonly #options: ReplicaWatchOptions;
  readonly #byReign = new Map<string, ReplicaWatch>();

  constructor(options: ReplicaWatchOptions) {
    this.#options = options;
  }

  get reigns(): readonly string[] {
    return [...this.#byReign.keys()];
  }

  of(reign: string): ReplicaWatch {
    const known = this.#byReign.get(reign);
    if (known !== undefined) return known;
    const watch = new ReplicaWatch(this.#options);
    this.#byReign.set(reign, watch);
    return watch;
  }

  /** The others have ended: no line is to such a primary any more. */
  keep(reigns: ReadonlySet<string>): void {
    for (const reign of this.#byReign.keys()) if (!reigns.has(reign)) this.#byReign.delete(reign);
  }
}
