/**
 * Names of all keys in the store, in one place. Keys of a shard carry its tag in braces and so share one slot; the
 * commit script derives them from the ownership key alone, by the same deadLetters.
 *
 * Keys outside of shards lie on any primary of a Redis Cluster: each is used alone, never two in one command.
 *
 *   o  ownership: grant `<era>|<epoch>|<node>`, a text, so that a batch reads many at once; n  nonce of the last claim
 *   a:<actor>  record hash: version, stamp `<mode> <commit id>` (mode idle, busy, removed), context, head (JSON),
 *      archived (where the newest archived run of its history stands), `m:<sender>` watermarks, prunedUid (the youngest
 *      life whose watermark was pruned), `c:<collection>` flags
 *   r:<actor>  receipts hash; rz:<actor> their command ids in order of arrival, as `<at>|<command id>`
 *   h:<actor>  history stream, ids `<version>-<n>`      c:<actor>:<collection>  rows hash
 *   i  set of the shard's live actors                   f  feed stream, ids `0-<ordinal>`
 *   q  outbox hash: `<from>|<seq>` -> message JSON      t  timers hash: `<actor>|<timer id>` -> `<due ms> <event type>`
 *   b  set of actors with pending effects               x  dead letters stream
 *   w  empty; written so that it can be waited for (durability-plan.ts)
 */
import type { ShardId } from '../contract/identifiers.ts';

export interface StoreKeys {
  readonly prefix: string;
  /** Hash: era (from the second on also eraBecause and eraSince), shards, hashId, and versions of form and scripts. */
  readonly cluster: string;
  /** Hash: node -> record JSON. */
  readonly nodes: string;
  /** Hash: node -> beat counter. */
  readonly beats: string;
  /** Hash: shard -> `<era>|<epoch>|<node>`; a hint, the ownership key decides. */
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
    map: `${prefix}map`,
    inShard: (shard, what) => `${prefix}{${shard}}:${what}`,
  };
}

/** How a grant is stored and compared: as one text, so that the fence is one comparison in the script. */
export const grantText = (grant: {
  readonly era: number;
  readonly ownerEpoch: number;
  readonly node: string;
}): string => `${grant.era}|${grant.ownerEpoch}|${grant.node}`;

/** The opposite of `grantText`; the node is empty when the shard was given back. */
export function parseGrant(text: string): { era: number; ownerEpoch: number; node: string } {
  const [era = '0', epoch = '0', node = ''] = text.split('|');
  return { era: Number(era), ownerEpoch: Number(epoch), node };
}
