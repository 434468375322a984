/**
 * What a server says of itself when a connection is made, and whether it may be used as the store at all: a primary,
 * new enough, not one that throws data away. Only store-connection.ts calls this; commit-lines.ts reads the facts to
 * know how a level of durability is reached on this server.
 */
import type { Redis } from 'ioredis';

export interface StoreFacts {
  /** `7.0.15`; a Valkey names the Redis it is compatible with. */
  readonly version: string;
  /** Another one after every start and every promotion; of a server that does not tell, after every connect. */
  readonly replicationId: string;
  /** The replicas that followed it then, `host:port` as it sees them. */
  readonly followers: readonly string[];
  /** Every box the Sentinels know, this one among them; nothing without Sentinels. Asked by store-link.ts. */
  readonly boxes: readonly string[];
  /** A reply is sent after the append-only file is on the disk. False also when the server does not tell. */
  readonly fsyncBeforeReply: boolean;
  /** Has an append-only file, knows `WAITAOF`, and what that says of the file is true (`tellsTruthOfFile`). */
  readonly waitsForFile: boolean;
  /** WAIT and WAITAOF count what their own connection has written, not what it has seen. True when it is not known. */
  readonly waitsOwnWrites: boolean;
  readonly isClusterNode: boolean;
}

const oldestMajor = 7;
let untold = 0;
const unreportedReplicationId = (): string => `untold ${(untold += 1)}`;
const unknownFacts: StoreFacts = {
  version: '',
  replicationId: '',
  followers: [],
  boxes: [],
  fsyncBeforeReply: false,
  waitsForFile: false,
  waitsOwnWrites: true,
  isClusterNode: false,
};

/**
 * Valkey 8.0.1 with `appendfsync everysec` answers WAITAOF before its fsync: seen with strace, 0.6 s before, every
 * time. By redis/redis#13793 Redis had the same from 7.4 until 8.0. A server that syncs before each reply has nothing
 * to be wrong about, on itself and on a replica that does so too.
 */
const tellsTruthOfFile = (version: string, isValkey: boolean, syncsFirst: boolean): boolean =>
  syncsFirst || (!isValkey && Number(version.split('.')[0]) >= 8);

function knowsFileWait(version: string, isValkey: boolean): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return isValkey || major > 7 || (major === 7 && minor >= 2);
}

/**
 * @throws Error in the form of the server's own errors: READONLY, LOADING, OLDVERSION, EVICTS (advice: store-errors.ts)
 */
export async function readFacts(redis: Redis): Promise<StoreFacts> {
  const followers = followersIn(await redis.call('ROLE'));
  const fields = await fieldsTold(redis);
  if (fields === undefined) return { ...unknownFacts, followers, replicationId: unreportedReplicationId() };
  // While it reads its files a server says `aof_enabled:0`, whatever it was told to keep.
  if (fields.get('loading') === '1') throw new Error('LOADING the store is reading its files');
  const version = fields.get('redis_version') ?? '';
  if (version !== '' && Number(version.split('.')[0]) < oldestMajor)
    throw new Error(`OLDVERSION the store is Redis ${version}`);
  const policy = fields.get('maxmemory_policy') ?? 'noeviction';
  if (policy !== 'noeviction' && (fields.get('maxmemory') ?? '0') !== '0') {
    throw new Error(`EVICTS the store's maxmemory-policy is ${policy}`);
  }
  const hasFile = fields.get('aof_enabled') === '1';
  const told = hasFile ? await redis.call('CONFIG', ['GET', 'appendfsync']).catch(ifNotTold) : undefined;
  const fsyncBeforeReply = Array.isArray(told) && told[1] === 'always';
  const isValkey = fields.has('valkey_version');
  return {
    version,
    replicationId: fields.get('master_replid') ?? unreportedReplicationId(),
    followers,
    boxes: [],
    fsyncBeforeReply,
    waitsForFile: hasFile && knowsFileWait(version, isValkey) && tellsTruthOfFile(version, isValkey, fsyncBeforeReply),
    waitsOwnWrites: isValkey || !version.startsWith('7.0.'),
    isClusterNode: fields.get('cluster_enabled') === '1',
  };
}

/** The fields of INFO; undefined when the user may not ask. */
export async function fieldsTold(
  redis: Redis,
  ...section: readonly string[]
): Promise<ReadonlyMap<string, string> | undefined> {
  const info = (await redis.call('INFO', [...section]).catch(ifNotTold)) as string | undefined;
  return info === undefined
    ? undefined
    : new Map(info.split(/\r?\n/).map((line) => line.split(':', 2) as [string, string]));
}

/**
 * Of a primary's answer to ROLE: `[master, offset, [[host, port, acknowledged offset], ...]]`.
 * @throws Error READONLY when it is none
 */
export function placesIn(answer: unknown): { readonly offset: number; readonly acknowledged: Map<string, number> } {
  const [role, offset, replicas] = answer as readonly [string, unknown, unknown];
  if (role !== 'master') throw new Error(`READONLY the store says its role is ${role}`);
  const rows = (replicas ?? []) as readonly (readonly string[])[];
  const acknowledged = new Map(rows.map(([host, listenPort, place]) => [`${host}:${listenPort}`, Number(place)]));
  return { offset: Number(offset), acknowledged };
}

/** @throws Error READONLY when it is the answer of no primary */
export const followersIn = (answer: unknown): string[] => [...placesIn(answer).acknowledged.keys()];

/** A user that may not ask is told nothing, and nothing is built on it. */
export function ifNotTold(error: unknown): undefined {
  if (error instanceof Error && /^(?:NOPERM|ERR unknown command)/.test(error.message)) return undefined;
  throw error;
}

/** A cluster does only what each of its primaries does. */
export function factsOfAll(all: readonly StoreFacts[]): StoreFacts {
  const [first = unknownFacts, ...others] = all;
  return others.reduce(
    (sum, facts) => ({
      ...sum,
      fsyncBeforeReply: sum.fsyncBeforeReply && facts.fsyncBeforeReply,
      waitsForFile: sum.waitsForFile && facts.waitsForFile,
      waitsOwnWrites: sum.waitsOwnWrites || facts.waitsOwnWrites,
    }),
    first,
  );
}
