/**
 * Commands at a steady rate against every controller of a cluster, and what became of each: ports of one tenant are
 * created, asked for again with the same key, deleted, and created anew. A command without an answer is asked again
 * with its key, as a client would, until it has one. It knows no fault; load-judge.ts reads its records.
 */
import { randomUUID } from 'node:crypto';
import type { PhotonClient } from '@photoncloud/runtime/client/client';
import { PhotonError } from '@photoncloud/runtime/contract/errors';

/** One command with its key, however often it was asked. */
export interface CommandRecord {
  readonly port: string;
  readonly command: 'create' | 'delete';
  readonly key: string;
  /** ms of performance.now(). */
  readonly invokedMs: number;
  readonly answeredMs: number;
  /** Asked in vain before: each of these was answered `unknown`, `overloaded` or not at all. */
  readonly unknowns: number;
  readonly overloads: number;
  /** The server's words: a result, or the code of a rejection that stands. */
  readonly answer: { readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly code: string };
  /** What the same key was answered later; undefined when it was not asked again. */
  readonly again?: unknown;
}

export interface LoadOptions {
  readonly clients: readonly PhotonClient[];
  readonly tenant: string;
  /** Ports are spread over them, so that no single actor's shard stops all. */
  readonly networks: readonly string[];
  readonly commandsPerS: number;
  /** Ports that live and die, one command each at a time. */
  readonly ports: number;
  /** After this long without an answer the same command is asked again, maybe elsewhere. */
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

/** One in so many commands is asked a second time with its key. */
const repeatEvery = 8;
/** Between two tries of one command, which come slower and slower, as those of a client that means well. */
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
  /** Commands without an answer: what was asked, and what was last heard of it. */
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

  /** Lets every command that was begun have its answer. @throws Error naming those that had none in time. */
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
      // Some are left standing at the end, some are not.
      if (!this.#stopping) await this.#command(port, 'delete');
    }
  }

  async #command(port: string, command: 'create' | 'delete'): Promise<void> {
    await this.#turn();
    const key = randomUUID();
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

  /** A place in the steady rate: places are handed out evenly, whoever is late goes at once. */
  async #turn(): Promise<void> {
    const dueMs = this.#startedMs + (this.#next * 1_000) / this.#options.commandsPerS;
    // After a standstill the missed places are not made up for in one burst.
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
