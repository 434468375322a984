/**
 * Claims and releases shards by compare-and-set on the ownership key, with epoch + 1 at every claim, and then updates
 * the ownership map. owned-shards.ts and shard-handover.ts decide when; the store decides who wins. Upholds G1
 * (docs/promises.md): two winners never have the same epoch.
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
  /** Unique per process: distinguishes a repeat of our own claim from a claim of another process of the same node. */
  readonly boot: string;
  /** The present era of this node. */
  era: number;
}

/** @returns shard -> grant string in its ownership key, `''` when the shard never had an owner */
export async function readGrants(
  { link, keys }: Claimant,
  shards: readonly ShardId[],
): Promise<ReadonlyMap<ShardId, string>> {
  const commands = shards.map((shard) => ['get', keys.inShard(shard, 'o')]);
  const replies = (await link.run((redis) => readAll(redis, commands))) as (string | null)[];
  return new Map(shards.map((shard, index) => [shard, replies[index] ?? '']));
}

/** @param wanted shard -> grant string as it was read @returns the grants that were won */
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
 * Names the next owner, or nobody, and keeps the epoch, so that the next owner's is higher. The named node may claim
 * the shard at once, other nodes only when it is silent.
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

export async function writeMap(link: StoreLink, keys: StoreKeys, grants: ReadonlyMap<ShardId, string>): Promise<void> {
  if (grants.size > 0) await link.run((redis) => redis.hset(keys.map, ...[...grants].flat()));
}
