/**
 * The store: links to it (store-link.ts) and how it is asked. Nothing is sent twice behind our back (store-address.ts);
 * whoever sends decides about a repeat. On a Redis Cluster commits use links to single primaries (`openNode`). Used by
 * the journal, the reader and the directory.
 */
import type { Cluster, Redis } from 'ioredis';
import type { Clock } from '../contract/clock.ts';
import { PhotonError } from '../contract/errors.ts';
import type { Log } from '../contract/log.ts';
import { askPrimaries } from './primary-pipelines.ts';
import type { Script } from './script-library.ts';
import { clusterOf, connectForQuestion, nodeAddress, parseStoreUrl, type StoreAddress } from './store-address.ts';
import { askStanding, type Standing } from './sentinel-boxes.ts';
import { defaultPrefix, storeKeys, type StoreKeys } from './store-keys.ts';
import { StoreLink, type SimulatedStoreParts } from './store-link.ts';
import { checkRights } from './store-rights.ts';

export interface StoreOptions extends SimulatedStoreParts {
  /** One server, Sentinels or a cluster: the forms are those of `parseStoreUrl`. */
  readonly url: string;
  readonly prefix?: string;
  readonly clock: Clock;
  readonly log: Log;
  /** How long to try before `connectStore` gives up; 10 s. */
  readonly connectTimeoutMs?: number;
  /** After this long without a reply a command is lost; 5 s, with Sentinels 2.5 s. */
  readonly commandTimeoutMs?: number;
}

export interface Store {
  readonly keys: StoreKeys;
  /** For reads and small writes that may be repeated; shared by everyone on this node. */
  readonly shared: StoreLink;
  /** A connection of one's own: for commits, and for reads that block. It is closed with the store. */
  open(purpose: string): StoreLink;
  /** The cluster's client, which knows who serves which slot; undefined when the store is one server. */
  readonly cluster: Cluster | undefined;
  /** A connection to one primary of the cluster, named `host:port`. */
  openNode(purpose: string, name: string): StoreLink;
  /** What the server at `host:port` says of its place; undefined when it does not answer soon. */
  standingOf(name: string): Promise<Standing | undefined>;
  close(): void;
}

/** One EVALSHA. Keys first, then arguments; all text. */
export function runScript(
  redis: Redis,
  script: Script,
  keys: readonly string[],
  args: readonly string[],
): Promise<unknown> {
  return redis.call('evalsha', [script.sha, keys.length, ...keys, ...args]);
}

/**
 * Commands in one pipeline, on a cluster in one per primary; their replies in order.
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
 * @returns when the store answers, is a primary and has our scripts
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
  const standingOf = async (name: string): Promise<Standing | undefined> => {
    const client = options.connect?.('standing', name) ?? connectForQuestion(nodeAddress(address, name));
    try {
      return await askStanding(client);
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
    const { text, advice } = shared.complaint;
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
    standingOf,
    close,
  };
}
