/**
 * The store as its clients meet it: one simulated server, or a primary with replicas and Sentinels that name the
 * primary. A failover is made of single steps here (who is promoted, who follows whom, whom the Sentinels name); when
 * they happen is the fault plan's. Keeps the record that checkers judge: what was committed on whichever server
 * remains.
 */
import type { Chance } from '../seeded-random.ts';
import type { VirtualTime } from '../virtual-time.ts';
import { Replication } from './replication.ts';
import { SimulatedServer, type StoreEntry } from './simulated-server.ts';

/** The file was cut back: entries from `length` on are gone. */
export interface StoreRollback {
  readonly atMs: number;
  readonly rolledBackTo: number;
}

export interface ReplicaOptions {
  /** Beside the primary. */
  readonly count: number;
  /** From a write to a replica's acknowledgement, mean. */
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
  /** The server that remains: its file is the truth. One that goes on beside it writes what will be thrown away. */
  primary: SimulatedServer;
  /** Whom the Sentinels tell to those who connect. */
  named: SimulatedServer;
  readonly servers: readonly SimulatedServer[];
  /** From its cause until the old primary is a replica. */
  isFailingOver = false;
  /** All entries ever, with rollbacks between them. */
  readonly past: (StoreEntry | StoreRollback)[] = [];
  /** What was written to a server that was not the primary any more. */
  readonly lost: StoreEntry[] = [];
  private readonly options: StoreOptions;
  private readonly replications = new Map<SimulatedServer, Replication>();
  /** Servers that have written what will be thrown away. */
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

  /** At every write of the primary. */
  onWrite(listener: (entry: StoreEntry) => void): void {
    this.writeListeners.push(listener);
  }

  private wrote(server: SimulatedServer, entry: StoreEntry): void {
    if (server !== this.primary) return this.noteLost(server, entry);
    this.past.push(entry);
    for (const listener of this.writeListeners) listener(entry);
  }

  /** It goes on, and another is the primary. */
  private noteLost(server: SimulatedServer, entry: StoreEntry): void {
    if (!this.deposed.has(server)) this.noteRollback(this.primary.file.length);
    this.deposed.add(server);
    this.lost.push(entry);
  }

  /** @throws Error when there is none of that name */
  server(name: string): SimulatedServer {
    const found = this.servers.find((server) => server.name === name);
    if (found === undefined) throw new Error(`the simulated store has no server ${name}`);
    return found;
  }

  /** How many times a cluster has found no record of itself and written one. */
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

  /** It follows the primary from now on; what it had beyond that is gone. */
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

  /** A replica is the primary from now on, whatever the old one goes on to do. @returns entries that were lost */
  promote(server: SimulatedServer): number {
    const lost = this.primary.file.length - server.file.length;
    this.replications.get(server)?.end();
    this.replications.delete(server);
    if (lost > 0) this.noteRollback(server.file.length);
    server.promote();
    this.primary = server;
    return lost;
  }

  /** The primary's box loses what was not synced. */
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
