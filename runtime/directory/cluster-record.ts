/**
 * The cluster record: era, number of shards, hash function, versions of format and scripts. The first node writes it.
 * Every later node compares it with its own values and refuses to start if they differ, because it would look for
 * actors in wrong shards or write them in a format that others cannot read. Called by cluster-membership.ts before
 * anything else is written. Its fields: docs/data-model.md.
 */
import { PhotonError } from '../contract/errors.ts';
import { hashId, shardCount } from '../journal/shard-placement.ts';
import { beginEraScript, formatVersion, libraryDigest, scriptVersion } from '../journal/script-library.ts';
import { readAll, runScript } from '../journal/store-connection.ts';
import type { StoreLink } from '../journal/store-link.ts';
import type { StoreKeys } from '../journal/store-keys.ts';

export interface ClusterRecord {
  readonly era: number;
  readonly fields: Readonly<Record<string, string>>;
}

const mismatch = (what: string, stored: string, ours: string): PhotonError =>
  new PhotonError(
    'defeat',
    'store_mismatch',
    `the store was made with ${what} ${stored}, this program has ${ours}; ` +
      'start the version that fits, or use an empty store',
  );

/**
 * @param identity distinguishes clusters of the same name; without it the identity is not compared
 * @returns the record, which is written first if there was none
 * @throws PhotonError defeat `store_mismatch`, `store_scripts_newer` or `store_of_other_cluster`: this program must not
 *   serve this store
 */
export async function settleClusterRecord(link: StoreLink, keys: StoreKeys, identity?: string): Promise<ClusterRecord> {
  // First and alone, so that nothing else is written into the store of another cluster.
  if (identity !== undefined) await settleIdentity(link, keys, identity);
  const ours: Readonly<Record<string, string>> = {
    era: '1',
    shards: String(shardCount),
    hashId,
    formatVersion: String(formatVersion),
    scriptVersion: String(scriptVersion),
    scriptDigest: libraryDigest,
  };
  const writes = Object.entries(ours).map(([field, value]) => ['hsetnx', keys.cluster, field, value]);
  await link.run((redis) => readAll(redis, writes));
  // Read separately: on a Redis Cluster a command that is redirected may be run after later ones of its pipeline.
  const stored = await link.run((redis) => redis.hgetall(keys.cluster));
  for (const field of ['shards', 'hashId', 'formatVersion']) {
    if (stored[field] !== ours[field]) throw mismatch(field, stored[field] ?? 'none', ours[field] ?? '');
  }
  const storedVersion = Number(stored['scriptVersion']);
  if (storedVersion > scriptVersion) {
    throw new PhotonError(
      'defeat',
      'store_scripts_newer',
      `the store was used by a newer program (scripts of version ${storedVersion}, this one has ${scriptVersion}); ` +
        'start the newer version',
    );
  }
  if (storedVersion < scriptVersion) {
    const now = ['scriptVersion', String(scriptVersion), 'scriptDigest', libraryDigest];
    await link.run((redis) => redis.hset(keys.cluster, ...now));
  } else if (stored['scriptDigest'] !== libraryDigest) {
    throw mismatch('scripts of digest', stored['scriptDigest'] ?? 'none', libraryDigest);
  }
  return { era: Number(stored['era']), fields: stored };
}

async function settleIdentity(link: StoreLink, keys: StoreKeys, identity: string): Promise<void> {
  await link.run((redis) => redis.hsetnx(keys.cluster, 'identity', identity));
  const stored = await link.run((redis) => redis.hget(keys.cluster, 'identity'));
  if (stored === identity) return;
  throw new PhotonError(
    'defeat',
    'store_of_other_cluster',
    `the keys that start with ${keys.prefix} belong to another cluster of the same name; give each cluster a store ` +
      `or a name of its own, or, if this one is to take over that data, HDEL ${keys.cluster} identity`,
  );
}

export interface EraStep {
  readonly from: number;
  readonly to: number;
  /** The reason, kept in the record for operators. */
  readonly because: string;
  readonly wallMs: number;
}

/** Compare-and-set. @returns the stored era: `to`, or the one that another node has begun meanwhile */
export async function beginEra(link: StoreLink, keys: StoreKeys, step: EraStep): Promise<number> {
  const { from, to, because, wallMs } = step;
  const args = [String(from), String(to), because, String(wallMs)];
  return Number(await link.run((redis) => runScript(redis, beginEraScript, [keys.cluster], args)));
}
