/**
 * The connections that commits are sent on, and the loop that repeats work across lost connections, refusals and
 * failovers until it is durable at the requested level. Called by commit-batcher.ts, owner-reads.ts and
 * redis-journal.ts. Upholds G3 and G4 (docs/promises.md).
 *
 * Parallel work to one primary is spread over channels. A channel has a connection of its own where WAIT or WAITAOF is
 * used, because these block their whole connection; all channels share one connection where the reply itself is enough.
 * On a Redis Cluster there is one connection per primary and channel. A connection is written to only after the store's
 * ordinals were compared on it (rollback-detector.ts). A WAIT counts only on the connection that ran the work: after a
 * failover another server answers, and the work is done again there.
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
/** After this long without enough replicas the work is sent again on a new connection: there may be a new primary. */
const stallMs = 2_000;
/** WAITAOF waits 3 ms (durability-plan.ts). It is repeated this often without a pause, then with pauses. */
const eagerTries = 50;
const stallPauseMs = 50;

export interface ConnectionsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly replicas: number;
  /** Whether any offered level needs WAIT or WAITAOF: then every channel has a connection of its own. */
  readonly waits: boolean;
  /**
   * Called once per connection before the first write. Resolves when the connection may be written to. Its errors are
   * retried like any error of the store, unless `throwIfStopped` throws as well.
   * @param carries whether this connection serves the shard
   */
  readonly compare: (redis: Redis, carries: (shard: ShardId) => boolean) => Promise<void>;
  /** Throws when nothing may be written any more. */
  readonly throwIfStopped: () => void;
}

/** Where `durably` runs its work. */
export interface ConnectionWork {
  /**
   * Index of one of the parallel connections to a primary: 0 and 1 for batches (0 also for small work), 2 for reads.
   */
  readonly channel: number;
  /** The work runs on the primary that serves this shard. */
  readonly shard: ShardId;
  /** The work writes nothing: it ends when what it has read is durable. */
  readonly reads?: true;
}

interface ConnectionParts {
  readonly link: StoreLink;
  readonly clock: Clock;
  readonly compare: (redis: Redis) => Promise<void>;
}

export class CommitConnection {
  readonly link: StoreLink;
  readonly #compare: (redis: Redis) => Promise<void>;
  readonly #clock: Clock;
  /** Settles when the ordinals were compared on the present connection; undefined while there is none. */
  #compared: Promise<void> | undefined;
  #writable = false;
  retired = false;

  constructor({ link, clock, compare }: ConnectionParts) {
    this.link = link;
    this.#clock = clock;
    this.#compare = compare;
    link.onLost(() => this.forget());
    link.onReady(() => this.#compareAhead());
  }

  /**
   * Compares as soon as there is a connection, also with nothing to write, so that a rollback is noticed early. It is
   * repeated while the server does not answer: a primary of a Redis Cluster that has come back accepts connections
   * before the cluster lets it serve. Writers get the error from their own call of `mayWrite`.
   */
  #compareAhead(): void {
    this.mayWrite().catch(() => {
      if (this.link.isReady && !this.retired) this.#clock.after(lookAgainMs, () => this.#compareAhead());
    });
  }

  /** The connection must be compared again before the next write. */
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
      // A connection lost meanwhile has cleared the field, and the next connection must be compared again.
      if (this.#compared === compared) this.#writable = true;
    }
  }
}

export class CommitConnections {
  readonly #options: ConnectionsOptions;
  readonly #connections = new Map<string, CommitConnection>();
  /** Keyed by the primary's replication id: a server that was demoted and promoted again has a new one. */
  readonly #replicas: ReplicaWatches;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    const { store, clock, replicas: least } = options;
    this.#replicas = new ReplicaWatches({ clock, least, replicationRoleOf: store.replicationRoleOf });
    if (store.cluster !== undefined) return;
    this.#observeReplicas(store.shared);
    this.#openOn(0, '');
  }

  /** True when a batch may hold commits of several shards. */
  get mixesShards(): boolean {
    return this.#options.store.cluster === undefined;
  }

  /**
   * Runs the work on the shard's primary until it is answered and durable at the level. The work may run several times
   * and must recognise a repeat; its last answer counts.
   * @throws what `throwIfStopped` throws; PhotonError bug or defeat when the store rejects the work itself
   */
  async durably<Result>(
    where: ConnectionWork,
    level: Durability,
    work: (redis: Redis) => Promise<Result>,
  ): Promise<Result> {
    const { throwIfStopped, store } = this.#options;
    for (let wrote = where.reads !== true; ; wrote = false) {
      throwIfStopped();
      const connection = this.#existing(where.channel) ?? (await this.#findPrimary(where.channel, where.shard));
      const { link } = connection;
      try {
        await connection.mayWrite();
        throwIfStopped();
        const { generation } = link;
        const result = await work(link.redis);
        const unwritten = wrote ? undefined : where.shard;
        if (level === 'primary' || (await this.#waitUntilDurable(link, level, generation, unwritten))) return result;
      } catch (error) {
        throwIfStopped();
        if (connection.retired) continue;
        store.cluster?.refreshSlotsCache();
        await link.recover(error);
      }
    }
  }

  /** Each connection must be compared again before its next write. */
  forget(): void {
    for (const connection of this.#connections.values()) connection.forget();
  }

  /** The primaries whose replicas are tracked, by replication id: those that a connection leads to. */
  get replicationIds(): readonly string[] {
    return this.#replicas.replicationIds;
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.retire();
  }

  /**
   * @param unwritten the shard of work that may have written nothing: a read, or a resend that was found applied
   * @returns false when the link has reconnected since the work ran, so that the work must be repeated
   */
  async #waitUntilDurable(
    link: StoreLink,
    level: Durability,
    generation: number,
    unwritten?: ShardId,
  ): Promise<boolean> {
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
      const agreed = wanted === 0 || (await replicas.coversAllFollowers(role, wanted));
      if (link.generation !== generation) return false;
      if (agreed && wait.isEnough(reply)) return true;
      const waitedMs = clock.monotonicMs() - startMs;
      if (waitedMs > stallMs) {
        const text = `${wait.command.join(' ')} was answered ${JSON.stringify(reply)} for ${Math.round(waitedMs)} ms`;
        throw new Error(`STALLED commits wait for replicas: ${text}`);
      }
      replicas.noteWait(waitedMs);
      if (tries > eagerTries) await new Promise<void>((resolve) => clock.after(stallPauseMs, resolve));
    }
  }

  /** At every connect: a replica may be promoted before the first commit asks who follows. */
  #observeReplicas(link: StoreLink): void {
    link.onReady(() => {
      const { replicationId, followers, boxes } = link.facts;
      this.#replicas.of(replicationId).noteFollowers(followers, boxes);
      const links = [
        this.#options.store.shared,
        ...[...this.#connections.values()].map((connection) => connection.link),
      ];
      this.#replicas.keep(new Set(links.map(({ facts }) => facts.replicationId)));
    });
  }

  #existing(channel: number): CommitConnection | undefined {
    const { store, waits } = this.#options;
    return store.cluster === undefined ? this.#openOn(waits ? channel : 0, '') : undefined;
  }

  /** The connection to the primary that serves the shard; resolves once a primary answers. */
  async #findPrimary(channel: number, shard: ShardId): Promise<CommitConnection> {
    const { store, clock, throwIfStopped } = this.#options;
    const slot = slotOfTag(shard);
    for (;;) {
      const name = store.cluster?.slots[slot]?.[0];
      if (name !== undefined) {
        const connection = this.#openOn(channel, name);
        if (connection.link.isReady || (await this.#readyWithin(connection.link))) return connection;
      }
      throwIfStopped();
      store.cluster?.refreshSlotsCache();
      this.#retireUnused();
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

  /** Closes connections to servers that serve no slots any more: such a server may be a replica now, or gone. */
  #retireUnused(): void {
    const serving = new Set(this.#options.store.cluster?.slots.map((names) => names[0]));
    for (const [key, connection] of this.#connections) {
      if (connection.link.isReady || serving.has(key.slice(key.indexOf(' ') + 1))) continue;
      this.#connections.delete(key);
      connection.retire();
    }
  }

  #openOn(channel: number, name: string): CommitConnection {
    const key = `${channel} ${name}`;
    const known = this.#connections.get(key);
    if (known !== undefined) return known;
    const { store, clock, compare } = this.#options;
    const purpose = channel === 0 ? 'commits' : `commits-${channel}`;
    const link = name === '' ? store.open(purpose) : store.openNode(purpose, name);
    const carries = (shard: ShardId): boolean => name === '' || store.cluster?.slots[slotOfTag(shard)]?.[0] === name;
    const connection = new CommitConnection({ link, clock, compare: (redis) => compare(redis, carries) });
    this.#connections.set(key, connection);
    this.#observeReplicas(link);
    return connection;
  }
}
