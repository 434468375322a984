/**
 * Tracks the era of this node and begins the next one. A new era begins only when the store was rolled back: the
 * journal has found a shard's ordinal below an acknowledged one, or the cluster record has an earlier era than this
 * node has seen. A restart of the store, or a failover that lost nothing, changes nothing. Design: docs/decisions,
 * decision 0007.
 *
 * The node that notices begins the era by compare-and-set in the cluster record; the others read it at their next beat.
 * Era and grant are one string in the fence of every commit, so the store refuses commits decided under an earlier era.
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
  /** The highest era that this node has seen, in this process or an earlier one. */
  readonly era: number;
}

export class EraKeeper {
  readonly #options: EraKeeperOptions;
  #era: number;
  /** The highest era in any grant that was read. */
  #seen = 0;
  #because: string | undefined;

  constructor(options: EraKeeperOptions) {
    this.#options = options;
    this.#era = options.era;
  }

  /** Notes a rollback; ignored if it was found under an earlier era, because the present era has answered it. */
  suspect({ era, shard, known, found }: StoreRollback): void {
    if (era >= this.#era) this.#because = `shard ${shard} is at ordinal ${found}, ${known} was acknowledged`;
  }

  /** Notes the era of a grant: if the cluster record is below it, the record was rolled back. */
  saw(era: number): void {
    this.#seen = Math.max(this.#seen, era);
  }

  /**
   * Compares with the stored era and begins a new one if needed. @returns the era of this node from now on
   * @param stored the era in the cluster record as just read; null when there is no record any more
   */
  async follow(stored: string | null): Promise<number> {
    let found = Number(stored ?? 0);
    while (found <= this.#era || found < this.#seen) {
      const because = this.#because ?? this.#recordIsOlder(found);
      if (because === undefined) return this.#era;
      found = await this.#begin(found, because);
    }
    this.#era = found;
    this.#because = undefined;
    this.#options.log.warn({ era: found }, 'a new era of the store has begun; every shard is claimed again');
    return found;
  }

  #recordIsOlder(found: number): string | undefined {
    const seen = Math.max(this.#era, this.#seen);
    return found < seen ? `the cluster record is of era ${found}, ${seen} was seen` : undefined;
  }

  async #begin(found: number, because: string): Promise<number> {
    const { link, keys, clock, log } = this.#options;
    // An emptied store has no record either, so it is written again; that changes nothing if there is one.
    const from = found === 0 ? (await settleClusterRecord(link, keys)).era : found;
    const to = Math.max(from, this.#era, this.#seen) + 1;
    log.error({ from, to, because }, 'the store was rolled back; a new era begins');
    return beginEra(link, keys, { from, to, because, wallMs: clock.wallMs() });
  }
}
