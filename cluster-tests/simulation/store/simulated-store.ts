/**
 * The store as its clients see it: one simulated server, or a primary with replicas and Sentinels that name the
 * primary. This file has the single steps of a failover (which server is promoted, which follows which, which one the
 * Sentinels name); store-faults.ts decides when they happen. Keeps the record of commits that checkers judge.
 */
import type { Chance } from '../seeded-random.ts';
import type { VirtualTime } from '../virtual-time.ts';
import { Replication } from './replication.ts';
import { SimulatedServer, type StoreEntry } from './simulated-server.ts';

/** The primary's file was cut: entries from `rolledBackTo` on are lost. */
export interface StoreRollback {
  readonly atMs: number;
  readonly rolledBackTo: number;
}

export interface ReplicaOptions {
  /** Number of replicas, without the primary. */
  readonly count: number;
  /** Mean time from a write to a replica's acknowledgement. */
  readonly lagMs: number;
  readonly isValkey: boolean;
}

export interface StoreOptions {
  readonly time: VirtualTime;
  readonly wallMs: () => number;
  readonly random: Chance;
  readonly replicas: ReplicaOptions | undefined;
}

export class SimulatedStore {
  /** The server whose file is kept. A replaced primary may go on for a while; what it then writes is discarded. */
  primary: SimulatedServer;
  /** The server that the Sentinels name to clients. */
  named: SimulatedServer;
  readonly servers: readonly SimulatedServer[];
  /** True from the cause of a failover until the old primary is a replica. */
  isFailingOver = false;
  /** Every entry that was written to a primary, with rollbacks between them. */
  readonly past: (StoreEntry | StoreRollback)[] = [];
  /** Entries that were written to a replaced primary. */
  readonly lost: StoreEntry[] = [];
  private readonly options: StoreOptions;
  private readonly replications = new Map<SimulatedServer, Replication>();
  /** Replaced primaries that have written entries which will be discarded. */
  private readonly deposed = new Set<SimulatedServer>();
  private readonly writeListeners: ((entry: StoreEntry) => void)[] = [];

  constructor(options: StoreOptions) {
    const { time, wallMs, replicas } = options;
    this.options = options;
    this.servers = Array.from({ length: 1 + (replicas?.count ?? 0) }, (_, at) => {
      const name = `store${at + 1}:6379`;
      const server = new SimulatedServer({
        name,
        nowMs: () => time.nowMs,
        wallMs,
        isValkey: replicas?.isValkey === true,
      });
      server.onWrite((entry) => this.wrote(server, entry));
      return server;
    });
    this.primary = this.named = this.servers[0] as SimulatedServer;
    for (const server of this.servers.slice(1)) this.follow(server);
  }

  /** The listener is called at every write of the primary. */
  onWrite(listener: (entry: StoreEntry) => void): void {
    this.writeListeners.push(listener);
  }

  private wrote(server: SimulatedServer, entry: StoreEntry): void {
    if (server !== this.primary) return this.noteLost(server, entry);
    this.past.push(entry);
    for (const listener of this.writeListeners) listener(entry);
  }

  /** A replaced primary has written an entry. */
  private noteLost(server: SimulatedServer, entry: StoreEntry): void {
    if (!this.deposed.has(server)) this.noteRollback(this.primary.file.length);
    this.deposed.add(server);
    this.lost.push(entry);
  }

  /** @throws Error when no server has that name */
  server(name: string): SimulatedServer {
    const found = this.servers.find((server) => server.name === name);
    if (found === undefined) throw new Error(`the simulated store has no server ${name}`);
    return found;
  }

  /** How many times a node found no cluster record and wrote the first one. */
  get foundings(): number {
    const isFounding = ([verb, key, field, era]: readonly string[]): boolean =>
      `${verb} ${field} ${era}` === 'HSET era 1' && key?.endsWith('cluster') === true;
    return [...this.past, ...this.lost].filter((entry) => 'effects' in entry && entry.effects.some(isFounding)).length;
  }

  get hasLost(): boolean {
    return this.past.some((entry) => 'rolledBackTo' in entry);
  }

  get replicas(): readonly SimulatedServer[] {
    return this.servers.filter((server) => server.role === 'slave');
  }

  replicationOf(server: SimulatedServer): Replication | undefined {
    return this.replications.get(server);
  }

  /** The server follows the primary from now on; entries that the primary does not have are gone. */
  follow(server: SimulatedServer): void {
    const { time, random, replicas } = this.options;
    this.replications.get(server)?.end();
    this.deposed.delete(server);
    const own = random.split(`replication ${server.name} ${time.nowMs}`);
    const { primary } = this;
    this.replications.set(
      server,
      new Replication({ time, random: own, primary, replica: server, lagMs: replicas?.lagMs ?? 1 }),
    );
  }

  /** Makes a replica the primary, although the old primary may go on. @returns number of entries that are lost */
  promote(server: SimulatedServer): number {
    const lost = this.primary.file.length - server.file.length;
    this.replications.get(server)?.end();
    this.replications.delete(server);
    if (lost > 0) this.noteRollback(server.file.length);
    server.promote();
    this.primary = server;
    return lost;
  }

  /** The host of the primary loses power: entries that were not synced are lost. */
  rollBack(): void {
    const { primary } = this;
    if (primary.synced < primary.file.length) this.noteRollback(primary.synced);
    primary.rollBack(primary.synced);
  }

  private noteRollback(length: number): void {
    this.past.push({ atMs: this.options.time.nowMs, rolledBackTo: length });
  }

  restart(server: SimulatedServer): void {
    server.restart();
    for (const replication of this.replications.values()) replication.follow();
  }
}
