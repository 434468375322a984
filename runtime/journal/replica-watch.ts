/**
 * Decides which replicas a commit waits for. There is one watch per replication id (`master_replid`): a primary gets a
 * new id at every start and promotion. All replicas that follow must acknowledge, and at least the configured number; a
 * replica that has left is asked whether it is a primary now. Called by commit-connections.ts after each WAIT; no timer
 * of its own. Upholds G3 (docs/promises.md). A box is one Redis server of the store, primary or replica.
 *
 * Why not WAIT with the configured number alone: any replica satisfies it, and Sentinels promote any replica. After
 * `SENTINEL FAILOVER` the old primary accepts commits for another second or two. The third box still follows it and
 * acknowledges them, and then both boxes discard them (seen: 202 of 1,258 answered commands lost, three boxes, WAIT 1).
 * Rejected: asking the Sentinels who is the primary (they name the new one only when the failover is over); waiting for
 * all replicas that the store was set up with (one dead box would stop every commit).
 *
 * A replica that was promoted before this process first connected was never seen to follow. With Sentinels, all boxes
 * they know are asked as well. If such a box says that it is a primary, that alone proves nothing: it may be the
 * primary that this server has replaced, not yet demoted. It has replaced this server only if the replication id that
 * it followed until its promotion (`master_replid2`) is this server's.
 *
 * Not covered: a promoted replica that cannot be asked; a replica that was off, follows and is promoted within two
 * seconds (Sentinels learn later that it is back); a promotion before this process connected, if either server forbids
 * INFO. A replica that follows but has not acknowledged for a second is not waited for until all have caught up, for a
 * minute at most, so that one hung box stops nobody. If exactly that box is then promoted by an operator, the commits
 * that it lacked are lost.
 */
import type { Clock } from '../contract/clock.ts';
import { replicasIn } from './server-facts.ts';
import type { ReplicationRole } from './sentinel-boxes.ts';

/** A replica that follows but has not acknowledged for this long is no longer waited for. */
const slowMs = 1_000;
const leftOutMs = 60_000;
/**
 * A box that has left and says that it is a replica (it may be syncing) is asked again after this, not every commit.
 */
const askAgainMs = 100;
/**
 * A box that did not answer may come back, follow and be promoted while no commit is made, so it is asked again. A
 * powered-off box costs half a second per question: within `offForSureMs` of the last failed question commits do not
 * wait for the answer; later they do.
 */
const offAskAgainMs = 1_000;
const offForSureMs = 2_000;

export interface ReplicaWatchOptions {
  readonly clock: Clock;
  /** The configured number of replicas: at least so many must acknowledge. */
  readonly least: number;
  /** The replication role that the server at `host:port` reports; undefined when it does not answer. */
  readonly replicationRoleOf: (name: string) => Promise<ReplicationRole | undefined>;
}

interface KnownBox {
  /** When to ask it next, while it does not follow. */
  askAtMs: number;
  hasFollowed: boolean;
  /** It did not answer: until then commits do not wait while it is asked again. */
  offUntilMs: number;
}

const newBox = (hasFollowed: boolean): KnownBox => ({ askAtMs: 0, hasFollowed, offUntilMs: 0 });

export class ReplicaWatch {
  readonly #options: ReplicaWatchOptions;
  readonly #replicationId: string;
  /** Boxes that have followed this primary, or may have. */
  readonly #known = new Map<string, KnownBox>();
  #following = 0;
  /** Replication offset of the primary at the last ROLE. */
  #offset = Infinity;
  #leftOutUntilMs = 0;

  constructor(replicationId: string, options: ReplicaWatchOptions) {
    this.#replicationId = replicationId;
    this.#options = options;
  }

  /**
   * @param followers replicas that follow now
   * @param boxes may have followed before: all boxes that the Sentinels know, this server among them
   */
  noteFollowers(followers: Iterable<string>, boxes: readonly string[] = []): void {
    for (const name of followers) this.#known.set(name, newBox(true));
    for (const name of boxes) if (!this.#known.has(name)) this.#known.set(name, newBox(false));
  }

  /** How many replicas the next WAIT asks for. */
  wanted(): number {
    const { least, clock } = this.#options;
    return clock.monotonicMs() < this.#leftOutUntilMs ? least : Math.max(least, this.#following);
  }

  /** Reports how long a WAIT has been short of replicas; above `slowMs` only the configured number is waited for. */
  noteWait(ms: number): void {
    if (ms > slowMs) this.#leftOutUntilMs = this.#options.clock.monotonicMs() + leftOutMs;
  }

  /**
   * Checks after a WAIT whether it covered all followers, and asks those that have left.
   * @param role the primary's answer to ROLE, read after the WAIT
   * @param awaited how many replicas the WAIT was for
   * @returns false when more replicas follow than were waited for
   * @throws Error DEPOSED when a former replica is a primary now: what this server acknowledges will be discarded
   */
  async coversAllFollowers(role: unknown, awaited: number): Promise<boolean> {
    const { clock } = this.#options;
    const { offset, acknowledged } = replicasIn(role);
    const following = new Set(acknowledged.keys());
    this.#following = following.size;
    this.noteFollowers(following);
    // All have acknowledged what was written at the last check, so no replica hangs any more.
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
    const { clock, replicationRoleOf } = this.#options;
    // Asked twice: an answer may be lost on the way, while a box that is off never answers.
    const says = (await replicationRoleOf(name)) ?? (await replicationRoleOf(name));
    const nowMs = clock.monotonicMs();
    if (says === undefined) {
      box.askAtMs = nowMs + offAskAgainMs;
      box.offUntilMs = nowMs + offForSureMs;
      return;
    }
    box.offUntilMs = 0;
    if (this.#isSamePrimary(says)) this.#known.delete(name);
    else if (this.#hasReplaced(box, says))
      throw new Error(`DEPOSED ${name} was a replica of this server and is a primary now`);
    else box.askAtMs = nowMs + askAgainMs;
  }

  /** Asks without making commits wait. If the box is a primary now, the next commit asks again and gets DEPOSED. */
  #askBeside(name: string, box: KnownBox): void {
    box.askAtMs = this.#options.clock.monotonicMs() + offAskAgainMs;
    this.#ask(name, box).catch(() => (box.askAtMs = 0));
  }

  /** Whether this is the primary itself: a promoted replica has a new replication id. */
  #isSamePrimary({ role, replicationId }: ReplicationRole): boolean {
    return role === 'master' && replicationId === this.#replicationId;
  }

  #hasReplaced({ hasFollowed }: KnownBox, { role, formerReplicationId }: ReplicationRole): boolean {
    return role === 'master' && (hasFollowed || formerReplicationId === this.#replicationId);
  }
}

/** One watch per replication id, shared by all connections to that primary, so that it survives a reconnect. */
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

  /** Drops the watches of all other primaries: no connection leads to them any more. */
  keep(replicationIds: ReadonlySet<string>): void {
    for (const replicationId of this.#byReplicationId.keys())
      if (!replicationIds.has(replicationId)) this.#byReplicationId.delete(replicationId);
  }
}
