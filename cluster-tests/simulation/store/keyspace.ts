/**
 * The keyspace of a simulated store server: keys, their values, and the errors of Redis about their types. Commands are
 * in hash-commands.ts, stream-commands.ts and plain-commands.ts; cluster-tests/conformance compares them with the real
 * server.
 */
export interface StreamEntry {
  readonly ms: number;
  readonly seq: number;
  readonly fields: readonly string[];
}

export interface Stream {
  entries: StreamEntry[];
  lastMs: number;
  lastSeq: number;
}

type Stored =
  | { readonly type: 'string'; text: string }
  | { readonly type: 'hash'; readonly fields: Map<string, string> }
  | { readonly type: 'set'; readonly members: Set<string> }
  | { readonly type: 'list'; items: string[] }
  | { readonly type: 'zset'; readonly scores: Map<string, number> }
  | { readonly type: 'stream'; readonly stream: Stream };

/** `+OK` and the like; a script sees it as a table, a client as its text. */
export class StatusReply {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type StoreReply = null | number | string | StatusReply | readonly StoreReply[];

/** An error reply, as the client gets it. */
export class ReplyFault extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ReplyError';
  }
}

export class Keyspace {
  readonly keys = new Map<string, Stored>();
  /** What the command being run has changed, in the form that repeats it exactly: a line of the append-only file. */
  effects: (readonly string[])[] = [];

  hash(key: string): Map<string, string> | undefined {
    const value = this.typed(key, 'hash');
    return value?.type === 'hash' ? value.fields : undefined;
  }

  hashForWriting(key: string): Map<string, string> {
    return this.hash(key) ?? this.add(key, { type: 'hash', fields: new Map<string, string>() }).fields;
  }

  set(key: string): Set<string> | undefined {
    const value = this.typed(key, 'set');
    return value?.type === 'set' ? value.members : undefined;
  }

  setForWriting(key: string): Set<string> {
    return this.set(key) ?? this.add(key, { type: 'set', members: new Set<string>() }).members;
  }

  list(key: string): string[] | undefined {
    const value = this.typed(key, 'list');
    return value?.type === 'list' ? value.items : undefined;
  }

  listForWriting(key: string): string[] {
    return this.list(key) ?? this.add(key, { type: 'list', items: [] }).items;
  }

  scores(key: string): Map<string, number> | undefined {
    const value = this.typed(key, 'zset');
    return value?.type === 'zset' ? value.scores : undefined;
  }

  scoresForWriting(key: string): Map<string, number> {
    return this.scores(key) ?? this.add(key, { type: 'zset', scores: new Map<string, number>() }).scores;
  }

  stream(key: string): Stream | undefined {
    const value = this.typed(key, 'stream');
    return value?.type === 'stream' ? value.stream : undefined;
  }

  streamForWriting(key: string): Stream {
    const stream: Stream = { entries: [], lastMs: 0, lastSeq: 0 };
    return this.stream(key) ?? this.add(key, { type: 'stream', stream }).stream;
  }

  text(key: string): string | undefined {
    const value = this.typed(key, 'string');
    return value?.type === 'string' ? value.text : undefined;
  }

  setText(key: string, text: string): void {
    this.keys.set(key, { type: 'string', text });
  }

  /** Redis keeps no empty collections. */
  dropIfEmpty(key: string): void {
    const value = this.keys.get(key);
    if (value === undefined) return;
    const empty =
      (value.type === 'hash' && value.fields.size === 0) ||
      (value.type === 'set' && value.members.size === 0) ||
      (value.type === 'list' && value.items.length === 0) ||
      (value.type === 'zset' && value.scores.size === 0);
    if (empty) this.keys.delete(key);
  }

  wrote(...command: readonly string[]): void {
    this.effects.push(command);
  }

  private add<Value extends Stored>(key: string, value: Value): Value {
    this.keys.set(key, value);
    return value;
  }

  private typed(key: string, type: Stored['type']): Stored | undefined {
    const value = this.keys.get(key);
    if (value !== undefined && value.type !== type)
      throw new ReplyFault('WRONGTYPE Operation against a key holding the wrong kind of value');
    return value;
  }
}

/** @throws ReplyFault as Redis words it */
export function wholeNumber(text: string | undefined): number {
  if (text === undefined || !/^-?\d+$/.test(text)) throw new ReplyFault('ERR value is not an integer or out of range');
  return Number(text);
}

export const wrongArguments = (name: string): ReplyFault =>
  new ReplyFault(`ERR wrong number of arguments for '${name}' command`);

export interface CommandContext {
  readonly space: Keyspace;
  /** The server's wall clock, ms. */
  readonly wallMs: number;
}

export type StoreCommand = (context: CommandContext, args: readonly string[]) => StoreReply;
