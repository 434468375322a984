/**
 * One connection to the store that reconnects by itself. It is `ready` only after the server was found to be a primary
 * and fit to be a store (server-facts.ts), and has loaded our scripts. With Sentinels it asks them at every connect, so
 * it leaves a primary that was replaced or does not answer. On a Redis Cluster it routes by key. Opened by
 * store-connection.ts only; used by the journal, the reader and the directory.
 */
import type { Redis } from 'ioredis';
import type { Clock } from '../contract/clock.ts';
import { PhotonError, describeCause } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { allScripts } from './script-library.ts';
import { factsOfAll, readFacts, undefinedIfForbidden, type StoreFacts } from './server-facts.ts';
import { clusterOf, connectClient, type StoreAddress } from './store-address.ts';
import { boxesOfSentinels } from './sentinel-boxes.ts';
import { adviceOn, refusedForGood, isNotConnected, troubleOf } from './store-errors.ts';
import { defaultPrefix } from './store-keys.ts';

const retryDelayMs = 200;
const sameProblemMs = 5_000;
const serverTimeoutMs = 5_000;
/**
 * Shorter with Sentinels: they promote another primary after about two seconds. Rejected: to subscribe to the
 * Sentinels' `+switch-master` (ioredis 6.0.0, failoverDetector): it ends a client that is just connecting for good, and
 * keeps three more connections per client.
 */
const boxTimeoutMs = 2_500;

/** What the simulation substitutes for sockets. */
export interface SimulatedStoreParts {
  /**
   * Makes the client of one connection.
   * @param name `host:port` of one particular server; without it, the store's primary
   */
  readonly connect?: (purpose: string, name?: string) => Redis;
  /** Replaces `boxesOfSentinels`. */
  readonly boxes?: () => Promise<readonly string[]>;
}

export interface LinkOptions extends SimulatedStoreParts {
  readonly address: StoreAddress;
  readonly purpose: string;
  /** The link is meant for one primary of a Redis Cluster. */
  readonly isNode: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly prefix?: string;
  readonly commandTimeoutMs?: number;
}

export class StoreLink {
  readonly redis: Redis;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #readyListeners: (() => void)[] = [];
  readonly #lostListeners: (() => void)[] = [];
  #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  #ready = false;
  #closed = false;
  #generation = 0;
  /** Counts connections that were made, whether they became ready or not. */
  #attempts = 0;
  #facts: StoreFacts = factsOfAll([]);
  readonly #isNode: boolean;
  readonly #boxes: () => Promise<readonly string[]>;
  readonly #prefix: string;
  /** Problems logged recently and when. Several, because errors of a server and of its Sentinels alternate. */
  readonly #reported = new Map<string, number>();
  #problem = '';
  #advice = '';
  #reportedAtMs = -Infinity;

  constructor(options: LinkOptions) {
    const { address, purpose, clock } = options;
    const { commandTimeoutMs = address.kind === 'sentinel' ? boxTimeoutMs : serverTimeoutMs } = options;
    this.#log = options.log.child({ connection: purpose });
    this.#clock = clock;
    this.#isNode = options.isNode;
    this.#boxes = options.boxes ?? (() => boxesOfSentinels(address));
    this.#prefix = options.prefix ?? defaultPrefix;
    this.redis =
      options.connect?.(purpose) ??
      connectClient({ address, purpose, commandTimeoutMs, mayRetry: () => !this.#closed });
    this.redis.on('error', (error: Error) => this.#report(error));
    this.redis.on('ready', () => void this.#onConnected());
    this.redis.on('close', () => this.#onDisconnected());
  }

  /** Counts ended connections: an equal number before and after some work means that the connection was the same. */
  get generation(): number {
    return this.#generation;
  }

  /** What the server reported at the last connect. */
  get facts(): StoreFacts {
    return this.#facts;
  }

  get isReady(): boolean {
    return this.#ready;
  }

  /** The listener is called whenever the link becomes ready, and at once if it is ready now. */
  onReady(listener: () => void): void {
    this.#readyListeners.push(listener);
    if (this.#ready) listener();
  }

  onLost(listener: () => void): void {
    this.#lostListeners.push(listener);
  }

  /** Resolves when the link is ready. Rejects only when the link is closed. */
  whenReady(): Promise<void> {
    if (this.#ready) return Promise.resolve();
    if (this.#closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Repeats work until the store answers it: a read, or a write that recognises a repeat. */
  async run<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result> {
    for (;;) {
      await this.whenReady();
      try {
        return await work(this.redis);
      } catch (error) {
        if (this.#closed) throw closedError();
        await this.recover(error);
      }
    }
  }

  /**
   * Handles an error that may pass: resolves when a retry is worthwhile.
   * @throws PhotonError bug when the store rejects the request itself as wrong, defeat when a key has a foreign type
   */
  async recover(error: unknown): Promise<void> {
    const trouble = troubleOf(error);
    if (trouble.kind === 'bug') throw refusedForGood(error, this.#prefix);
    if (trouble.kind === 'no_script') {
      try {
        await this.#loadScripts();
        return;
      } catch (cause) {
        this.#report(cause);
      }
    }
    if (trouble.kind === 'refused') this.#report(error);
    const isStale = trouble.kind === 'refused' ? trouble.reconnect : trouble.kind === 'lost' && trouble.silent;
    if (isStale && this.#ready) this.redis.disconnect(true);
    await new Promise<void>((resolve) => this.#clock.after(retryDelayMs, resolve));
  }

  /** Reconnects, so that the Sentinels are asked for the primary again. A cluster's client follows primaries itself. */
  renew(): void {
    if (!this.#ready || clusterOf(this.redis) !== undefined) return;
    this.#onDisconnected();
    this.redis.disconnect(true);
  }

  close(): void {
    this.#closed = true;
    this.#onDisconnected();
    this.redis.disconnect();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one.reject(closedError());
  }

  async #onConnected(): Promise<void> {
    const attempt = (this.#attempts += 1);
    try {
      this.#facts = await this.#askFacts();
      await this.#loadScripts();
    } catch (error) {
      this.#report(error);
      this.#clock.after(retryDelayMs, () => this.#giveUp(attempt));
      return;
    }
    if (this.#closed || this.redis.status !== 'ready') return;
    this.#ready = true;
    for (const listener of this.#readyListeners) listener();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one.resolve();
  }

  /** Drops a connection that was found unfit, unless it was lost meanwhile and a newer one is being examined. */
  #giveUp(attempt: number): void {
    if (attempt === this.#attempts && this.redis.status === 'ready') this.redis.disconnect(!this.#closed);
  }

  #servers(): readonly Redis[] {
    return clusterOf(this.redis)?.nodes('master') ?? [this.redis];
  }

  async #askFacts(): Promise<StoreFacts> {
    const facts = factsOfAll(await Promise.all(this.#servers().map(readFacts)));
    const isCluster = clusterOf(this.redis) !== undefined || this.#isNode;
    if (facts.isClusterNode && !isCluster) throw new Error('CLUSTERED the store is a node of a Redis Cluster');
    return { ...facts, boxes: await this.#boxes() };
  }

  #onDisconnected(): void {
    if (!this.#ready) return;
    this.#ready = false;
    this.#generation += 1;
    // A connection that was cut because the store refuses commands has been logged with the reason already.
    const isKnown = this.#closed || this.#clock.monotonicMs() - this.#reportedAtMs < sameProblemMs;
    if (!isKnown) this.#log.warn({}, 'the connection to the store is lost; reconnecting until it is back');
    for (const listener of this.#lostListeners) listener();
  }

  /** Workers may not load scripts; for them the store node and the controllers do it at each of their connects. */
  async #loadScripts(): Promise<void> {
    const load = async (server: Redis): Promise<void> => {
      try {
        await Promise.all(allScripts.map((script) => server.script('LOAD', script.source)));
      } catch (error) {
        if (undefinedIfForbidden(error) !== undefined) throw error;
        const known = (await server.script('EXISTS', ...allScripts.map(({ sha }) => sha))) as number[];
        if (known.includes(0)) throw new Error('NOSCRIPTS the store has no scripts yet', { cause: error });
      }
    };
    await Promise.all(this.#servers().map(load));
  }

  /** Logs a problem, but the same text at most once in `sameProblemMs`, also across successful connects. */
  #report(error: unknown): void {
    if (this.#closed || (isNotConnected(error) && this.#problem !== '')) return;
    const text = describeCause(error);
    const nowMs = this.#clock.monotonicMs();
    for (const [known, atMs] of this.#reported) if (nowMs - atMs >= sameProblemMs) this.#reported.delete(known);
    if (this.#reported.has(text)) return;
    this.#reported.set(text, nowMs);
    this.#problem = text;
    this.#advice = adviceOn(error);
    this.#reportedAtMs = nowMs;
    this.#log.error({ cause: text }, `the store cannot be used: ${this.#advice}`);
  }

  /** The last problem and the advice for it, for a caller that gives up. */
  get lastProblem(): { readonly text: string; readonly advice: string } {
    if (this.#problem === '') return { text: 'no answer', advice: 'check that it runs and that the URL is right' };
    return { text: this.#problem, advice: this.#advice };
  }
}

const closedError = (): PhotonError =>
  new PhotonError('fault', 'store_closed', 'the connection to the store was closed by this node; it is stopping');
