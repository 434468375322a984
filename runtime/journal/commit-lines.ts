/**
 * The connections commits go out on, and the one loop that carries something through lost connections, refusals and
 * failovers until it is durable at the level it wants. Called by commit-batcher.ts and redis-journal.ts.
 *
 * One line per batch in flight where something is waited for, because WAIT holds up its whole connection; one for all
 * where the reply itself is enough; on a Redis Cluster one per primary and flight. A line is written on only after it
 * was compared with what we know (era), and what is waited for counts only if the connection is still the one that ran
 * the script: after a failover another server answers, and the work is done again there. Upholds G3 and G4.
 */
import type { Redis } from 'ioredis';
import type { Clock } from '../contract/clock.ts';
import type { Durability } from '../contract/durability.ts';
import type { ShardId } from '../contract/identifiers.ts';
import { barrierWrite, waitFor } from './durability-plan.ts';
import { slotOfTag } from './shard-placement.ts';
import { ReplicaWatches } from './replica-watch.ts';
import { readAll, type Store } from './store-connection.ts';
import type { StoreLink } from './store-link.ts';

const connectPatienceMs = 1_000;
const lookAgainMs = 100;
/** After so long without enough replicas the work is sent again on a new connection: maybe there is a new primary. */
const stallMs = 2_000;
/** WAITAOF is given 3 ms (durability-plan.ts); asked again at once so often, then with pauses. */
const eagerTries = 50;
const stallPauseMs = 50;

export interface LinesOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly replicas: number;
  /** Whether anything can be waited for: then every flight has a line of its own. */
  readonly waits: boolean;
  /**
   * Called once per connection before anything is written on it. Resolves when it may be written on; what it throws is
   * waited out like any error of the store, unless `mayGoOn` throws as well.
   * @param carries whether this connection serves the shard
   */
  readonly compare: (redis: Redis, carries: (shard: ShardId) => boolean) => Promise<void>;
  /** Throws when nothing may be written any more. */
  readonly mayGoOn: () => void;
}

/** Work for `durably`: on whose primary, over which connection. */
export interface LineWork {
  readonly flight: number;
  readonly shard: ShardId;
  /** It writes nothing: what it has read is waited for. */
  readonly reads?: true;
}

interface LineParts {
  readonly link: StoreLink;
  readonly clock: Clock;
  readonly compare: (redis: Redis) => Promise<void>;
}

export class CommitLine {
  readonly link: StoreLink;
  readonly #compare: (redis: Redis) => Promise<void>;
  readonly #clock: Clock;
  /** Settled when the present connection was compared with what we know; undefined while there is none. */
  #compared: Promise<void> | undefined;
  #writable = false;
  retired = false;

  constructor({ link, clock, compare }: LineParts) {
    this.link = link;
    this.#clock = clock;
    this.#compare = compare;
    link.onLost(() => this.forget());
    link.onReady(() => this.#look());
  }

  /**
   * Also with nothing to write, and again while the server does not answer it: a primary of a Redis Cluster is back
   * before the others count on it. That it fails is heard by whoever wants to write.
   */
  #look(): void {
    this.mayWrite().catch(() => {
      if (this.link.isReady && !this.retired) this.#clock.after(lookAgainMs, () => this.#look());
    });
  }

  /** It must be compared again before the next write. */
  forget(): void {
    this.#writable = false;
    this.#compared = undefined;
  }

  retire(): void {
    this.retired = true;
    this.link.close();
  }

  async mayWrite(): Promise<void> {
    while (!this.#writable) {
      await this.link.whenReady();
      const compared = (this.#compared ??= this.#compare(this.link.redis));
      try {
        await compared;
      } catch (error) {
        if (this.#compared === compared) this.#compared = undefined;
        throw error;
      }
      // A connection lost in the meantime has cleared it, and the next one must be compared again.
      if (this.#compared === compared) this.#writable = true;
    }
  }
}

export class CommitLines {
  readonly #options: LinesOptions;
  readonly #lines = new Map<string, CommitLine>();
  /** By the replicationId of the primary: one that was demoted and is promoted again has other replicas. */
  readonly #replicas: ReplicaWatches;

  constructor(options: LinesOptions) {
    this.#options = options;
    const { store, clock, replicas: least } = options;
    this.#replicas = new ReplicaWatches({ clock, least, standingOf: store.standingOf });
    if (store.cluster !== undefined) return;
    this.#meet(store.shared);
    this.#lineOn(0, '');
  }

  /** True when a batch may hold commits of several shards. */
  get mixesShards(): boolean {
    return this.#options.store.cluster === undefined;
  }

  /**
   * Does the work on the shard's primary until it is answered and durable at the level. The work may be done several
   * times and must be able to tell; its last answer counts.
   * @throws what `mayGoOn` throws; PhotonError bug when the store calls the work wrong
   */
  async durably<Result>(where: LineWork, level: Durability, work: (redis: Redis) => Promise<Result>): Promise<Result> {
    const { mayGoOn, store } = this.#options;
    for (let wrote = where.reads !== true; ; wrote = false) {
      mayGoOn();
      const line = this.#present(where.flight) ?? (await this.#find(where.flight, where.shard));
      const { link } = line;
      try {
        await line.mayWrite();
        mayGoOn();
        const { generation } = link;
        const result = await work(link.redis);
        if (level === 'primary' || (await this.#settle(link, level, generation, wrote ? undefined : where.shard))) {
          return result;
        }
      } catch (error) {
        mayGoOn();
        if (line.retired) continue;
        store.cluster?.refreshSlotsCache();
        await link.recover(error);
      }
    }
  }

  /** Every line must be compared again before the next write. */
  forget(): void {
    for (const line of this.#lines.values()) line.forget();
  }

  /** Of which it is known who followed: those that a line is to. */
  get replicationIds(): readonly string[] {
    return this.#replicas.replicationIds;
  }

  close(): void {
    for (const line of this.#lines.values()) line.retire();
  }

  /**
   * @param unwritten the shard of work that may have written nothing: read, or sent again and found done
   * @returns false when the connection is not the one the work was done on
   */
  async #settle(link: StoreLink, level: Durability, generation: number, unwritten?: ShardId): Promise<boolean> {
    const { store, clock, replicas: least } = this.#options;
    const { facts } = link;
    const replicas = this.#replicas.of(facts.replicationId);
    const startMs = clock.monotonicMs();
    for (let tries = 1; ; tries += 1) {
      const wanted = least === 0 ? 0 : replicas.wanted();
      const wait = waitFor(level, wanted, facts);
      if (wait === undefined) return true;
      if (wait === 'impossible') throw new Error(`NOFSYNC the store cannot keep durability ${level}`);
      if (tries === 1 && unwritten !== undefined && facts.waitsOwnWrites) {
        await readAll(link.redis, [barrierWrite(store.keys, unwritten)]);
      }
      const [reply, role] = await readAll(link.redis, wanted === 0 ? [wait.command] : [wait.command, ['role']]);
      const agreed = wanted === 0 || (await replicas.agrees(role, wanted));
      if (link.generation !== generation) return false;
      if (agreed && wait.isEnough(reply)) return true;
      const waitedMs = clock.monotonicMs() - startMs;
      if (waitedMs > stallMs) {
        const text = `${wait.command.join(' ')} was answered ${JSON.stringify(reply)} for ${Math.round(waitedMs)} ms`;
        throw new Error(`STALLED commits wait for replicas: ${text}`);
      }
      replicas.waited(waitedMs);
      if (tries > eagerTries) await new Promise<void>((resolve) => clock.after(stallPauseMs, resolve));
    }
  }

  /** Who follows, and which boxes there are, at every connect: one may be a primary before the first commit. */
  #meet(link: StoreLink): void {
    link.onReady(() => {
      const { replicationId, followers, boxes } = link.facts;
      this.#replicas.of(replicationId).saw(followers, boxes);
      const links = [this.#options.store.shared, ...[...this.#lines.values()].map((line) => line.link)];
      this.#replicas.keep(new Set(links.map(({ facts }) => facts.replicationId)));
    });
  }

  #present(flight: number): CommitLine | undefined {
    const { store, waits } = this.#options;
    return store.cluster === undefined ? this.#lineOn(waits ? flight : 0, '') : undefined;
  }

  /** The line to the primary that serves the shard, once there is one that answers. */
  async #find(flight: number, shard: ShardId): Promise<CommitLine> {
    const { store, clock, mayGoOn } = this.#options;
    const slot = slotOfTag(shard);
    for (;;) {
      const name = store.cluster?.slots[slot]?.[0];
      if (name !== undefined) {
        const line = this.#lineOn(flight, name);
        if (line.link.isReady || (await this.#readyWithin(line.link))) return line;
      }
      mayGoOn();
      store.cluster?.refreshSlotsCache();
      this.#retireStrangers();
      await new Promise<void>((resolve) => clock.after(lookAgainMs, resolve));
    }
  }

  #readyWithin(link: StoreLink): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(connectPatienceMs, () => resolve(false));
      link.whenReady().then(
        () => {
          cancel();
          resolve(true);
        },
        () => resolve(false),
      );
    });
  }

  /** A server that serves no slots any more is left alone: it may be a replica now, or gone for good. */
  #retireStrangers(): void {
    const serving = new Set(this.#options.store.cluster?.slots.map((names) => names[0]));
    for (const [key, line] of this.#lines) {
      if (line.link.isReady || serving.has(key.slice(key.indexOf(' ') + 1))) continue;
      this.#lines.delete(key);
      line.retire();
    }
  }

  #lineOn(flight: number, name: string): CommitLine {
    const key = `${flight} ${name}`;
    const known = this.#lines.get(key);
    if (known !== undefined) return known;
    const { store, clock, compare } = this.#options;
    const purpose = flight === 0 ? 'commits' : `commits-${flight}`;
    const link = name === '' ? store.open(purpose) : store.openNode(purpose, name);
    const carries = (shard: ShardId): boolean => name === '' || store.cluster?.slots[slotOfTag(shard)]?.[0] === name;
    const line = new CommitLine({ link, clock, compare: (redis) => compare(redis, carries) });
    this.#lines.set(key, line);
    this.#meet(link);
    return line;
  }
}
