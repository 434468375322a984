// time limit: 90 s
// test limit: 60 s
/** The journal, unchanged, on a Redis Cluster of three primaries, also while a slot moves under it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '../contract/errors.ts';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import { commitOf, grantFor, historyOf, receiptOf } from './commit-for-tests.ts';
import { own, withJournal } from './journal-for-tests.ts';
import type { RedisJournal } from './redis-journal.ts';
import { processClock as clock, recordedLog, until } from './redis-for-tests.ts';
import { createReader } from './redis-reader.ts';
import { startCluster } from './redis-topologies-for-tests.ts';
import { shardOf, slotOfTag } from './shard-placement.ts';

const actors = Array.from({ length: 30 }, (_, index) => actorId(`vm/acme/cluster-${index}`));
const turns = 40;

async function run(journal: RedisJournal, id: ActorId, acknowledged: () => void): Promise<void> {
  for (let version = 1; version <= turns; version += 1) {
    const history = [{ ...historyOf(version), cause: `turn:${version}` }];
    const receipts = [receiptOf(`c${version}`, version)];
    const outcome = await journal.commit(commitOf(id, version, { historyTail: 10_000, history, receipts }));
    assert.is(outcome.result, 'committed', `${id}@${version} ${JSON.stringify(outcome)}`);
    acknowledged();
  }
}

test('commits, loads and backlogs on three primaries, and a slot that moves away', async () => {
  const cluster = await startCluster();
  try {
    await withJournal({ url: cluster.url }, async (stored) => {
      const { store, journal } = stored;
      for (const id of actors) await own(stored, grantFor(id));
      let acknowledged = 0;
      const running = Promise.all(actors.map((id) => run(journal, id, () => (acknowledged += 1))));
      // Awaited below; a failure meanwhile is not to be taken for unhandled.
      running.catch(() => undefined);
      await until('some commits are acknowledged', () => acknowledged > 100);
      const slot = slotOfTag(shardOf(actors[0] as ActorId));
      const owner = await cluster.ownerOf(slot);
      await cluster.moveSlot(slot, cluster.nodes.find((node) => node !== owner) ?? owner);
      await running;
      for (const id of actors) {
        assert.is((await journal.load(id))?.version, turns);
        await journal.backlog(grantFor(id));
        const key = store.keys.inShard(grantFor(id).shard, `h:${id}`);
        const entries = await store.shared.redis.xrange(key, '-', '+');
        assert.is(entries.length, turns, 'every turn once');
        assert.is((await journal.receipt(id, 'c1'))?.reply.ok, true);
      }
    });
  } finally {
    await cluster.remove();
  }
});

test('changes are not followed there, and whoever asks is told so', async () => {
  const cluster = await startCluster();
  try {
    await withJournal({ url: cluster.url }, async ({ store }) => {
      const reader = createReader({ store, clock, log: recordedLog() });
      const following = reader.follow(await reader.now(), () => undefined, AbortSignal.timeout(5_000));
      const told = await following.catch((error: unknown) => error);
      assert.ok(told instanceof PhotonError, String(told));
      assert.equal([told.record.code, told.record.public], ['feeds_not_followed', true]);
    });
  } finally {
    await cluster.remove();
  }
});

test.run();
