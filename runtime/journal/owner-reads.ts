/**
 * The reads that the owner of an actor acts on: records, rows, dead letters, its own grant, and whether a sender is
 * gone. Called by redis-journal.ts.
 *
 * A connection may still lead to a primary that was replaced. Its answers look like any other, but are stale: an effect
 * that ended long ago would be performed again, a dead letter delivered twice, a hold ignored. So where the store has
 * replicas, a read counts only after the replicas have acknowledged, which the replicas of a replaced primary do not do
 * (replica-watch.ts). Reads requested in the same turn of the event loop share one pipeline and one WAIT. Without
 * replicas there is no WAIT. Upholds G1, G3, G7 and G8 (docs/promises.md).
 *
 * Rejected: to detect a stale read at the next commit. Effects and answers leave the node without a commit.
 */
import { decodeTime } from 'ulid';
import type { Redis } from 'ioredis';
import type { RowKey } from '../contract/actor-definition.ts';
import type { Message } from '../contract/envelope.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type { ShardGrant, StoredActor } from '../contract/journal.ts';
import type { Log } from '../contract/log.ts';
import { sequenceOf, type WatermarkedSequence } from '../contract/deduplication-watermark.ts';
import type { StoredDeadLetter } from '../contract/supervision.ts';
import type { CommitConnections } from './commit-connections.ts';
import {
  decodeActor,
  decodeDeadLetters,
  decodeMessage,
  endOfUid,
  parseStored,
  unreadable,
  type StreamEntries,
} from './record-decoding.ts';
import { shardOf } from './shard-placement.ts';
import { readAll, type Store } from './store-connection.ts';
import { refusedForGood, troubleOf } from './store-errors.ts';
import { grantText } from './store-keys.ts';

/** Channels 0 and 1 are the batcher's: the WAIT of a commit must not delay a read, nor the reverse. */
const readsChannel = 2;
const readsPerWait = 1_000;

type Command = readonly string[];

interface Asked {
  readonly shard: ShardId;
  readonly commands: readonly Command[];
  readonly resolve: (replies: unknown[]) => void;
  readonly reject: (error: unknown) => void;
}

export interface OwnerReadsOptions {
  readonly store: Store;
  readonly connections: CommitConnections;
  readonly replicas: number;
  readonly log: Log;
}

export class OwnerReads {
  readonly #options: OwnerReadsOptions;
  /**
   * One queue (key ''), on a Redis Cluster one per shard, because WAIT is for one primary. A queue here is being sent.
   */
  readonly #queues = new Map<ShardId | '', Asked[]>();

  constructor(options: OwnerReadsOptions) {
    this.#options = options;
  }

  async load(id: ActorId): Promise<StoredActor | undefined> {
    const [record] = await this.#read(shardOf(id), [['hgetall', this.#key(shardOf(id), `a:${id}`)]]);
    return decodeActor(id, record as Readonly<Record<string, string>>);
  }

  async loadRows(id: ActorId, rows: readonly RowKey[]): Promise<Readonly<Record<string, unknown>>> {
    if (rows.length === 0) return {};
    const shard = shardOf(id);
    const key = (collection: string): string => this.#key(shard, `c:${id}:${collection}`);
    return readRows((commands) => this.#read(shard, commands), id, key, rows);
  }

  async deadLetters(id: ActorId): Promise<readonly StoredDeadLetter[]> {
    const [entries] = await this.#read(shardOf(id), [['xrange', this.#key(shardOf(id), 'x'), '-', '+']]);
    return decodeDeadLetters(entries as StreamEntries, this.#options.log).filter(({ actor }) => actor === id);
  }

  async isHeld(grant: ShardGrant): Promise<boolean> {
    const [owner] = await this.#read(grant.shard, [['get', this.#key(grant.shard, 'o')]]);
    return owner === grantText(grant);
  }

  /** Per shard one pipeline, records before the outbox: a sender uid that has ended writes no more messages. */
  async endedSequences(watermarks: readonly string[], beforeMs: number): Promise<readonly string[]> {
    const byShard = new Map<ShardId, string[]>();
    for (const watermark of watermarks) {
      const shard = shardOf(sequenceOf(watermark).from);
      const known = byShard.get(shard);
      if (known === undefined) byShard.set(shard, [watermark]);
      else known.push(watermark);
    }
    const ended = [...byShard].map(([shard, own]) => this.#endedIn(shard, own, beforeMs));
    return (await Promise.all(ended)).flat();
  }

  async #endedIn(shard: ShardId, watermarks: readonly string[], beforeMs: number): Promise<readonly string[]> {
    const sequences = watermarks.map((watermark) => ({ watermark, ...sequenceOf(watermark) }));
    const heads = sequences.map(({ from }) => ['hget', this.#key(shard, `a:${from}`), 'head']);
    const replies = await this.#read(shard, [...heads, ['hgetall', this.#key(shard, 'q')]]);
    const sending = uidsSending(replies.pop() as Readonly<Record<string, string>>);
    const isSending = ({ from, senderUid }: WatermarkedSequence): boolean =>
      sending.get(from)?.some((one) => one === senderUid || one === undefined) === true;
    return sequences.flatMap((sequence, at) => {
      const { watermark, from, senderUid } = sequence;
      const endMs = endOfUid(from, replies[at] as string | null, senderUid);
      // The head tells when the newest uid began; this one ended no later than the next uid that is known began.
      const isOver = Math.min(endMs, nextUidMs(sequence, sequences)) < beforeMs;
      return endMs < Infinity && isOver && !isSending(sequence) ? [watermark] : [];
    });
  }

  async isOutstanding({ from, senderUid, era, seq }: Message): Promise<boolean> {
    const shard = shardOf(from);
    const [text] = await this.#read(shard, [['hget', this.#key(shard, 'q'), `${from}|${seq}`]]);
    if (text === null) return false;
    const row = decodeMessage(`${from}|${seq}`, text as string);
    if (row === undefined) throw unreadable(`message ${seq} of ${from}`, 'the stored row is malformed');
    return row.senderUid === senderUid && row.era === era;
  }

  #key(shard: ShardId, what: string): string {
    return this.#options.store.keys.inShard(shard, what);
  }

  /**
   * @returns the replies in order
   * @throws PhotonError when the store rejects one of the commands as wrong, or the journal is closed
   */
  #read(shard: ShardId, commands: readonly Command[]): Promise<unknown[]> {
    const { store, connections, replicas } = this.#options;
    if (replicas === 0) return store.shared.run((redis) => readAll(redis, commands));
    return new Promise((resolve, reject) => {
      const asked = { shard, commands, resolve, reject };
      const key = connections.mixesShards ? '' : shard;
      const queue = this.#queues.get(key);
      if (queue !== undefined) {
        queue.push(asked);
        return;
      }
      this.#queues.set(key, [asked]);
      // Sent after the present turn, together with all reads that it requests.
      queueMicrotask(() => void this.#send(key));
    });
  }

  async #send(key: ShardId | ''): Promise<void> {
    const queue = this.#queues.get(key) ?? [];
    while (queue.length > 0) await this.#ask(queue.splice(0, readsPerWait));
    this.#queues.delete(key);
  }

  async #ask(batch: readonly Asked[]): Promise<void> {
    const { store, connections } = this.#options;
    const commands = batch.flatMap((asked) => asked.commands);
    const where = { channel: readsChannel, shard: (batch[0] as Asked).shard, reads: true } as const;
    try {
      const replies = await connections.durably(where, 'replicas', (redis) =>
        readEach(redis, commands, store.keys.prefix),
      );
      let at = 0;
      for (const { commands: own, resolve, reject } of batch) {
        const answered = replies.slice(at, (at += own.length));
        const wrong = answered.find((reply) => reply instanceof Error);
        if (wrong === undefined) resolve(answered);
        else reject(wrong);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

/** Sender -> sender uids of its messages in an outbox; undefined stands for a message that cannot be read. */
function uidsSending(outbox: Readonly<Record<string, string>>): ReadonlyMap<string, readonly (string | undefined)[]> {
  const uids = new Map<string, (string | undefined)[]>();
  for (const [field, text] of Object.entries(outbox)) {
    const from = field.slice(0, field.lastIndexOf('|'));
    const senderUid = decodeMessage(field, text)?.senderUid;
    const known = uids.get(from);
    if (known === undefined) uids.set(from, [senderUid]);
    else if (!known.includes(senderUid)) known.push(senderUid);
  }
  return uids;
}

/**
 * A command that the store rejects as wrong yields an error in its place: one corrupt key must not keep other actors
 * from loading.
 *
 * @throws the first error that a retry may resolve
 */
async function readEach(redis: Redis, commands: readonly Command[], prefix: string): Promise<unknown[]> {
  const replies = await redis.pipeline(commands.map((command) => [...command])).exec();
  if (replies === null) throw new Error('Connection is closed.');
  return replies.map(([error, reply]) => {
    if (error === null) return reply;
    if (troubleOf(error).kind !== 'bug') throw error;
    return refusedForGood(error, prefix);
  });
}

/** A reply of HMGET, in the order asked, or of HGETALL. */
type StoredRows = readonly (string | null)[] | Readonly<Record<string, string>>;

function rowsOf(
  collection: string,
  names: readonly string[],
  stored: StoredRows,
  id: ActorId,
): Record<string, unknown> {
  const parse = (name: string, text: string | null | undefined): unknown =>
    text === null || text === undefined ? null : parseStored(text, `row ${collection}/${name} of ${id}`);
  if (Array.isArray(stored)) {
    return Object.fromEntries(
      names.map((name, at) => [`${collection}/${name}`, parse(name, (stored as (string | null)[])[at])]),
    );
  }
  const all = Object.fromEntries(
    Object.entries(stored as Record<string, string>).map(([name, text]) => [name, parse(name, text)]),
  );
  return Object.fromEntries(names.map((name) => [`${collection}/${name}`, name === '*' ? all : (all[name] ?? null)]));
}

/** When the actor next got a uid, as far as these sequences show: its ULID tells. Infinity when none is later. */
function nextUidMs({ from, senderUid }: WatermarkedSequence, all: readonly WatermarkedSequence[]): number {
  const later = all.filter((one) => one.from === from && one.senderUid > senderUid).map((one) => one.senderUid);
  const [next] = later.toSorted();
  return next === undefined ? Infinity : decodeTime(next);
}

/**
 * @param read the replies to commands, in order
 * @param keyOf collection -> its key in the store
 * @returns `<collection>/<key>` -> value, or null where there is none; an object of all rows for the key `*`
 */
async function readRows(
  read: (commands: readonly (readonly string[])[]) => Promise<unknown[]>,
  id: ActorId,
  keyOf: (collection: string) => string,
  rows: readonly RowKey[],
): Promise<Readonly<Record<string, unknown>>> {
  const wanted = new Map<string, string[]>();
  for (const row of rows) wanted.set(row.collection, [...(wanted.get(row.collection) ?? []), row.key]);
  const commands = [...wanted].map(([collection, names]) =>
    names.includes('*') ? ['hgetall', keyOf(collection)] : ['hmget', keyOf(collection), ...names],
  );
  const replies = (await read(commands)) as StoredRows[];
  const found: Record<string, unknown> = {};
  for (const [index, [collection, names]] of [...wanted].entries()) {
    Object.assign(found, rowsOf(collection, names, replies[index] ?? [], id));
  }
  return found;
}
