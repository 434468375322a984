/**
 * A client of the QEMU Machine Protocol (QMP) on one unix socket: greeting, commands in order, events. QEMU serves one
 * client per socket. Called by qemu-session.ts. Promise: every call ends. A stopped QEMU accepts connections and never
 * answers, so each call has a time-out, whose error is `unknown`. Answers are validated and the length of a line is
 * bounded (docs/threats.md#t24).
 */
import net from 'node:net';
import { z } from 'zod';
import { errnoOf, fileError } from '../kernel-errors.ts';
import { qmpClosed, qmpRefused, qmpTimeout } from './qemu-errors.ts';

const greetingSchema = z.object({
  QMP: z.object({ version: z.object({ qemu: z.object({ major: z.number(), minor: z.number(), micro: z.number() }) }) }),
});
const eventSchema = z.object({
  event: z.string(),
  data: z.record(z.string(), z.unknown()).default({}),
  timestamp: z.object({ seconds: z.number(), microseconds: z.number() }).optional(),
});
const errorSchema = z.object({ error: z.object({ class: z.string(), desc: z.string() }) });
const returnSchema = z.object({ return: z.unknown() });

export type QmpEvent = z.infer<typeof eventSchema>;

/** Wall time at which QEMU sent it, ms since the epoch. */
export const sentAt = ({ timestamp }: QmpEvent): number | null =>
  timestamp === undefined ? null : timestamp.seconds * 1e3 + Math.round(timestamp.microseconds / 1e3);

const lineLimit = 4 << 20;

interface Waiting {
  readonly what: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class QmpClient {
  readonly #socket: net.Socket;
  readonly #waiting: Waiting[] = [];
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #closing: (() => void)[] = [];
  #text = '';
  #greeted: ((version: string) => void) | undefined;
  closed = false;
  /** `10.0.2` */
  version = '';

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#readData(text));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#end());
  }

  /** @throws unknown `qmp_timeout`; fault by errno: ECONNREFUSED or ENOENT mean that there is no QEMU process */
  static async connect(path: string, withinMs: number): Promise<QmpClient> {
    const what = `connecting to ${path}`;
    const socket = net.connect(path);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        socket.destroy();
        reject(qmpTimeout(what, withinMs));
      }, withinMs);
      socket.once('connect', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.once('error', (error) => {
        clearTimeout(timer);
        reject(fileError(`${what} (${errnoOf(error)})`, error));
      });
    });
    const client = new QmpClient(socket);
    try {
      client.version = await client.#awaitGreeting(what, withinMs);
      await client.execute('qmp_capabilities', {}, withinMs);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /**
   * @throws fault `qmp_refused`; unknown `qmp_timeout` (the client is then closed, so that a late answer is not taken
   * for the answer to the next command)
   */
  execute(command: string, args: Readonly<Record<string, unknown>> = {}, withinMs = 2000): Promise<unknown> {
    if (this.closed) throw qmpClosed(command);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(qmpTimeout(command, withinMs));
        this.close();
      }, withinMs);
      this.#waiting.push({ what: command, resolve, reject, timer });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
  }

  /** @returns a function that removes the listener */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onClose(listener: () => void): void {
    if (this.closed) listener();
    else this.#closing.push(listener);
  }

  close(): void {
    this.#socket.destroy();
    this.#end();
  }

  #awaitGreeting(what: string, withinMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(qmpTimeout(what, withinMs)), withinMs);
      this.onClose(() => {
        clearTimeout(timer);
        reject(qmpClosed(what));
      });
      this.#greeted = (version) => {
        clearTimeout(timer);
        resolve(version);
      };
    });
  }

  #readData(text: string): void {
    this.#text += text;
    if (this.#text.length > lineLimit) return this.close();
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      if (line.trim() !== '') this.#answer(line);
    }
  }

  #answer(line: string): void {
    let answer: unknown;
    try {
      answer = JSON.parse(line);
    } catch {
      // A peer that does not send JSON is no QEMU: the client closes, and the waiting commands are `unknown`.
      return this.close();
    }
    const greeting = greetingSchema.safeParse(answer);
    if (greeting.success) {
      const { major, minor, micro } = greeting.data.QMP.version.qemu;
      return this.#greeted?.(`${major}.${minor}.${micro}`);
    }
    const event = eventSchema.safeParse(answer);
    if (event.success) {
      for (const listener of this.#listeners) listener(event.data);
      return;
    }
    const waiting = this.#waiting.shift();
    if (waiting === undefined) return;
    clearTimeout(waiting.timer);
    const error = errorSchema.safeParse(answer);
    if (error.success) waiting.reject(qmpRefused(waiting.what, error.data.error.desc));
    else waiting.resolve(returnSchema.parse(answer).return);
  }

  #end(): void {
    if (this.closed) return;
    this.closed = true;
    for (const waiting of this.#waiting.splice(0)) {
      clearTimeout(waiting.timer);
      waiting.reject(qmpClosed(waiting.what));
    }
    for (const listener of this.#closing.splice(0)) listener();
  }
}
