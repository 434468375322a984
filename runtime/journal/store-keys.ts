/**
 * The names of all keys in the store. docs/data-model.md describes each key: fields, units, writers, readers, bounds.
 *
 * All keys of a shard carry the shard as hash tag (`ph:{s12}:o`), so they share one slot of a Redis Cluster. The commit
 * script derives every other key of a shard from its ownership key, with the same letters as this list. A key outside
 * of shards may be on any primary of a Redis Cluster, so no command names two of them.
 *
 *   o  ownership: grant `<era>|<epoch>|<node>` as a string, so that one MGET reads many; n  nonce of the last claim
 *   a:<actor>  record hash: version, stamp `<mode> <commit id>` (mode idle, busy, removed), context, head (JSON),
 *      archived (pointer to the newest archived run of its history), `m:<sender>` deduplication watermarks, prunedUid
 *      (the newest sender uid whose watermark was pruned), `c:<collection>` flags
 *   r:<scope>  receipts hash of all actors of a scope in this shard: `<actor>|<command id>` -> JSON, and `.first`,
 *      `.newest`, `.bytes`, `.forgotten`; ro:<scope> the generation before it (receipt-limits.ts)
 *   h:<actor>  history stream, ids `<version>-<n>`      c:<actor>:<collection>  rows hash
 *   i  set of the shard's live actors                   f  feed stream, ids `0-<ordinal>`
 *   q  outbox hash: `<from>|<seq>` -> message JSON      t  timers hash: `<actor>|<timer id>` -> `<due ms> <event type>`
 *   b  set of actors with pending effects               x  dead letter stream
 *   w  always empty: a write that WAIT can be asked about (durability-plan.ts)
 */
import { partsOf, type ActorId, type ShardId } from '../contract/identifiers.ts';

export interface StoreKeys {
  readonly prefix: string;
  /** Hash: era, eraBecause, eraSince, identity, joins, shards, hashId, formatVersion, scriptVersion, scriptDigest. */
  readonly cluster: string;
  /** Hash: node -> record JSON. */
  readonly nodes: string;
  /** Hash: node -> beat counter. */
  readonly beats: string;
  /** Hash: sharedUs, serverUs. The shared clock (directory/cluster-clock.ts) and the server's own, at the last tick. */
  readonly clock: string;
  /** Hash: shard -> `<era>|<epoch>|<node>`. A cache for routing; the ownership key of the shard is authoritative. */
  readonly map: string;
  inShard(shard: ShardId, what: string): string;
}

export const defaultPrefix = 'ph:';

export function storeKeys(prefix: string): StoreKeys {
  return {
    prefix,
    cluster: `${prefix}cluster`,
    nodes: `${prefix}nodes`,
    beats: `${prefix}beats`,
    clock: `${prefix}clock`,
    map: `${prefix}map`,
    inShard: (shard, what) => `${prefix}{${shard}}:${what}`,
  };
}

/** The scope whose receipts those of the actor are counted with. */
export const scopeOf = (actor: ActorId): string => partsOf(actor).scope;

/** A grant as it is stored: one string, so that the script checks the fence by one comparison. */
export const grantText = (grant: {
  readonly era: number;
  readonly ownerEpoch: number;
  readonly node: string;
}): string => `${grant.era}|${grant.ownerEpoch}|${grant.node}`;

/** The inverse of `grantText`. The node is empty when the last owner released the shard to nobody. */
export function parseGrant(text: string): { era: number; ownerEpoch: number; node: string } {
  const [era = '0', epoch = '0', node = ''] = text.split('|');
  return { era: Number(era), ownerEpoch: Number(epoch), node };
}
