/**
 * May this connection be written to? Yes once the store's ordinals were compared with what it has acknowledged to us
 * (ordinal-memory.ts): commit-lines.ts has each new connection compared once, whether there is something to write or
 * not. A store found behind was rolled back; nothing may be written then until a newer era has begun. Called by
 * redis-journal.ts.
 */
import type { Redis } from 'ioredis';
import { PhotonError } from '../contract/errors.ts';
import type { ShardId } from '../contract/identifiers.ts';
import { lastOrdinalCommand, lastOrdinalOf } from './feed-ordinal.ts';
import type { OrdinalMemory, StoreRollback } from './ordinal-memory.ts';
import { readAll } from './store-connection.ts';
import type { StoreKeys } from './store-keys.ts';

export interface RollbackDetectorOptions {
  readonly keys: StoreKeys;
  readonly memory: OrdinalMemory;
  /** Told once per era. What it throws (a PhotonError) is the end of all writing. */
  readonly onRollback: (rollback: StoreRollback) => void;
}

export class RollbackDetector {
  readonly #options: RollbackDetectorOptions;
  /** Set while the store is known to have gone back and no newer era has begun. */
  #rewound: PromiseWithResolvers<void> | undefined;

  constructor(options: RollbackDetectorOptions) {
    this.#options = options;
  }

  /**
   * Resolves when this connection may be written to. Rejects with its errors, and with what `onRollback` has thrown.
   * @param carries whether the connection serves the shard
   */
  async admit(redis: Redis, carries: (shard: ShardId) => boolean): Promise<void> {
    do {
      await this.#rewound?.promise;
      await this.#compare(redis, carries);
    } while (this.#rewound !== undefined);
  }

  /** Compares now. @throws PhotonError ownership_lost `store_rewound` */
  async assure(redis: Redis): Promise<void> {
    await this.#compare(redis, () => true);
    if (this.#rewound !== undefined) throw rewound();
  }

  /** A newer era has begun, or nobody waits any more. */
  release(): void {
    this.#rewound?.resolve();
    this.#rewound = undefined;
  }

  async #compare(redis: Redis, carries: (shard: ShardId) => boolean): Promise<void> {
    const { keys, memory, onRollback } = this.#options;
    // As known before the store is asked: what another connection acknowledges meanwhile may be newer than the answer.
    const known = [...memory.known()].filter(([shard]) => carries(shard));
    if (known.length === 0 || this.#rewound !== undefined) return;
    const { era } = memory;
    const stored = await readAll(
      redis,
      known.map(([shard]) => lastOrdinalCommand(keys, shard)),
    );
    if (era !== memory.era || this.#rewound !== undefined) return;
    for (const [index, [shard, ordinal]] of known.entries()) {
      const found = lastOrdinalOf(stored[index]);
      if (found >= ordinal) continue;
      this.#rewound = Promise.withResolvers();
      onRollback({ era, shard, known: ordinal, found });
      return;
    }
  }
}

/** The end of all writing, where nobody can begin a new era. */
export const rolledBack = ({ shard, known, found }: StoreRollback): PhotonError =>
  new PhotonError(
    'bug',
    'store_rolled_back',
    `the store has lost acknowledged commits: shard ${shard} is at ordinal ${found}, we were told ${known}; ` +
      'nothing more is written; restore the newest data of the store, then start the nodes again',
  );

export const rewound = (): PhotonError =>
  new PhotonError(
    'ownership_lost',
    'store_rewound',
    'the store went back to an earlier state; what was read from it is taken up again under a new era',
  );
