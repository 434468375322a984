/**
 * What the owner of an actor reads before it acts: records, rows, dead letters, its own grant, and what its senders
 * have left behind. Called by redis-journal.ts.
 *
 * A connection may still reach a primary that was replaced, and its answers look like any other: an effect would be
 * performed again that was left long ago, a dead letter delivered twice, a hold forgotten. So where the store has
 * replicas a read counts only after they have acknowledged, which those of a replaced primary do not
 * (replica-watch.ts). What comes together is one pipeline and one wait. Without replicas nothing is waited for. Upholds
 * G1, G3, G7 and G8.
 *
 * Rejected: to compare the last commit's id with every commit. Effects and answers leave without one.
 */
import type { Redis } from 'ioredis';
import type { RowKey } from '../contract/actor-definition.ts';
import type { Message } from '../contract/envelope.ts';
import type { ActorId, ShardId } from '../contract/identifiers.ts';
import type { ShardGrant, StoredActor } from '../contract/journal.ts';
import type { Log } from '../contract/log.ts';
import { sequenceOf, type WatermarkedSequence } from '../contract/deduplication-watermark.ts';
import type { StoredDeadLetter } from '../contract/supervision.ts';
import type { CommitLines } from './commit-lines.ts';
import {
  decodeActor,
  decodeDeadLetters,
  decodeMessage,
  endOfUid,
  unreadable,
  type StreamEntries,
} from './record-decoding.ts';
import { readRows } from './row-reading.ts';
import { shardOf } from './shard-placement.ts';
import { readAll, type Store } from './store-connection.ts';
import { refusedForGood, troubleOf } from './store-errors.ts';
import { grantText } from './store-keys.ts';

/** Behind those of the batcher: a commit's wait holds up no read, and the other way round. */
const readsFlight = 2;
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
  readonly lines: CommitLines;
  readonly replicas: number;
  readonly log: Log;
}

export class OwnerReads {
  readonly #options: OwnerReadsOptions;
  /** One for everything; on a Redis Cluster one per shard, because the wait is for its primary. Each is being sent. */
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

  /** Of a shard in one pipeline, records first: a life that is over writes no more messages. */
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
      const isOver = endOfUid(from, replies[at] as string | null, senderUid) < beforeMs;
      return isOver && !isSending(sequence) ? [watermark] : [];
    });
  }

  async isOutstanding({ from, senderUid, era, seq }: Message): Promise<boolean> {
    const shard = shardOf(from);
    const [text] = await this.#read(shard, [['hget', this.#key(shard, 'q'), `${from}|${seq}`]]);
    if (text === null) return false;
    const row = decodeMessage(`${from}|${seq}`, text as string);
    if (row === undefined) throw unreadable(`message ${seq} of ${from}`, 'its row is not of the form of one');
    return row.senderUid === senderUid && row.era === era;
  }

  #key(shard: ShardId, what: string): string {
    return this.#options.store.keys.inShard(shard, what);
  }

  /**
   * @returns the replies in order
   * @throws PhotonError when the store calls one of the commands wrong, or nothing may be asked any more
   */
  #read(shard: ShardId, commands: readonly Command[]): Promise<unknown[]> {
    const { store, lines, replicas } = this.#options;
    if (replicas === 0) return store.shared.run((redis) => readAll(redis, commands));
    return new Promise((resolve, reject) => {
      const asked = { shard, commands, resolve, reject };
      const key = lines.mixesShards ? '' : shard;
      const queue = this.#queues.get(key);
      if (queue !== undefined) {
        queue.push(asked);
        return;
      }
      this.#queues.set(key, [asked]);
      // After everything that is asked in the same turn.
      queueMicrotask(() => void this.#send(key));
    });
  }

  async #send(key: ShardId | ''): Promise<void> {
    const queue = this.#queues.get(key) ?? [];
    while (queue.length > 0) await this.#ask(queue.splice(0, readsPerWait));
    this.#queues.delete(key);
  }

  async #ask(batch: readonly Asked[]): Promise<void> {
    const { store, lines } = this.#options;
    const commands = batch.flatMap((asked) => asked.commands);
    const where = { flight: readsFlight, shard: (batch[0] as Asked).shard, reads: true } as const;
    try {
      const replies = await lines.durably(where, 'replicas', (redis) => readEach(redis, commands, store.keys.prefix));
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

/** Senders and uids of the messages in an outbox; undefined for a life that cannot be read. */
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
 * What the store calls wrong stands as an error in its place: one spoilt key must not keep its neighbours from loading.
 *
 * @throws the first error that may pass
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
