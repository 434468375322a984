/**
 * The grants this node has been told to hold, and who is told when the store says that one has ended: once per grant,
 * however many commits find out. Part of redis-journal.ts; whose a shard is, is decided in runtime/directory.
 */
import { PhotonError } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import type { Log } from '../contract/log.ts';

interface HeldGrant {
  readonly grant: ShardGrant;
  fenceTold: boolean;
}

export class HeldGrants {
  readonly #log: Log;
  readonly #held = new Map<ShardId, HeldGrant>();
  readonly #listeners: ((shard: ShardId) => void)[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  add(grant: ShardGrant): void {
    this.#held.set(grant.shard, { grant, fenceTold: false });
  }

  remove(shard: ShardId): void {
    this.#held.delete(shard);
  }

  onFenced(listener: (shard: ShardId) => void): void {
    this.#listeners.push(listener);
  }

  /** Tells it, and says so to whoever asked under this grant. */
  fenced(grant: ShardGrant): PhotonError {
    this.tellFenced(grant);
    const text = `shard ${grant.shard} has another owner; drop its actors`;
    return new PhotonError('ownership_lost', 'shard_fenced', text);
  }

  tellFenced(grant: ShardGrant): void {
    const { shard, ownerEpoch } = grant;
    const held = this.#held.get(shard);
    if (held === undefined || held.fenceTold || held.grant.ownerEpoch !== ownerEpoch) return;
    held.fenceTold = true;
    this.#log.warn({ shard, ownerEpoch }, 'the store says that this shard has another owner');
    for (const listener of this.#listeners) listener(shard);
  }
}
