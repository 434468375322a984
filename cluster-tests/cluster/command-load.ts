/**
 * Sends commands at a steady rate to every controller of a cluster and records the answers: ports of one tenant are
 * created, deleted and created again, and some commands are repeated with their key. A command without an answer is
 * sent again with its key, as a client would, until it has one. Used by fault-scene.ts; load-judge.ts reads the
 * records.
 */
import { randomUUID } from 'node:crypto';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError } from '@photoncloud/runtime/contract/errors';

/** One command with its key, however often it was sent. */
export interface CommandRecord {
  readonly port: string;
  readonly command: 'create' | 'delete';
  readonly key: string;
  /** By performance.now(), ms. */
  readonly invokedMs: number;
  readonly answeredMs: number;
  /** Earlier tries without an answer or with the answer `unknown`. */
  readonly unknowns: number;
  /** Earlier tries that were answered `overloaded`. */
  readonly overloads: number;
  /** The final answer: a result, or the code of a rejection. */
  readonly answer: { readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly code: string };
  /** The answer to a later repetition with the same key; undefined when there was none. */
  readonly again?: unknown;
}

export interface LoadOptions {
  readonly clients: readonly PhotonClient[];
  readonly tenant: string;
  /** Ports are spread over these networks, so that no single actor's shard stops the whole load. */
  readonly networks: readonly string[];
  readonly commandsPerS: number;
  /** Number of ports; each has one command at a time. */
  readonly ports: number;
  /** After this long without an answer the same command is sent again, maybe to another controller. */
  readonly patienceMs?: number;
}

export interface LoadFigures {
  readonly asked: number;
  readonly ok: number;
  readonly rejected: number;
  readonly unknown: number;
  readonly overloaded: number;
  readonly seconds: number;
  /** Longest time between two answers of the whole cluster, ms. */
  readonly longestSilenceMs: number;
}

/** One in so many commands is repeated with its key. */
const repeatEvery = 8;
/** Longest pause of the exponential backoff between two tries of one command. */
const longestPauseMs = 800;

export class CommandLoad {
  readonly records: CommandRecord[] = [];
  readonly #options: LoadOptions;
  readonly #startedMs = performance.now();
  #endedMs = 0;
  #stopping = false;
  #givenUp = false;
  #asked = 0;
  #next = 0;
  #lastAnswerMs = performance.now();
  #longestSilenceMs = 0;
  /** Port -> its command without an answer, and the last error. */
  readonly #open = new Map<string, string>();
  readonly #workers: Promise<void>[];
  #broken: Error | undefined;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#workers = Array.from({ length: options.ports }, (_, index) =>
      this.#live(`p${index}`).catch((error: unknown) => {
        if (!this.#givenUp) this.#broken ??= error instanceof Error ? error : new Error(String(error));
      }),
    );
  }

  /** Waits until every open command has its answer. @throws Error naming those without one in time */
  async stop(withinMs: number): Promise<void> {
    this.#stopping = true;
    this.#endedMs = performance.now();
    const late = setTimeout(() => (this.#givenUp = true), withinMs);
    await Promise.all(this.#workers);
    clearTimeout(late);
    if (this.#broken !== undefined) throw this.#broken;
    const open = [...this.#open].map(([port, what]) => `${port} ${what}`);
    if (open.length > 0) throw new Error(`no answer within ${withinMs} ms after the last fault: ${open.join('; ')}`);
  }

  figures(): LoadFigures {
    const count = (holds: (record: CommandRecord) => boolean): number => this.records.filter(holds).length;
    const sum = (of: (record: CommandRecord) => number): number => this.records.reduce((all, one) => all + of(one), 0);
    return {
      asked: this.#asked,
      ok: count((one) => one.answer.ok),
      rejected: count((one) => !one.answer.ok),
      unknown: sum((one) => one.unknowns),
      overloaded: sum((one) => one.overloads),
      seconds: ((this.#endedMs || performance.now()) - this.#startedMs) / 1_000,
      longestSilenceMs: this.#longestSilenceMs,
    };
  }

  async #live(port: string): Promise<void> {
    for (let sessionNumber = 0; !this.#stopping; sessionNumber++) {
      await this.#command(port, 'create');
      // Depending on the moment of the stop, a port exists at the end or not.
      if (!this.#stopping) await this.#command(port, 'delete');
    }
  }

  async #command(port: string, command: 'create' | 'delete'): Promise<void> {
    await this.#turn();
    const key = `${Date.now()}-${randomUUID()}`;
    const invokedMs = performance.now();
    const { answer, unknowns, overloads } = await this.#untilAnswered(port, command, key);
    const answeredMs = performance.now();
    this.#longestSilenceMs = Math.max(this.#longestSilenceMs, answeredMs - this.#lastAnswerMs);
    this.#lastAnswerMs = answeredMs;
    const record = { port, command, key, invokedMs, answeredMs, unknowns, overloads, answer };
    if (this.records.length % repeatEvery !== 0) return void this.records.push(record);
    const { answer: again } = await this.#untilAnswered(port, command, key);
    this.records.push({ ...record, again });
  }

  /** Waits for the next slot of the steady rate; a slot that is due has no wait. */
  async #turn(): Promise<void> {
    const dueMs = this.#startedMs + (this.#next * 1_000) / this.#options.commandsPerS;
    // After a standstill the missed slots are skipped instead of sent in one burst.
    this.#next = Math.max(this.#next + 1, ((performance.now() - this.#startedMs) / 1_000) * this.#options.commandsPerS);
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await pause(waitMs);
  }

  async #untilAnswered(
    port: string,
    command: 'create' | 'delete',
    key: string,
  ): Promise<Pick<CommandRecord, 'answer' | 'unknowns' | 'overloads'>> {
    const { tenant, networks, clients, patienceMs = 5_000 } = this.#options;
    const network = networks[Number(port.slice(1)) % networks.length];
    const params = command === 'create' ? { spec: { network } } : {};
    for (let unknowns = 0, overloads = 0; ;) {
      this.#asked += 1;
      const client = clients[(this.#asked + unknowns) % clients.length] as PhotonClient;
      try {
        const envelope = { scope: tenant, name: port, idempotencyKey: key, params };
        const result = await client.call(`port.${command}`, envelope, { timeoutMs: patienceMs });
        this.#open.delete(port);
        return { answer: { ok: true, result }, unknowns, overloads };
      } catch (error) {
        if (!(error instanceof PhotonError)) throw error;
        const { group, code, retryAfterMs } = error.record;
        if (code === 'overloaded') overloads += 1;
        else if (group === 'unknown') unknowns += 1;
        else {
          this.#open.delete(port);
          return { answer: { ok: false, code }, unknowns, overloads };
        }
        this.#open.set(port, `${command}, key ${key}: ${error.message}`);
        if (this.#givenUp) throw error;
        await pause(Math.max(Math.min(longestPauseMs, 50 * 2 ** (unknowns + overloads)), retryAfterMs ?? 0));
      }
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
