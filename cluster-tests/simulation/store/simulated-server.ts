/**
 * A simulated redis-server: one keyspace, its append-only file, its script cache, and its bad days. It runs commands;
 * connections and their faults are simulated-client.ts. The file is kept as the effects of every command, which is
 * also what the checkers judge: it is the truth about what was committed, by whom and when.
 *
 * A restart (kill -9) keeps the file; a power cut loses what was not yet fsynced; both forget the script cache.
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

/** The file was cut back: entries from `length` on are gone. */
export interface StoreRollback {
  readonly atMs: number;
  readonly rolledBackTo: number;
}

export interface ServerOptions {
  readonly nowMs: () => number;
  readonly wallMs: () => number;
}

export class SimulatedServer {
  space = new Keyspace();
  /** The append-only file. */
  file: StoreEntry[] = [];
  /** All entries ever, with rollbacks between them; for checkers. */
  readonly past: (StoreEntry | StoreRollback)[] = [];
  /** Entries that a power cut does not lose. */
  synced = 0;
  up = true;
  paused = false;
  /** A reply every write gets instead of being run: `OOM ...`, `MISCONF ...`, `READONLY ...`, `LOADING ...`. */
  refusal: string | undefined;
  runId = 1;
  private scripts = new Map<string, string>();
  private readonly options: ServerOptions;
  private readonly writeListeners = new Set<() => void>();

  constructor(options: ServerOptions) {
    this.options = options;
  }

  /** @throws ReplyFault */
  execute(by: string, name: string, args: readonly string[]): StoreReply {
    const command = name.toLowerCase();
    if (this.refusal !== undefined && this.refuses(command, this.refusal)) throw new ReplyFault(this.refusal);
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

  private refuses(command: string, refusal: string): boolean {
    if (refusal.startsWith('LOADING')) return true;
    return (
      command === 'evalsha' || !(isRead(command) || ['ping', 'role', 'info', 'script', 'config'].includes(command))
    );
  }

  private ownCommand(command: string, args: readonly string[]): StoreReply | undefined {
    switch (command) {
      case 'ping':
        return new StatusReply('PONG');
      case 'role':
        return this.refusal?.startsWith('READONLY') === true
          ? ['slave', 'other', 6379, 'connected', 0]
          : ['master', 0, []];
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
          'redis_version:7.0.15',
          `run_id:${String(this.runId).padStart(40, '0')}`,
          'cluster_enabled:0',
          '',
        ].join('\r\n');
      case 'config':
        return [];
      case 'wait':
        return 0;
      case 'client':
        return new StatusReply('OK');
      default:
        return undefined;
    }
  }

  private record(by: string): void {
    const { effects } = this.space;
    if (effects.length === 0) return;
    this.space.effects = [];
    const entry = { atMs: this.options.nowMs(), by, effects };
    this.file.push(entry);
    this.past.push(entry);
    for (const listener of this.writeListeners) listener();
  }

  /** For reads that block. @returns ends it */
  onWrite(listener: () => void): () => void {
    this.writeListeners.add(listener);
    return () => this.writeListeners.delete(listener);
  }

  fsync(): void {
    this.synced = this.file.length;
  }

  /** Comes back with the whole file (a kill of the process keeps the page cache). */
  restart(): void {
    this.up = true;
    this.scripts = new Map();
    this.runId += 1;
  }

  /** The box lost power, or a replica that lagged was promoted: entries from `length` on never were. */
  rollBack(length: number): void {
    if (length < this.file.length) this.past.push({ atMs: this.options.nowMs(), rolledBackTo: length });
    this.file = this.file.slice(0, length);
    this.synced = length;
    this.space = new Keyspace();
    const context = { space: this.space, wallMs: this.options.wallMs() };
    for (const { effects } of this.file) for (const [name = '', ...args] of effects) runCommand(context, name, args);
    this.space.effects = [];
  }
}
