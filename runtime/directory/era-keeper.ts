/**
 * The era as this node knows it, and who begins the next one. A new era begins only when the store was rolled back:
 * a shard is behind what was acknowledged to this node (told by the journal), or the cluster record itself is of an
 * earlier era than one we have seen. A restart of the store, or a failover that lost nothing, changes nothing.
 *
 * Whoever notices begins it by compare-and-set in the cluster record; everybody else reads it there at the next beat.
 * Era and grant are one text in every commit's fence, so what was decided under an earlier era is refused by the store.
 * Called by cluster-membership.ts at every beat, before any shard is claimed.
 */
import type { Clock } from '../contract/clock.ts';
import type { Log } from '../contract/log.ts';
import type { StoreRollback } from '../journal/ordinal-memory.ts';
import type { StoreLink } from '../journal/store-link.ts';
import type { StoreKeys } from '../journal/store-keys.ts';
import { beginEra, settleClusterRecord } from './cluster-record.ts';

export interface EraKeeperOptions {
  readonly link: StoreLink;
  readonly keys: StoreKeys;
  readonly clock: Clock;
  readonly log: Log;
  /** The highest this node has seen, in this process or an earlier one. */
  readonly era: number;
}

export class EraKeeper {
  readonly #options: EraKeeperOptions;
  #era: number;
  /** The highest of those that shards were granted under. */
  #seen = 0;
  #because: string | undefined;

  constructor(options: EraKeeperOptions) {
    this.#options = options;
    this.#era = options.era;
  }

  /** What was found under an earlier era has been answered by the present one. */
  suspect({ era, shard, known, found }: StoreRollback): void {
    if (era >= this.#era) this.#because = `shard ${shard} is at ordinal ${found}, ${known} was acknowledged`;
  }

  /** The next look at the record finds it there, or finds that the record has lost it. */
  saw(era: number): void {
    this.#seen = Math.max(this.#seen, era);
  }

  /** @param stored the record's era as it was just read; null when there is no record any more */
  async follow(stored: string | null): Promise<number> {
    let found = Number(stored ?? 0);
    while (found <= this.#era || found < this.#seen) {
      const because = this.#because ?? this.#older(found);
      if (because === undefined) return this.#era;
      found = await this.#begin(found, because);
    }
    this.#era = found;
    this.#because = undefined;
    this.#options.log.warn({ era: found }, 'a new era of the store; every shard is taken up again');
    return found;
  }

  #older(found: number): string | undefined {
    const seen = Math.max(this.#era, this.#seen);
    return found < seen ? `the cluster record is of era ${found}, ${seen} was seen` : undefined;
  }

  async #begin(found: number, because: string): Promise<number> {
    const { link, keys, clock, log } = this.#options;
    // A store that has lost everything has no record either; writing it again is harmless where there is one.
    const from = found === 0 ? (await settleClusterRecord(link, keys)).era : found;
    const to = Math.max(from, this.#era, this.#seen) + 1;
    log.error({ from, to, because }, 'the store was rolled back; a new era begins');
    return beginEra(link, keys, { from, to, because, wallMs: clock.wallMs() });
  }
}
