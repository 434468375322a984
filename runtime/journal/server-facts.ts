/**
 * What a server reports of itself when a connection is made, and whether it may be used as the store: it must be a
 * primary, new enough, and must not evict data. Only store-link.ts asks; durability-plan.ts and commit-connections.ts
 * use the facts to know how a level of durability is reached on this server.
 */
import type { Redis } from 'ioredis';

export interface StoreFacts {
  /** `7.0.15`; a Valkey reports the Redis version that it is compatible with. */
  readonly version: string;
  /** `master_replid`: new at every start and promotion. If the server forbids INFO: made up, new at every connect. */
  readonly replicationId: string;
  /** The replicas that followed at the connect, `host:port` as the primary sees them. */
  readonly followers: readonly string[];
  /** Every server that the Sentinels know, this one among them; empty without Sentinels. Set by store-link.ts. */
  readonly boxes: readonly string[];
  /** The server syncs its append-only file before each reply. False also when the server does not tell. */
  readonly fsyncBeforeReply: boolean;
  /** The server has an append-only file, knows `WAITAOF`, and answers it truthfully (`waitaofIsReliable`). */
  readonly waitsForFile: boolean;
  /** WAIT and WAITAOF wait only for writes of their own connection, not for what it has read. True when unknown. */
  readonly waitsOwnWrites: boolean;
  readonly isClusterNode: boolean;
}

const oldestMajor = 7;
let unreported = 0;
const unreportedReplicationId = (): string => `unreported ${(unreported += 1)}`;
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
 * Valkey 8.0.1 with `appendfsync everysec` answers WAITAOF before its fsync: strace showed 0.6 s before, every time.
 * By redis/redis#13793 Redis had the same defect from 7.4 until 8.0. With `appendfsync always` on primary and replicas
 * the answer is right, because they sync before they reply.
 */
const waitaofIsReliable = (version: string, isValkey: boolean, syncsFirst: boolean): boolean =>
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
  const fields = await serverFields(redis);
  if (fields === undefined) return { ...unknownFacts, followers, replicationId: unreportedReplicationId() };
  // While a server loads its files it reports `aof_enabled:0`, whatever is configured.
  if (fields.get('loading') === '1') throw new Error('LOADING the store is reading its files');
  const version = fields.get('redis_version') ?? '';
  if (version !== '' && Number(version.split('.')[0]) < oldestMajor)
    throw new Error(`OLDVERSION the store is Redis ${version}`);
  const policy = fields.get('maxmemory_policy') ?? 'noeviction';
  if (policy !== 'noeviction' && (fields.get('maxmemory') ?? '0') !== '0') {
    throw new Error(`EVICTS the store's maxmemory-policy is ${policy}`);
  }
  const hasFile = fields.get('aof_enabled') === '1';
  const reply = hasFile ? await redis.call('CONFIG', ['GET', 'appendfsync']).catch(undefinedIfForbidden) : undefined;
  const fsyncBeforeReply = Array.isArray(reply) && reply[1] === 'always';
  const isValkey = fields.has('valkey_version');
  return {
    version,
    replicationId: fields.get('master_replid') ?? unreportedReplicationId(),
    followers,
    boxes: [],
    fsyncBeforeReply,
    waitsForFile: hasFile && knowsFileWait(version, isValkey) && waitaofIsReliable(version, isValkey, fsyncBeforeReply),
    waitsOwnWrites: isValkey || !version.startsWith('7.0.'),
    isClusterNode: fields.get('cluster_enabled') === '1',
  };
}

/** The fields of INFO; undefined when the user may not run it. */
export async function serverFields(
  redis: Redis,
  ...section: readonly string[]
): Promise<ReadonlyMap<string, string> | undefined> {
  const info = (await redis.call('INFO', [...section]).catch(undefinedIfForbidden)) as string | undefined;
  return info === undefined
    ? undefined
    : new Map(info.split(/\r?\n/).map((line) => line.split(':', 2) as [string, string]));
}

/**
 * Parses a primary's answer to ROLE: `[master, offset, [[host, port, acknowledged offset], ...]]`.
 * @throws Error READONLY when the server is no primary
 */
export function replicasIn(answer: unknown): { readonly offset: number; readonly acknowledged: Map<string, number> } {
  const [role, offset, replicas] = answer as readonly [string, unknown, unknown];
  if (role !== 'master') throw new Error(`READONLY the store says its role is ${role}`);
  const rows = (replicas ?? []) as readonly (readonly string[])[];
  const acknowledged = new Map(rows.map(([host, listenPort, place]) => [`${host}:${listenPort}`, Number(place)]));
  return { offset: Number(offset), acknowledged };
}

/** @throws Error READONLY when the server is no primary */
export const followersIn = (answer: unknown): string[] => [...replicasIn(answer).acknowledged.keys()];

/** For `catch`: undefined when the user may not run the command or the server does not know it. */
export function undefinedIfForbidden(error: unknown): undefined {
  if (error instanceof Error && /^(?:NOPERM|ERR unknown command)/.test(error.message)) return undefined;
  throw error;
}

/** The facts that hold for every primary of a cluster. */
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
