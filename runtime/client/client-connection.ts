/**
 * One connection of the client: hello, auth, requests and answers matched by number, watch frames, and a ping request
 * when nothing was received (browsers do not show ping frames). It never reconnects; client.ts makes a new one.
 */
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import { NumberedSlots } from '../contract/numbered-slots.ts';
import { apiProtocolName, batchFeatureName } from './client-protocol.ts';
import type { ApiResult, Hello, Problem, WatchFrame } from '../control-api/api-schema.ts';
import type { ClientSocket, Refusal, SocketFactory } from './client-socket.ts';
import { requestLimitsOf, requestText, type RequestLimits } from './request-frame.ts';
import type { Loss } from './suspicion.ts';
import { connectionLost, connectionRefused, errorOf, unreachable } from './wire-error.ts';

export type Credential = { readonly token: string } | { readonly ticket: string };

export interface ConnectionOptions {
  readonly url: string;
  readonly openSocket: SocketFactory;
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  readonly credential: () => Promise<Credential>;
  readonly onWatchFrame: (frame: WatchFrame) => void;
  /** Called once, also when the connection was never established. */
  readonly onEnded: (loss: Loss) => void;
}

export interface ClientRequest {
  readonly method: string;
  readonly params: unknown;
  readonly traceparent?: string | undefined;
  /** Called before the next frame is handled. */
  onResult(result: unknown): void;
  onRefused(error: PhotonError): void;
  /** Called when the connection ended before an answer. */
  onLost(loss: Loss): void;
}

interface Greeting {
  readonly hello: Hello;
  readonly principal: ApiResult<'auth'>;
}

/** The fields of a server frame that are used. Their contents are trusted; unknown fields are ignored. */
interface ServerFrame {
  readonly id?: unknown;
  readonly method?: unknown;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: { readonly data?: Problem };
}

export class ClientConnection {
  /** Resolves when authenticated. Rejects with fault `unreachable` or with the server's rejection. */
  readonly ready: Promise<Greeting>;
  readonly #options: ConnectionOptions;
  readonly #socket: ClientSocket;
  readonly #waiting = new NumberedSlots<ClientRequest>();
  /** Requests to be sent at the end of this tick. */
  #unsent: string[] = [];
  #maxBatchChars = 0;
  #limits: RequestLimits = requestLimitsOf({});
  #ended = false;
  #heard = true;
  #refusal: PhotonError | undefined;
  #cancelPing = (): void => {};
  #cancelConnect = (): void => {};
  #onHello: (hello: Hello) => void = () => {};
  #onFailed: (error: PhotonError) => void = () => {};

  constructor(options: ConnectionOptions) {
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
      onClosed: (code, why, refusal) => this.#onClosed(code, why, refusal),
    });
    this.#cancelConnect = options.clock.after(options.connectTimeoutMs, () => {
      this.#onFailed(unreachable(options.url, `no answer within ${options.connectTimeoutMs} ms`));
      this.close('no answer in time');
    });
  }

  send(request: ClientRequest): void {
    if (this.#ended) return request.onLost({ code: 1000, why: 'the connection has ended' });
    const { method, params, traceparent } = request;
    const id = this.#waiting.add(request);
    const text = requestText({ id, method, params, traceparent }, this.#limits);
    if (typeof text !== 'string') {
      this.#waiting.take(id);
      return request.onRefused(text);
    }
    if (this.#unsent.push(text) === 1) this.#socket.soon(() => this.#flush());
    return undefined;
  }

  /** @param onResult called with the answer, before the next frame is handled */
  request(method: string, params: unknown, onResult?: (result: unknown) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.send({
        method,
        params,
        onResult: (result) => {
          onResult?.(result);
          resolve(result);
        },
        onRefused: reject,
        onLost: ({ why }) => reject(connectionLost(why)),
      });
    });
  }

  close(why: string): void {
    this.#flush();
    this.#socket.close(1000, why);
    this.#onClosed(1000, why);
  }

  /** Like `close`, but the server is to blame: it counts as a connection that broke. */
  #abandon(why: string): void {
    this.#socket.close(1000, why);
    this.#onClosed(1006, why);
  }

  #flush(): void {
    const texts = this.#unsent;
    this.#unsent = [];
    if (this.#ended) return;
    for (const frame of batches(texts, this.#maxBatchChars)) this.#socket.send(frame);
  }

  async #authenticate(hello: Hello): Promise<Greeting> {
    this.#limits = requestLimitsOf(hello);
    // One UTF-16 code unit takes at most three bytes.
    if (hello.features.includes(batchFeatureName)) this.#maxBatchChars = Math.floor(this.#limits.maxFrameBytes / 3);
    const credential = await this.#options.credential();
    const principal = (await this.request('auth', credential)) as ApiResult<'auth'>;
    this.#cancelConnect();
    this.#watchSilence(hello.heartbeatMs);
    return { hello, principal };
  }

  /** After two intervals without any frame the server counts as gone, even when the socket is still open. */
  #watchSilence(intervalMs: number): void {
    this.#cancelPing = this.#options.clock.after(intervalMs, () => {
      if (this.#ended) return;
      if (!this.#heard) {
        this.#abandon('the server is silent');
        return;
      }
      this.#heard = false;
      // Any frame counts as the answer; a lost ping is noticed after the next interval.
      this.request('ping', {}).catch(() => undefined);
      this.#watchSilence(intervalMs);
    });
  }

  #onText(text: string): void {
    this.#heard = true;
    let frame: ServerFrame | readonly ServerFrame[];
    try {
      frame = JSON.parse(text) as ServerFrame | readonly ServerFrame[];
    } catch {
      this.#abandon('the server sent a frame that is not JSON');
      return;
    }
    if (Array.isArray(frame)) for (const each of frame as readonly ServerFrame[]) this.#onFrame(each);
    else this.#onFrame(frame as ServerFrame);
  }

  #onFrame(frame: ServerFrame): void {
    // An earlier frame of the same array may have ended the connection.
    if (this.#ended) return;
    if (frame.method === 'hello') this.#onHello(frame.params as Hello);
    else if (frame.method === 'watch.event') this.#options.onWatchFrame(frame.params as WatchFrame);
    else this.#onAnswer(frame);
  }

  #onAnswer({ id, result, error }: ServerFrame): void {
    const waiting = typeof id === 'number' ? this.#waiting.take(id) : undefined;
    if (waiting === undefined) return;
    if (error === undefined) {
      waiting.onResult(result);
      return;
    }
    const { data: problem } = error;
    const refusal =
      problem === undefined ? new PhotonError('unknown', 'unknown', 'The server gave no reason.') : errorOf(problem);
    if (refusal.record.code === 'unauthenticated') this.#refusal = refusal;
    waiting.onRefused(refusal);
  }

  #onClosed(code: number, why: string, refusal?: Refusal): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelPing();
    this.#cancelConnect();
    const reason = why === '' ? `code ${code}` : why;
    this.#onFailed(this.#refusal ?? connectionRefused(this.#options.url, reason, refusal));
    const loss = { code, why: reason };
    for (const waiting of this.#waiting.drain()) waiting.onLost(loss);
    this.#options.onEnded(loss);
  }
}

/** Combines requests into frames of at most `maxChars`, as arrays; a longer request is sent alone. */
function batches(texts: readonly string[], maxChars: number): string[] {
  const frames: string[] = [];
  let batch: string[] = [];
  let chars = 1;
  const close = (): void => {
    if (batch.length > 0) frames.push(batch.length === 1 ? (batch[0] as string) : `[${batch.join(',')}]`);
    batch = [];
    chars = 1;
  };
  for (const text of texts) {
    if (chars + text.length + 1 > maxChars) close();
    batch.push(text);
    chars += text.length + 1;
  }
  close();
  return frames;
}
