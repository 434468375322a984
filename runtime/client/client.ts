/**
 * The typed client of the control API, for the CLI, the inspector, tests and third parties; works in Node and browsers.
 * It keeps one connection: after a drop it reconnects (backoff.ts), sends unanswered calls again (commands have an
 * idempotencyKey, so nothing is done twice) and resumes watches from their cursors. A call that does not fit into a
 * frame is refused before it is sent (request-frame.ts), one that ends connections is not sent again (suspicion.ts).
 *
 *   const client = await connectPhoton({ url, token, openSocket: nodeSocketFactory({ ca }) });
 *   await client.call('vm.start', { scope: 'acme', name: 'web-1', idempotencyKey: key, params: {} });
 *   for await (const frame of client.watch({ kind: 'vm' }, signal)) ...
 */
import { backoffOf } from '../contract/backoff.ts';
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
import { clientClock, clientFraction } from './client-clock.ts';
import { ClientConnection, type Credential, type ClientRequest } from './client-connection.ts';
import type { SocketFactory } from './client-socket.ts';
import { Suspicion, type Loss } from './suspicion.ts';
import { connectionLost } from './wire-error.ts';
import { WatchStream, type OpenedWatch } from './watch-stream.ts';

export type { ActorObject, HistoryItem, ListedActor, WatchFrame } from '../control-api/api-schema.ts';

export interface ConnectOptions {
  /** `wss://host:listenPort/api` */
  readonly url: string;
  readonly openSocket: SocketFactory;
  readonly token?: string;
  /** For browsers: gets a new one-use ticket for every connection. */
  readonly ticket?: () => Promise<string>;
  /** Time limit for establishing and authenticating a connection; default 10 s. */
  readonly connectTimeoutMs?: number;
  /** Default time limit of a call, reconnections included; 150 s. */
  readonly callTimeoutMs?: number;
  /** The connection was lost; the client reconnects. */
  readonly onDrop?: (why: string) => void;
  readonly onBack?: () => void;
  /** The server refused the client finally (4401, 4403, 4426): it does not reconnect. */
  readonly onRefused?: (error: PhotonError) => void;
  /** Errors of requests whose answer nobody waits for (watch.ack, watch.close); for logs. */
  readonly onIgnored?: (error: PhotonError) => void;
  readonly clock?: Clock;
  /** Chance, uniform in [0, 1): spreads the attempts of clients that lost the same server. */
  readonly fraction?: () => number;
}

export interface CallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** W3C traceparent, stored with everything the call causes. */
  readonly traceparent?: string;
}

type WatchParams = ApiParams<'watch.open'>;

export interface PhotonClient {
  /** @throws PhotonError the server's error; unknown `connection_lost` or `call_timeout` when no answer came */
  call<M extends ApiMethod>(method: M, params: ApiParams<M>, options?: CallOptions): Promise<ApiResult<M>>;
  /** `<kind>.<command>`. */
  call(method: string, params: CommandParams, options?: CallOptions): Promise<CommandResult>;
  /** Ends by the signal, by leaving the loop, or by throwing the server's error. */
  watch(params: WatchParams, signal?: AbortSignal): WatchStream;
  /** The principal as which the server authenticated us. */
  principal(): ApiResult<'auth'>;
  hello(): Hello;
  /** Calls that wait reject with `connection_lost`. */
  close(): void;
}

const backoffMinMs = 100;
const backoffMaxMs = 5_000;
/** Close codes after which a new connection would be refused again. */
const finalCodes: readonly number[] = [4401, 4403, 4426];

/** So long must a connection have lasted for the next one to be tried without a growing pause. */
const steadyMs = 10_000;
/** A suspected request is watched so long before the next one is sent; one that ends connections does so at once. */
const suspectMs = 1_000;

/**
 * The shortest pause that a close code asks for. A server that restarts (1012) has as many clients as it had sessions,
 * and all of them come back.
 */
const pauseAfterMs: Readonly<Record<number, number>> = { 1001: 500, 1012: 500, 1013: 1_000, 4408: 1_000 };

/** A request that is sent again on the next connection when its connection is lost. */
interface Call extends ClientRequest {
  readonly order: number;
  readonly suspicion: Suspicion;
  over: boolean;
  /** Called when it has been answered or lost. */
  settled: () => void;
}

/** Resolves when the first connection has been authenticated. @throws PhotonError `unreachable`, `unauthenticated` */
export async function connectPhoton(options: ConnectOptions): Promise<PhotonClient> {
  const client = new ReconnectingClient(options);
  await client.open();
  return client;
}

class ReconnectingClient implements PhotonClient {
  readonly #options: ConnectOptions;
  readonly #clock: Clock;
  /** Calls without an answer that wait for a connection. */
  #waiting: Call[] = [];
  #order = 0;
  readonly #watches = new Set<WatchStream>();
  #connection: ClientConnection | undefined;
  #hello: Hello | undefined;
  #principal: ApiResult<'auth'> | undefined;
  #failures = 0;
  #connectedMs = 0;
  #closed = false;
  #cancelReconnect = (): void => {};

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#clock = options.clock ?? clientClock;
  }

  async open(): Promise<void> {
    try {
      await this.#connect();
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
        call.settled();
        cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      this.#order += 1;
      const call: Call = {
        order: this.#order,
        suspicion: new Suspicion(),
        over: false,
        settled: () => {},
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
        onLost: (loss) => {
          const proven = call.suspicion.note(method, loss);
          if (proven !== undefined) return call.over ? undefined : call.onRefused(proven);
          this.#waiting.push(call);
          return call.settled();
        },
      };
      const onAbort = (): void =>
        call.onRefused(new PhotonError('unknown', 'call_aborted', `${method} was aborted by its caller.`));
      const cancel = this.#clock.after(timeoutMs, () => {
        const text = `${method} has no answer after ${timeoutMs} ms; ask again with the same idempotencyKey.`;
        call.onRefused(new PhotonError('unknown', 'call_timeout', text));
      });
      if (signal?.aborted === true) return onAbort();
      signal?.addEventListener('abort', onAbort);
      if (this.#connection === undefined) this.#waiting.push(call);
      else this.#connection.send(call);
      return undefined;
    });
  }

  watch(params: WatchParams, signal?: AbortSignal): WatchStream {
    const suspicion = new Suspicion();
    const requests = {
      suspicion,
      open: (given: WatchParams, onOpen: (opened: OpenedWatch) => void) => this.#openWatch(given, onOpen, suspicion),
      ack: (watch: string, upTo: number) => this.#tell('watch.ack', { watch, upTo }),
      close: (watch: string) => this.#tell('watch.close', { watch }),
    };
    const stop = (): void => stream.close();
    const stream = new WatchStream(requests, params, () => {
      this.#watches.delete(stream);
      signal?.removeEventListener('abort', stop);
    });
    if (signal?.aborted === true || this.#closed) {
      stream.close();
      return stream;
    }
    signal?.addEventListener('abort', stop);
    this.#watches.add(stream);
    if (this.#connection !== undefined) void stream.connect();
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
    this.#cancelReconnect();
    this.#connection?.close('the client has been closed');
    this.#connection = undefined;
    for (const call of this.#takeWaiting()) call.onRefused(connectionLost('the client has been closed'));
    for (const watch of this.#watches) watch.close();
  }

  async #connect(): Promise<void> {
    const { url, openSocket, connectTimeoutMs = 10_000 } = this.#options;
    const connection = new ClientConnection({
      url,
      openSocket,
      clock: this.#clock,
      connectTimeoutMs,
      credential: () => this.#credential(),
      onWatchFrame: (frame) => this.#onWatchFrame(frame),
      onEnded: (loss) => this.#onEnded(connection, loss),
    });
    const { hello, principal } = await connection.ready;
    if (this.#closed) return connection.close('the client has been closed');
    this.#hello = hello;
    this.#principal = principal;
    this.#connection = connection;
    this.#connectedMs = this.#clock.monotonicMs();
    for (const call of this.#takeWaiting(({ suspicion }) => !suspicion.suspected)) connection.send(call);
    for (const watch of this.#watches) if (!watch.suspected) void watch.connect();
    void this.#sendSuspects(connection);
    return undefined;
  }

  /** One after the other, so that the one that ends the connection is alone when it does. */
  async #sendSuspects(connection: ClientConnection): Promise<void> {
    for (const watch of [...this.#watches].filter(({ suspected }) => suspected)) {
      if (this.#connection !== connection) return;
      await this.#atMost(suspectMs, watch.connect());
    }
    for (;;) {
      const suspects = this.#waiting.filter(({ over, suspicion }) => !over && suspicion.suspected);
      const [call] = suspects.toSorted((a, b) => a.order - b.order);
      if (call === undefined || this.#connection !== connection) return;
      this.#waiting.splice(this.#waiting.indexOf(call), 1);
      const settled = new Promise<void>((resolve) => (call.settled = resolve));
      connection.send(call);
      await this.#atMost(suspectMs, settled);
    }
  }

  async #atMost(timeMs: number, work: Promise<void>): Promise<void> {
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => (cancel = this.#clock.after(timeMs, resolve)));
    await Promise.race([work, late]);
    cancel();
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

  /** The waiting calls in their original order, without those that have timed out or were aborted. */
  #takeWaiting(isMeant: (call: Call) => boolean = () => true): Call[] {
    const calls = this.#waiting.filter(({ over }) => !over).toSorted((a, b) => a.order - b.order);
    this.#waiting = calls.filter((call) => !isMeant(call));
    return calls.filter(isMeant);
  }

  /** Sent on this connection only: after a drop the watch itself sends it again with its cursor. */
  #openWatch(params: WatchParams, onOpen: (opened: OpenedWatch) => void, suspicion: Suspicion): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return Promise.reject(connectionLost('no connection'));
    const method = 'watch.open';
    return new Promise((resolve, reject) =>
      connection.send({
        method,
        params,
        onResult: (result) => {
          onOpen(result as OpenedWatch);
          resolve();
        },
        onRefused: reject,
        onLost: (loss) => reject(suspicion.note(method, loss) ?? connectionLost(loss.why)),
      }),
    );
  }

  /** Sends a request whose answer does not matter: an error only means that the watch has already ended. */
  #tell(method: string, params: unknown): void {
    this.#connection?.request(method, params).catch((error: PhotonError) => this.#options.onIgnored?.(error));
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

  #onEnded(connection: ClientConnection, { code, why }: Loss): void {
    // A connection that was never established is reported by `ready`.
    if (this.#connection !== connection || this.#closed) return;
    this.#connection = undefined;
    const isSteady = this.#clock.monotonicMs() - this.#connectedMs >= steadyMs;
    this.#failures = isSteady ? 0 : this.#failures + 1;
    for (const watch of this.#watches) watch.dropped();
    this.#options.onDrop?.(why);
    if (finalCodes.includes(code))
      this.#giveUp(new PhotonError('rejection', 'refused', `The server closed the session: ${why}.`));
    else this.#reconnect(pauseAfterMs[code] ?? 0);
  }

  /** @param atLeastMs what the server asked to wait */
  #reconnect(atLeastMs: number): void {
    const fraction = (this.#options.fraction ?? clientFraction)();
    const pause = { minMs: backoffMinMs, maxMs: backoffMaxMs, failures: this.#failures, fraction, atLeastMs };
    this.#cancelReconnect = this.#clock.after(backoffOf(pause), () => {
      this.#connect().then(
        () => this.#options.onBack?.(),
        (error: PhotonError) => {
          if (this.#closed) return;
          const { group, retryable, retryAfterMs = 0 } = error.record;
          this.#failures += 1;
          if (group === 'rejection' && !retryable) this.#giveUp(error);
          else this.#reconnect(retryAfterMs);
        },
      );
    });
  }

  #giveUp(error: PhotonError): void {
    this.#closed = true;
    for (const call of this.#takeWaiting()) call.onRefused(error);
    for (const watch of this.#watches) watch.fail(error);
    this.#options.onRefused?.(error);
  }
}
