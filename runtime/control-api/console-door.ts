/**
 * Consoles of objects over WebSocket, on /console of the servers of the control API. A session asks for a token
 * (`actor.console`), which opens one console once; the token is sent in the first frame, so that no address, header or
 * log has it. After that binary frames carry bytes both ways, between the client and the node that has the object.
 * Nothing here interprets or logs a byte.
 * Promise (docs/threats.md#t90, #t91): a token is good for one console, one principal, one use and `tokenMs`; a client
 * whose credential ends loses its console within `bookmarkMs`; one that reads too slowly is cut, and holds
 * `heldBytes` at most.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import { z } from 'zod';
import type { OutputPlace } from '../contract/actor-definition.ts';
import type { Clock } from '../contract/clock.ts';
import { describeCause, PhotonError, reject } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import type { Principal } from './access-rule.ts';
import type { ApiLimits } from './api-limits.ts';
import type { BrowserPasses, Pass } from './browser-passes.ts';
import type { Principals } from './principals.ts';
import { startSocketHeartbeat } from './socket-heartbeat.ts';

export const consoleUpgradePath = '/console';
export const consoleProtocol = 'photon.console.v1';
export const tokenMs = 60_000;

/** What a client types comes in small frames. */
const maxInputBytes = 16 << 10;
/** Unsent output at which its source is paused. */
const heldBytes = 256 << 10;
const slowMs = 10_000;
const lookMs = 50;
const maxConsoles = 200;
const maxConsolesOfPrincipal = 10;

/** Why a console was closed, as codes of WebSocket; the reason is text for a person. */
const codes = {
  ended: 1000,
  restarting: 1012,
  token: 4401,
  absent: 4404,
  slow: 4408,
  busy: 4409,
  failed: 4500,
} as const;

const helloSchema = z.strictObject({ token: z.string().min(1).max(128) });

interface Grant extends Pass {
  /** Actor id. */
  readonly object: string;
  readonly place: OutputPlace;
  readonly endMs: number;
  isUsed: boolean;
}

export interface ConsoleDoorOptions {
  /** Opens the stream on the node. @throws PhotonError */
  readonly openStream: (place: OutputPlace) => Promise<Duplex>;
  readonly principals: Principals;
  readonly passes: Pick<BrowserPasses, 'isRevoked'>;
  readonly clock: Clock;
  readonly limits: Pick<ApiLimits, 'authTimeoutMs' | 'heartbeatMs' | 'maxPasses'>;
  readonly log: Log;
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

export class ConsoleDoor {
  readonly #options: ConsoleDoorOptions;
  /** By digest of the token; also used and old ones for a while, to say why they are refused. */
  readonly #grants = new Map<string, Grant>();
  /** Null: its client has not sent a token yet. */
  readonly #open = new Map<WebSocket, Grant | null>();
  readonly #acceptor = new WebSocketServer({
    noServer: true,
    maxPayload: maxInputBytes,
    perMessageDeflate: false,
    clientTracking: false,
    handleProtocols: () => consoleProtocol,
  });

  constructor(options: ConsoleDoorOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /** @returns a token that opens this console once, for this principal */
  mint(pass: Pass, object: string, place: OutputPlace): string {
    const nowMs = this.#options.clock.monotonicMs();
    for (const [digest, { endMs }] of this.#grants) if (endMs + tokenMs < nowMs) this.#grants.delete(digest);
    const own = [...this.#grants].filter(([, grant]) => grant.principal.name === pass.principal.name);
    const excess = own.slice(0, Math.max(0, own.length + 1 - this.#options.limits.maxPasses));
    for (const [digest] of excess) this.#grants.delete(digest);
    const token = randomBytes(24).toString('base64url');
    this.#grants.set(digestOf(token), { ...pass, object, place, endMs: nowMs + tokenMs, isUsed: false });
    return token;
  }

  /** The server has checked where the request comes from. */
  upgrade(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    this.#acceptor.handleUpgrade(request, stream, head, (socket) => this.#welcome(socket));
  }

  isFull(): boolean {
    return this.#open.size >= maxConsoles;
  }

  /** Ends the consoles whose credential is no longer accepted. */
  review(): void {
    for (const [socket, grant] of this.#open)
      if (grant !== null && this.#principalOf(grant) === undefined)
        socket.close(codes.token, 'the credential is no longer valid');
  }

  close(): void {
    for (const socket of this.#open.keys()) socket.close(codes.restarting, 'restarting');
  }

  #welcome(socket: WebSocket): void {
    const { clock, limits, log } = this.#options;
    this.#open.set(socket, null);
    socket.on('error', (error) => log.debug({ why: error.message }, 'a console failed'));
    startSocketHeartbeat(socket, clock, limits.heartbeatMs);
    const giveUp = clock.after(limits.authTimeoutMs, () => socket.close(codes.token, 'no token came in time'));
    socket.once('close', () => {
      giveUp();
      this.#open.delete(socket);
    });
    socket.once('message', (bytes, isBinary) => {
      giveUp();
      void this.#admit(socket, isBinary ? '' : textOf(bytes));
    });
  }

  async #admit(socket: WebSocket, text: string): Promise<void> {
    const { log, openStream } = this.#options;
    // Nothing is read until there is somebody to read it.
    socket.pause();
    try {
      const grant = this.#spend(text);
      this.#open.set(socket, grant);
      const stream = await openStream(grant.place);
      log.info({ object: grant.object, principal: grant.principal.name }, 'a console was opened');
      join(socket, stream, this.#options.clock);
      socket.send(JSON.stringify({ open: grant.object }));
      socket.resume();
    } catch (error) {
      if (!(error instanceof PhotonError)) throw error;
      const { code, group, message } = error.record;
      if (group !== 'rejection') log.warn({ why: describeCause(error) }, 'a console could not be opened');
      const shown = group === 'rejection' ? message : 'the host of the object cannot be reached; try again';
      // Its client must be heard to close it.
      socket.resume();
      socket.close(closeCodeOf(code, group), shown.slice(0, 120));
    }
  }

  /** @throws rejection `console_token` */
  #spend(text: string): Grant {
    const { token } = helloSchema.catch({ token: '' }).parse(parsed(text));
    const grant = this.#grants.get(digestOf(token));
    const refuse = (why: string): PhotonError => reject('console_token', `${why}; ask for another one`);
    if (grant === undefined) throw refuse('this node has given out no such console token');
    if (grant.isUsed) throw refuse('the console token was used already');
    if (this.#options.clock.monotonicMs() > grant.endMs) throw refuse('the console token is older than a minute');
    grant.isUsed = true;
    if (this.#principalOf(grant) === undefined) throw refuse('the credential that got the console token has ended');
    const same = [...this.#open.values()].filter((one) => one?.principal.name === grant.principal.name);
    if (same.length >= maxConsolesOfPrincipal)
      throw reject('console_busy', `${maxConsolesOfPrincipal} consoles are open already; close one of them`);
    return grant;
  }

  #principalOf({ principal, browser }: Pass): Principal | undefined {
    const { principals, passes } = this.#options;
    return browser !== undefined && passes.isRevoked(browser) ? undefined : principals.byId(principal.id);
  }
}

const textOf = (bytes: RawData): string =>
  (Array.isArray(bytes) ? Buffer.concat(bytes) : Buffer.from(bytes as Buffer)).toString();

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function closeCodeOf(code: string, group: string): number {
  if (group !== 'rejection') return codes.failed;
  if (code === 'console_token') return codes.token;
  return code === 'console_busy' ? codes.busy : codes.absent;
}

/** Passes bytes both ways until either end closes. */
function join(socket: WebSocket, stream: Duplex, clock: Clock): void {
  let cancel = (): void => {};
  /** Looks until the client has taken what it was sent. */
  const awaitClient = (sinceMs: number): void => {
    cancel = clock.after(lookMs, () => {
      if (socket.bufferedAmount < heldBytes) return void stream.resume();
      if (clock.monotonicMs() - sinceMs < slowMs) return awaitClient(sinceMs);
      socket.close(codes.slow, 'the console was read too slowly');
      // A client that does not read does not read the close either.
      clock.after(lookMs, () => socket.terminate());
      return undefined;
    });
  };
  stream.on('data', (bytes: Buffer) => {
    socket.send(bytes, { binary: true });
    if (socket.bufferedAmount < heldBytes) return;
    stream.pause();
    awaitClient(clock.monotonicMs());
  });
  stream.on('drain', () => socket.resume());
  stream.on('error', () => socket.close(codes.failed, 'the connection to the host was lost'));
  stream.on('end', () => socket.close(codes.ended, 'the run has ended'));
  stream.on('close', () => socket.close(codes.ended, 'the run has ended'));
  socket.on('message', (bytes: RawData) => {
    if (!stream.write(Buffer.from(bytes as Buffer))) socket.pause();
  });
  socket.once('close', () => {
    cancel();
    stream.destroy();
  });
}
