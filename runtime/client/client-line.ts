/**
 * One connection of the client: hello, auth, requests matched by number, watch frames, and a ping when it is quiet (a
 * browser cannot see control frames). It is never dialled again; client.ts makes the next one.
 */
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import { apiProtocolName } from './client-protocol.ts';
import type { ApiResult, Hello, Problem, WatchFrame } from '../control-api/api-schema.ts';
import type { ClientSocket, SocketFactory } from './client-socket.ts';
import { connectionLost, errorOf, unreachable } from './wire-error.ts';

export type Credential = { readonly token: string } | { readonly ticket: string };

export interface LineOptions {
  readonly url: string;
  readonly openSocket: SocketFactory;
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  readonly credential: () => Promise<Credential>;
  readonly onWatchFrame: (frame: WatchFrame) => void;
  /** Once, however far it came. */
  readonly onEnded: (code: number, why: string) => void;
}

interface RequestOptions {
  readonly traceparent?: string | undefined;
  /** Runs with the answer, before the next frame is looked at. */
  readonly onResult?: (result: unknown) => void;
}

interface Greeting {
  readonly hello: Hello;
  readonly principal: ApiResult<'auth'>;
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: PhotonError) => void;
}

/** What may arrive; the server's frames are trusted beyond this shape, and unknown fields are ignored. */
interface ServerFrame {
  readonly id?: unknown;
  readonly method?: unknown;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly data?: Problem };
}

export class ClientLine {
  /** Authenticated. @throws PhotonError fault `unreachable`, rejection as the server said */
  readonly ready: Promise<Greeting>;
  readonly #options: LineOptions;
  readonly #socket: ClientSocket;
  readonly #waiting = new Map<number, Waiting>();
  #number = 0;
  #ended = false;
  #heard = true;
  #refusal: PhotonError | undefined;
  #cancelPing = (): void => {};
  #cancelConnect = (): void => {};
  #onHello: (hello: Hello) => void = () => {};
  #onFailed: (error: PhotonError) => void = () => {};

  constructor(options: LineOptions) {
    this.#options = options;
    this.ready = new Promise<Greeting>((resolve, reject) => {
      this.#onFailed = reject;
      this.#onHello = (hello) => {
        this.#authenticate(hello).then(resolve, (error: PhotonError) => {
          reject(error);
          this.close('not authenticated');
        });
      };
    });
    this.#socket = options.openSocket(options.url, apiProtocolName, {
      onText: (text) => this.#onText(text),
      onClosed: (code, why) => this.#onClosed(code, why),
    });
    this.#cancelConnect = options.clock.after(options.connectTimeoutMs, () => {
      this.#onFailed(unreachable(options.url, `no answer within ${options.connectTimeoutMs} ms`));
      this.close('no answer in time');
    });
  }

  request(method: string, params: unknown, options: RequestOptions = {}): Promise<unknown> {
    if (this.#ended) return Promise.reject(connectionLost('it has ended'));
    this.#number += 1;
    const id = this.#number;
    return new Promise((resolve, reject) => {
      const { traceparent, onResult } = options;
      const settle = (result: unknown): void => {
        onResult?.(result);
        resolve(result);
      };
      this.#waiting.set(id, { resolve: settle, reject });
      const frame = { jsonrpc: '2.0', id, method, params, ...(traceparent === undefined ? {} : { traceparent }) };
      this.#socket.send(JSON.stringify(frame));
    });
  }

  close(why: string): void {
    this.#socket.close(1000, why);
    this.#onClosed(1000, why);
  }

  async #authenticate(hello: Hello): Promise<Greeting> {
    const credential = await this.#options.credential();
    const principal = (await this.request('auth', credential)) as ApiResult<'auth'>;
    this.#cancelConnect();
    this.#watchPulse(hello.heartbeatMs);
    return { hello, principal };
  }

  /** Silence for two intervals, pings unanswered: the peer is gone though the socket does not know. */
  #watchPulse(intervalMs: number): void {
    this.#cancelPing = this.#options.clock.after(intervalMs, () => {
      if (this.#ended) return;
      if (!this.#heard) {
        this.close('the server is silent');
        return;
      }
      this.#heard = false;
      // Any frame counts as its answer; a lost one is noticed by the silence.
      this.request('ping', {}).catch(() => undefined);
      this.#watchPulse(intervalMs);
    });
  }

  #onText(text: string): void {
    this.#heard = true;
    if (this.#ended) return;
    let frame: ServerFrame;
    try {
      frame = JSON.parse(text) as ServerFrame;
    } catch {
      this.close('the server sent a frame that is not JSON');
      return;
    }
    if (frame.method === 'hello') this.#onHello(frame.params as Hello);
    else if (frame.method === 'watch.event') this.#options.onWatchFrame(frame.params as WatchFrame);
    else this.#onAnswer(frame);
  }

  #onAnswer({ id, result, error }: ServerFrame): void {
    const waiting = typeof id === 'number' ? this.#waiting.get(id) : undefined;
    if (waiting === undefined) return;
    this.#waiting.delete(id as number);
    if (error === undefined) {
      waiting.resolve(result);
      return;
    }
    const { data: problem } = error;
    const refusal =
      problem === undefined ? new PhotonError('unknown', 'unknown', 'The server gave no reason.') : errorOf(problem);
    if (refusal.record.code === 'unauthenticated') this.#refusal = refusal;
    waiting.reject(refusal);
  }

  #onClosed(code: number, why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelPing();
    this.#cancelConnect();
    const reason = why === '' ? `code ${code}` : why;
    this.#onFailed(this.#refusal ?? unreachable(this.#options.url, reason));
    for (const waiting of this.#waiting.values()) waiting.reject(connectionLost(reason));
    this.#waiting.clear();
    this.#options.onEnded(code, reason);
  }
}
