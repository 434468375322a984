/**
 * The test bed of every row of the runtime bench: a real redis-server, a node (store, journal, host) that owns every
 * shard of it, closed-loop loads, and the price of a load in throughput and CPU by process. It judges nothing. Rewrites
 * of the store's append-only file are off, because they would happen in some rounds only.
 */
import type { ActorRegistry } from '@photoncloud/runtime/contract/actor-definition';
import type { ActorEvent, Message } from '@photoncloud/runtime/contract/envelope';
import type { ActorId } from '@photoncloud/runtime/contract/identifiers';
import type { ShardGrant } from '@photoncloud/runtime/contract/journal';
import type { Log } from '@photoncloud/runtime/contract/log';
import { createHost, type Host } from '@photoncloud/runtime/hosting/host';
import type { HostLimits } from '@photoncloud/runtime/hosting/host-limits';
import { systemClock } from '@photoncloud/runtime/hosting/system-clock';
import { createSystemRandom } from '@photoncloud/runtime/hosting/system-random';
import { createJournal, type RedisJournal } from '@photoncloud/runtime/journal/redis-journal';
import { TestRedis } from '@photoncloud/runtime/journal/redis-for-tests';
import { sharedShards } from '@photoncloud/runtime/journal/shard-placement';
import { connectStore, type Store } from '@photoncloud/runtime/journal/store-connection';
import { grantText, storeKeys } from '@photoncloud/runtime/journal/store-keys';
import { benchRegistry } from './runtime-kinds.ts';

export type Level = 'everysec' | 'always';
export const levels: readonly Level[] = ['everysec', 'always'];

export type BareRedis = ReturnType<TestRedis['client']>;

const quiet = (): void => {};
/** A row causes no errors unless it says so; other errors go to stderr. */
export const benchLog: Log = {
  debug: quiet,
  info: quiet,
  warn: quiet,
  error: (fields, message) => void process.stderr.write(`error: ${message} ${JSON.stringify(fields)}\n`),
  child: () => benchLog,
};

export const startRedis = (level: Level): Promise<TestRedis> =>
  TestRedis.start(['--appendfsync', level, '--auto-aof-rewrite-percentage', '0']);

export interface BenchNode {
  readonly store: Store;
  readonly journal: RedisJournal;
  readonly host: Host;
  close(): Promise<void>;
}

export interface NodeOptions {
  readonly url: string;
  /** Each further node on the same store needs a higher one. */
  readonly epoch?: number;
  readonly registry?: ActorRegistry;
  readonly limits?: Partial<HostLimits>;
  /** Called before the first commit; it may wrap the journal's methods. */
  readonly onJournal?: (journal: RedisJournal) => void;
}

export const grantsAt = (ownerEpoch: number): ShardGrant[] =>
  sharedShards.map((shard) => ({ shard, node: 'bench', era: 1, ownerEpoch }));

/** Writes the grants that claims would have written, so that one process owns every shard at once. */
export async function ownAll(redis: BareRedis, grants: readonly ShardGrant[]): Promise<void> {
  const keys = storeKeys('ph:');
  const commands = grants.map((grant) => ['set', keys.inShard(grant.shard, 'o'), grantText(grant)]);
  await redis.pipeline(commands).exec();
}

/** Resolves when the backlog of every shard has been read; only then does a shard admit inputs. */
export async function openNode(options: NodeOptions): Promise<BenchNode> {
  const clock = systemClock;
  const store = await connectStore({ url: options.url, clock, log: benchLog });
  const journal = createJournal({ store, clock, log: benchLog });
  options.onJournal?.(journal);
  const host = createHost({
    registry: options.registry ?? benchRegistry(),
    journal,
    directory: { ownerOf: () => 'bench', refresh: async () => {} },
    outlet: { deliver: () => Promise.reject(new Error('alone')), command: () => Promise.reject(new Error('alone')) },
    nodeName: 'bench',
    clock,
    random: createSystemRandom(),
    log: benchLog,
    limits: options.limits ?? {},
  });
  const grants = grantsAt(options.epoch ?? 1);
  await ownAll(store.shared.redis, grants);
  for (const grant of grants) journal.adopt(grant);
  await Promise.all(grants.map((grant) => host.grant(grant)));
  return {
    store,
    journal,
    host,
    async close() {
      await host.drain();
      journal.close();
      store.close();
    },
  };
}

/** One sender per receiver: each message is the next of its own sequence. */
export class Courier {
  readonly #host: Host;
  readonly #to: ActorId;
  readonly #from: ActorId;
  #seq: number;

  /** @param lastSeq sequence number of the last message that an earlier courier sent to the actor */
  constructor(host: Host, to: ActorId, lastSeq = 0) {
    this.#host = host;
    this.#to = to;
    this.#seq = lastSeq;
    this.#from = `driver/${to.slice(to.indexOf('/') + 1)}` as ActorId;
  }

  /** @param unanswered number of earlier messages without an answer yet @throws Error when it was not applied */
  async send(event: ActorEvent, unanswered = 0): Promise<void> {
    this.#seq += 1;
    const after = unanswered === 0 ? 0 : this.#seq - 1;
    const message: Message = {
      to: this.#to,
      from: this.#from,
      senderUid: '01JDRIVERDRIVERDRIVERDRIVE',
      era: 1,
      seq: this.#seq,
      after,
      event,
      cause: 'bench',
    };
    const { result } = await this.#host.deliver(message);
    if (result !== 'applied') throw new Error(`${this.#to} answered ${result} to ${event.type}`);
  }
}

/** Keeps `lanes` sends in flight until the time is over. @returns the sum of what the sends return */
export async function closedLoop(lanes: number, forMs: number, send: () => Promise<number>): Promise<number> {
  const endMs = performance.now() + forMs;
  let count = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() < endMs) {
      // `count += await send()` would read the count before waiting and lose what other lanes add meanwhile.
      const done = await send();
      count += done;
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return count;
}

/** Calls `work` once for each index below `count`, with `lanes` calls at a time. */
export async function forEachOf(
  count: number,
  lanes: number,
  work: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

/** Rate of a load, and the CPU time of one unit. */
export interface Price {
  readonly perSecond: number;
  /** us of user and system time of this process. */
  readonly nodeUs: number;
  readonly redisUs: number;
}

async function redisCpuUs(redis: BareRedis): Promise<number> {
  const text = await redis.info('cpu');
  const field = (name: string): number => Number(new RegExp(`^${name}:(.+)$`, 'm').exec(text)?.[1]);
  return (field('used_cpu_sys') + field('used_cpu_user')) * 1e6;
}

/** Runs a load and measures it. @param load returns the number of units it has done */
export async function priceOf(redis: BareRedis, load: () => Promise<number>): Promise<Price> {
  const redisBeforeUs = await redisCpuUs(redis);
  const before = process.cpuUsage();
  const startedMs = performance.now();
  const count = await load();
  const elapsedMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(before);
  const redisUs = (await redisCpuUs(redis)) - redisBeforeUs;
  if (count === 0) throw new Error('nothing was done in a whole round');
  return { perSecond: (count / elapsedMs) * 1000, nodeUs: (user + system) / count, redisUs: redisUs / count };
}

/** The median duration of a step, ms; the steps run one after the other. */
export async function latencyMs(times: number, step: (index: number) => Promise<unknown>): Promise<number> {
  const taken: number[] = [];
  for (let index = 0; index < times; index += 1) {
    const startedMs = performance.now();
    await step(index);
    taken.push(performance.now() - startedMs);
  }
  return taken.sort((a, b) => a - b)[times >> 1] ?? Number.NaN;
}
