/**
 * The typed client of the control API, for the CLI, the inspector, tests and third parties; runs in Node and browsers.
 * It keeps one connection alive: after a drop it dials again, sends unanswered calls again (commands carry an
 * idempotencyKey, so nothing is done twice) and resumes watches from their cursors.
 *
 *   const client = await connectPhoton({ url, token, openSocket: nodeSocketFactory({ ca }) });
 *   await client.call('vm.start', { scope: 'acme', name: 'web-1', idempotencyKey: key, params: {} });
 *   for await (const frame of client.watch({ kind: 'vm' }, signal)) ...
 */
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type {
  ApiMethod,
  ApiParams,
  ApiResult,
  CommandParams,
  CommandResult,
  Hello,
  WatchFrame,
} from '../control-api/api-schema.ts';
import { clientClock } from './client-clock.ts';
import { ClientLine, type Credential, type Question } from './client-line.ts';
import type { SocketFactory } from './client-socket.ts';
import { connectionLost } from './wire-error.ts';
import { WatchStream, type OpenedWatch } from './watch-stream.ts';

export type { ActorObject, HistoryItem, ListedActor, WatchFrame } from '../control-api/api-schema.ts';

export interface ConnectOptions {
  /** `wss://host:listenPort/api` */
  readonly url: string;
  readonly openSocket: SocketFactory;
  readonly token?: string;
  /** Browsers: gets a fresh one-use ticket for every connection. */
  readonly ticket?: () => Promise<string>;
  /** The first connection must stand within this; default 10 s. */
  readonly connectTimeoutMs?: number;
  /** Default for calls, reconnections included; 150 s. */
  readonly callTimeoutMs?: number;
  /** The connection is gone and is being dialled again. */
  readonly onDrop?: (why: string) => void;
  readonly onBack?: () => void;
  /** The server refuses us for good (4401, 4403, another protocol): nothing is dialled any more. */
  readonly onRefused?: (error: PhotonError) => void;
  /** What failed without anybody waiting for it: an acknowledgement, the end of a watch. For logs. */
  readonly onIgnored?: (error: PhotonError) => void;
  readonly clock?: Clock;
}

export interface CallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** W3C traceparent, stored with everything the call causes. */
  readonly traceparent?: string;
}

type WatchParams = ApiParams<'watch.open'>;

export interface PhotonClient {
  /** @throws PhotonError as the server said it; unknown `connection_lost` or `call_timeout` when no answer came */
  call<M extends ApiMethod>(method: M, params: ApiParams<M>, options?: CallOptions): Promise<ApiResult<M>>;
  /** `<kind>.<command>`. */
  call(method: string, params: CommandParams, options?: CallOptions): Promise<CommandResult>;
  /** Ends with the signal, by leaving the loop, or by throwing what the server says. */
  watch(params: WatchParams, signal?: AbortSignal): WatchStream;
  /** Who we are to the server. */
  principal(): ApiResult<'auth'>;
  hello(): Hello;
  /** What waits rejects with `connection_lost`. */
  close(): void;
}

const backoffMinMs = 100;
const backoffMaxMs = 5_000;
/** Close codes after which dialling again would give the same answer. */
const finalCodes: readonly number[] = [4401, 4403, 4426];

/** A question that is asked again on the next line when its own is lost. */
interface Call extends Question {
  readonly turn: number;
  over: boolean;
}

/** Resolves when the first connection has been authenticated. @throws PhotonError `unreachable`, `unauthenticated` */
export async function connectPhoton(options: ConnectOptions): Promise<PhotonClient> {
  const connection = new Connection(options);
  await connection.open();
  return connection;
}

class Connection implements PhotonClient {
  readonly #options: ConnectOptions;
  readonly #clock: Clock;
  /** Unanswered, and without a line. */
  #unasked: Call[] = [];
  #turn = 0;
  readonly #watches = new Set<WatchStream>();
  #line: ClientLine | undefined;
  #hello: Hello | undefined;
  #principal: ApiResult<'auth'> | undefined;
  #failures = 0;
  #closed = false;
  #cancelRedial = (): void => {};

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#clock = options.clock ?? clientClock;
  }

  async open(): Promise<void> {
    try {
      await this.#dial();
    } catch (error) {
      this.#closed = true;
      throw error;
    }
  }

  call(method: string, params: unknown, options: CallOptions = {}): Promise<never> {
    const { timeoutMs = this.#options.callTimeoutMs ?? 150_000, signal, traceparent } = options;
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(connectionLost('the client has been closed'));
      const settle = (): void => {
        call.over = true;
        cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      this.#turn += 1;
      const call: Call = {
        turn: this.#turn,
        over: false,
        method,
        params,
        traceparent,
        onResult: (result) => {
          settle();
          resolve(result as never);
        },
        onRefused: (error) => {
          settle();
          reject(error);
        },
        onLost: () => void this.#unasked.push(call),
      };
      const onAbort = (): void =>
        call.onRefused(new PhotonError('unknown', 'call_aborted', `${method} was given up by its caller.`));
      const cancel = this.#clock.after(timeoutMs, () => {
        const text = `${method} has no answer after ${timeoutMs} ms; ask again with the same idempotencyKey.`;
        call.onRefused(new PhotonError('unknown', 'call_timeout', text));
      });
      if (signal?.aborted === true) return onAbort();
      signal?.addEventListener('abort', onAbort);
      if (this.#line === undefined) this.#unasked.push(call);
      else this.#line.ask(call);
      return undefined;
    });
  }

  watch(params: WatchParams, signal?: AbortSignal): WatchStream {
    const line = {
      open: (given: WatchParams, onOpen: (opened: OpenedWatch) => void) => this.#openWatch(given, onOpen),
      ack: (watch: string, upTo: number) => this.#tell('watch.ack', { watch, upTo }),
      close: (watch: string) => this.#tell('watch.close', { watch }),
    };
    const stop = (): void => stream.close();
    const stream = new WatchStream(line, params, () => {
      this.#watches.delete(stream);
      signal?.removeEventListener('abort', stop);
    });
    if (signal?.aborted === true || this.#closed) {
      stream.close();
      return stream;
    }
    signal?.addEventListener('abort', stop);
    this.#watches.add(stream);
    if (this.#line !== undefined) void stream.connect();
    return stream;
  }

  principal(): ApiResult<'auth'> {
    return this.#principal as ApiResult<'auth'>;
  }

  hello(): Hello {
    return this.#hello as Hello;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelRedial();
    this.#line?.close('the client has been closed');
    this.#line = undefined;
    for (const call of this.#takeUnasked()) call.onRefused(connectionLost('the client has been closed'));
    for (const watch of this.#watches) watch.close();
  }

  async #dial(): Promise<void> {
    const { url, openSocket, connectTimeoutMs = 10_000 } = this.#options;
    const line = new ClientLine({
      url,
      openSocket,
      clock: this.#clock,
      connectTimeoutMs,
      credential: () => this.#credential(),
      onWatchFrame: (frame) => this.#onWatchFrame(frame),
      onEnded: (code, why) => this.#onEnded(line, code, why),
    });
    const { hello, principal } = await line.ready;
    if (this.#closed) return line.close('the client has been closed');
    this.#hello = hello;
    this.#principal = principal;
    this.#line = line;
    this.#failures = 0;
    for (const call of this.#takeUnasked()) line.ask(call);
    for (const watch of this.#watches) void watch.connect();
    return undefined;
  }

  async #credential(): Promise<Credential> {
    const { token, ticket } = this.#options;
    if (token !== undefined) return { token };
    if (ticket !== undefined) return { ticket: await ticket() };
    throw new PhotonError(
      'rejection',
      'credential_needed',
      'Give connectPhoton a token, or a function that gets a ticket.',
    );
  }

  /** In the order in which they were asked first, without those that nobody waits for any more. */
  #takeUnasked(): Call[] {
    const calls = this.#unasked.filter(({ over }) => !over).toSorted((a, b) => a.turn - b.turn);
    this.#unasked = [];
    return calls;
  }

  /** A request of this line only: what resumes by itself is not sent again. */
  async #openWatch(params: WatchParams, onOpen: (opened: OpenedWatch) => void): Promise<void> {
    const line = this.#line;
    if (line === undefined) throw connectionLost('no connection');
    await line.request('watch.open', params, (result) => onOpen(result as OpenedWatch));
  }

  /** Whose answer does not matter: the watch may have ended meanwhile, which its own frames say. */
  #tell(method: string, params: unknown): void {
    this.#line?.request(method, params).catch((error: PhotonError) => this.#options.onIgnored?.(error));
  }

  #onWatchFrame(frame: WatchFrame): void {
    for (const watch of this.#watches) {
      if (!watch.isFor(frame)) continue;
      if (watch.take(frame)) return;
      this.#tell('watch.close', { watch: frame.watch });
      watch.dropped();
      void watch.connect();
      return;
    }
  }

  #onEnded(line: ClientLine, code: number, why: string): void {
    // A line that never stood is reported by `ready`.
    if (this.#line !== line || this.#closed) return;
    this.#line = undefined;
    for (const watch of this.#watches) watch.dropped();
    this.#options.onDrop?.(why);
    if (finalCodes.includes(code))
      this.#giveUp(new PhotonError('rejection', 'refused', `The server closed the session: ${why}.`));
    else this.#redial();
  }

  #redial(): void {
    const delayMs = Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    this.#cancelRedial = this.#clock.after(delayMs, () => {
      this.#dial().then(
        () => this.#options.onBack?.(),
        (error: PhotonError) => {
          if (this.#closed) return;
          if (error.record.group === 'rejection') this.#giveUp(error);
          else this.#redial();
        },
      );
    });
  }

  #giveUp(error: PhotonError): void {
    this.#closed = true;
    for (const call of this.#takeUnasked()) call.onRefused(error);
    for (const watch of this.#watches) watch.fail(error);
    this.#options.onRefused?.(error);
  }
}
