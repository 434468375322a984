/**
 * Parses the store's URL (one server, a primary named by Sentinels, or a Redis Cluster) and creates the ioredis client
 * for each, with the same strict settings: the client queues nothing while the store is unreachable and never resends a
 * command (with ioredis' defaults 51 commands ran twice when the server was killed once). Used by store-connection.ts,
 * store-link.ts and sentinel-boxes.ts.
 */
import { Cluster, Redis } from 'ioredis';
import { PhotonError } from '../contract/errors.ts';

const reconnectDelayMs = 100;
const connectTimeoutMs = 5_000;
const sentinelTimeoutMs = 1_000;
/** Shorter where there are several servers: if one is off, another can be tried. */
const boxConnectTimeoutMs = 1_500;
const questionTimeoutMs = 500;
/** From our end of a connection until it counts as closed: a hung server never closes its end. ioredis waits 2 s. */
const disconnectTimeoutMs = 100;
const slotsRefreshIntervalMs = 5_000;

interface Endpoint {
  readonly host: string;
  readonly port: number;
}

interface Login {
  readonly username?: string;
  readonly password?: string;
}

export type StoreAddress =
  | { readonly kind: 'single'; readonly url: string }
  | {
      readonly kind: 'sentinel';
      readonly endpoints: readonly Endpoint[];
      readonly masterName: string;
      readonly login: Login;
      readonly sentinelLogin: Login;
    }
  | { readonly kind: 'cluster'; readonly endpoints: readonly Endpoint[]; readonly login: Login };

const severalForm = /^redis\+(sentinel|cluster):\/\/(?:([^@/]*)@)?([^/?@]+)(?:\/([^?]*))?(?:\?(.*))?$/;
const singleForm = /^(?:rediss?:\/\/|\/)/;

const malformed = (why: string): PhotonError =>
  new PhotonError(
    'defeat',
    'store_url_malformed',
    `the store URL ${why}; write redis://HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/MASTER ` +
      'or redis+cluster://HOST:PORT,HOST:PORT, with USER:PASSWORD@ before the first host if needed',
  );

/**
 * `redis://`, `rediss://` or a socket path; `redis+sentinel://[user:password@]h1:p1,h2:p2/<master name>`, the
 * Sentinels' own login as `?sentinelUser=...&sentinelPassword=...`; `redis+cluster://[user:password@]h1:p1,h2:p2`.
 *
 * @throws PhotonError defeat `store_url_malformed`; the text names no password
 */
export function parseStoreUrl(url: string): StoreAddress {
  if (singleForm.test(url)) return { kind: 'single', url };
  const parts = severalForm.exec(url);
  if (parts === null) throw malformed('is of no known form');
  const [, kind, credentials = '', hosts = '', masterName = '', query = ''] = parts;
  const endpoints = hosts.split(',').map(parseEndpoint);
  const login = parseLogin(credentials);
  if (kind === 'cluster') {
    if (masterName !== '') throw malformed('names a database or master, which a cluster does not have');
    return { kind, endpoints, login };
  }
  if (masterName === '') throw malformed('does not name the master its Sentinels watch');
  const asked = new URLSearchParams(query);
  const sentinelLogin = loginOf(asked.get('sentinelUser') ?? '', asked.get('sentinelPassword') ?? '');
  return { kind: 'sentinel', endpoints, masterName, login, sentinelLogin };
}

function parseEndpoint(text: string): Endpoint {
  const [, host = '', portText = ''] = /^(\[[0-9a-fA-F:]+\]|[^:[\]]+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(portText);
  if (host === '' || port < 1 || port > 65_535) throw malformed('has a host without a port from 1 to 65535');
  return { host: host.replace(/^\[|\]$/g, ''), port };
}

function parseLogin(credentials: string): Login {
  if (credentials === '') return {};
  const colon = credentials.indexOf(':');
  if (colon === -1) throw malformed('has a user without a password');
  try {
    return loginOf(decodeURIComponent(credentials.slice(0, colon)), decodeURIComponent(credentials.slice(colon + 1)));
  } catch {
    throw malformed('has a user or password that is not percent-encoded');
  }
}

const loginOf = (username: string, password: string): Login => ({
  ...(username === '' ? {} : { username }),
  ...(password === '' ? {} : { password }),
});

export interface ClientOptions {
  readonly address: StoreAddress;
  readonly purpose: string;
  readonly commandTimeoutMs: number;
  /** False when the link was closed by us: no further try. */
  readonly mayRetry: () => boolean;
}

function strictOptions({ purpose, commandTimeoutMs, mayRetry }: ClientOptions) {
  return {
    protocol: 2 as const,
    connectionName: `photoncloud-${purpose}`,
    autoResendUnfulfilledCommands: false,
    enableOfflineQueue: false,
    enableAutoPipelining: false,
    // Replaced by server-facts.ts: ioredis' own check waits silently while the server loads its files.
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    commandTimeout: commandTimeoutMs,
    connectTimeout: connectTimeoutMs,
    disconnectTimeout: disconnectTimeoutMs,
    retryStrategy: () => (mayRetry() ? reconnectDelayMs : null),
    reconnectOnError: () => false as const,
  };
}

/** One connection to one server, or for a cluster one client that routes by key. */
export function connectClient(options: ClientOptions): Redis {
  const { address, mayRetry } = options;
  const strict = strictOptions(options);
  if (address.kind === 'single') return new Redis(address.url, strict);
  if (address.kind === 'cluster') return connectCluster(options, strict);
  const { sentinelLogin: own } = address;
  return new Redis({
    ...strict,
    ...address.login,
    connectTimeout: boxConnectTimeoutMs,
    sentinels: address.endpoints.map(({ host, port }) => ({ host, port })),
    name: address.masterName,
    role: 'master',
    ...(own.username === undefined ? {} : { sentinelUsername: own.username }),
    ...(own.password === undefined ? {} : { sentinelPassword: own.password }),
    sentinelCommandTimeout: sentinelTimeoutMs,
    sentinelMaxConnections: 3,
    sentinelRetryStrategy: () => (mayRetry() ? reconnectDelayMs : null),
  });
}

/** A connection for one question to one server, with short timeouts. The caller disconnects it. */
export function connectForQuestion(address: StoreAddress): Redis {
  if (address.kind !== 'single') throw new TypeError('not the address of one server');
  const client = new Redis(address.url, {
    connectionName: 'photoncloud-question',
    connectTimeout: questionTimeoutMs,
    commandTimeout: questionTimeoutMs,
    disconnectTimeout: disconnectTimeoutMs,
    retryStrategy: () => null,
  });
  // Without a listener Node throws; the question itself rejects with the same error.
  client.on('error', () => undefined);
  return client;
}

/**
 * The cluster client follows MOVED and ASK by itself, which resends only commands that the first server has refused. A
 * lost reply rejects, as with a single server. It has the commands of a single client; callers avoid commands that span
 * slots.
 */
function connectCluster({ address, mayRetry }: ClientOptions, strict: ReturnType<typeof strictOptions>): Redis {
  if (address.kind !== 'cluster') throw new TypeError('not the address of a cluster');
  const { retryStrategy: _, ...perNode } = strict;
  const cluster = new Cluster(
    address.endpoints.map(({ host, port }) => ({ host, port })),
    {
      redisOptions: { ...perNode, ...address.login, connectTimeout: boxConnectTimeoutMs },
      enableOfflineQueue: false,
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      slotsRefreshTimeout: sentinelTimeoutMs,
      slotsRefreshInterval: slotsRefreshIntervalMs,
      clusterRetryStrategy: () => (mayRetry() ? reconnectDelayMs : null),
    },
  );
  return cluster as unknown as Redis;
}

/** The cluster behind a client, or undefined for one server. */
export const clusterOf = (redis: unknown): Cluster | undefined => (redis instanceof Cluster ? redis : undefined);

/** The address of one server of the store, from the `host:port` that its primary or its cluster reports; same login. */
export function nodeAddress(store: StoreAddress, name: string): StoreAddress {
  const { host, port } = parseEndpoint(name.replace(/^([^[].*:.*):(\d+)$/, '[$1]:$2'));
  if (store.kind === 'single' && store.url.includes('://')) {
    const url = new URL(store.url);
    url.host = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    return { kind: 'single', url: url.href };
  }
  return serverAddress({ host, port }, store.kind === 'single' ? {} : store.login);
}

function serverAddress({ host, port }: Endpoint, { username, password }: Login): StoreAddress {
  const user = username === undefined ? '' : encodeURIComponent(username);
  const secret = password === undefined ? '' : `${user}:${encodeURIComponent(password)}@`;
  return { kind: 'single', url: `redis://${secret}${host.includes(':') ? `[${host}]` : host}:${port}` };
}

/** The address of each Sentinel, for questions to it. */
export const sentinelAddresses = (store: StoreAddress): readonly StoreAddress[] =>
  store.kind === 'sentinel' ? store.endpoints.map((endpoint) => serverAddress(endpoint, store.sentinelLogin)) : [];
