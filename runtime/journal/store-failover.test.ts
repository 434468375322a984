// servers: redis valkey
// test limit: 100 s
/**
 * Three boxes with Sentinels lose their primary twice in the middle of commits at level `replicas` (G3, G4).
 * PHOTON_FAILOVERS=n sets how often.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { actorId, type ActorId } from '../contract/identifiers.ts';
import { commitOf, grantFor, historyOf } from './commit-for-tests.ts';
import { own, withJournal } from './journal-for-tests.ts';
import type { RedisJournal } from './redis-journal.ts';
import { until, type TestRedis } from './redis-for-tests.ts';
import { startSentinelBoxes, type SentinelBoxes } from './redis-topologies-for-tests.ts';
import type { Store } from './store-connection.ts';

const failovers = Number(process.env['PHOTON_FAILOVERS'] ?? 2);
const actors = Array.from({ length: 20 }, (_, index) => actorId(`vm/acme/failover-${index}`));

// With min-replicas-to-write 0 a lone primary accepts commits, so only the journal's own WAIT keeps the promise.
const startBoxes = (): Promise<SentinelBoxes> => startSentinelBoxes(['--min-replicas-to-write', '0']);
const patient = { commandTimeoutMs: 1_000, connectTimeoutMs: 20_000, durability: { replicas: 1 } };

interface Progress {
  acknowledged: number;
  stop: boolean;
}

/** @returns the version acknowledged last */
async function run(journal: RedisJournal, id: ActorId, progress: Progress): Promise<number> {
  for (let version = 1; ; version += 1) {
    if (progress.stop) return version - 1;
    const history = [{ ...historyOf(version), cause: `turn:${version}` }];
    const commit = commitOf(id, version, { durability: 'replicas', historyTail: 100_000, history });
    const outcome = await journal.commit(commit);
    assert.is(outcome.result, 'committed', `${id}@${version}`);
    progress.acknowledged += 1;
  }
}

async function versionsOn(server: TestRedis, { keys }: Store): Promise<number> {
  const client = server.client();
  try {
    const asked = actors.map((id) => client.hget(keys.inShard(grantFor(id).shard, `a:${id}`), 'version'));
    return (await Promise.all(asked)).reduce((sum, version) => sum + Number(version), 0);
  } finally {
    client.disconnect();
  }
}

async function checkAll(store: Store, last: readonly number[]): Promise<void> {
  for (const [index, id] of actors.entries()) {
    const key = (what: string): string => store.keys.inShard(grantFor(id).shard, `${what}:${id}`);
    // The old primary closes its connections when it is demoted, which may be just now.
    assert.is(await store.shared.run((redis) => redis.hget(key('a'), 'version')), String(last[index]));
    const entries = await store.shared.run((redis) => redis.xrange(key('h'), '-', '+'));
    const causes = entries.map(([, fields]) => (JSON.parse(fields[1] as string) as { cause: string }).cause);
    assert.equal(
      causes,
      Array.from({ length: last[index] ?? 0 }, (_, turn) => `turn:${turn + 1}`),
      'once and in order',
    );
  }
}

test(`${failovers} failovers lose no acknowledged commit and apply none twice`, async () => {
  const boxes = await startBoxes();
  try {
    await withJournal({ url: boxes.url, ...patient }, async (stored) => {
      const { store, journal } = stored;
      for (const id of actors) await own(stored, grantFor(id));
      await store.shared.redis.call('WAIT', '2', '5000');
      const progress: Progress = { acknowledged: 0, stop: false };
      const running = Promise.all(actors.map((id) => run(journal, id, progress)));
      // Awaited below; without this a failure meanwhile would count as unhandled.
      running.catch(() => undefined);
      for (let failover = 1; failover <= failovers; failover += 1) {
        const before = progress.acknowledged;
        await until('commits are acknowledged', () => progress.acknowledged > before + 200);
        const { killed } = await boxes.failOver(async (primary) => {
          const cutAt = progress.acknowledged;
          await until(
            'the cut-off primary has commits that are not acknowledged',
            async () =>
              (await versionsOn(primary, store)) > progress.acknowledged || progress.acknowledged > cutAt + 50,
          );
        });
        const after = progress.acknowledged;
        await until('commits go on at the new primary', () => progress.acknowledged > after + 200);
        await boxes.rejoin(killed);
        console.log(`failover ${failover}: ${progress.acknowledged} commits acknowledged so far`);
      }
      progress.stop = true;
      const last = await running;
      assert.ok(progress.acknowledged > 800);
      await checkAll(store, last);
    });
  } finally {
    await boxes.remove();
  }
});

// The old primary goes on for a while, followed by the third box.
test('SENTINEL FAILOVER loses no acknowledged commit', async () => {
  const boxes = await startBoxes();
  try {
    await withJournal({ url: boxes.url, ...patient }, async (stored) => {
      const { store, journal } = stored;
      for (const id of actors) await own(stored, grantFor(id));
      const progress: Progress = { acknowledged: 0, stop: false };
      const running = Promise.all(actors.map((id) => run(journal, id, progress)));
      // Awaited below, as above.
      running.catch(() => undefined);
      await until('commits are acknowledged', () => progress.acknowledged > 200);
      const { replicationId, boxes: known } = store.shared.facts;
      const names = boxes.boxes.map(({ listenPort }) => `127.0.0.1:${listenPort}`);
      assert.equal(known.toSorted(), names.toSorted(), 'the Sentinels name every box');
      await boxes.switchOver();
      const promoted = await store.replicationRoleOf(`127.0.0.1:${(await boxes.primary()).listenPort}`);
      assert.equal(
        { role: promoted?.role, formerReplicationId: promoted?.formerReplicationId },
        { role: 'master', formerReplicationId: replicationId },
      );
      const after = progress.acknowledged;
      await until('commits go on', () => progress.acknowledged > after + 200);
      progress.stop = true;
      await checkAll(store, await running);
    });
  } finally {
    await boxes.remove();
  }
});

test.run();
