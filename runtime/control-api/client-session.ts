/**
 * One client's WebSocket: sends hello, waits for auth, then passes requests to methods and sends the answers, within
 * limits. It handles sockets, limits and credentials; the method table knows what a method does. Close codes: 4400 bad
 * frame, 4401 not authenticated, 4403 forbidden, 4408 too slow, 1009 too large, 1012 restarting.
 */
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Clock } from '../contract/clock.ts';
import { PhotonError, reject } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { payerOf, type Principal } from './access-rule.ts';
import type { ApiLimits } from './api-limits.ts';
import { checked, rpcErrorOf } from './api-problem.ts';
import { apiMethods, type Hello, type RequestFrame, type RpcId } from './api-schema.ts';
import type { BrowserPasses } from './browser-passes.ts';
import type { ByteBudget, HeldBytes } from './byte-budget.ts';
import { readFrame, type FrameReading } from './frame-reader.ts';
import { FrameSender } from './frame-sender.ts';
import type { LoadShedding } from './load-shedding.ts';
import { ReadyResult, type Caller, type MethodTable } from './method-table.ts';
import type { Principals } from './principals.ts';
import { RateLimit, type RateLimits } from './rate-limit.ts';
import { mintTrace } from './trace-minting.ts';
import type { WatchSubscription } from './watch-subscription.ts';
import type { WorkTurns } from './work-turns.ts';

export interface SessionPorts {
  readonly methods: MethodTable;
  readonly principals: Principals;
  readonly passes: BrowserPasses;
  readonly limits: ApiLimits;
  readonly scopeRates: RateLimits;
  readonly scopeReads: RateLimits;
  readonly turns: WorkTurns;
  readonly budget: ByteBudget;
  readonly shedding: LoadShedding;
  readonly clock: Clock;
  readonly log: Log;
  readonly hello: Omit<Hello, 'authenticated'>;
  /** Checks the limit of sessions for the principal. @throws PhotonError `too_many_sessions` */
  readonly admit: (principal: Principal) => void;
}

/** A read token pays for so many characters of an answer. */
const charsPerToken = 16_384;
const shedRetryMs = 1_000;

interface ReceivedFrame {
  readonly bytes: Buffer;
  readonly isBinary: boolean;
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
  readonly #caller: Omit<Caller, 'principal' | 'browser' | 'trace'> = {
    watches: this.#watches,
    nextWatchId: () => `w${(this.#watchCount += 1)}`,
    sendWatchFrame: (frame) => this.#sender.send({ jsonrpc: '2.0', method: 'watch.event', params: frame }),
    maySend: () => !this.#sender.paused,
    charge: (tokens) => this.#charge(tokens),
    inTurn: (task) => this.#inTurn(task),
    // A method runs only when there is a principal.
    hold: () => this.#ports.budget.hold(this.#principal as Principal),
  };
  /** Received and not handled; the socket is not read meanwhile. */
  readonly #frames: ReceivedFrame[] = [];
  #principal: Principal | undefined;
  /** The browser session whose ticket opened this one; its logout ends this one, too. */
  #browser: string | undefined;
  #unsent: HeldBytes | undefined;
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
      held: () => this.#unsent,
      onPaused: () => this.#read(),
      onDrained: () => this.#onDrained(),
      onTooSlow: (why) => this.#cutSlow(why),
    });
    this.#cancelAuth = clock.after(limits.authTimeoutMs, () => this.#close(4401, 'no auth in time'));
    socket.on('message', (bytes, isBinary) => {
      if (this.#frames.push({ bytes: bytes as Buffer, isBinary }) === 1) this.#takeFrames();
    });
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

  /** Whether it waits for its `auth`. */
  get isPending(): boolean {
    return this.#principal === undefined && this.#socket.readyState === this.#socket.OPEN;
  }

  /** Ends a session that waits for its `auth`, because a newer one needs its place. */
  makeRoom(): void {
    this.#socket.terminate();
  }

  get watches(): number {
    return this.#watches.size;
  }

  /** Ends the session when its credential was revoked or changed. @returns whether the session may continue */
  review(): boolean {
    const principal = this.#principal;
    const { principals, passes } = this.#ports;
    const isLoggedOut = this.#browser !== undefined && passes.isRevoked(this.#browser);
    if (principal === undefined || (principals.byId(principal.id) !== undefined && !isLoggedOut)) return true;
    for (const watch of this.#watches.values()) watch.close();
    this.#closeSoon(4401, isLoggedOut ? 'logged out' : 'the token is no longer valid');
    return false;
  }

  /** Waits until no request is in flight, then closes with 1012, upon which the client reconnects. */
  async restart(): Promise<void> {
    if (this.#inFlight.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    this.#close(1012, 'restarting');
  }

  get #payer(): string {
    return this.#principal === undefined ? '' : payerOf(this.#principal);
  }

  #takeFrames(): void {
    this.#ports.turns.run(this.#payer, () => this.#takeFrame());
    this.#read();
  }

  #inTurn(task: () => void): void {
    this.#ports.turns.run(this.#payer, () => {
      task();
      return false;
    });
  }

  /** @returns whether there are more */
  #takeFrame(): boolean {
    // A client that does not read its answers gets no further ones; what it sent waits until it has read.
    if (this.#sender.paused) return false;
    const [frame] = this.#frames;
    if (frame !== undefined) this.#onFrame(frame);
    this.#frames.shift();
    this.#read();
    return this.#frames.length > 0;
  }

  /** Reads the socket only while nothing waits, in either direction. */
  #read(): void {
    // One that is being closed is read, or the close frame of the client would never arrive.
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const waits = this.#sender.paused || this.#frames.length > 0;
    if (waits !== this.#socket.isPaused) this.#socket[waits ? 'pause' : 'resume']();
  }

  #onFrame({ bytes, isBinary }: ReceivedFrame): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    if (isBinary) return this.#close(4400, 'frames are text');
    const readings = readFrame(bytes.toString(), this.#ports.limits);
    if (readings.length > 1) this.#sender.join();
    const ids = new Set<RpcId>();
    for (const reading of readings) if (!this.#onReading(reading, ids)) return undefined;
    return undefined;
  }

  /**
   * @param ids of this frame until now, answered or not
   * @returns false when the session was closed because of it
   */
  #onReading(reading: FrameReading, ids: Set<RpcId>): boolean {
    if (reading.result === 'refused') {
      const text = `The frame is not accepted: ${reading.why}.`;
      this.#fail(reading.id, reject('frame_malformed', text), mintTrace());
      return true;
    }
    const why = reading.result === 'malformed' ? reading.why : this.#repeats(reading.request, ids);
    if (why !== undefined) {
      this.#close(4400, why);
      return false;
    }
    if (reading.result === 'request') this.#answer(reading.request);
    return true;
  }

  #repeats({ id }: RequestFrame, ids: Set<RpcId>): string | undefined {
    if (this.#inFlight.has(id) || ids.has(id)) return 'a request with this id is already in flight';
    ids.add(id);
    return undefined;
  }

  #answer(request: RequestFrame): void {
    const { id } = request;
    const trace = request.traceparent ?? mintTrace();
    this.#inFlight.add(id);
    try {
      const result = this.#perform(request, trace);
      if (result instanceof Promise) void this.#answerLater(id, result, trace);
      // Answered at once, so that the turn of this session counts what the answer costs.
      else this.#succeed(id, result);
    } catch (error) {
      this.#settle(id);
      this.#fail(id, error, trace);
    }
  }

  async #answerLater(id: RpcId, result: Promise<unknown>, trace: string): Promise<void> {
    try {
      this.#succeed(id, await result);
    } catch (error) {
      this.#settle(id);
      this.#fail(id, error, trace);
    }
  }

  #succeed(id: RpcId, result: unknown): void {
    const text = textOf(id, result);
    this.#settle(id);
    this.#sender.sendText(text);
    this.#charge(text.length / charsPerToken);
  }

  #settle(id: RpcId): void {
    this.#inFlight.delete(id);
    if (this.#inFlight.size === 0) this.#idle();
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
    this.#limitRate(name, method?.command === true, principal, params);
    if (method === undefined) throw reject('method_not_found', `There is no method ${name}; see rpc.discover.`);
    const valid = method.isValid?.(params) === true ? params : checked(method.params, params, name);
    return method.perform(valid as never, { ...this.#caller, principal, browser: this.#browser, trace });
  }

  #limitRate(name: string, command: boolean, principal: Principal, params: Record<string, unknown>): void {
    const nowMs = this.#ports.clock.monotonicMs();
    // An acknowledgement is never refused: that would stall its watch.
    if (name === 'watch.ack') return;
    // Operators may end what delays the node; and a ping asks for nothing.
    if (!principal.admin && name !== 'ping' && this.#ports.shedding.refuses()) {
      throw overloaded('This node is behind with its own work', shedRetryMs);
    }
    const waitMs = (command ? this.#commandRate : this.#readRate).take(nowMs);
    if (waitMs > 0) throw overloaded('This session sends requests too fast', waitMs);
    if (!command) {
      const payer = payerOf(principal);
      const readWaitMs = this.#ports.scopeReads.take(payer, nowMs);
      if (readWaitMs > 0) throw overloaded(`Reads of ${payer} are sent too fast`, readWaitMs);
      return;
    }
    // An operator verb names an actor and does not count for the rate of its scope.
    if (params['scope'] === undefined) return;
    // The command counts for the rate of its scope, unless the principal has no access to that scope.
    const scope = String(params['scope']);
    const own = principal.scopes === '*' || principal.scopes.includes(scope);
    const scopeWaitMs = own ? this.#ports.scopeRates.take(scope, nowMs) : 0;
    if (scopeWaitMs > 0) throw overloaded(`Commands for ${scope.slice(0, 40)} are sent too fast`, scopeWaitMs);
  }

  #charge(atLeast: number): void {
    const tokens = Math.floor(atLeast);
    if (tokens === 0) return;
    const principal = this.#principal;
    this.#readRate.charge(tokens);
    if (principal === undefined) return;
    this.#ports.scopeReads.charge(payerOf(principal), tokens, this.#ports.clock.monotonicMs());
  }

  #authenticate(params: unknown): unknown {
    // Of a session that has a principal, which may renew its token; another credential that is wrong ends the session.
    const waitMs = this.#principal === undefined ? 0 : this.#readRate.take(this.#ports.clock.monotonicMs());
    if (waitMs > 0) throw overloaded('This session sends requests too fast', waitMs);
    const { token, ticket } = checked(apiMethods.auth.params, params, 'auth');
    const { principals, passes } = this.#ports;
    const pass = token === undefined && ticket !== undefined ? passes.spendTicket(ticket) : undefined;
    const found = token === undefined ? pass?.principal : principals.byToken(token);
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
    this.#browser = pass?.browser;
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
    this.#unsent?.set(0);
    this.#unsent = this.#ports.budget.hold(principal);
    this.#cancelAuth();
  }

  #fail(id: RpcId, error: unknown, trace: string): void {
    const traceId = trace.slice(3, 35);
    this.#sender.send({ jsonrpc: '2.0', id, error: rpcErrorOf(error, traceId, this.#ports.log) });
  }

  #onDrained(): void {
    if (this.#frames.length > 0) this.#takeFrames();
    this.#read();
    for (const watch of this.#watches.values()) this.#inTurn(() => watch.pump());
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

const textOf = (id: RpcId, result: unknown): string =>
  result instanceof ReadyResult
    ? `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result.text}}`
    : JSON.stringify({ jsonrpc: '2.0', id, result });

const overloaded = (what: string, retryAfterMs: number): PhotonError =>
  new PhotonError('rejection', 'overloaded', `${what}; wait ${retryAfterMs} ms.`, { retryable: true, retryAfterMs });
