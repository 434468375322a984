/**
 * Asks an http(s) address for the bytes of an image, from a given one on. The name is resolved once per request and the
 * connection goes to the address that was judged, so a name that changes its address changes nothing; each redirect is
 * a new request with the same judgement (docs/threats.md#t10). Proxies of the environment are not used: they would
 * resolve the name themselves. Called by copy-gathering.ts. Errors never name an address that a name resolved to.
 */
import { lookup } from 'node:dns/promises';
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { readImageUrl, type ImageUrl } from '@photoncloud/machines/values/image-url';
import { PhotonError, describeCause } from '@photoncloud/runtime/contract/errors';
import type { SourceLimits } from '../contract/storage-contract.ts';
import { errnoOf } from '../kernel-errors.ts';
import { refuseImage } from './image-errors.ts';
import { isPermitted, type AddressRules } from './source-address.ts';

export interface SourceAsk {
  readonly url: string;
  /** The first byte that is wanted. */
  readonly offset: number;
  /** What the server said of the bytes that are here: they are completed only if it says the same again. */
  readonly validator: string | null;
  readonly rules: AddressRules;
  readonly limits: SourceLimits;
  readonly signal: AbortSignal;
}

export const defaultSourceLimits: SourceLimits = {
  maxBytes: 64 * 2 ** 30,
  headMs: 20_000,
  windowMs: 30_000,
  minBytesPerS: 4_096,
};

export interface SourceAnswer {
  readonly stream: IncomingMessage;
  /** Where the stream begins: at the wanted byte, or at 0. */
  readonly offset: number;
  readonly totalBytes: number | null;
  readonly validator: string | null;
}

const redirectsAtMost = 3;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** What a server says that may serve the file later. */
const passing: ReadonlySet<number> = new Set([408, 425, 429]);
const headerBytes = 16_384;

export const sourceFault = (code: string, why: string, cause?: unknown): PhotonError =>
  new PhotonError('fault', code, `${why}.`, { public: true, ...(cause === undefined ? {} : { cause }) });

/** @throws defeat `source_*` of ImageRefusal; fault `source_unreachable`, `source_failed` */
export async function askSource(ask: SourceAsk): Promise<SourceAnswer> {
  let { url } = ask;
  for (let followed = 0; ; followed += 1) {
    const target = readImageUrl(url);
    if (typeof target === 'string') throw refuseImage('source_url', `${shownUrl(url)} ${target}`);
    const response = await withinTime(ask, (signal) => send(ask, url, target, signal));
    const status = response.statusCode ?? 0;
    if (!redirects.has(status)) return judge(ask, url, status, response);
    response.destroy();
    if (followed === redirectsAtMost)
      throw refuseImage('source_redirects', `${shownUrl(ask.url)} redirects more than ${redirectsAtMost} times`);
    const next = nextUrl(url, response.headers.location ?? '');
    if (target.isSecure && next.startsWith('http:'))
      throw refuseImage('source_url', `${shownUrl(url)} leads from https to http`);
    url = next;
  }
}

/** An absolute address is judged as it was sent; a relative one takes its host from the address before. */
function nextUrl(url: string, location: string): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(location)) return location;
  if (location !== '' && URL.canParse(location, url)) return new URL(location, url).href;
  throw refuseImage('source_url', `${shownUrl(url)} redirects to no address`);
}

/** A query may hold a secret, and errors are stored. */
const shownUrl = (url: string): string => JSON.stringify((url.split(/[?#]/, 1)[0] ?? '').slice(0, 200));

async function withinTime<Result>(ask: SourceAsk, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const time = AbortSignal.timeout(ask.limits.headMs);
  const ended = new Promise<never>((_, reject) => {
    const end = (): void => reject(sourceFault('source_unreachable', `${shownUrl(ask.url)} does not answer in time`));
    time.addEventListener('abort', end, { once: true });
  });
  // Nobody waits for it any more when the work has ended before.
  ended.catch(() => {});
  try {
    // A question for a name cannot be cancelled; its answer comes too late then.
    return await Promise.race([work(AbortSignal.any([time, ask.signal])), ended]);
  } catch (error) {
    ask.signal.throwIfAborted();
    throw error;
  }
}

async function resolve(ask: SourceAsk, url: string, host: string): Promise<string> {
  let found: readonly { readonly address: string }[];
  try {
    found = isIP(host) === 0 ? await lookup(host, { all: true, order: 'ipv4first' }) : [{ address: host }];
  } catch (error) {
    throw sourceFault(
      'source_unreachable',
      `the name of ${shownUrl(url)} cannot be resolved (${errnoOf(error)})`,
      error,
    );
  }
  const [first] = found;
  // One address that is not permitted is enough: a name must not be a way around the rule, at no attempt.
  if (first === undefined || found.some(({ address }) => !isPermitted(address, ask.rules)))
    throw refuseImage('source_denied', `the host of ${shownUrl(url)} has an address that images may not come from`);
  return first.address;
}

async function send(ask: SourceAsk, url: string, target: ImageUrl, signal: AbortSignal): Promise<IncomingMessage> {
  const address = await resolve(ask, url, target.host);
  signal.throwIfAborted();
  const isName = isIP(target.host) === 0;
  const named = target.host.includes(':') ? `[${target.host}]` : target.host;
  const isUsual = target.port === (target.isSecure ? 443 : 80);
  const range = ask.offset > 0 && ask.validator !== null;
  const options: RequestOptions = {
    host: address,
    port: target.port,
    path: target.target,
    // A new connection without a proxy for every request.
    agent: false,
    maxHeaderSize: headerBytes,
    headers: {
      host: isUsual ? named : `${named}:${target.port}`,
      'user-agent': 'photoncloud',
      accept: '*/*',
      'accept-encoding': 'identity',
      ...(range ? { range: `bytes=${ask.offset}-`, 'if-range': ask.validator ?? '' } : {}),
    },
  };
  return new Promise((taken, reject) => {
    const request = target.isSecure
      ? httpsRequest({ ...options, servername: isName ? target.host : '', rejectUnauthorized: true })
      : httpRequest(options);
    const cut = (): void => void request.destroy(new Error('no answer in time'));
    signal.addEventListener('abort', cut, { once: true });
    request.once('response', (response) => {
      // The time for the head is not that for the body, which the caller reads.
      signal.removeEventListener('abort', cut);
      response.on('error', () => {});
      taken(response);
    });
    request.on('error', (error) =>
      reject(sourceFault('source_unreachable', `${shownUrl(url)} cannot be read: ${plainly(error)}`, error)),
    );
    request.end();
  });
}

/** Without the address: whoever named the host learns nothing of what it resolves to. */
const plainly = (error: unknown): string => {
  const errno = errnoOf(error);
  return errno === '' ? describeCause(error).slice(0, 100) : errno;
};

function judge(ask: SourceAsk, url: string, status: number, response: IncomingMessage): SourceAnswer {
  const refuse = (error: PhotonError): never => {
    response.destroy();
    throw error;
  };
  if (status !== 200 && status !== 206 && status !== 416) {
    const text = `${shownUrl(url)} answers ${status}`;
    const isPassing = status >= 500 || passing.has(status);
    return refuse(isPassing ? sourceFault('source_failed', text) : refuseImage('source_refused', text));
  }
  const { etag = '', 'last-modified': modified = '', 'content-encoding': encoding = 'identity' } = response.headers;
  if (encoding !== 'identity')
    return refuse(refuseImage('source_encoded', `${shownUrl(url)} answers with a content encoding`));
  // A weak validator does not promise the same bytes.
  const strong = etag !== '' && !etag.startsWith('W/') ? etag : '';
  const validator = (strong || modified).slice(0, 256) || null;
  const length = Number(response.headers['content-length'] ?? Number.NaN);
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers['content-range'] ?? '');
  const isRest = status === 206 && Number(range?.[1]) === ask.offset;
  // Asked again without a range.
  if (status === 416 || (status === 206 && !isRest))
    return refuse(sourceFault('source_range', `${shownUrl(url)} answers with another range than was asked for`));
  const totalBytes = isRest ? Number(range?.[3]) : Number.isNaN(length) ? null : length;
  if (totalBytes !== null && totalBytes > ask.limits.maxBytes)
    return refuse(
      refuseImage(
        'source_too_large',
        `${shownUrl(url)} has ${totalBytes} bytes, at most ${ask.limits.maxBytes} are taken`,
      ),
    );
  return { stream: response, offset: isRest ? ask.offset : 0, totalBytes, validator };
}
