/**
 * Giving shards away in good order, for balance and when a node leaves: what is in flight is finished, then the grant
 * is swapped for one that names the next owner. That node takes the shard at its next beat, or when the first message
 * for it arrives (`verify` in cluster-membership.ts). Until then senders keep what they have: nothing is lost, and
 * nothing that was applied is sent again (G12). It does not choose: shard-balance.ts does.
 */
import type { Clock } from '../contract/clock.ts';
import type { ShardId } from '../contract/identifiers.ts';
import type { Log } from '../contract/log.ts';
import type { OwnedShards } from './owned-shards.ts';
import type { OwnershipMap } from './ownership-map.ts';
import { hostOfShard, hostShard, sharedShards } from '../journal/shard-placement.ts';
import { departureMoves } from './shard-balance.ts';
import { releaseShards, type Claimant } from './shard-claims.ts';

/** Shards of one group stand still together for as long as its slowest. */
const groupSize = 16;

export interface HandoverOptions {
  readonly claimant: Claimant;
  /** What this node owns; whatever is given away leaves it. */
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

  /** @param nextOf shard -> node, for each shard to give; those not owned any more are passed over */
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
   * Everything, in groups, to these nodes; to nobody in particular when there are none. The own shard of a node is
   * nobody else's; that of one that was fenced stays ours rather than nobody's, for then its node could take it.
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
    // Not taken by the swap means that somebody else has it already.
    for (const grant of grants) owned.release(grant);
    const tookMs = Math.round(clock.monotonicMs() - startedMs);
    log.info({ shards: held.join(' '), to: [...new Set(nextOf.values())].join(' '), tookMs }, 'shards handed over');
  }
}
