/**
 * Detects a store rollback: compares the store's ordinals with those it has acknowledged to this node
 * (ordinal-memory.ts). commit-connections.ts has each new connection compared once before it is written to. If an
 * ordinal is lower, the store was rolled back and nothing may be written until a newer era has begun (decision
 * 0007, docs/decisions). Created by redis-journal.ts.
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
  /** Called once per era. If it throws a PhotonError, that ends all writing. */
  readonly onRollback: (rollback: StoreRollback) => void;
}

export class RollbackDetector {
  readonly #options: RollbackDetectorOptions;
  /** Set from the detection of a rollback until a newer era has begun. */
  #rewound: PromiseWithResolvers<void> | undefined;

  constructor(options: RollbackDetectorOptions) {
    this.#options = options;
  }

  /**
   * Resolves when this connection may be written to. Rejects with errors of the connection and of `onRollback`.
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
    if (this.#rewound !== undefined) throw rewoundError();
  }

  /** Call it when a newer era has begun or the journal closes: waiting connections are compared anew. */
  release(): void {
    this.#rewound?.resolve();
    this.#rewound = undefined;
  }

  async #compare(redis: Redis, carries: (shard: ShardId) => boolean): Promise<void> {
    const { keys, memory, onRollback } = this.#options;
    // Copied before the store is asked: another connection may acknowledge newer ordinals than this answer holds.
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

/** Ends all writing where no listener can begin a new era. */
export const rolledBackError = ({ shard, known, found }: StoreRollback): PhotonError =>
  new PhotonError(
    'bug',
    'store_rolled_back',
    `the store has lost acknowledged commits: shard ${shard} is at ordinal ${found}, ${known} was acknowledged; ` +
      'nothing more is written; restore the newest data of the store, then start the nodes again',
  );

export const rewoundError = (): PhotonError =>
  new PhotonError(
    'ownership_lost',
    'store_rewound',
    'the store was rolled back; the shard is read again under a new era',
  );
