/**
 * Hands shards over, for balance and when a node leaves: work in flight is finished, then the grant is swapped for one
 * that names the next owner. That node claims the shard at its next beat, or when the first message for it arrives
 * (`verify` in cluster-membership.ts). Until then senders keep their messages: none is lost, and none that was applied
 * is sent again (G12 in docs/promises.md). shard-balance.ts chooses which shards go where.
 */
import type { Clock } from '../contract/clock.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { Log } from '../contract/log.ts';
import type { OwnedShards } from './owned-shards.ts';
import type { OwnershipMap } from './ownership-map.ts';
import { hostOfShard, hostShard, sharedShards } from '../journal/shard-placement.ts';
import { departureMoves } from './shard-balance.ts';
import { releaseShards, type Claimant } from './shard-claims.ts';

/** The shards of one group stop and move together, so all of them are paused for as long as the slowest takes. */
const groupSize = 16;

export interface HandoverOptions {
  readonly claimant: Claimant;
  /** The shards this node owns; handed-over ones are released from it. */
  readonly owned: OwnedShards;
  readonly directory: OwnershipMap;
  readonly clock: Clock;
  readonly log: Log;
  readonly retire: (shards: readonly ShardId[]) => Promise<void>;
}

export class ShardHandover {
  readonly #options: HandoverOptions;
  #running: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(options: HandoverOptions) {
    this.#options = options;
  }

  get busy(): boolean {
    return this.#waiting > 0;
  }

  /** @param nextOf shard -> next owner; shards that this node does not own any more are skipped */
  give(nextOf: ReadonlyMap<ShardId, string>): Promise<void> {
    this.#waiting += 1;
    const run = this.#running.then(() => this.#give(nextOf));
    this.#running = run.then(
      () => void (this.#waiting -= 1),
      () => void (this.#waiting -= 1),
    );
    return run;
  }

  /**
   * Hands over every shard, in groups, to these nodes, or to nobody when there are none. This node's own host shard is
   * released to nobody, since only this node may own it. The host shard of a fenced node is handed to a staying
   * controller or kept: released to nobody, its node could claim it without having been emptied.
   */
  async giveAll(staying: readonly string[]): Promise<void> {
    const { claimant, owned, directory } = this.#options;
    await this.#running;
    const own = hostShard(claimant.node);
    const held = owned.all().map(({ shard }) => shard);
    const others = held.filter((shard) => shard !== own);
    const moves = departureMoves(others, directory.owners(sharedShards), staying);
    const all = held.filter((shard) => hostOfShard(shard) === undefined || shard === own || moves.has(shard));
    for (let from = 0; from < all.length; from += groupSize) {
      const group = all.slice(from, from + groupSize);
      await this.give(new Map(group.map((shard) => [shard, moves.get(shard) ?? ''])));
    }
  }

  async #give(nextOf: ReadonlyMap<ShardId, string>): Promise<void> {
    const { claimant, owned, log, clock, retire } = this.#options;
    const startedMs = clock.monotonicMs();
    const held = [...nextOf.keys()].filter((shard) => owned.grantOf(shard) !== undefined);
    await retire(held);
    const grants = held.flatMap((shard) => owned.grantOf(shard) ?? []);
    await releaseShards(claimant, grants, nextOf);
    // A shard whose swap failed has another owner already.
    for (const grant of grants) owned.release(grant);
    const tookMs = Math.round(clock.monotonicMs() - startedMs);
    log.info({ shards: held.join(' '), to: [...new Set(nextOf.values())].join(' '), tookMs }, 'shards handed over');
  }
}
