/**
 * Which shard an actor belongs to. Pure arithmetic; runtime/directory decides which node owns a shard.
 *
 * The shard's name is the Redis hash tag of all its keys. `s0` to `s127` fall on 128 distinct slots (checked when this
 * file is loaded), so a Redis Cluster can place each shard separately. Any change here moves actors to other shards: it
 * needs a new `hashId`, and nodes refuse to start on a store that was created with another one.
 */
import type { ActorId, ShardId } from '../contract/identifiers.ts';

export const shardCount = 128;

/** Name of the hash function below, kept in the cluster record. */
export const hashId = 'fnv1a32-fold16-mod128';

const slotCount = 16_384;

/** Redis Cluster's key slot of a hash tag: CRC16 (XMODEM) modulo 16,384. */
export function slotOfTag(tag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1)
      crc = (crc & 0x8000) === 0 ? (crc << 1) & 0xffff : ((crc << 1) ^ 0x1021) & 0xffff;
  }
  return crc % slotCount;
}

function makeShards(): readonly ShardId[] {
  const shards = Array.from({ length: shardCount }, (_, index) => `s${index}` as ShardId);
  const slots = new Set(shards.map(slotOfTag));
  if (slots.size !== shardCount)
    throw new Error(`the shard tags share slots: ${slots.size} slots for ${shardCount} shards`);
  return shards;
}

/** The shards of sharded actors, by index. Host shards are not listed, since they depend on the hosts. */
export const sharedShards: readonly ShardId[] = makeShards();

export const hostShard = (host: string): ShardId => `host:${host}` as ShardId;

/** @returns the host's name, or undefined for a shard that any controller may own. */
export function hostOfShard(shard: ShardId): string | undefined {
  return shard.startsWith('host:') ? shard.slice('host:'.length) : undefined;
}

/** FNV-1a over the text's bytes (ids are ASCII), folded to 16 bits because its low bits alone spread poorly. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return (hash ^ (hash >>> 16)) & 0xffff;
}

export function shardOf(id: ActorId): ShardId {
  const at = id.indexOf('@');
  return at === -1 ? (sharedShards[hashOf(id) % shardCount] as ShardId) : hostShard(id.slice(at + 1));
}
