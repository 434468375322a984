/**
 * The configuration files of a store node: of redis-server, and of the Sentinel beside it where the store has several
 * hosts. Both programs rewrite their files: a server notes whom it follows, a Sentinel who is the primary and which
 * others there are. When they are written anew at a start, that state is taken over, and all else is as declared.
 * Called by store-process.ts.
 */
import type { NodeConfig } from './node-config.ts';
import { replicaUser, sentinelUser } from './store-users.ts';

/** A Sentinel doubts a server that is silent for so long; most of them must, until another one is made the primary. */
const silentMs = 2_000;
/** After which a replacement that has not come to its end is tried again, twice as long. */
const failoverMs = 10_000;

export interface ServerPlan {
  readonly config: NodeConfig;
  /** Its folder, where everything it writes is. */
  readonly home: string;
  readonly password: string;
}

export interface Server {
  readonly address: string;
  readonly listenPort: number;
}

/**
 * The primary that a server follows at its start; undefined when it is to be the primary.
 * @param named `host:port` of the primary that most Sentinels name, if they do
 * @param before what the server had in its file when it last ended; undefined at its first start
 */
export function followedBy(
  config: NodeConfig,
  named: string | undefined,
  before: string | undefined,
): Server | undefined {
  const own = `${config.address}:${config.store.listenPort}`;
  const noted = /^replicaof (\S+) (\d+)$/m.exec(before ?? '');
  const last = noted === null ? own : `${noted[1]}:${noted[2]}`;
  const [address = '', port = ''] = (named ?? (before === undefined ? serverOf(config.store) : last)).split(':');
  return `${address}:${port}` === own ? undefined : { address, listenPort: Number(port) };
}

const serverOf = ({ address, listenPort }: Server): string => `${address}:${listenPort}`;

/** @param follows the primary; undefined for a primary, and for a server without replicas */
export function redisConfiguration(
  { config, home, password }: ServerPlan,
  memoryBytes: number,
  follows: Server | undefined,
): string {
  const { listenPort, sentinels, replicas } = config.store;
  const hasReplicas = sentinels.length > 0;
  const { address } = ownServer(config);
  const lines = [
    `bind ${(hasReplicas ? [address] : [...new Set(['127.0.0.1', address])]).join(' ')}`,
    `port ${listenPort}`,
    `dir ${home}`,
    'appendonly yes',
    'appendfsync always',
    'aof-load-truncated yes',
    'save ""',
    // At this size it refuses writes (OOM in store-errors.ts); controllers watch it (store-memory.ts).
    `maxmemory ${memoryBytes}`,
    'maxmemory-policy noeviction',
    'daemonize no',
    'tcp-backlog 128',
    `aclfile ${home}/users.acl`,
  ];
  if (hasReplicas)
    lines.push(
      // A primary that was replaced, and does not know it yet, takes no writes: nobody follows it.
      `min-replicas-to-write ${replicas}`,
      'min-replicas-max-lag 5',
      'repl-diskless-sync-delay 0',
      'repl-ping-replica-period 1',
      'repl-timeout 15',
      `replica-announce-ip ${address}`,
      `replica-announce-port ${listenPort}`,
      `masteruser ${replicaUser}`,
      `masterauth ${password}`,
    );
  if (follows !== undefined) lines.push(`replicaof ${follows.address} ${follows.listenPort}`);
  return `${lines.join('\n')}\n`;
}

/** Where the server of a store node is reached by others. */
export function ownServer({ address, store }: NodeConfig): Server {
  return { address: store.sentinels.length > 0 ? address : store.address, listenPort: store.listenPort };
}

/** The Sentinel that stands beside the node's server. */
export function ownSentinel({ address, store }: NodeConfig): Server | undefined {
  return store.sentinels.find((one) => one.address === address);
}

/**
 * @param listenPort of the Sentinel
 * @param before its file as it has last written it; empty at its first start
 */
export function sentinelConfiguration(
  { config, home, password }: ServerPlan,
  listenPort: number,
  before: string,
): string {
  const { cluster: name, address, store } = config;
  const servers = store.sentinels.map((one) => one.address);
  const state = (pattern: RegExp): string[] => before.split('\n').filter((line) => pattern.test(line));
  // One that is declared no more would be counted for ever.
  const others = state(/^sentinel known-sentinel /).filter((line) => servers.includes(line.split(' ')[3] ?? ''));
  const [, known = ''] = /^sentinel monitor \S+ (\S+) /m.exec(before) ?? [];
  const primary = servers.includes(known) ? known : store.address;
  // Otherwise it learns of replicas from the primary, ten seconds later: one that it does not know yet when the primary
  // dies follows the dead one for ever.
  const replicas = servers.filter((one) => one !== primary);
  return [
    `bind ${address}`,
    `port ${listenPort}`,
    `dir ${home}`,
    'daemonize no',
    `aclfile ${home}/users.acl`,
    `sentinel announce-ip ${address}`,
    `sentinel announce-port ${listenPort}`,
    'sentinel sentinel-user photon',
    `sentinel sentinel-pass ${password}`,
    ...state(/^sentinel (?:myid|current-epoch) /),
    `sentinel monitor ${name} ${primary} ${store.listenPort} ${Math.floor(servers.length / 2) + 1}`,
    `sentinel auth-user ${name} ${sentinelUser}`,
    `sentinel auth-pass ${name} ${password}`,
    `sentinel down-after-milliseconds ${name} ${silentMs}`,
    `sentinel failover-timeout ${name} ${failoverMs}`,
    `sentinel parallel-syncs ${name} 1`,
    ...state(/^sentinel (?:config|leader)-epoch /),
    ...replicas.map((one) => `sentinel known-replica ${name} ${one} ${store.listenPort}`),
    ...others,
    '',
  ].join('\n');
}
