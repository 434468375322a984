/**
 * The store: opens links to it (store-link.ts), runs scripts and pipelines. The client resends nothing by itself
 * (store-address.ts); callers decide whether to repeat. On a Redis Cluster commits use links to single primaries
 * (`openNode`). Used by the journal, the reader and the directory.
 */
import { Command, type Cluster, type Redis } from 'ioredis';
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import type { Script } from './script-library.ts';
import { clusterOf, connectForQuestion, nodeAddress, parseStoreUrl, type StoreAddress } from './store-address.ts';
import { askReplicationRole, type ReplicationRole } from './sentinel-boxes.ts';
import { defaultPrefix, storeKeys, type StoreKeys } from './store-keys.ts';
import { StoreLink, type SimulatedStoreParts } from './store-link.ts';
import { checkRights } from './store-rights.ts';

export interface StoreOptions extends SimulatedStoreParts {
  /** One server, Sentinels or a cluster: the forms are those of `parseStoreUrl`. */
  readonly url: string;
  readonly prefix?: string;
  readonly clock: Clock;
  readonly log: Log;
  /** After this time `connectStore` gives up. Default: 10 s. */
  readonly connectTimeoutMs?: number;
  /** After this time without a reply a command counts as lost. Default: 5 s, with Sentinels 2.5 s. */
  readonly commandTimeoutMs?: number;
}

export interface Store {
  readonly keys: StoreKeys;
  /** For reads and for small writes that may be repeated; shared by all callers on this node. */
  readonly shared: StoreLink;
  /** Opens a separate connection, for commits and for reads that block. It is closed with the store. */
  open(purpose: string): StoreLink;
  /** The client of a Redis Cluster, which knows the primary of each slot; undefined without a cluster. */
  readonly cluster: Cluster | undefined;
  /** A connection to one primary of the cluster, named `host:port`. */
  openNode(purpose: string, name: string): StoreLink;
  /** The replication role that the server at `host:port` reports; undefined when it does not answer soon. */
  replicationRoleOf(name: string): Promise<ReplicationRole | undefined>;
  close(): void;
}

/** Runs a script by one EVALSHA. Keys first, then arguments; all strings. */
export function runScript(
  redis: Redis,
  script: Script,
  keys: readonly string[],
  args: readonly string[],
): Promise<unknown> {
  return redis.call('evalsha', [script.sha, keys.length, ...keys, ...args]);
}

/**
 * Runs commands in one pipeline, on a Redis Cluster one per primary. @returns the replies in order
 * @throws the first error among the replies
 */
export async function readAll(redis: Redis, commands: readonly (readonly string[])[]): Promise<unknown[]> {
  if (commands.length === 0) return [];
  const cluster = clusterOf(redis);
  if (cluster !== undefined) return askPrimaries(cluster, commands);
  const replies = await redis.pipeline(commands.map((command) => [...command])).exec();
  if (replies === null) throw new Error('Connection is closed.');
  return replies.map(([error, reply]) => {
    if (error !== null) throw error;
    return reply;
  });
}

/**
 * Resolves when the store answers, is a primary, has the scripts, and grants the rights that are needed.
 * @throws PhotonError fault `store_unreachable` after `connectTimeoutMs`; defeat `store_url_malformed`,
 *   `store_rights_missing`
 */
export async function connectStore(options: StoreOptions): Promise<Store> {
  const address: StoreAddress = options.connect ? { kind: 'single', url: options.url } : parseStoreUrl(options.url);
  const links = new Set<StoreLink>();
  const add = (link: StoreLink): StoreLink => {
    links.add(link);
    return link;
  };
  const open = (purpose: string): StoreLink => add(new StoreLink({ ...options, address, purpose, isNode: false }));
  const openNode = (purpose: string, name: string): StoreLink =>
    add(new StoreLink({ ...options, address: nodeAddress(address, name), purpose, isNode: true }));
  const replicationRoleOf = async (name: string): Promise<ReplicationRole | undefined> => {
    const client = options.connect?.('standing', name) ?? connectForQuestion(nodeAddress(address, name));
    try {
      return await askReplicationRole(client);
    } catch {
      return undefined;
    } finally {
      client.disconnect();
    }
  };
  const close = (): void => {
    for (const link of links) link.close();
    links.clear();
  };
  const shared = open('shared');
  const timeoutMs = options.connectTimeoutMs ?? 10_000;
  const keys = storeKeys(options.prefix ?? defaultPrefix);
  const cancel = options.clock.after(timeoutMs, () => shared.close());
  try {
    await shared.whenReady();
  } catch (error) {
    close();
    const { text, advice } = shared.lastProblem;
    const what = `the store could not be used within ${timeoutMs} ms (${text}); ${advice}`;
    throw new PhotonError('fault', 'store_unreachable', what, { cause: error });
  } finally {
    cancel();
  }
  try {
    await checkRights(shared.redis, keys.prefix);
  } catch (error) {
    close();
    throw error;
  }
  return {
    keys,
    shared,
    cluster: clusterOf(shared.redis),
    open,
    openNode,
    replicationRoleOf,
    close,
  };
}

type Reply = readonly [error: Error | null, reply?: unknown];

/**
 * Sends many commands to a Redis Cluster: one pipeline per primary, by the client's slot map. A command that a primary
 * redirects is sent again alone, through the client, which follows MOVED and ASK. A redirected command was not run, so
 * no command runs twice.
 *
 * Rejected: one call per command (reading 128 feed heads took 1.6 ms of this process and 0.4 ms of every server,
 * against 0.9 and 0.05), and the client's own pipelines, which follow a MOVED only when all their commands were
 * redirected alike.
 *
 * @returns the replies in the order of the commands
 * @throws the first error among them
 */
async function askPrimaries(cluster: Cluster, commands: readonly (readonly string[])[]): Promise<unknown[]> {
  const primaries = new Map<string, Redis>(
    cluster.nodes('master').map((node) => [`${node.options.host}:${node.options.port}`, node]),
  );
  const parts = new Map<Redis | undefined, number[]>();
  for (const [index, command] of commands.entries()) {
    const name = cluster.slots[slotOf(command)]?.[0];
    const primary = name === undefined ? undefined : primaries.get(name);
    const part = parts.get(primary);
    if (part === undefined) parts.set(primary, [index]);
    else part.push(index);
  }
  const replies: unknown[] = [];
  const take = async (primary: Redis | undefined, part: readonly number[]): Promise<void> => {
    const asked = part.map((index) => commands[index] as readonly string[]);
    const answers = primary === undefined ? undefined : await pipelined(primary, asked);
    await Promise.all(
      part.map(async (index, at) => {
        const [error, reply] = answers?.[at] ?? [redirected];
        if (error === null) replies[index] = reply;
        else if (isRedirected(error)) replies[index] = await askAlone(cluster, asked[at] as readonly string[]);
        else throw error;
      }),
    );
  };
  await Promise.all([...parts].map(([primary, part]) => take(primary, part)));
  return replies;
}

const redirected = new Error('MOVED');
const isRedirected = ({ message }: Error): boolean => /^(?:MOVED|ASK)\b/.test(message);

/** A command without a key may go to any primary. */
const slotOf = ([name = '', ...args]: readonly string[]): number => new Command(name, [...args]).getSlot() ?? 0;

async function pipelined(primary: Redis, commands: readonly (readonly string[])[]): Promise<readonly Reply[]> {
  const replies = await primary.pipeline(commands.map((command) => [...command])).exec();
  if (replies === null) throw new Error('Connection is closed.');
  return replies;
}

const askAlone = (cluster: Cluster, [name = '', ...args]: readonly string[]): Promise<unknown> =>
  cluster.call(name, args);
