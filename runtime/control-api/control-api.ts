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
import type { ActorRegistry, OutputPlace } from '../contract/actor-definition.ts';
import type { Clock, SharedClock } from '../contract/clock.ts';
import type { Command, Reply } from '../contract/envelope.ts';
import { PhotonError, reject } from '../contract/errors.ts';
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
import { ByteBudget } from './byte-budget.ts';
import { ClientSession, type SessionPorts } from './client-session.ts';
import { ConsoleDoor, consoleProtocol, consoleUpgradePath } from './console-door.ts';
import { commandMethods } from './command-methods.ts';
import { createHandshakeRates, type HandshakeRates } from './handshake-rates.ts';
import { historyMethods, hotHistorian } from './history-methods.ts';
import { LoadShedding } from './load-shedding.ts';
import { memoryLogouts, type Logouts } from './logout-file.ts';
import { inputMethods } from './input-methods.ts';
import type { ApiPorts, SendInput } from './method-table.ts';
import { nodeMethods, type ClusterNodes } from './node-methods.ts';
import { operatorMethods } from './operator-methods.ts';
import type { Principals } from './principals.ts';
import { RateLimits } from './rate-limit.ts';
import { readMethods } from './read-methods.ts';
import { createReadiness } from './readiness.ts';
import { schemaBundle, schemaHash } from './schema-documents.ts';
import type { SecretSealer } from './secret-params.ts';
import { startSocketHeartbeat } from './socket-heartbeat.ts';
import { createWatchHub } from './watch-hub.ts';
import { watchMethods } from './watch-methods.ts';
import { WorkTurns } from './work-turns.ts';

export interface ControlApiOptions {
  readonly registry: ActorRegistry;
  readonly reader: Reader;
  /** Without one, the methods read only the history that the store still has. */
  readonly historian?: Historian;
  readonly ask: (command: Command) => Promise<Reply>;
  /** Without it, no object has output. */
  readonly readOutput?: (place: OutputPlace) => Promise<string>;
  /** Opens the console of an object on its node; without it, no object has one. */
  readonly openStream?: (place: OutputPlace) => Promise<Duplex>;
  /** Without it, no object takes bytes. */
  readonly sendInput?: SendInput;
  readonly principals: Principals;
  readonly clock: SharedClock;
  readonly random: Random;
  readonly log: Log;
  readonly node: string;
  /** Nodes of the cluster and revocations; without it there are no methods about them. */
  readonly nodes?: ClusterNodes;
  /** Seals what commands hold secret; without it such commands are refused. */
  readonly secrets?: SecretSealer | undefined;
  readonly version: string;
  readonly limits?: Partial<ApiLimits>;
  /** Further HTTP routes on the same servers. @returns whether it handled the request */
  readonly routes?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** The delay of the event loop as long as it lasts, ms; default: never any. */
  readonly delayMs?: () => number;
  /** Figures of the node in the text format of Prometheus, for operators at `/metrics`. */
  readonly metrics?: () => Promise<string>;
  /** Browser sessions that were logged out; default: kept in this process only. */
  readonly logouts?: Logouts;
  /** Signs session cookies; 32 bytes or more. A kept key keeps browser sessions over a restart; default: a new key. */
  readonly cookieKey?: Uint8Array;
}

export interface ControlApi {
  attach(server: PlainServer | Server): void;
  /** Text for `/open#<secret>`: one use, valid for `ttlMs`. */
  mintSecret(principal: Principal, ttlMs: number): string;
  /** Ends the sessions whose token is no longer accepted. It also happens by itself, every `bookmarkMs`. */
  review(): void;
  /** Waits for requests in flight (at most 2 s), then closes every session with 1012, upon which clients reconnect. */
  close(): Promise<void>;
  sessions(): number;
  /** For the metrics of the node. */
  figures(): Readonly<Record<string, number>>;
}

const noStream = (): Promise<Duplex> => Promise.reject(reject('console_absent', 'there are no consoles here'));
const noOutput = (): Promise<string> => Promise.resolve('');
const noInput: SendInput = () => Promise.reject(reject('no_input', 'This node sends no bytes to objects.'));
const methodMakers = [
  readMethods,
  historyMethods,
  watchMethods,
  commandMethods,
  operatorMethods,
  nodeMethods,
  inputMethods,
];

function helloOf({ version, node, registry }: ControlApiOptions, limits: ApiLimits): SessionPorts['hello'] {
  const { maxFrameBytes, heartbeatMs, authTimeoutMs } = limits;
  return {
    protocol: apiProtocol,
    serverVersion: version,
    node,
    features: [batchFeature],
    schemaHash: schemaHash(schemaBundle(registry, limits)),
    limits: toldLimitsOf(limits),
    maxFrameBytes,
    heartbeatMs,
    authTimeoutMs,
  };
}

export function createControlApi(options: ControlApiOptions): ControlApi {
  const { registry, reader, principals, clock, ask } = options;
  const limits = { ...defaultApiLimits, ...options.limits };
  const log = options.log.child({ part: 'control-api' });
  const hub = createWatchHub({ reader, clock, random: options.random, log });
  const { logouts = memoryLogouts(clock), cookieKey = randomBytes(32) } = options;
  const passes = createBrowserPasses({ principals, clock, limits, cookieKey, logouts });
  const { node, historian = hotHistorian(reader) } = options;
  const { readOutput = noOutput, sendInput = noInput, nodes, secrets } = options;
  const shared = { registry, reader, historian, ask, readOutput, sendInput, clock, log, limits, node, nodes, secrets };
  const { openStream = noStream } = options;
  const consoles = new ConsoleDoor({ openStream, principals, passes, clock, limits, log });
  const ports: ApiPorts = { ...shared, hub, passes, consoles, waits: new NumberedSlots() };
  const sessions = new Map<WebSocket, ClientSession>();
  const rates = createHandshakeRates(limits.handshakesPerS, clock);
  const reviewAll = (): void => {
    for (const session of sessions.values()) session.review();
    consoles.review();
  };
  principals.onChange?.(reviewAll);
  const { delayMs = () => 0, metrics = () => Promise.resolve('') } = options;
  const budget = new ByteBudget(limits);
  const shedding = new LoadShedding(delayMs, limits.shedDelayMs);
  const sessionPorts: SessionPorts = {
    methods: new Map(methodMakers.flatMap((make) => [...make(ports)])),
    principals,
    passes,
    limits,
    scopeRates: new RateLimits(limits.scopeCommandsPerS, limits.scopeCommandBurst),
    scopeReads: new RateLimits(limits.scopeReadsPerS, limits.scopeReadBurst),
    turns: new WorkTurns(clock, limits.turnMs),
    budget,
    shedding,
    clock,
    log,
    hello: helloOf(options, limits),
    admit: (principal) => admit(principal, [...sessions.values()], limits),
  };
  const acceptor = new WebSocketServer({
    noServer: true,
    maxPayload: limits.maxFrameBytes,
    perMessageDeflate: false,
    clientTracking: false,
    handleProtocols: () => apiProtocol,
  });
  const isReady = createReadiness({ askStore: () => reader.now(), clock, readyMs: limits.readyMs });
  const entry = createBrowserEntry({
    principals,
    passes,
    limits,
    log,
    node,
    rates,
    isReady,
    metrics,
    onLogout: reviewAll,
  });

  const onUpgrade = (request: IncomingMessage, stream: Duplex, head: Buffer): void => {
    stream.on('error', (error) =>
      log.debug({ why: error.message }, 'a connection failed while its session was opened'),
    );
    if (pathOf(request) === consoleUpgradePath) {
      const isOffered = protocolsOf(request).includes(consoleProtocol);
      if (!isPrivate(request) || !isSameOrigin(request)) return refuse(stream, 403);
      if (!isOffered) return refuse(stream, 426, consoleProtocol);
      if (consoles.isFull()) return refuse(stream, 503);
      return consoles.upgrade(request, stream, head);
    }
    const verdict = judgeUpgrade(request, principals, rates);
    if ('status' in verdict) return refuse(stream, verdict.status);
    if (shedding.refusesRequest(request, apiPath) || sessions.size >= limits.maxSessions) return refuse(stream, 503);
    // Not the new one is refused: whoever holds all places without a credential would keep everybody out.
    const pending = [...sessions.values()].filter((session) => session.isPending);
    if (verdict.principal === undefined && pending.length >= limits.maxPending) pending[0]?.makeRoom();
    return acceptor.handleUpgrade(request, stream, head, (socket) => {
      startSocketHeartbeat(socket, clock, limits.heartbeatMs);
      socket.once('close', () => sessions.delete(socket));
      sessions.set(socket, new ClientSession(sessionPorts, socket, stream, verdict.principal));
    });
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    if (!isPrivate(request)) response.writeHead(403).end();
    else if (shedding.refusesRequest(request, pathOf(request))) response.writeHead(503, { 'retry-after': '1' }).end();
    else if (!entry(request, response) && options.routes?.(request, response) !== true) response.writeHead(404).end();
  };

  const servers = new Set<PlainServer | Server>();
  let cancelReview = (): void => {};
  const review = (): void => {
    reviewAll();
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
    review: reviewAll,
    async close() {
      cancelReview();
      for (const server of servers) {
        server.off('upgrade', onUpgrade);
        server.off('request', onRequest);
      }
      consoles.close();
      await closeAll([...sessions], clock);
      for (const giveUp of ports.waits.drain()) giveUp();
      hub.close();
    },
    sessions: () => sessions.size,
    figures: () => ({
      api_sessions: sessions.size,
      api_consoles: consoles.size,
      api_watches: [...sessions.values()].reduce((sum, session) => sum + session.watches, 0),
      api_watched_actors: hub.actors(),
      api_held_bytes: budget.total(),
      api_shed_requests: shedding.refused,
    }),
  };
}

const pathOf = (request: IncomingMessage): string => (request.url ?? '/').split('?', 1)[0] as string;

/** @throws PhotonError `too_many_sessions` */
function admit(principal: Principal, sessions: readonly ClientSession[], limits: ApiLimits): void {
  const same = sessions.filter((session) => session.principal?.name === principal.name);
  const scope = principal.scopes === '*' ? undefined : principal.scopes[0];
  const neighbours = sessions.filter(
    ({ principal: other }) =>
      scope !== undefined && other !== undefined && other.scopes !== '*' && other.scopes.includes(scope),
  );
  if (Math.max(same.length, neighbours.length) >= limits.maxSessionsPerScope) {
    // Retryable: sessions whose network broke are open here until their silence is noticed.
    const text = `${limits.maxSessionsPerScope} sessions are already open; close some of them.`;
    throw new PhotonError('rejection', 'too_many_sessions', text, { retryable: true, retryAfterMs: 1_000 });
  }
}

const protocolsOf = (request: IncomingMessage): readonly string[] =>
  (request.headers['sec-websocket-protocol'] ?? '').split(',').map((text) => text.trim());

/** Whether the request came over TLS, loopback or a unix socket: unencrypted traffic must not leave the computer. */
function isPrivate(request: IncomingMessage): boolean {
  const address = request.socket.remoteAddress;
  if (request.socket instanceof TLSSocket || address === undefined) return true;
  return address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');
}

function judgeUpgrade(
  request: IncomingMessage,
  principals: Principals,
  rates: HandshakeRates,
): { readonly status: number } | { readonly principal: Principal | undefined } {
  if (pathOf(request) !== apiPath) return { status: 404 };
  if (!isPrivate(request) || !isSameOrigin(request)) return { status: 403 };
  if (!protocolsOf(request).includes(apiProtocol)) return { status: 426 };
  const [scheme = '', token = ''] = (request.headers.authorization ?? '').split(' ');
  if (scheme !== '') {
    const principal = scheme.toLowerCase() === 'bearer' ? principals.byToken(token) : undefined;
    if (principal === undefined) return { status: rates.ofWrong(request) > 0 ? 429 : 401 };
    return rates.of(principal) > 0 ? { status: 429 } : { principal };
  }
  const { socket } = request;
  if (principals.byCertificate === undefined || !(socket instanceof TLSSocket) || !socket.authorized) {
    return { principal: undefined };
  }
  const name: unknown = socket.getPeerCertificate().subject?.CN;
  return { principal: typeof name === 'string' ? principals.byCertificate(name) : undefined };
}

function refuse(stream: Duplex, status: number, protocol: string = apiProtocol): void {
  const upgrade = status === 426 ? `Sec-WebSocket-Protocol: ${protocol}\r\nUpgrade: websocket\r\n` : '';
  const retry = status === 429 || status === 503 ? 'Retry-After: 1\r\n' : '';
  const rest = `${upgrade}${retry}Connection: close\r\nContent-Length: 0\r\n\r\n`;
  // Destroyed even when the client does not close its half.
  stream.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${rest}`, () => stream.destroy());
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
