/** The journal on a Redis Cluster of three primaries, also while a slot is moved. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PhotonError } from '../contract/errors.ts';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import type { Cursor, FeedEntry } from '../contract/reader.ts';
import { answerOf, commitOf, grantFor, historyOf, receiptOf } from './commit-for-tests.ts';
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

test('commits, loads and backlogs work on three primaries while a slot is moved', async () => {
  const cluster = await startCluster();
  try {
    await withJournal({ url: cluster.url }, async (stored) => {
      const { store, journal } = stored;
      for (const id of actors) await own(stored, grantFor(id));
      let acknowledged = 0;
      const running = Promise.all(actors.map((id) => run(journal, id, () => (acknowledged += 1))));
      // Awaited below; without this a failure meanwhile would count as unhandled.
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
        assert.is(answerOf(await journal.receipt(id, 'c1'))?.ok, true);
      }
    });
  } finally {
    await cluster.remove();
  }
});

test('follow works from any cursor while a slot is moved, and expires a trimmed cursor', async () => {
  const cluster = await startCluster();
  try {
    await withJournal({ url: cluster.url }, async (stored) => {
      const { store, journal } = stored;
      const reader = createReader({ store, clock, log: recordedLog() });
      const [id, other] = actors as [ActorId, ActorId];
      for (const each of [id, other]) await own(stored, grantFor(each));
      const commit = async (version: number): Promise<void> => {
        for (const each of [id, other]) assert.is((await journal.commit(commitOf(each, version))).result, 'committed');
      };
      const follow = (from: Cursor) => {
        const entries: FeedEntry[] = [];
        const control = new AbortController();
        const ended = reader.follow(from, (entry) => entries.push(entry), control.signal);
        ended.catch(() => undefined); // awaited by the caller
        const versions = (of: ActorId): number[] =>
          entries.filter((entry) => entry.id === of).map(({ version }) => version);
        return { entries, versions, ended, stop: () => control.abort() };
      };
      await commit(1);
      const before = await reader.now();
      const first = follow(before);
      for (let version = 2; version <= 5; version += 1) await commit(version);
      const slot = slotOfTag(shardOf(id));
      const owner = await cluster.ownerOf(slot);
      await cluster.moveSlot(slot, cluster.nodes.find((node) => node !== owner) ?? owner);
      for (let version = 6; version <= 9; version += 1) await commit(version);
      const second = follow((first.entries[0] as FeedEntry).cursor);
      for (const each of [first, second]) await until('all is followed', () => each.versions(other).at(-1) === 9);
      await until('all is followed', () => first.versions(id).at(-1) === 9);
      assert.equal([first.versions(id), first.versions(other)], [range(2, 9), range(2, 9)]);
      assert.is(second.entries.length, first.entries.length - 1, 'all behind the cursor, and nothing else');
      for (const each of [first, second]) each.stop();
      await Promise.all([first.ended, second.ended]);

      await store.shared.redis.xtrim(store.keys.inShard(shardOf(id), 'f'), 'MAXLEN', 1);
      assert.is(await codeOf(follow(before).ended), 'cursor_expired');
      const now = await reader.now();
      await store.shared.redis.hset(store.keys.cluster, 'era', '2');
      assert.is(await codeOf(follow(now).ended), 'cursor_expired');
    });
  } finally {
    await cluster.remove();
  }
});

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

const codeOf = (ended: Promise<void>): Promise<string> =>
  ended.then(
    () => 'no error',
    (error: unknown) => (error instanceof PhotonError ? error.record.code : String(error)),
  );

test.run();
