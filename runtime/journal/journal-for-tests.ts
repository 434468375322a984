/**
 * Test support: a journal on a running store, and grants for it. Never used outside of tests. Servers are started by
 * redis-for-tests.ts and redis-topologies-for-tests.ts, commits are built by commit-for-tests.ts.
 */
import type { ShardGrant } from '../contract/journal.ts';
import type { DurabilityRequest } from './durability-plan.ts';
import { processClock as clock, recordedLog, TestRedis } from './redis-for-tests.ts';
import { createJournal, type RedisJournal } from './redis-journal.ts';
import { connectStore, type Store, type StoreOptions } from './store-connection.ts';
import { grantText } from './store-keys.ts';

export interface StoredJournal {
  readonly store: Store;
  readonly journal: RedisJournal;
}

/** Shared by the tests of one file. */
export interface JournalStage extends StoredJournal {
  readonly redis: TestRedis;
  readonly log: ReturnType<typeof recordedLog>;
}

/** A server of its own, with a journal on it; `closeStage` ends both. */
export async function openStage(): Promise<JournalStage> {
  const log = recordedLog();
  const redis = await TestRedis.start();
  const store = await connectStore({ url: redis.url, clock, log });
  return { redis, store, log, journal: createJournal({ store, clock, log }) };
}

export async function closeStage({ redis, store, journal }: JournalStage): Promise<void> {
  journal.close();
  store.close();
  await redis.remove();
}

interface JournalRequest extends Omit<StoreOptions, 'clock' | 'log'> {
  readonly durability?: DurabilityRequest;
}

/** Makes this node the owner, as the directory does. */
export async function own({ store, journal }: StoredJournal, grant: ShardGrant): Promise<void> {
  await store.shared.redis.set(store.keys.inShard(grant.shard, 'o'), grantText(grant));
  journal.adopt(grant);
}

/** Runs the work on a journal that is closed afterwards; if the work fails, the end of the log is printed. */
export async function withJournal(
  { durability = {}, ...where }: JournalRequest,
  work: (stored: StoredJournal) => Promise<void>,
): Promise<void> {
  const log = recordedLog();
  try {
    const store = await connectStore({ ...where, clock, log });
    const journal = createJournal({ store, clock, log, durability });
    try {
      await work({ store, journal });
    } finally {
      journal.close();
      store.close();
    }
  } catch (error) {
    console.log(log.lines.slice(-20).join('\n'));
    throw error;
  }
}
