/**
 * The HTTP requests that a browser needs before it can open a session, and the health checks of the node:
 *   POST /api/session {"secret"} or {"token"}  -> 204 and a cookie that only /api sees
 *   POST /api/ticket                           -> {"ticket"} for `auth`, once, within 30 s
 *   DELETE /api/session                        -> ends the browser session and all that came of it
 *   GET /healthz, GET /readyz
 *   GET /metrics                               -> figures of the node, for operators and on the socket of this computer
 * A page of another site cannot use the cookie: Origin is checked and the cookie is SameSite=Strict.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import type { Log } from '../contract/log.ts';
import type { ApiLimits } from './api-limits.ts';
import type { BrowserPasses } from './browser-passes.ts';
import type { HandshakeRates } from './handshake-rates.ts';
import type { Principals } from './principals.ts';

const sessionBody = z.union([
  z.strictObject({ token: z.string().max(512) }),
  z.strictObject({ secret: z.string().max(128) }),
]);
const maxBodyBytes = 4_096;

export interface BrowserEntryOptions {
  readonly principals: Principals;
  readonly passes: BrowserPasses;
  readonly limits: ApiLimits;
  readonly log: Log;
  readonly node: string;
  readonly rates: HandshakeRates;
  /** Called after a browser session was ended, so that its sockets are closed. */
  readonly onLogout: () => void;
  /** Whether the node can serve: the store answers (readiness.ts). */
  readonly isReady: () => Promise<boolean>;
  readonly metrics: () => Promise<string>;
}

/** @returns a handler that answers true when the request was one of those above */
export function createBrowserEntry(
  options: BrowserEntryOptions,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { log } = options;
  return (request, response) => {
    const path = (request.url ?? '/').split('?', 1)[0] as string;
    const answer = answerFor(options, request, path);
    if (answer === undefined) return false;
    answer.then(
      (given) => send(response, given),
      (error: unknown) => {
        log.info({ err: error, path }, 'an HTTP request to the control API could not be read');
        if (!response.headersSent) send(response, { status: 400 });
      },
    );
    return true;
  };
}

interface Answer {
  readonly status: number;
  /** In place of a body. */
  readonly text?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

function send(response: ServerResponse, { status, text, body, headers }: Answer): void {
  response.writeHead(status, {
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(text === undefined ? {} : { 'content-type': 'text/plain; version=0.0.4' }),
    ...headers,
  });
  response.end(body === undefined ? text : `${JSON.stringify(body)}\n`);
}

function answerFor(options: BrowserEntryOptions, request: IncomingMessage, path: string): Promise<Answer> | undefined {
  const { method } = request;
  if (path === '/healthz' || path === '/readyz' || path === '/metrics') {
    if (method !== 'GET' && method !== 'HEAD') return Promise.resolve({ status: 405 });
    if (path === '/metrics') return figures(options, request);
    return path === '/healthz' ? Promise.resolve({ status: 200, body: { node: options.node } }) : readiness(options);
  }
  if (path !== '/api/session' && path !== '/api/ticket') return undefined;
  if (method !== 'POST' && !(method === 'DELETE' && path === '/api/session')) return Promise.resolve({ status: 405 });
  // A browser always sends Origin with these methods; pages of other sites and opaque origins are refused.
  if (!isSameOrigin(request)) return Promise.resolve({ status: 403, body: { error: 'foreign origin' } });
  if (method === 'DELETE') return Promise.resolve(logOut(options, request));
  return path === '/api/session' ? openSession(options, request) : mintTicket(options, request);
}

/** How a node does is for operators: their token, or the socket that only they can open. */
async function figures(options: BrowserEntryOptions, request: IncomingMessage): Promise<Answer> {
  const { principals, metrics, rates } = options;
  if (request.socket.remoteAddress !== undefined) {
    const [, token] = /^bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? [];
    const isOperator = token !== undefined && principals.byToken(token)?.admin === true;
    if (!isOperator) return tooMany(rates.ofWrong(request)) ?? { status: 401 };
  }
  return { status: 200, text: await metrics() };
}

const tooMany = (waitMs: number): Answer | undefined =>
  waitMs > 0 ? { status: 429, headers: { 'retry-after': String(Math.ceil(waitMs / 1_000)) } } : undefined;

function logOut({ passes, onLogout }: BrowserEntryOptions, request: IncomingMessage): Answer {
  passes.revoke(cookieOf(request));
  onLogout();
  return { status: 204, headers: { 'set-cookie': cookieLine(request, '', 0) } };
}

async function openSession(
  { principals, passes, limits, rates }: BrowserEntryOptions,
  request: IncomingMessage,
): Promise<Answer> {
  const parsed = sessionBody.safeParse(JSON.parse(await bodyOf(request)));
  if (!parsed.success) return { status: 400, body: { error: 'send {"secret"} or {"token"}' } };
  const given = parsed.data;
  const spent = 'secret' in given ? passes.spendSecret(given.secret) : undefined;
  const principal = 'token' in given ? principals.byToken(given.token) : spent?.principal;
  if (principal === undefined) {
    const error = 'the link is not valid or was already used; ask for a new link';
    return tooMany(rates.ofWrong(request)) ?? { status: 401, body: { error } };
  }
  // A secret that is spent is paid for: a principal has only so many.
  const excess = spent === undefined ? tooMany(rates.of(principal)) : undefined;
  const cookie = cookieLine(request, passes.sign(principal, spent?.browser), limits.sessionTtlMs);
  return excess ?? { status: 204, headers: { 'set-cookie': cookie } };
}

async function mintTicket({ passes, limits, rates }: BrowserEntryOptions, request: IncomingMessage): Promise<Answer> {
  await bodyOf(request);
  const pass = passes.read(cookieOf(request));
  if (pass === undefined) {
    const error = 'no session; open the inspector by `photon open`';
    return tooMany(rates.ofWrong(request)) ?? { status: 401, body: { error } };
  }
  const excess = tooMany(rates.of(pass.principal));
  return excess ?? { status: 200, body: { ticket: passes.mintTicket(pass), expiresInMs: limits.ticketTtlMs } };
}

async function readiness({ isReady, node }: BrowserEntryOptions): Promise<Answer> {
  return (await isReady())
    ? { status: 200, body: { node } }
    : { status: 503, body: { node, error: 'the store does not answer' } };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new Error(`the body is longer than ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** A request without Origin does not come from a browser; otherwise Origin must name the requested host. */
export function isSameOrigin(request: IncomingMessage): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  if (host === undefined || !URL.canParse(origin)) return false;
  return new URL(origin).host === host.toLowerCase();
}

/** Cookies are shared by all ports of a host, so the name depends on the port: two clusters on one host need that. */
const cookieName = (request: IncomingMessage): string =>
  `photon_${createHash('sha256')
    .update(request.headers.host ?? '')
    .digest('hex')
    .slice(0, 12)}`;

function cookieOf(request: IncomingMessage): string {
  const wanted = `${cookieName(request)}=`;
  const found = (request.headers.cookie ?? '').split('; ').find((part) => part.startsWith(wanted));
  return found?.slice(wanted.length) ?? '';
}

function cookieLine(request: IncomingMessage, value: string, ttlMs: number): string {
  const secure = 'encrypted' in request.socket ? '; Secure' : '';
  const rest = `Path=/api; HttpOnly; SameSite=Strict; Max-Age=${Math.floor(ttlMs / 1_000)}${secure}`;
  return `${cookieName(request)}=${value}; ${rest}`;
}
