/**
 * A simulated redis-server: one keyspace, its append-only file, its script cache and its faults. It runs commands;
 * connections and their faults are in simulated-client.ts, a store of several servers in simulated-store.ts. The file
 * holds the effects of every command; checkers take it as the truth about what was committed, by whom and when. Its
 * length is the replication offset.
 *
 * A restart (kill -9) keeps the file; a power cut loses what was not yet synced; both clear the script cache. A replica
 * has a file only: its keyspace is built from the file when it is promoted.
 */
import { createHash } from 'node:crypto';
import { Keyspace, ReplyFault, StatusReply, type StoreReply } from './keyspace.ts';
import { isRead, runCommand, runScriptText } from './store-commands.ts';

/** One command that changed something. */
export interface StoreEntry {
  readonly atMs: number;
  /** Label of the process that sent it. */
  readonly by: string;
  readonly effects: readonly (readonly string[])[];
}

/** How many entries a replica has acknowledged, as its primary knows. */
export interface FollowerState {
  readonly replica: string;
  readonly acknowledged: number;
}

export interface ServerOptions {
  /** `host:port` */
  readonly name: string;
  readonly nowMs: () => number;
  readonly wallMs: () => number;
  /** As on Valkey, WAIT waits for the writes of its own connection only; Redis waits for everything before it. */
  readonly isValkey?: boolean;
}

const waitOnReplica = 'ERR WAIT cannot be used with replica instances.';

export class SimulatedServer {
  space = new Keyspace();
  /** The append-only file. */
  file: StoreEntry[] = [];
  /** Entries that a power cut does not lose. */
  synced = 0;
  up = true;
  paused = false;
  role: 'master' | 'slave' = 'master';
  /** Replicas that are connected; a primary's, kept by replication.ts. */
  readonly followers = new Set<FollowerState>();
  /** While set, every write gets this error instead of being run: `OOM ...`, `MISCONF ...`, `READONLY ...`, ... */
  refusal: string | undefined;
  /** Replication id of its data; a replica has that of its primary. */
  replid: string;
  /** Replication id of the primary that it followed until it was promoted. */
  private formerReplid = '0'.repeat(40);
  private replicationId = 1;
  private scripts = new Map<string, string>();
  private readonly options: ServerOptions;
  private readonly writeListeners = new Set<(entry: StoreEntry) => void>();
  private readonly ackListeners = new Set<() => void>();

  constructor(options: ServerOptions) {
    this.options = options;
    this.replid = this.ownReplid();
  }

  private ownReplid(): string {
    return createHash('sha1').update(`${this.name} ${this.replicationId}`).digest('hex');
  }

  private beginReplicationId(): void {
    this.replicationId += 1;
    this.replid = this.ownReplid();
  }

  get name(): string {
    return this.options.name;
  }

  get waitsOwnWrites(): boolean {
    return this.options.isValkey === true;
  }

  /** @throws ReplyFault */
  execute(by: string, name: string, args: readonly string[]): StoreReply {
    const command = name.toLowerCase();
    this.admit(command);
    const own = this.ownCommand(command, args);
    if (own !== undefined) return own;
    const context = { space: this.space, wallMs: this.options.wallMs() };
    try {
      if (command !== 'evalsha') return runCommand(context, command, args);
      const source = this.scripts.get(args[0] ?? '');
      if (source === undefined) throw new ReplyFault('NOSCRIPT No matching script. Please use EVAL.');
      const count = Number(args[1]);
      return runScriptText(context, source, args.slice(2, 2 + count), args.slice(2 + count));
    } finally {
      this.record(by);
    }
  }

  /** @throws ReplyFault when the server does not run such a command at present */
  admit(command: string): void {
    const refusal = this.role === 'slave' ? "READONLY You can't write against a read only replica." : this.refusal;
    if (refusal === undefined) return;
    const harmless = isRead(command) || ['ping', 'role', 'info', 'script', 'config', 'wait'].includes(command);
    if (command === 'evalsha' || !harmless || refusal.startsWith('LOADING')) throw new ReplyFault(refusal);
  }

  private ownCommand(command: string, args: readonly string[]): StoreReply | undefined {
    switch (command) {
      case 'ping':
        return new StatusReply('PONG');
      case 'role':
        return this.tellRole();
      case 'script': {
        if (args[0]?.toLowerCase() !== 'load') throw new ReplyFault('ERR only SCRIPT LOAD is simulated');
        const source = args[1] ?? '';
        const sha = createHash('sha1').update(source).digest('hex');
        this.scripts.set(sha, source);
        return sha;
      }
      case 'info':
        return [
          '# Server',
          `redis_version:${this.waitsOwnWrites ? '7.2.4' : '7.0.15'}`,
          ...(this.waitsOwnWrites ? ['valkey_version:8.0.1'] : []),
          `role:${this.role}`,
          `master_replid:${this.replid}`,
          `master_replid2:${this.formerReplid}`,
          'cluster_enabled:0',
          '',
        ].join('\r\n');
      case 'config':
        return [];
      case 'client':
        return new StatusReply('OK');
      default:
        return undefined;
    }
  }

  private tellRole(): StoreReply {
    if (this.role === 'slave' || this.refusal?.startsWith('READONLY') === true)
      return ['slave', 'other', 6379, 'connected', 0];
    const told = [...this.followers].map(({ replica, acknowledged }) => [...replica.split(':'), String(acknowledged)]);
    return ['master', this.file.length, told];
  }

  private record(by: string): void {
    const { effects } = this.space;
    if (effects.length === 0) return;
    this.space.effects = [];
    const entry = { atMs: this.options.nowMs(), by, effects };
    this.file.push(entry);
    for (const listener of this.writeListeners) listener(entry);
  }

  /** For blocking reads, replicas and observers. @returns removes the listener */
  onWrite(listener: (entry: StoreEntry) => void): () => void {
    this.writeListeners.add(listener);
    return () => this.writeListeners.delete(listener);
  }

  /** For WAIT: called when a replica has acknowledged or the role has changed. @returns removes the listener */
  onAcknowledged(listener: () => void): () => void {
    this.ackListeners.add(listener);
    return () => this.ackListeners.delete(listener);
  }

  acknowledged(): void {
    for (const listener of this.ackListeners) listener();
  }

  /** How many replicas have all entries up to this place of the file. @throws ReplyFault */
  countAcknowledged(place: number): number {
    if (this.role === 'slave') throw new ReplyFault(waitOnReplica);
    let count = 0;
    for (const { acknowledged } of this.followers) if (acknowledged >= place) count += 1;
    return count;
  }

  fsync(): void {
    this.synced = this.file.length;
  }

  /** Starts again with the whole file: the page cache survives a kill of the process. */
  restart(): void {
    this.up = true;
    this.scripts = new Map();
    this.formerReplid = '0'.repeat(40);
    this.beginReplicationId();
  }

  /** The server's host lost power: entries from `length` on are gone. */
  rollBack(length: number): void {
    this.file = this.file.slice(0, length);
    this.synced = length;
    this.buildKeyspace();
  }

  /** A replica becomes the primary, with the entries that it has. */
  promote(): void {
    this.formerReplid = this.replid;
    this.beginReplicationId();
    this.role = 'master';
    this.buildKeyspace();
    this.acknowledged();
  }

  /**
   * The server becomes a replica: blocked commands fail, and entries that only this server had are gone.
   * @param common number of entries that it shares with its new primary
   */
  demote(common: number): void {
    this.role = 'slave';
    this.file = this.file.slice(0, common);
    this.followers.clear();
    this.acknowledged();
  }

  private buildKeyspace(): void {
    this.space = new Keyspace();
    const context = { space: this.space, wallMs: this.options.wallMs() };
    for (const { effects } of this.file) for (const [name = '', ...args] of effects) runCommand(context, name, args);
    this.space.effects = [];
  }
}
