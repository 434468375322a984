/**
 * One client's WebSocket: sends hello, waits for auth, then passes requests to methods and sends the answers, within
 * limits. It handles sockets, limits and credentials; the method table knows what a method does. Close codes: 4400 bad
 * frame, 4401 not authenticated, 4403 forbidden, 4408 too slow, 1009 too large, 1012 restarting.
 */
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';
import { PhotonError, reject } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import type { Principal } from './access-rule.ts';
import type { ApiLimits } from './api-limits.ts';
import { checked, rpcErrorOf } from './api-problem.ts';
import { apiMethods, type Hello, type RequestFrame, type RpcId } from './api-schema.ts';
import type { BrowserPasses } from './browser-passes.ts';
import { readFrame, type FrameReading } from './frame-reader.ts';
import { FrameSender } from './frame-sender.ts';
import type { Caller, Method, MethodTable } from './method-table.ts';
import type { Principals } from './principals.ts';
import { RateLimit, type RateLimits } from './rate-limit.ts';
import type { WatchSubscription } from './watch-subscription.ts';

export interface SessionPorts {
  readonly methods: MethodTable;
  readonly principals: Principals;
  readonly passes: BrowserPasses;
  readonly limits: ApiLimits;
  readonly scopeRates: RateLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly hello: Omit<Hello, 'authenticated'>;
  /** Checks the limit of sessions for the principal. @throws PhotonError `too_many_sessions` */
  readonly admit: (principal: Principal) => void;
}

export class ClientSession {
  readonly #ports: SessionPorts;
  readonly #socket: WebSocket;
  readonly #sender: FrameSender;
  readonly #inFlight = new Set<RpcId>();
  readonly #watches = new Map<string, WatchSubscription>();
  readonly #commandRate: RateLimit;
  readonly #readRate: RateLimit;
  readonly #cancelAuth: () => void;
  /** The part of a Caller that is the same for all requests. */
  readonly #caller: Omit<Caller, 'principal' | 'trace'> = {
    watches: this.#watches,
    nextWatchId: () => `w${(this.#watchCount += 1)}`,
    sendWatchFrame: (frame) => this.#sender.send({ jsonrpc: '2.0', method: 'watch.event', params: frame }),
    maySend: () => !this.#sender.paused,
  };
  #principal: Principal | undefined;
  #watchCount = 0;
  #idle = (): void => {};

  constructor(ports: SessionPorts, socket: WebSocket, stream: Duplex, known: Principal | undefined) {
    this.#ports = ports;
    this.#socket = socket;
    const { clock, limits } = ports;
    this.#commandRate = new RateLimit(limits.commandsPerS, limits.commandBurst, clock.monotonicMs());
    this.#readRate = new RateLimit(limits.readsPerS, limits.readBurst, clock.monotonicMs());
    this.#sender = new FrameSender({
      socket,
      stream,
      clock,
      limits,
      onPaused: () => socket.pause(),
      onDrained: () => this.#onDrained(),
      onTooSlow: (why) => this.#cutSlow(why),
    });
    this.#cancelAuth = clock.after(limits.authTimeoutMs, () => this.#close(4401, 'no auth in time'));
    socket.on('message', (bytes, isBinary) => this.#onFrame(bytes as Buffer, isBinary));
    socket.on('error', (error) => ports.log.debug({ why: error.message }, 'a session broke'));
    socket.once('close', () => this.#onClosed());
    this.#sender.send({
      jsonrpc: '2.0',
      method: 'hello',
      params: { ...ports.hello, authenticated: known !== undefined },
    });
    if (known === undefined) return;
    try {
      this.#become(known);
    } catch (error) {
      // The socket is already being closed with the right code; there is no request to answer.
      ports.log.info({ err: error, principal: known.name }, 'a session was not admitted');
    }
  }

  get principal(): Principal | undefined {
    return this.#principal;
  }

  /** Ends the session when its credential was revoked or changed. @returns whether the session may continue */
  review(): boolean {
    const principal = this.#principal;
    if (principal === undefined || this.#ports.principals.byId(principal.id) !== undefined) return true;
    for (const watch of this.#watches.values()) watch.close();
    this.#closeSoon(4401, 'the token is no longer valid');
    return false;
  }

  /** Waits until no request is in flight, then closes with 1012, upon which the client reconnects. */
  async restart(): Promise<void> {
    if (this.#inFlight.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    this.#close(1012, 'restarting');
  }

  #onFrame(bytes: Buffer, isBinary: boolean): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (isBinary) return this.#close(4400, 'frames are text');
    const readings = readFrame(bytes.toString(), this.#ports.limits);
    if (readings.length > 1) this.#sender.join();
    for (const reading of readings) if (!this.#onReading(reading)) return undefined;
    return undefined;
  }

  /** @returns false when the session was closed because of it */
  #onReading(reading: FrameReading): boolean {
    if (reading.result === 'refused') {
      const text = `The frame is not accepted: ${reading.why}.`;
      this.#fail(reading.id, reject('frame_malformed', text), mintTrace());
      return true;
    }
    const why = reading.result === 'malformed' ? reading.why : this.#repeats(reading.request);
    if (why !== undefined) {
      this.#close(4400, why);
      return false;
    }
    if (reading.result === 'request') void this.#answer(reading.request);
    return true;
  }

  #repeats({ id }: RequestFrame): string | undefined {
    return this.#inFlight.has(id) ? 'a request with this id is already in flight' : undefined;
  }

  async #answer(request: RequestFrame): Promise<void> {
    const { id } = request;
    const trace = request.traceparent ?? mintTrace();
    this.#inFlight.add(id);
    try {
      const result = await this.#perform(request, trace);
      this.#sender.send({ jsonrpc: '2.0', id, result });
    } catch (error) {
      this.#fail(id, error, trace);
    } finally {
      this.#inFlight.delete(id);
      if (this.#inFlight.size === 0) this.#idle();
    }
  }

  /** @throws PhotonError when the request is refused; or returns a promise that rejects with it */
  #perform({ method: name, params = {} }: RequestFrame, trace: string): Promise<unknown> | unknown {
    const { limits, methods } = this.#ports;
    if (this.#inFlight.size > limits.maxInFlight) throw overloaded('Too many requests are in flight', 50);
    if (name === 'auth') return this.#authenticate(params);
    const principal = this.#principal;
    if (principal === undefined) {
      this.#closeSoon(4401, 'auth must come first');
      throw reject('unauthenticated', 'Send auth with a token or a ticket first.');
    }
    if (!this.review()) throw reject('unauthenticated', 'The token is no longer valid; get another one.');
    const method = methods.get(name);
    if (method === undefined) throw reject('method_not_found', `There is no method ${name}; see rpc.discover.`);
    this.#limitRate(name, method, principal, params);
    const valid = method.isValid?.(params) === true ? params : checked(method.params, params, name);
    return method.perform(valid as never, { ...this.#caller, principal, trace });
  }

  #limitRate(name: string, method: Method, principal: Principal, params: Record<string, unknown>): void {
    const nowMs = this.#ports.clock.monotonicMs();
    // An acknowledgement is never refused: that would stall its watch.
    if (name === 'watch.ack') return;
    const waitMs = (method.command ? this.#commandRate : this.#readRate).take(nowMs);
    if (waitMs > 0) throw overloaded('This session sends requests too fast', waitMs);
    // An operator verb names an actor and does not count for the rate of its scope.
    if (!method.command || params['scope'] === undefined) return;
    // The command counts for the rate of its scope, unless the principal has no access to that scope.
    const scope = String(params['scope']);
    const own = principal.scopes === '*' || principal.scopes.includes(scope);
    const scopeWaitMs = own ? this.#ports.scopeRates.take(scope, nowMs) : 0;
    if (scopeWaitMs > 0) throw overloaded(`Commands for ${scope.slice(0, 40)} are sent too fast`, scopeWaitMs);
  }

  #authenticate(params: unknown): unknown {
    const { token, ticket } = checked(apiMethods.auth.params, params, 'auth');
    const { principals, passes } = this.#ports;
    const found =
      token !== undefined ? principals.byToken(token) : ticket === undefined ? undefined : passes.spendTicket(ticket);
    if (found === undefined) {
      this.#closeSoon(4401, 'the credential is not valid');
      throw reject('unauthenticated', 'The token or ticket is not valid; get another one.');
    }
    const before = this.#principal;
    if (before !== undefined && before.name !== found.name) {
      this.#closeSoon(4403, 'a session keeps its principal');
      throw reject('forbidden', 'A session keeps its principal; open another one.');
    }
    this.#become(found);
    return { principal: found.name, scopes: found.scopes, admin: found.admin };
  }

  #become(principal: Principal): void {
    if (this.#principal === undefined) {
      try {
        this.#ports.admit(principal);
      } catch (error) {
        this.#closeSoon(4403, 'too many sessions');
        throw error;
      }
    } else if (JSON.stringify(this.#principal.scopes) !== JSON.stringify(principal.scopes)) {
      // Watches opened with the old scopes must not continue.
      for (const watch of this.#watches.values()) watch.close();
    }
    this.#principal = principal;
    this.#cancelAuth();
  }

  #fail(id: RpcId, error: unknown, trace: string): void {
    const traceId = trace.slice(3, 35);
    this.#sender.send({ jsonrpc: '2.0', id, error: rpcErrorOf(error, traceId, this.#ports.log) });
  }

  #onDrained(): void {
    this.#socket.resume();
    for (const watch of this.#watches.values()) watch.pump();
  }

  #cutSlow(why: string): void {
    this.#ports.log.warn({ principal: this.#principal?.name, why }, 'closed a session that reads too slowly');
    this.#close(4408, 'too slow');
  }

  #close(code: number, reason: string): void {
    const socket = this.#socket;
    if (socket.readyState !== socket.OPEN) return;
    // A paused socket would never receive the client's close frame.
    socket.resume();
    this.#sender.flush();
    socket.close(code, reason);
    const cancel = this.#ports.clock.after(1_000, () => socket.terminate());
    socket.once('close', cancel);
  }

  /** Closes after the error that is being thrown has been sent as an answer. */
  #closeSoon(code: number, reason: string): void {
    setImmediate(() => this.#close(code, reason));
  }

  #onClosed(): void {
    this.#cancelAuth();
    for (const watch of this.#watches.values()) watch.close();
    this.#idle();
  }
}

const overloaded = (what: string, retryAfterMs: number): PhotonError =>
  new PhotonError('rejection', 'overloaded', `${what}; wait ${retryAfterMs} ms.`, { retryable: true, retryAfterMs });

const traceBytes = 24;
/** Random bytes are drawn in blocks: one call of the generator per request would cost more than the rest of it. */
let drawn = Buffer.alloc(0);
let drawnAt = 0;

function mintTrace(): string {
  if (drawnAt + traceBytes > drawn.length) {
    drawn = randomBytes(traceBytes * 256);
    drawnAt = 0;
  }
  const hex = drawn.toString('hex', drawnAt, (drawnAt += traceBytes));
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-01`;
}
