/**
 * Which replicas a commit waits for, in one replicationId of a primary. Every one that follows acknowledges, at least
 * as many as were configured, and one that has left is asked whether it is a primary now. Called by commit-lines.ts
 * once the wait was answered; no timer of its own. Upholds G3.
 *
 * Why not WAIT with the configured number alone: any replica satisfies it, and Sentinels promote any replica. After
 * `SENTINEL FAILOVER` the old primary goes on taking commits for a second or two, the third box still follows it and
 * acknowledges them, and then both throw them away (seen: 202 of 1,258 answered commands lost, three boxes, WAIT 1).
 * Rejected: asking the Sentinels who is the primary (they name the new one only when all is over); waiting for all
 * replicas the store was set up with (one dead box would stop every commit).
 *
 * One that was promoted before this process first connected was never seen to follow. Where there are Sentinels they
 * name all boxes at each connect, and those are asked, too. Of a box that was never seen to follow it is not enough
 * that it is a primary: it may be the one this server has replaced, not yet told so. It has replaced this one if the
 * replicationId that it followed until it was promoted is this one.
 *
 * Not closed: a replica that was promoted and that we cannot ask; one that was off, follows and is promoted all within
 * two seconds (Sentinels learn of one that is back later than that); one promoted before we connected, if it or we may
 * not use INFO. One that follows but has not acknowledged for a second is left out until all have caught up, for a
 * minute at most, so that a box that stands still stops nobody; that it leaves is still seen, but if it was behind when
 * it was promoted on request, what it had not got is lost.
 */
import type { Clock } from '../contract/clock.ts';
import { placesIn } from './server-facts.ts';
import type { Standing } from './sentinel-boxes.ts';

/** A replica that follows and has not acknowledged for so long holds commits no longer. */
const slowMs = 1_000;
const leftOutMs = 60_000;
/** One that has left and says that it is a replica, syncing maybe, is asked again after that, not at every commit. */
const askAgainMs = 100;
/**
 * One that could not be asked may be on again, follow and be promoted while no commit of ours looks: it is asked again,
 * beside the commits, because a box without power answers no question for half a second, unless none has been for long.
 */
const offAskAgainMs = 1_000;
const offForSureMs = 2_000;

export interface ReplicaWatchOptions {
  readonly clock: Clock;
  /** How many must acknowledge whatever happens. */
  readonly least: number;
  /** What the server at `host:port` says of its place; undefined when it cannot be asked. */
  readonly standingOf: (name: string) => Promise<Standing | undefined>;
}

interface KnownBox {
  /** When to ask it, if it does not follow. */
  askAtMs: number;
  hasFollowed: boolean;
  /** It could not be asked, and commits wait for no other answer until then. */
  offUntilMs: number;
}

const newBox = (hasFollowed: boolean): KnownBox => ({ askAtMs: 0, hasFollowed, offUntilMs: 0 });

export class ReplicaWatch {
  readonly #options: ReplicaWatchOptions;
  readonly #replicationId: string;
  /** Those that have followed or may have. */
  readonly #known = new Map<string, KnownBox>();
  #following = 0;
  /** How far the primary had written at the last look. */
  #offset = Infinity;
  #leftOutUntilMs = 0;

  constructor(replicationId: string, options: ReplicaWatchOptions) {
    this.#replicationId = replicationId;
    this.#options = options;
  }

  /**
   * @param followers followed when a connection was made
   * @param boxes may have followed before: all that the Sentinels know, this server among them
   */
  saw(followers: Iterable<string>, boxes: readonly string[] = []): void {
    for (const name of followers) this.#known.set(name, newBox(true));
    for (const name of boxes) if (!this.#known.has(name)) this.#known.set(name, newBox(false));
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
   * @throws Error DEPOSED when one that was a replica is a primary now: what was acknowledged will be thrown away
   */
  async agrees(role: unknown, awaited: number): Promise<boolean> {
    const { clock } = this.#options;
    const { offset, acknowledged } = placesIn(role);
    const following = new Set(acknowledged.keys());
    this.#following = following.size;
    this.saw(following);
    // All have what was written when we last looked: nobody stands still any more.
    if (Math.min(...acknowledged.values()) >= this.#offset) this.#leftOutUntilMs = 0;
    this.#offset = offset;
    for (const [name, box] of this.#known) {
      const nowMs = clock.monotonicMs();
      if (following.has(name) || nowMs < box.askAtMs) continue;
      if (nowMs >= box.offUntilMs) await this.#ask(name, box);
      else this.#askBeside(name, box);
    }
    return this.wanted() <= awaited;
  }

  /** @throws Error DEPOSED */
  async #ask(name: string, box: KnownBox): Promise<void> {
    const { clock, standingOf } = this.#options;
    // An answer may get lost on its way; a box that is off gives none twice.
    const says = (await standingOf(name)) ?? (await standingOf(name));
    const nowMs = clock.monotonicMs();
    if (says === undefined) {
      box.askAtMs = nowMs + offAskAgainMs;
      box.offUntilMs = nowMs + offForSureMs;
      return;
    }
    box.offUntilMs = 0;
    if (this.#isOurs(says)) this.#known.delete(name);
    else if (this.#hasReplaced(box, says))
      throw new Error(`DEPOSED ${name} was a replica of this server and is a primary now`);
    else box.askAtMs = nowMs + askAgainMs;
  }

  /** If it is a primary now, the next commit asks it again and hears of it. */
  #askBeside(name: string, box: KnownBox): void {
    box.askAtMs = this.#options.clock.monotonicMs() + offAskAgainMs;
    this.#ask(name, box).catch(() => (box.askAtMs = 0));
  }

  /** It is this server itself: a replica that is promoted takes a name of its own for its replicationId. */
  #isOurs({ role, replicationId }: Standing): boolean {
    return role === 'master' && replicationId === this.#replicationId;
  }

  #hasReplaced({ hasFollowed }: KnownBox, { role, formerReplicationId }: Standing): boolean {
    return role === 'master' && (hasFollowed || formerReplicationId === this.#replicationId);
  }
}

/** One watch for each replicationId, for all lines to the same primary: what left is known on a new connection, too. */
export class ReplicaWatches {
  readonly #options: ReplicaWatchOptions;
  readonly #byReplicationId = new Map<string, ReplicaWatch>();

  constructor(options: ReplicaWatchOptions) {
    this.#options = options;
  }

  get replicationIds(): readonly string[] {
    return [...this.#byReplicationId.keys()];
  }

  of(replicationId: string): ReplicaWatch {
    const known = this.#byReplicationId.get(replicationId);
    if (known !== undefined) return known;
    const watch = new ReplicaWatch(replicationId, this.#options);
    this.#byReplicationId.set(replicationId, watch);
    return watch;
  }

  /** The others have ended: no line is to such a primary any more. */
  keep(replicationIds: ReadonlySet<string>): void {
    for (const replicationId of this.#byReplicationId.keys())
      if (!replicationIds.has(replicationId)) this.#byReplicationId.delete(replicationId);
  }
}
