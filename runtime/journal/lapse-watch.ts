/**
 * May this connection be written to? Yes once the store's ordinals were compared with what it has acknowledged to us
 * (ordinal-memory.ts): each new connection is compared once, whether there is something to write or not. A store
 * found behind was rolled back; nothing may be written then until a newer era has begun. Called by redis-journal.ts.
 */
import { PhotonError } from '../contract/errors.ts';
import { lastOrdinalCommand, lastOrdinalOf } from './feed-ordinal.ts';
import type { OrdinalMemory, StoreLapse } from './ordinal-memory.ts';
import { readAll, type StoreLink } from './store-connection.ts';
import type { StoreKeys } from './store-keys.ts';

export interface LapseWatchOptions {
  readonly link: StoreLink;
  readonly keys: StoreKeys;
  readonly memory: OrdinalMemory;
  /** Told once per era. What it throws (a PhotonError) is the end of all writing. */
  readonly onLapse: (lapse: StoreLapse) => void;
}

export class LapseWatch {
  readonly #options: LapseWatchOptions;
  /** Settled when the present connection has been compared; undefined while there is none. */
  #compared: Promise<void> | undefined;
  #writable = false;
  /** Set while the store is known to have gone back and no newer era has begun. */
  #rewound: PromiseWithResolvers<void> | undefined;

  constructor(options: LapseWatchOptions) {
    this.#options = options;
    options.link.onLost(() => {
      this.#writable = false;
      this.#compared = undefined;
    });
    // Also with nothing to write. That it fails is heard by whoever wants to write.
    options.link.onReady(() => void this.mayWrite().catch(() => undefined));
  }

  /** Rejects when the link is closed, and with what `onLapse` has thrown. */
  async mayWrite(): Promise<void> {
    const { link } = this.#options;
    while (!this.#writable) {
      await this.#rewound?.promise;
      await link.whenReady();
      const compared = (this.#compared ??= this.#compare());
      try {
        await compared;
      } catch (error) {
        if (this.#compared === compared) this.#compared = undefined;
        if (error instanceof PhotonError) throw error;
        await link.recover(error);
        continue;
      }
      // A connection lost in the meantime has cleared it, and the next one must be compared again.
      if (this.#compared === compared && this.#rewound === undefined) this.#writable = true;
    }
  }

  /** Compares now. @throws PhotonError ownership_lost `store_rewound` */
  async assure(): Promise<void> {
    await this.#options.link.run(() => this.#compare());
    if (this.#rewound !== undefined) throw rewound();
  }

  /** A newer era has begun, or nobody waits any more. */
  release(): void {
    this.#compared = undefined;
    this.#rewound?.resolve();
    this.#rewound = undefined;
  }

  async #compare(): Promise<void> {
    const { link, keys, memory, onLapse } = this.#options;
    const shards = memory.shards();
    if (shards.length === 0 || this.#rewound !== undefined) return;
    const { era } = memory;
    const stored = await readAll(
      link.redis,
      shards.map((shard) => lastOrdinalCommand(keys, shard)),
    );
    if (era !== memory.era || this.#rewound !== undefined) return;
    for (const [index, shard] of shards.entries()) {
      const lapse = memory.lapseOf(shard, lastOrdinalOf(stored[index]));
      if (lapse === undefined) continue;
      this.#writable = false;
      this.#rewound = Promise.withResolvers();
      onLapse(lapse);
      return;
    }
  }
}

export const rewound = (): PhotonError =>
  new PhotonError(
    'ownership_lost',
    'store_rewound',
    'the store went back to an earlier state; what was read from it is taken up again under a new era',
  );
