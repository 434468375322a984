/**
 * One connection to the store that comes back by itself. It is `ready` only after the server has said that it is a
 * primary, fit to be a store (server-facts.ts), and has our scripts. With Sentinels it asks them at every connect, so a
 * primary that was replaced is left; one that is silent is left too. On a Redis Cluster it routes by key. Opened by
 * store-connection.ts only; used by the journal, the reader and the directory.
 */
import type { Redis } from 'ioredis';
import type { Clock } from '../contract/clock.ts';
import { PhotonError, describeCause } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { allScripts } from './script-library.ts';
import { factsOfAll, readFacts, type StoreFacts } from './server-facts.ts';
import { clusterOf, connectClient, type StoreAddress } from './store-address.ts';
import { knownBoxes } from './sentinel-boxes.ts';
import { adviceOn, refusedForGood, saysNothing, troubleOf } from './store-errors.ts';
import { defaultPrefix } from './store-keys.ts';

const retryDelayMs = 200;
const sameComplaintMs = 5_000;
const serverTimeoutMs = 5_000;
/**
 * Among boxes with Sentinels a silent one is left sooner: they have another primary after about two seconds. Not told
 * by the Sentinels' `+switch-master`: ioredis 6.0.0 (failoverDetector) then ends a client for good that is just
 * connecting, and holds three connections more for each.
 */
const boxTimeoutMs = 2_500;

/** What the simulation puts in place of sockets. */
export interface SimulatedStoreParts {
  /**
   * Makes the client of one connection.
   * @param name `host:port` when that server is meant and no other
   */
  readonly connect?: (purpose: string, name?: string) => Redis;
  /** As `knownBoxes`. */
  readonly boxes?: () => Promise<readonly string[]>;
}

export interface LinkOptions extends SimulatedStoreParts {
  readonly address: StoreAddress;
  readonly purpose: string;
  /** One of a cluster's primaries, on purpose. */
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
  /** Connections that were made, used or not. */
  #entries = 0;
  #facts: StoreFacts = factsOfAll([]);
  readonly #isNode: boolean;
  readonly #boxes: () => Promise<readonly string[]>;
  readonly #prefix: string;
  /** Complaints of the last while, and when: refusals of a server and of its Sentinels take turns. */
  readonly #told = new Map<string, number>();
  #complaint = '';
  #advice = '';
  #complainedAtMs = -Infinity;

  constructor(options: LinkOptions) {
    const { address, purpose, clock } = options;
    const { commandTimeoutMs = address.kind === 'sentinel' ? boxTimeoutMs : serverTimeoutMs } = options;
    this.#log = options.log.child({ connection: purpose });
    this.#clock = clock;
    this.#isNode = options.isNode;
    this.#boxes = options.boxes ?? (() => knownBoxes(address));
    this.#prefix = options.prefix ?? defaultPrefix;
    this.redis =
      options.connect?.(purpose) ??
      connectClient({ address, purpose, commandTimeoutMs, mayRetry: () => !this.#closed });
    this.redis.on('error', (error: Error) => this.#complain(error));
    this.redis.on('ready', () => void this.#enter());
    this.redis.on('close', () => this.#leave());
  }

  /** Counts connections: the same number before and after means that it was one and the same. */
  get generation(): number {
    return this.#generation;
  }

  /** What the server said at the last connect. */
  get facts(): StoreFacts {
    return this.#facts;
  }

  get isReady(): boolean {
    return this.#ready;
  }

  /** Called at every later turn to ready; at once when it is ready now. */
  onReady(listener: () => void): void {
    this.#readyListeners.push(listener);
    if (this.#ready) listener();
  }

  onLost(listener: () => void): void {
    this.#lostListeners.push(listener);
  }

  /** Resolves when the store can be used. Rejects only when the link is closed. */
  whenReady(): Promise<void> {
    if (this.#ready) return Promise.resolve();
    if (this.#closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Runs work that may be repeated (a read, or a write that can tell a repeat), until the store answers it. */
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
   * Waits out what may pass: returns when it is worth asking again.
   * @throws PhotonError bug when the store says that the request itself is wrong, defeat when a key is not ours
   */
  async recover(error: unknown): Promise<void> {
    const trouble = troubleOf(error);
    if (trouble.kind === 'bug') throw refusedForGood(error, this.#prefix);
    if (trouble.kind === 'no_script') {
      await this.#loadScripts().catch((cause: unknown) => this.#complain(cause));
      return;
    }
    if (trouble.kind === 'refused') this.#complain(error);
    const isStale = trouble.kind === 'refused' ? trouble.reconnect : trouble.silent;
    if (isStale && this.#ready) this.redis.disconnect(true);
    await new Promise<void>((resolve) => this.#clock.after(retryDelayMs, resolve));
  }

  /** Leaves the server for the one that is named now. A cluster's client follows its primaries by itself. */
  renew(): void {
    if (!this.#ready || clusterOf(this.redis) !== undefined) return;
    this.#leave();
    this.redis.disconnect(true);
  }

  close(): void {
    this.#closed = true;
    this.#leave();
    this.redis.disconnect();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one.reject(closedError());
  }

  async #enter(): Promise<void> {
    const entry = (this.#entries += 1);
    try {
      this.#facts = await this.#askFacts();
      await this.#loadScripts();
    } catch (error) {
      this.#complain(error);
      this.#clock.after(retryDelayMs, () => this.#giveUp(entry));
      return;
    }
    if (this.#closed || this.redis.status !== 'ready') return;
    this.#ready = true;
    for (const listener of this.#readyListeners) listener();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const one of waiting) one.resolve();
  }

  /** One that was lost comes back by itself, and the next one may be about to be ready. */
  #giveUp(entry: number): void {
    if (entry === this.#entries && this.redis.status === 'ready') this.redis.disconnect(!this.#closed);
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

  #leave(): void {
    if (!this.#ready) return;
    this.#ready = false;
    this.#generation += 1;
    // One that we have cut because the store refuses was complained about.
    const told = this.#closed || this.#clock.monotonicMs() - this.#complainedAtMs < sameComplaintMs;
    if (!told) this.#log.warn({}, 'the connection to the store is gone; trying again until it is back');
    for (const listener of this.#lostListeners) listener();
  }

  async #loadScripts(): Promise<void> {
    const each = this.#servers().flatMap((server) => allScripts.map((script) => server.script('LOAD', script.source)));
    await Promise.all(each);
  }

  /** The same trouble is told once in a while, not at every try, also when we could connect in between. */
  #complain(error: unknown): void {
    if (this.#closed || (saysNothing(error) && this.#complaint !== '')) return;
    const text = describeCause(error);
    const nowMs = this.#clock.monotonicMs();
    for (const [known, atMs] of this.#told) if (nowMs - atMs >= sameComplaintMs) this.#told.delete(known);
    if (this.#told.has(text)) return;
    this.#told.set(text, nowMs);
    this.#complaint = text;
    this.#advice = adviceOn(error);
    this.#complainedAtMs = nowMs;
    this.#log.error({ cause: text }, `the store cannot be used: ${this.#advice}`);
  }

  /** The last thing that went wrong and what to do about it, for whoever gives up. */
  get complaint(): { readonly text: string; readonly advice: string } {
    if (this.#complaint === '') return { text: 'no answer', advice: 'see that it runs and that the URL is right' };
    return { text: this.#complaint, advice: this.#advice };
  }
}

const closedError = (): PhotonError =>
  new PhotonError('fault', 'store_closed', 'the connection to the store was closed by this node; it is stopping');
