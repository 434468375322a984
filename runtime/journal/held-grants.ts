/**
 * The grants that the directory has handed to this journal (`adopt`), and the listeners that are called when the store
 * refuses one of them: once per grant, however many commits are refused. Part of redis-journal.ts; runtime/directory
 * decides who owns a shard.
 */
import { PhotonError } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { ShardGrant } from '../contract/journal.ts';
import type { Log } from '../contract/log.ts';

interface HeldGrant {
  readonly grant: ShardGrant;
  fencedReported: boolean;
}

export class HeldGrants {
  readonly #log: Log;
  readonly #held = new Map<ShardId, HeldGrant>();
  readonly #listeners: ((shard: ShardId) => void)[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  add(grant: ShardGrant): void {
    this.#held.set(grant.shard, { grant, fencedReported: false });
  }

  remove(shard: ShardId): void {
    this.#held.delete(shard);
  }

  onFenced(listener: (shard: ShardId) => void): void {
    this.#listeners.push(listener);
  }

  /** Reports that the grant is fenced. @returns the error for the call that used the grant */
  fencedError(grant: ShardGrant): PhotonError {
    this.reportFenced(grant);
    const text = `shard ${grant.shard} has another owner; drop its actors`;
    return new PhotonError('ownership_lost', 'shard_fenced', text);
  }

  reportFenced(grant: ShardGrant): void {
    const { shard, ownerEpoch } = grant;
    const held = this.#held.get(shard);
    if (held === undefined || held.fencedReported || held.grant.ownerEpoch !== ownerEpoch) return;
    held.fencedReported = true;
    this.#log.warn({ shard, ownerEpoch }, 'the store says that this shard has another owner');
    for (const listener of this.#listeners) listener(shard);
  }
}
