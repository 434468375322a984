// servers: redis valkey
/**
 * Redis is killed in the middle of commits: nothing is lost or applied twice. A store that was rolled back is not
 * written to.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ActorId } from '../contract/identifiers.ts';
import { commitOf, grantFor } from './commit-for-tests.ts';
import { actors, checkAll, commitTurns, turns } from './commit-turns-for-tests.ts';
import { own } from './journal-for-tests.ts';
import { createJournal, type RedisJournal } from './redis-journal.ts';
import { processClock as clock, recordedLog, TestRedis, until } from './redis-for-tests.ts';
import { connectStore, type Store } from './store-connection.ts';

interface Stage {
  redis: TestRedis;
  store: Store;
  journal: RedisJournal;
  lines: string[];
}

const test = suite<Stage>('store crash');

test.before.each(async (stage) => {
  const log = recordedLog();
  stage.lines = log.lines;
  stage.redis = await TestRedis.start();
  stage.store = await connectStore({ url: stage.redis.url, clock, log, commandTimeoutMs: 1_000 });
  stage.journal = createJournal({ store: stage.store, clock, log });
});

test.after.each(async ({ redis, store, journal }) => {
  journal.close();
  store.close();
  await redis.remove();
});

test('2,000 commits are applied once each while Redis is killed twice', async (stage) => {
  for (const id of actors) await own(stage, grantFor(id));
  let acknowledged = 0;
  const all = Promise.all(
    actors.map((id, index) => commitTurns(stage.journal, id, index % 2 === 0 ? 1 : 4, () => (acknowledged += 1))),
  );
  for (const killAt of [500, 1_300]) {
    await until(`${killAt} commits are acknowledged`, () => acknowledged >= killAt);
    await stage.redis.kill();
    await stage.redis.launch();
  }
  await all;
  assert.is(acknowledged, actors.length * turns);
  await checkAll(stage.store);
});

test('commits are applied once each when the store hangs for longer than the command timeout', async (stage) => {
  for (const id of actors) await own(stage, grantFor(id));
  let acknowledged = 0;
  const all = Promise.all(actors.map((id) => commitTurns(stage.journal, id, 2, () => (acknowledged += 1))));
  await until('some commits are acknowledged', () => acknowledged >= 300);
  stage.redis.signal('SIGSTOP');
  const stoppedMs = performance.now();
  await until('commands are given up', () => performance.now() - stoppedMs > 1_500);
  stage.redis.signal('SIGCONT');
  await all;
  await checkAll(stage.store);
});

test('a store that lost acknowledged commits is not written to', async (stage) => {
  const id = actors[0] as ActorId;
  await own(stage, grantFor(id));
  assert.is((await stage.journal.commit(commitOf(id, 1))).result, 'committed');
  const failures: string[] = [];
  stage.journal.onFailed((error) => failures.push(error.record.code));
  await stage.redis.kill();
  await rm(join(stage.redis.folder, 'appendonlydir'), { recursive: true });
  await stage.redis.launch();
  await stage.journal.commit(commitOf(id, 2)).then(
    () => assert.unreachable(),
    (error: { record: { code: string; group: string } }) =>
      assert.equal([error.record.group, error.record.code], ['bug', 'store_rolled_back']),
  );
  assert.equal(failures, ['store_rolled_back']);
  assert.is(await stage.redis.ask('DBSIZE'), 0);
});

test('closing the journal rejects commits without an outcome', async (stage) => {
  const id = actors[1] as ActorId;
  await own(stage, grantFor(id));
  await stage.redis.kill();
  const pending = stage.journal.commit(commitOf(id, 1));
  stage.journal.close();
  await pending.then(
    () => assert.unreachable(),
    (error: { record: { code: string } }) => assert.is(error.record.code, 'journal_closed'),
  );
});

test.run();
