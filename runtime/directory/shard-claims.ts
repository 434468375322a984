/**
 * Taking shards and giving them back: compare-and-set on the ownership key, epoch + 1 at every take, then the map's
 * hint. cluster-membership.ts decides when; the store decides who wins. Upholds G1: two winners never have the same
 * epoch.
 */
import type { ShardId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import { claimScript } from '../journal/script-library.ts';
import { readAll } from '../journal/store-connection.ts';
import type { StoreLink } from '../journal/store-link.ts';
import { grantText, parseGrant, type StoreKeys } from '../journal/store-keys.ts';

export interface Claimant {
  readonly link: StoreLink;
  readonly keys: StoreKeys;
  readonly node: string;
  /** Unique per process: tells a repeat of our own claim from another process of the same name. */
  readonly boot: string;
  /** Raised when a new one begins. */
  era: number;
}

/** @returns shard -> grant text as the ownership keys have it, `''` when the shard never had an owner */
export async function readGrants(
  { link, keys }: Claimant,
  shards: readonly ShardId[],
): Promise<ReadonlyMap<ShardId, string>> {
  const commands = shards.map((shard) => ['get', keys.inShard(shard, 'o')]);
  const replies = (await link.run((redis) => readAll(redis, commands))) as (string | null)[];
  return new Map(shards.map((shard, index) => [shard, replies[index] ?? '']));
}

/** @param wanted shard -> grant text as it was read @returns what was won */
export async function claimShards(
  claimant: Claimant,
  wanted: ReadonlyMap<ShardId, string>,
): Promise<readonly ShardGrant[]> {
  const grants = [...wanted].map(([shard, before]): ShardGrant => {
    return { shard, node: claimant.node, era: claimant.era, ownerEpoch: parseGrant(before).ownerEpoch + 1 };
  });
  const won = await swap(
    claimant,
    wanted,
    grants.map((grant) => [grant.shard, grantText(grant)]),
  );
  return grants.filter((grant) => won.has(grant.shard));
}

/**
 * Leaves the epoch, so that the next owner's is higher, and names that owner, or nobody. Whom it names may take the
 * shard at once, and others only when that node is silent.
 */
export async function releaseShards(
  claimant: Claimant,
  grants: readonly ShardGrant[],
  nextOf: ReadonlyMap<ShardId, string>,
): Promise<void> {
  const held = new Map(grants.map((grant) => [grant.shard, grantText(grant)]));
  await swap(
    claimant,
    held,
    grants.map((grant) => [grant.shard, grantText({ ...grant, node: nextOf.get(grant.shard) ?? '' })]),
  );
}

async function swap(
  { link, keys, boot }: Claimant,
  before: ReadonlyMap<ShardId, string>,
  after: readonly (readonly [ShardId, string])[],
): Promise<ReadonlySet<ShardId>> {
  const commands = after.map(([shard, grant]) => {
    const names = [keys.inShard(shard, 'o'), keys.inShard(shard, 'n')];
    return ['evalsha', claimScript.sha, '2', ...names, before.get(shard) ?? '', grant, boot];
  });
  const replies = (await link.run((redis) => readAll(redis, commands))) as number[];
  const won = new Map(after.filter((_, index) => replies[index] === 1));
  await writeMap(link, keys, won);
  return new Set(won.keys());
}

export async function writeMap(link: StoreLink, keys: StoreKeys, lines: ReadonlyMap<ShardId, string>): Promise<void> {
  if (lines.size > 0) await link.run((redis) => redis.hset(keys.map, ...[...lines].flat()));
}
