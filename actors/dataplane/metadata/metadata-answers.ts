/**
 * What the metadata service answers: pure but for the record that it is given a way to read. The guest is who its
 * source address says, which the firewall pins to its tap (docs/threats.md#t17); no header names it, and a request that
 * came through a proxy is refused. Every answer needs a token that a PUT has fetched, which a program that can be made
 * to fetch a URL cannot send. It imports nothing of this repository: metadata-server-main.ts runs it without rights.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** What a host was told of a guest, for one of its ports. */
export interface GuestRecord {
  readonly instanceId: string;
  readonly hostname: string;
  readonly sshKeys: readonly string[];
  readonly userData: string | null;
  readonly mac: string;
}

export interface Asked {
  /** The source address of the connection. */
  readonly from: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
}

export interface Answered {
  readonly status: number;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const ttlHeader = 'x-aws-ec2-metadata-token-ttl-seconds';
const tokenHeader = 'x-aws-ec2-metadata-token';
const proxyHeaders = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];
const longestTtlSeconds = 21_600;
/** Of a port. */
const mostRequests = 10;
const windowMs = 10_000;

const refused = (status: number, text: string, headers?: Answered['headers']): Answered => ({
  status,
  text: `${text}\n`,
  ...(headers === undefined ? {} : { headers }),
});
const given = (text: string): Answered => ({ status: 200, text });

/** The requests of the last ten seconds, by address. Its size is bounded by the ports that ask. */
class RequestRates {
  readonly #times = new Map<string, readonly number[]>();

  /** @returns 0, or after how many seconds the next one is admitted */
  waitSeconds(from: string, nowMs: number): number {
    for (const [address, times] of this.#times)
      if ((times.at(-1) ?? 0) <= nowMs - windowMs) this.#times.delete(address);
    const recent = (this.#times.get(from) ?? []).filter((at) => at > nowMs - windowMs);
    const [first] = recent;
    if (recent.length >= mostRequests && first !== undefined) return Math.ceil((first + windowMs - nowMs) / 1000);
    this.#times.set(from, [...recent, nowMs]);
    return 0;
  }
}

/** Lists end in a slash, as clients of this protocol expect. */
function pathsOf({ instanceId, hostname, sshKeys, userData, mac }: GuestRecord): ReadonlyMap<string, string> {
  const keys = sshKeys.map((key, index) => `${index}=${key.split(' ').slice(2).join(' ') || `key-${index}`}`);
  return new Map([
    ['/latest', 'meta-data\nuser-data'],
    [
      '/latest/meta-data',
      ['hostname', 'instance-id', 'local-hostname', 'mac', ...(keys.length === 0 ? [] : ['public-keys/'])].join('\n'),
    ],
    ['/latest/meta-data/hostname', hostname],
    ['/latest/meta-data/instance-id', instanceId],
    ['/latest/meta-data/local-hostname', hostname],
    ['/latest/meta-data/mac', mac],
    ...(keys.length === 0 ? [] : [['/latest/meta-data/public-keys', keys.join('\n')] as const]),
    ...sshKeys.flatMap((key, index) => [
      [`/latest/meta-data/public-keys/${index}`, 'openssh-key'] as const,
      [`/latest/meta-data/public-keys/${index}/openssh-key`, key] as const,
    ]),
    ...(userData === null ? [] : [['/latest/user-data', userData] as const]),
  ]);
}

export interface AnswerParts {
  /** Signs tokens; a service that was started anew has another one, and its guests ask for a new token. */
  readonly key: Uint8Array;
  readonly nowMs: () => number;
  /** @returns null for an address that no guest of this VPC has here */
  readonly read: (address: string) => Promise<GuestRecord | null>;
}

/** Makes the function that answers every request of one VPC on one host. */
export function metadataAnswers({ key, nowMs, read }: AnswerParts): (asked: Asked) => Promise<Answered> {
  const rates = new RequestRates();
  const signed = (from: string, instanceId: string, untilMs: number): string =>
    createHmac('sha256', key).update(`${from} ${instanceId} ${untilMs}`).digest('base64url');

  function tokenFor(from: string, { instanceId }: GuestRecord, ttl: unknown): Answered {
    const seconds = typeof ttl === 'string' && /^[1-9]\d{0,4}$/.test(ttl) ? Number(ttl) : 0;
    if (seconds < 1 || seconds > longestTtlSeconds)
      return refused(400, `${ttlHeader} must be 1 to ${longestTtlSeconds} seconds`);
    const untilMs = Math.floor(nowMs()) + seconds * 1000;
    return { ...given(`${untilMs}.${signed(from, instanceId, untilMs)}`), headers: { [ttlHeader]: String(seconds) } };
  }

  function isValid(from: string, { instanceId }: GuestRecord, token: unknown): boolean {
    const [, until = '', signature = ''] = /^(\d{1,16})\.([\w-]{43})$/.exec(String(token)) ?? [];
    if (until === '' || Number(until) <= nowMs()) return false;
    return timingSafeEqual(Buffer.from(signature), Buffer.from(signed(from, instanceId, Number(until))));
  }

  return async ({ from, method, path, headers }) => {
    const wait = rates.waitSeconds(from, nowMs());
    if (wait > 0)
      return refused(429, `at most ${mostRequests} requests in ${windowMs / 1000} s; try again in ${wait} s`, {
        'retry-after': String(wait),
      });
    const proxied = proxyHeaders.find((name) => headers[name] !== undefined);
    if (proxied !== undefined) return refused(403, `a request with ${proxied} is not answered; ask without a proxy`);
    const record = await read(from);
    if (record === null) return refused(404, 'there is no guest with this address');
    const plain = path.replace(/\/$/, '');
    if (plain === '/latest/api/token')
      return method === 'PUT' ? tokenFor(from, record, headers[ttlHeader]) : refused(405, 'PUT makes a token');
    if (method !== 'GET') return refused(405, 'only GET');
    if (!isValid(from, record, headers[tokenHeader]))
      return refused(401, `PUT /latest/api/token with ${ttlHeader} makes a token; send it as ${tokenHeader}`);
    const text = pathsOf(record).get(plain);
    return text === undefined ? refused(404, 'there is no such field; GET /latest/meta-data/ lists them') : given(text);
  };
}
