/**
 * The control API of a node: handles WebSocket upgrades on /api and the HTTP requests of browser-entry.ts, on servers
 * that the composition root owns. Without TLS only loopback and unix sockets are served. It hosts no actor and has no
 * access to the store: it reads through the Reader port and sends commands through `ask`.
 */
import { randomBytes } from 'node:crypto';
import { STATUS_CODES, type IncomingMessage, type Server as PlainServer, type ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { WebSocketServer, type WebSocket } from 'ws';
import type { ActorRegistry } from '../contract/actor-definition.ts';
import type { Clock } from '../contract/clock.ts';
import type { Command, Reply } from '../contract/envelope.ts';
import { reject } from '../contract/errors.ts';
import type { Historian } from '../contract/historian.ts';
import type { Log } from '../contract/log.ts';
import { NumberedSlots } from '../contract/numbered-slots.ts';
import type { Random } from '../contract/random.ts';
import type { Reader } from '../contract/reader.ts';
import type { Principal } from './access-rule.ts';
import { defaultApiLimits, toldLimitsOf, type ApiLimits } from './api-limits.ts';
import { apiPath, apiProtocol, batchFeature } from './api-schema.ts';
import { createBrowserEntry, isSameOrigin } from './browser-entry.ts';
import { createBrowserPasses } from './browser-passes.ts';
import { ClientSession, type SessionPorts } from './client-session.ts';
import { commandMethods } from './command-methods.ts';
import { historyMethods, hotHistorian } from './history-methods.ts';
import type { ApiPorts } from './method-table.ts';
import { operatorMethods } from './operator-methods.ts';
import type { Principals } from './principals.ts';
import { RateLimits } from './rate-limit.ts';
import { readMethods } from './read-methods.ts';
import { schemaBundle, schemaHash } from './schema-documents.ts';
import { startSocketHeartbeat } from './socket-heartbeat.ts';
import { createWatchHub } from './watch-hub.ts';
import { watchMethods } from './watch-methods.ts';

export interface ControlApiOptions {
  readonly registry: ActorRegistry;
  readonly reader: Reader;
  /** Without one, the methods read only the history that the store still has. */
  readonly historian?: Historian;
  readonly ask: (command: Command) => Promise<Reply>;
  readonly principals: Principals;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly node: string;
  readonly version: string;
  readonly limits?: Partial<ApiLimits>;
  /** Further HTTP routes on the same servers. @returns whether it handled the request */
  readonly routes?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Signs session cookies; 32 bytes or more. A kept key keeps browser sessions over a restart; default: a new key. */
  readonly cookieKey?: Uint8Array;
}

export interface ControlApi {
  attach(server: PlainServer | Server): void;
  /** Text for `/open#<secret>`: one use, valid for `ttlMs`. */
  mintSecret(principal: Principal, ttlMs: number): string;
  /** Waits for requests in flight (at most 2 s), then closes every session with 1012, upon which clients reconnect. */
  close(): Promise<void>;
  sessions(): number;
}

export function createControlApi(options: ControlApiOptions): ControlApi {
  const { registry, reader, principals, clock, ask } = options;
  const limits = { ...defaultApiLimits, ...options.limits };
  const log = options.log.child({ part: 'control-api' });
  const hub = createWatchHub({ reader, clock, random: options.random, log });
  const passes = createBrowserPasses({ principals, clock, limits, cookieKey: options.cookieKey ?? randomBytes(32) });
  const { node, historian = hotHistorian(reader) } = options;
  const shared = { registry, reader, historian, ask, clock, log, limits, node };
  const ports: ApiPorts = { ...shared, hub, passes, waits: new NumberedSlots() };
  const methods = new Map(
    [readMethods, historyMethods, watchMethods, commandMethods, operatorMethods].flatMap((make) => [...make(ports)]),
  );
  const sessions = new Map<WebSocket, ClientSession>();
  const handshakes = new RateLimits(limits.handshakesPerS, limits.handshakesPerS);
  const rateOf = (request: IncomingMessage): number =>
    handshakes.take(request.socket.remoteAddress ?? 'local', clock.monotonicMs());
  const sessionPorts: SessionPorts = {
    methods,
    principals,
    passes,
    limits,
    scopeRates: new RateLimits(limits.scopeCommandsPerS, limits.scopeCommandBurst),
    clock,
    log,
    hello: {
      protocol: apiProtocol,
      serverVersion: options.version,
      node,
      features: [batchFeature],
      schemaHash: schemaHash(schemaBundle(registry, limits)),
      limits: toldLimitsOf(limits),
      maxFrameBytes: limits.maxFrameBytes,
      heartbeatMs: limits.heartbeatMs,
      authTimeoutMs: limits.authTimeoutMs,
    },
    admit: (principal) => admit(principal, [...sessions.values()], limits),
  };
  const acceptor = new WebSocketServer({
    noServer: true,
    maxPayload: limits.maxFrameBytes,
    perMessageDeflate: false,
    clientTracking: false,
    handleProtocols: () => apiProtocol,
  });
  const isReady = (): Promise<boolean> =>
    reader.now().then(
      () => true,
      () => false,
    );
  const entry = createBrowserEntry({ principals, passes, limits, clock, log, node, rateOf, isReady });

  const onUpgrade = (request: IncomingMessage, stream: Duplex, head: Buffer): void => {
    stream.on('error', (error) =>
      log.debug({ why: error.message }, 'a connection failed while its session was opened'),
    );
    const verdict = judgeUpgrade(request, principals, rateOf);
    const pending = [...sessions.values()].filter((session) => session.principal === undefined).length;
    if ('status' in verdict) return refuse(stream, verdict.status);
    if (pending >= limits.maxPending || sessions.size >= limits.maxSessions) return refuse(stream, 503);
    return acceptor.handleUpgrade(request, stream, head, (socket) => {
      startSocketHeartbeat(socket, clock, limits.heartbeatMs);
      socket.once('close', () => sessions.delete(socket));
      sessions.set(socket, new ClientSession(sessionPorts, socket, stream, verdict.principal));
    });
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    if (!isPrivate(request)) response.writeHead(403).end();
    else if (!entry(request, response) && options.routes?.(request, response) !== true) response.writeHead(404).end();
  };

  const servers = new Set<PlainServer | Server>();
  let cancelReview = (): void => {};
  const review = (): void => {
    for (const session of sessions.values()) session.review();
    cancelReview = clock.after(limits.bookmarkMs, review);
  };
  cancelReview = clock.after(limits.bookmarkMs, review);

  return {
    attach(server) {
      servers.add(server);
      server.on('upgrade', onUpgrade);
      server.on('request', onRequest);
    },
    mintSecret: passes.mintSecret,
    async close() {
      cancelReview();
      for (const server of servers) {
        server.off('upgrade', onUpgrade);
        server.off('request', onRequest);
      }
      await closeAll([...sessions], clock);
      for (const giveUp of ports.waits.drain()) giveUp();
      hub.close();
    },
    sessions: () => sessions.size,
  };
}

/** @throws PhotonError `too_many_sessions` */
function admit(principal: Principal, sessions: readonly ClientSession[], limits: ApiLimits): void {
  const same = sessions.filter((session) => session.principal?.name === principal.name);
  const scope = principal.scopes === '*' ? undefined : principal.scopes[0];
  const neighbours = sessions.filter(
    ({ principal: other }) =>
      scope !== undefined && other !== undefined && other.scopes !== '*' && other.scopes.includes(scope),
  );
  if (Math.max(same.length, neighbours.length) >= limits.maxSessionsPerScope) {
    throw reject('too_many_sessions', `${limits.maxSessionsPerScope} sessions are already open; close some of them.`);
  }
}

/** Whether the request came over TLS, loopback or a unix socket: unencrypted traffic must not leave the computer. */
function isPrivate(request: IncomingMessage): boolean {
  const address = request.socket.remoteAddress;
  if (request.socket instanceof TLSSocket || address === undefined) return true;
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}

function judgeUpgrade(
  request: IncomingMessage,
  principals: Principals,
  rateOf: (request: IncomingMessage) => number,
): { readonly status: number } | { readonly principal: Principal | undefined } {
  if ((request.url ?? '/').split('?', 1)[0] !== apiPath) return { status: 404 };
  if (!isPrivate(request) || !isSameOrigin(request)) return { status: 403 };
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((text) => text.trim());
  if (!offered.includes(apiProtocol)) return { status: 426 };
  if (rateOf(request) > 0) return { status: 429 };
  const [scheme = '', token = ''] = (request.headers.authorization ?? '').split(' ');
  if (scheme !== '') {
    const principal = scheme.toLowerCase() === 'bearer' ? principals.byToken(token) : undefined;
    return principal === undefined ? { status: 401 } : { principal };
  }
  const { socket } = request;
  if (principals.byCertificate === undefined || !(socket instanceof TLSSocket) || !socket.authorized) {
    return { principal: undefined };
  }
  const name: unknown = socket.getPeerCertificate().subject?.CN;
  return { principal: typeof name === 'string' ? principals.byCertificate(name) : undefined };
}

function refuse(stream: Duplex, status: number): void {
  const upgrade = status === 426 ? `Sec-WebSocket-Protocol: ${apiProtocol}\r\nUpgrade: websocket\r\n` : '';
  const retry = status === 429 || status === 503 ? 'Retry-After: 1\r\n' : '';
  const rest = `${upgrade}${retry}Connection: close\r\nContent-Length: 0\r\n\r\n`;
  stream.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${rest}`);
}

async function closeAll(sessions: readonly (readonly [WebSocket, ClientSession])[], clock: Clock): Promise<void> {
  const gone = sessions.map(([socket, session]) => {
    const closed = new Promise<void>((resolve) => {
      if (socket.readyState === socket.CLOSED) resolve();
      else socket.once('close', () => resolve());
    });
    const cancel = clock.after(2_000, () => socket.terminate());
    void session.restart();
    return closed.then(cancel);
  });
  await Promise.all(gone);
}
