/** Test support: a bare WebSocket for the control API, which can also send invalid frames. */
import { WebSocket } from 'ws';
import { patienceMs } from '../contract/patience-for-tests.ts';

type Json = Record<string, unknown>;

/** A bare WebSocket that keeps all frames and can also send invalid ones. */
export class RawClient {
  readonly socket: WebSocket;
  readonly frames: Json[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #opened: Promise<void>;
  #number = 0;

  constructor(url: string, headers: Readonly<Record<string, string>> = {}, protocol: string | string[] = 'photon.v1') {
    this.socket = new WebSocket(url, protocol, { headers });
    this.socket.on('error', () => {});
    this.socket.on('message', (bytes) => this.frames.push(JSON.parse(String(bytes)) as Json));
    this.closed = new Promise((resolve) =>
      this.socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
    );
    this.#opened = new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.once('unexpected-response', (_request, response) => {
        reject(new Error(`HTTP ${response.statusCode}`));
        this.socket.terminate();
      });
      this.socket.once('error', reject);
    });
    // `open` reports the reason; without a call of it the rejection must not be unhandled.
    this.#opened.catch(() => undefined);
  }

  async open(token?: string): Promise<this> {
    await this.#opened;
    if (token !== undefined) await this.call('auth', { token });
    return this;
  }

  send(frame: string): void {
    this.socket.send(frame);
  }

  /** @returns `result` of the answer. @throws Refused with the error's `data` as `problem` */
  async call(method: string, params: Json = {}, more: Json = {}): Promise<Json> {
    this.#number += 1;
    const id = this.#number;
    this.send(JSON.stringify({ jsonrpc: '2.0', id, method, params, ...more }));
    await until(
      () => this.frames.some((frame) => frame['id'] === id) || this.socket.readyState === WebSocket.CLOSED,
      method,
    );
    const frame = this.frames.find((each) => each['id'] === id);
    if (frame === undefined) throw new Error(`closed before the answer to ${method}`);
    const failure = frame['error'] as { data: Problem } | undefined;
    if (failure !== undefined) throw new Refused(failure.data);
    return frame['result'] as Json;
  }

  async refusal(method: string, params: Json = {}, more: Json = {}): Promise<Problem> {
    try {
      await this.call(method, params, more);
    } catch (error) {
      if (error instanceof Refused) return error.problem;
      throw error;
    }
    throw new Error(`${method} was not refused`);
  }

  /** The watch frames received so far. */
  watched(): Json[] {
    return this.frames.filter((frame) => frame['method'] === 'watch.event').map((frame) => frame['params'] as Json);
  }

  async close(): Promise<void> {
    this.socket.terminate();
    await this.closed;
  }
}

export interface Problem {
  readonly type: string;
  readonly detail: string;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly issues?: readonly { path: string; message: string }[];
  readonly traceId: string;
}

class Refused extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(`${problem.type}: ${problem.detail}`);
    this.problem = problem;
  }
}

export async function until(holds: () => boolean, what: string, withinMs = patienceMs()): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
